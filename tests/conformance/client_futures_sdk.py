"""Reads futures with Binance's own SDK of their market and prints what it read as one JSON object.

Runs in the environment of requirements-conformance.lock: `python client_futures_sdk.py ENDPOINTS`, with the market,
`usdm` or `coinm`, in MARKET.
"""

import asyncio
import json
import os
import sys
from typing import Any

from binance_common.configuration import ConfigurationRestAPI, ConfigurationWebSocketStreams
from binance_sdk_derivatives_trading_coin_futures.derivatives_trading_coin_futures import (
    DerivativesTradingCoinFutures,
)
from binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures import (
    DerivativesTradingUsdsFutures,
)

SDKS = {
    "usdm": (DerivativesTradingUsdsFutures, "BTCUSDT"),
    "coinm": (DerivativesTradingCoinFutures, "BTCUSD_PERP"),
}


async def main(market: str, endpoints: dict[str, dict[str, str]]) -> dict[str, Any]:
    urls = endpoints[market]
    sdk, symbol = SDKS[market]
    client = sdk(
        config_rest_api=ConfigurationRestAPI(base_path=urls["rest_url"], timeout=10_000, retries=0),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=urls["socket_url"]),
    )
    names = {
        "kline": "kline_candlestick_streams",
        "agg_trade": "aggregate_trade_streams",
        "diff_book_depth": "diff_book_depth_streams",
        "book_ticker": "individual_symbol_book_ticker_streams",
    }
    arguments: dict[str, dict[str, str]] = {"kline": {"interval": "1m"}, "diff_book_depth": {"update_speed": "100ms"}}
    read: dict[str, Any] = {kind: [] for kind in names}
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
    for kind, name in names.items():
        handle = await getattr(streams, name)(symbol=symbol.lower(), **arguments.get(kind, {}))
        handle.on("message", keep(kind))
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
        "depth": await ask(rest.order_book, symbol=symbol, limit=1000),
        "klines": await ask(rest.kline_candlestick_data, symbol=symbol, interval="1m", limit=50),
        "trades": await ask(rest.recent_trades_list, symbol=symbol, limit=100),
        "agg_trades": await ask(rest.compressed_aggregate_trades_list, symbol=symbol, from_id=1000, limit=100),
        "exchange_info": await ask(rest.exchange_information),
    }
    try:
        rest.kline_candlestick_data(symbol="NOPE", interval="1m")
    except Exception as error:  # What the SDK makes of a refusal is what is looked at.
        refusal = f"{type(error).__name__}: {error}"
    await asyncio.wait_for(enough.wait(), 40)
    await streams.close_connection()
    return {"streams": read, "rest": read_rest, "refusal": refusal}


print(json.dumps(asyncio.run(main(os.environ["MARKET"], json.loads(sys.argv[1]))), default=str))
