"""Reads one exchange with ccxt, by REST and by socket, and prints what it read as one JSON object.

Runs in the environment of requirements-conformance.lock: `python client_ccxt.py ENDPOINTS TLS_ENDPOINTS`, with the
exchange in EXCHANGE. ccxt is pointed at other addresses by its `urls` table alone, and told by its `options` to ask
for no market that is not played.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import Any, NamedTuple

import aiohttp
import ccxt.pro
from turns import awaited_turn

Urls = dict[str, str]


class Plan(NamedTuple):
    """What is read of an exchange."""

    point: Callable[[Any, Urls, Urls], None]
    """Points ccxt at the markets' REST and sockets."""
    symbols: tuple[str, ...]
    fetched: tuple[str, ...] = ("ohlcv", "trades", "book")
    watched: tuple[str, ...] = ("candles", "trades", "books")
    settings: Mapping[str, Any] = MappingProxyType({})
    refused: tuple[str, dict[str, Any]] | None = None
    """A request for what does not exist."""


def point_binance(exchange: Any, rest: Urls, sockets: Urls) -> None:
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


def point_okx(exchange: Any, rest: Urls, sockets: Urls) -> None:
    exchange.urls["api"] |= {"rest": rest["spot"], "ws": sockets["spot"] + "/ws/v5"}


def point_bybit(exchange: Any, rest: Urls, sockets: Urls) -> None:
    exchange.urls["api"]["public"] = rest["spot"]
    exchange.urls["api"]["ws"]["public"] = {
        category: f"{url}/v5/public/{category}" for category, url in sockets.items()
    }


def point_gate(exchange: Any, rest: Urls, sockets: Urls) -> None:
    exchange.urls["api"]["public"] = dict.fromkeys(exchange.urls["api"]["public"], rest["spot"] + "/api/v4")
    exchange.urls["api"]["spot"] = sockets["spot"] + "/ws/v4/"
    exchange.urls["api"]["swap"] = {"usdt": sockets["usdm"] + "/v4/ws/usdt", "btc": sockets["coinm"] + "/v4/ws/btc"}


def point_hyperliquid(exchange: Any, rest: Urls, sockets: Urls) -> None:
    exchange.urls["api"]["public"] = rest["usdm"]
    exchange.urls["api"]["ws"]["public"] = sockets["usdm"] + "/ws"


def point_luno(exchange: Any, rest: Urls, sockets: Urls) -> None:
    exchange.urls["api"] |= {
        "public": rest["spot"] + "/api",
        "exchange": rest["spot"] + "/api/exchange",
        "exchangePrivate": rest["spot"] + "/api/exchange",
        "ws": sockets["spot"] + "/api/1",
    }


def point_kraken(exchange: Any, rest: Urls, sockets: Urls) -> None:
    exchange.urls["api"]["public"] = rest["spot"]
    exchange.urls["api"]["ws"]["publicV2"] = sockets["spot"] + "/v2"


def point_coinbase(exchange: Any, rest: Urls, sockets: Urls) -> None:
    exchange.urls["api"] |= {"rest": rest["spot"], "ws": sockets["spot"]}


PERPETUALS = ("BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC")

PLANS = {
    "binance": Plan(point_binance, PERPETUALS, refused=("public_get_klines", {"symbol": "NOPE", "interval": "1m"})),
    "okx": Plan(
        point_okx,
        PERPETUALS,
        settings={"options": {"fetchMarkets": {"types": ["spot", "swap", "future"]}}},
        refused=("public_get_market_candles", {"instId": "NO-PE"}),
    ),
    "bybit": Plan(
        point_bybit,
        PERPETUALS,
        refused=("public_get_v5_market_kline", {"category": "linear", "symbol": "NOPE", "interval": "1"}),
    ),
    "gate": Plan(
        point_gate, PERPETUALS, refused=("public_spot_get_candlesticks", {"currency_pair": "NO_PE", "interval": "1m"})
    ),
    "hyperliquid": Plan(
        point_hyperliquid,
        ("BTC/USDC:USDC", "HYPE/USDC"),
        fetched=("ohlcv", "book"),
        refused=("public_post_info", {"type": "l2Book"}),
    ),
    "luno": Plan(
        point_luno,
        ("BTC/USDT",),
        # ccxt.pro has one parser of trades for REST and sockets, which knows the socket's alone; and its order book
        # leaves standing what trades have taken.
        fetched=("ohlcv", "book"),
        watched=("trades",),
        settings={"apiKey": "key", "secret": "secret", "has": {"fetchCurrencies": False}},
        refused=("public_get_ticker", {"pair": "NOPE"}),
    ),
    "kraken": Plan(
        point_kraken,
        ("BTC/USD", "BTC/EUR"),
        # Of a book of REST, neither number nor time is told, and sizes are rounded.
        fetched=("ohlcv", "trades"),
        # ccxt turns the snapshot's candles around, and takes those that are told anew from the wrong end, so that the
        # live one seems to stand still (mended later: https://github.com/ccxt/ccxt/pull/29976 ). All are right.
        settings={"newUpdates": False},
        refused=("public_get_ohlc", {"pair": "NOPE", "interval": "1"}),
    ),
    "coinbase": Plan(
        point_coinbase,
        # What is in USDC is told under the name of that in dollars.
        ("BTC/USD", "ETH/USDC", "ETH/BTC"),
        watched=("trades", "books"),
        # Currencies are of another interface. Ten requests a second are allowed.
        settings={"has": {"fetchCurrencies": False}, "enableRateLimit": True},
        refused=("v3_public_get_brokerage_market_products_product_id", {"product_id": "NO-PE"}),
    ),
}


