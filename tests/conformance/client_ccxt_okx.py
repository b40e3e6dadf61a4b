"""Reads OKX's spot, linear and inverse instruments with ccxt, by REST and by socket, and prints what it read as JSON.

Runs in the environment of requirements-conformance.lock: `python client_ccxt_okx.py ENDPOINTS`. ccxt is pointed at
other addresses by its `urls` table alone.
"""

import asyncio
import json
import sys
from typing import Any

import ccxt.pro

SYMBOLS = ("BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC")


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
            seen[trade["id"]] = {name: trade[name] for name in ("id", "timestamp", "price", "amount", "side")}
    return [seen[ident] for ident in sorted(seen, key=int)]


async def books(exchange: Any, symbol: str) -> list[dict[str, Any]]:
    kept = []
    while len(kept) < 15:
        book = await exchange.watch_order_book(symbol)
        # ccxt goes on writing into the levels that it gave out.
        sides = {side: [list(level[:2]) for level in book[side][:10]] for side in ("bids", "asks")}
        kept.append({"nonce": book["nonce"], **sides})
    return kept


async def main(endpoints: dict[str, dict[str, str]]) -> dict[str, Any]:
    exchange = ccxt.pro.okx({"enableRateLimit": False})
    exchange.urls["api"]["rest"] = endpoints["spot"]["rest_url"]
    exchange.urls["api"]["ws"] = endpoints["spot"]["socket_url"] + "/ws/v5"
    exchange.options["fetchMarkets"] = {"types": ["spot", "swap", "future"]}
    read: dict[str, Any] = {}
    try:
        markets = await exchange.load_markets()
        read["markets"] = {
            name: {key: market[key] for key in ("id", "type", "contractSize", "precision", "inverse")}
            for name, market in markets.items()
        }
        for symbol in SYMBOLS:
            read[symbol] = {
                "ohlcv": await exchange.fetch_ohlcv(symbol, "1m", limit=50),
                "trades": await exchange.fetch_trades(symbol, limit=20),
            }
        watched = await asyncio.wait_for(
            asyncio.gather(*(watch(exchange, symbol) for symbol in SYMBOLS for watch in (candles, trades, books))), 60
        )
        for number, symbol in enumerate(SYMBOLS):
            kinds = zip(("candles", "trades", "books"), watched[3 * number :], strict=False)
            read[symbol]["watched"] = dict(kinds)
        try:
            await exchange.public_get_market_candles({"instId": "NO-PE"})
        except ccxt.BaseError as error:
            read["refusal"] = type(error).__name__
    finally:
        await exchange.close()
    return read


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1]))), default=str))
