"""Reads the spot market with Binance's own SDK and prints what it read as one JSON object.

Runs in the environment of requirements-conformance.lock: `python client_spot_sdk.py ENDPOINTS`.
"""

import asyncio
import json
import sys
from typing import Any

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_sdk_spot.spot import Spot


async def main(endpoints: dict[str, dict[str, str]]) -> dict[str, Any]:
    urls = endpoints["spot"]
    client = Spot(
        config_rest_api=ConfigurationRestAPI(base_path=urls["rest_url"], timeout=10_000, retries=0),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=urls["socket_url"]),
    )
    read: dict[str, Any] = {"kline": [], "agg_trade": [], "trade": [], "diff_book_depth": [], "book_ticker": []}
    begun, enough = asyncio.Event(), asyncio.Event()

    def keep(kind: str) -> Any:
        def callback(event: Any) -> None:
            read[kind].append(event.to_dict())
            closed = sum(kline["k"]["x"] for kline in read["kline"])
            if len(read["diff_book_depth"]) >= 2:
                begun.set()
            if closed >= 3 and all(len(events) >= 20 for events in read.values()):
                enough.set()

        return callback

    streams = await client.websocket_streams.create_connection()
    for kind, arguments in (
        ("kline", {"symbol": "btcusdt", "interval": "1m"}),
        ("agg_trade", {"symbol": "btcusdt"}),
        ("trade", {"symbol": "btcusdt"}),
        ("diff_book_depth", {"symbol": "btcusdt", "update_speed": "100ms"}),
        ("book_ticker", {"symbol": "btcusdt"}),
    ):
        handle = await getattr(streams, kind)(**arguments)
        handle.on("message", keep(kind))
    subscribed = await streams.list_subscribe()
    await asyncio.wait_for(begun.wait(), 20)

    rest = client.rest_api
    loop = asyncio.get_running_loop()

    async def ask(call: Any, **arguments: Any) -> Any:
        answer = await loop.run_in_executor(None, lambda: call(**arguments))
        data = answer.data()
        if isinstance(data, list):
            return [row.to_dict() if hasattr(row, "to_dict") else row for row in data]
        return data.to_dict()

    read_rest = {
        "depth": await ask(rest.depth, symbol="BTCUSDT", limit=1000),
        "klines": await ask(rest.klines, symbol="BTCUSDT", interval="1m", limit=50),
        "trades": await ask(rest.get_trades, symbol="BTCUSDT", limit=100),
        "agg_trades": await ask(rest.agg_trades, symbol="BTCUSDT", from_id=1000, limit=100),
        "exchange_info": await ask(rest.exchange_info),
    }
    try:
        rest.klines(symbol="NOPE", interval="1m")
    except Exception as error:  # What the SDK makes of a refusal is what is looked at.
        refusal = f"{type(error).__name__}: {error}"
    await asyncio.wait_for(enough.wait(), 40)
    await streams.close_connection()
    return {"streams": read, "rest": read_rest, "refusal": refusal, "subscribed": subscribed}


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1]))), default=str))