async def candles(exchange: Any, symbol: str) -> list[list[float]]:
    """Watch until three candles have been followed by another; those are the closed ones."""
    seen: dict[int, list[float]] = {}
    while len(seen) < 4:
        for row in await exchange.watch_ohlcv(symbol, "1m"):
            seen[row[0]] = list(row)
    return [seen[opened] for opened in sorted(seen)][:3]


async def trades(exchange: Any, symbol: str) -> list[dict[str, Any]]:
    """Watch until there are thirty trades, ten of them not of the first answer; without ids, each is a new one."""
    seen: dict[object, dict[str, Any]] = {}
    begun: int | None = None
    while begun is None or len(seen) < max(30, begun + 10):
        for trade in await exchange.watch_trades(symbol):
            seen[len(seen) if trade["id"] is None else trade["id"]] = plain(trade)
        begun = len(seen) if begun is None else begun
    return list(seen.values())


def plain(trade: dict[str, Any]) -> dict[str, Any]:
    return {name: trade[name] for name in ("id", "timestamp", "price", "amount", "cost", "side")}


def levels(book: Any) -> dict[str, Any]:
    # ccxt goes on writing into the levels that it gave out.
    sides = {side: [list(level[:2]) for level in book[side][:10]] for side in ("bids", "asks")}
    return {"nonce": book["nonce"], "timestamp": book["timestamp"], **sides}


async def books(exchange: Any, symbol: str) -> list[dict[str, Any]]:
    return [levels(await exchange.watch_order_book(symbol)) for _ in range(15)]


async def fetch(exchange: Any, kind: str, symbol: str) -> Any:
    if kind == "ohlcv":
        return await exchange.fetch_ohlcv(symbol, "1m", limit=50)
    if kind == "trades":
        return [plain(trade) for trade in await exchange.fetch_trades(symbol, limit=20)]
    return levels(await exchange.fetch_order_book(symbol, 100))


def in_turn() -> aiohttp.TraceConfig:
    """Let every socket that an HTTP session opens wait for its turn; ccxt takes such a session from its user."""
    tracing = aiohttp.TraceConfig()

    async def started(_session: Any, context: Any, asked: aiohttp.TraceRequestStartParams) -> None:
        context.turn = AsyncExitStack()
        if asked.headers.get("Upgrade") == "websocket":
            await context.turn.enter_async_context(awaited_turn())

    async def ended(_session: Any, context: Any, _answered: Any) -> None:
        await context.turn.aclose()

    tracing.on_request_start.append(started)
    tracing.on_request_end.append(ended)
    tracing.on_request_exception.append(ended)
    return tracing


async def main(name: str, endpoints: dict[str, Urls]) -> dict[str, Any]:
    async with aiohttp.ClientSession(trace_configs=[in_turn()]) as session:
        exchange = getattr(ccxt.pro, name)({"enableRateLimit": False, "session": session, **PLANS[name].settings})
        try:
            return await read_from(exchange, PLANS[name], endpoints)
        finally:
            await exchange.close()


async def read_from(exchange: Any, plan: Plan, endpoints: dict[str, Urls]) -> dict[str, Any]:
    rest, sockets = ({market: urls[kind] for market, urls in endpoints.items()} for kind in ("rest_url", "socket_url"))
    plan.point(exchange, rest, sockets)
    watching = {"candles": candles, "trades": trades, "books": books}
    read: dict[str, Any] = {symbol: {"watched": {}} for symbol in plan.symbols}

    async def watch(symbol: str, kind: str) -> None:
        read[symbol]["watched"][kind] = await watching[kind](exchange, symbol)

    markets = await exchange.load_markets()
    read["markets"] = {
        name: {key: market[key] for key in ("id", "type", "contractSize", "precision", "inverse")}
        for name, market in markets.items()
    }
    for symbol in plan.symbols:
        read[symbol] |= {kind: await fetch(exchange, kind, symbol) for kind in plan.fetched}
    waiting = (watch(symbol, kind) for symbol in plan.symbols for kind in plan.watched)
    await asyncio.wait_for(asyncio.gather(*waiting), 75)
    if plan.refused is not None:
        call, arguments = plan.refused
        try:
            await getattr(exchange, call)(arguments)
        except ccxt.BaseError as error:
            read["refusal"] = type(error).__name__
    return read


print(json.dumps(asyncio.run(main(os.environ["EXCHANGE"], json.loads(sys.argv[1]))), default=str))
