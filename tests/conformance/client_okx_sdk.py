"""Reads a spot pair, a linear swap and an inverse future with OKX's own SDK, and prints what it read as JSON.

Runs in the environment of requirements-conformance.lock: `python client_okx_sdk.py ENDPOINTS TLS_ENDPOINTS`, with the
authority's certificate in SSL_CERT_FILE: the SDK's socket speaks TLS to any address, and nothing else.
"""

import asyncio
import json
import logging
import sys
from typing import Any

from okx.MarketData import MarketAPI
from okx.PublicData import PublicAPI
from okx.websocket.WsPublicAsync import WsPublicAsync
from turns import awaited_turn

logging.disable()


async def listen(url: str, channels: tuple[str, ...], symbols: list[str], enough: Any) -> list[dict[str, Any]]:
    """Hear channels of symbols until there is enough, in the order in which it came."""
    heard: list[dict[str, Any]] = []
    done = asyncio.Event()

    def keep(message: str) -> None:
        heard.append(json.loads(message))
        if enough(heard):
            done.set()

    client = WsPublicAsync(url)
    async with awaited_turn():
        await client.start()
    await client.subscribe([{"channel": c, "instId": s} for s in symbols for c in channels], keep, "7")
    await asyncio.wait_for(done.wait(), 60)
    await client.stop()
    return heard


def counted(heard: list[dict[str, Any]], channel: str, symbol: str) -> int:
    return sum(message.get("arg") == {"channel": channel, "instId": symbol} for message in heard if "data" in message)


async def main(endpoints: dict[str, dict[str, str]], tls: dict[str, dict[str, str]]) -> dict[str, Any]:
    domain, socket_url = endpoints["spot"]["rest_url"], tls["spot"]["socket_url"] + "/ws/v5"
    market, public = MarketAPI(flag="0", domain=domain), PublicAPI(flag="0", domain=domain)
    listed = {sort: public.get_instruments(sort)["data"] for sort in ("SPOT", "SWAP", "FUTURES")}
    future = next(row["instId"] for row in listed["FUTURES"] if row["ctType"] == "inverse")
    symbols = ["BTC-USDT", "BTC-USDT-SWAP", future]

    def candles(heard: list[dict[str, Any]]) -> bool:
        rows = [(m["arg"]["instId"], row[0]) for m in heard if "data" in m for row in m["data"] if row[8] == "1"]
        return all(len({opened for name, opened in rows if name == symbol}) >= 3 for symbol in symbols)

    def streams(heard: list[dict[str, Any]]) -> bool:
        return all(counted(heard, c, s) >= 15 for s in symbols for c in ("books", "trades", "tickers", "bbo-tbt"))

    business, open_to_all = await asyncio.gather(
        listen(socket_url + "/business", ("candle1m",), symbols, candles),
        listen(socket_url + "/public", ("books", "trades", "tickers", "bbo-tbt"), symbols, streams),
    )
    rest = {
        symbol: {
            "candles": market.get_candlesticks(symbol, bar="1m", limit="50")["data"],
            "history": market.get_history_candlesticks(symbol, bar="1m", limit="50")["data"],
            "trades": market.get_trades(symbol, limit="100")["data"],
            "book": market.get_orderbook(symbol, sz="50")["data"][0],
            "ticker": market.get_ticker(symbol)["data"][0],
        }
        for symbol in symbols
    }
    refusal = market.get_candlesticks("NO-PE")
    return {"listed": listed, "rest": rest, "business": business, "public": open_to_all, "refusal": refusal}


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1]), json.loads(sys.argv[2])))))
