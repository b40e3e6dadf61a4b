"""Reads all three markets with ccxt, by REST and by socket, and prints what it read as one JSON object.

Runs in the environment of requirements-conformance.lock: `python client_ccxt.py ENDPOINTS`. ccxt is pointed at other
addresses by its `urls` table alone.
"""

import asyncio
import json
import sys
from typing import Any

import ccxt.pro

SYMBOLS = {"spot": "BTC/USDT", "usdm": "BTC/USDT:USDT", "coinm": "BTC/USD:BTC"}


async def candles(exchange: Any, symbol: str) -> list[list[float]]:
    """Watch until three candles have been followed by another; those are the closed ones."""
    seen: dict[int, list[float]] = {}
    while len(seen) < 4:
        for row in await exchange.watch_ohlcv(symbol, "1m"):
            seen[row[0]] = list(row)
    return [seen[opened] for opened in sorted(seen)][:3]


async def trades(exchange: Any, symbol: str) -> list[dict[str, Any]]:
    seen: dict[str, dict[str, Any]] = {}
    while len(seen) < 30:
        for trade in await exchange.watch_trades(symbol):
            fields = ("id", "timestamp", "price", "amount", "side")
            seen[trade["id"]] = {field: trade[field] for field in fields}
    return [seen[ident] for ident in sorted(seen, key=int)]


async def books(exchange: Any, symbol: str) -> list[dict[str, Any]]:
    kept = []
    while len(kept) < 15:
        book = await exchange.watch_order_book(symbol)
        # ccxt goes on writing into the levels that it gave out.
        sides = {side: [list(level) for level in book[side][:10]] for side in ("bids", "asks")}
        kept.append({"nonce": book["nonce"], **sides})
    return kept


async def main(endpoints: dict[str, dict[str, str]]) -> dict[str, Any]:
    exchange = ccxt.pro.binance({"enableRateLimit": False})
    rest = {market: urls["rest_url"] for market, urls in endpoints.items()}
    sockets = {market: urls["socket_url"] for market, urls in endpoints.items()}
    exchange.urls["api"] |= {
        "public": rest["spot"] + "/api/v3",
        "fapiPublic": rest["usdm"] + "/fapi/v1",
        "dapiPublic": rest["coinm"] + "/dapi/v1",
    }
    exchange.urls["api"]["ws"] |= {
        # ccxt tells spot from the rest by `/stream` in the URL, which Binance's host name has.
        "spot": sockets["spot"] + "/ws/stream",
        "future": sockets["usdm"] + "/ws",
        "delivery": sockets["coinm"] + "/ws",
    }
    read: dict[str, Any] = {}
    try:
        markets = await exchange.load_markets()
        read["markets"] = {
            name: {key: market[key] for key in ("id", "type", "contractSize", "precision", "inverse")}
            for name, market in markets.items()
        }
        for market, symbol in SYMBOLS.items():
            read[market] = {
                "ohlcv": await exchange.fetch_ohlcv(symbol, "1m", limit=50),
                "trades": await exchange.fetch_trades(symbol, limit=20),
                "book": await exchange.fetch_order_book(symbol, 100),
                "ticker": await exchange.fetch_ticker(symbol),
            }
        watched = await asyncio.wait_for(
            asyncio.gather(
                *(watch(exchange, symbol) for symbol in SYMBOLS.values() for watch in (candles, trades, books))
            ),
            60,
        )
        for number, market in enumerate(SYMBOLS):
            kinds = zip(("candles", "trades", "books"), watched[3 * number :], strict=False)
            read[market]["watched"] = dict(kinds)
        try:
            await exchange.public_get_klines({"symbol": "NOPE", "interval": "1m"})
        except ccxt.BaseError as error:
            read["refusal"] = type(error).__name__
    finally:
        await exchange.close()
    return read


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1]))), default=str))
