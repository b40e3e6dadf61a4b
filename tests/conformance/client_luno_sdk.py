"""Reads two pairs with Luno's own SDK, by REST and by its order book stream, and prints what it read as JSON.

Runs in the environment of requirements-conformance.lock: `python client_luno_sdk.py ENDPOINTS TLS_ENDPOINTS`. Both
halves of the SDK are told by `base_url` where to go.
"""

import asyncio
import json
import sys
from collections import defaultdict
from decimal import Decimal
from typing import Any

from luno_python.api_types import MarketState, Pair
from luno_python.client import Client
from luno_python.error import APIError
from luno_python.stream_client import stream_market

PAIRS = ("XBTUSDT", "XBTZAR")
SECONDS = 40
"""For how many seconds of the market its book is followed."""


class Ear:
    """Follows the book that the SDK keeps, and the trades that go by."""

    def __init__(self) -> None:
        self.books: dict[int, dict[str, Any]] = {}
        self.trades: list[dict[str, Any]] = []
        self.started = False
        self.enough = asyncio.Event()

    def update(self, _pair: Pair, state: MarketState, update: dict[str, Any] | None) -> None:
        if update is None:
            assert not self.started, "the SDK takes one snapshot a connection"
            self.started = True
            return
        time_ms = update["timestamp"]
        self.trades += [trade | {"timestamp": time_ms} for trade in update["trade_updates"]]
        if time_ms % 1000 == 0 and (time_ms in self.books or len(self.books) <= SECONDS):
            # The last of a full second's updates makes that second's book.
            self.books[time_ms] = {"bids": by_price(state.bids), "asks": by_price(state.asks), "status": state.status}
        if len(self.books) > SECONDS and len(self.trades) >= 20:
            self.enough.set()


def by_price(orders: Any) -> list[tuple[str, str]]:
    volumes: dict[Decimal, Decimal] = defaultdict(Decimal)
    for order in orders:
        volumes[order.price] += order.volume
    return [(str(price), str(volume)) for price, volume in volumes.items()]


async def follow(pair: str, url: str) -> dict[str, Any]:
    ear = Ear()
    streaming = asyncio.create_task(stream_market(pair, "key", "secret", ear.update, base_url=url))
    waiting = asyncio.create_task(ear.enough.wait())
    await asyncio.wait({streaming, waiting}, timeout=75, return_when=asyncio.FIRST_COMPLETED)
    if streaming.done():
        streaming.result()
    assert ear.enough.is_set(), (len(ear.books), len(ear.trades))
    streaming.cancel()
    await asyncio.gather(streaming, return_exceptions=True)
    # The second that was still being told has no book of its own yet.
    whole = sorted(ear.books)[:-1]
    return {"books": {time_ms: ear.books[time_ms] for time_ms in whole}, "trades": ear.trades}


def ask(client: Client, pair: str) -> dict[str, Any]:
    trades = client.list_trades(pair)["trades"]
    since_ms = trades[0]["timestamp"] // 60_000 * 60_000 - 50 * 60_000
    return {
        "candles": client.get_candles(60, pair, since_ms)["candles"],
        "trades": trades,
        "later_trades": client.list_trades(pair, since=trades[-1]["timestamp"])["trades"],
        "top": client.get_order_book(pair),
        "book": client.get_order_book_full(pair),
        "ticker": client.get_ticker(pair),
    }


async def main(endpoints: dict[str, dict[str, str]]) -> dict[str, Any]:
    urls = endpoints["spot"]
    client, stranger = Client(urls["rest_url"], 0, "key", "secret"), Client(urls["rest_url"])
    streamed = asyncio.gather(*(follow(pair, urls["socket_url"]) for pair in PAIRS))
    rest = {pair: await asyncio.to_thread(ask, client, pair) for pair in PAIRS}
    markets = await asyncio.to_thread(client.markets)
    tickers = await asyncio.to_thread(client.get_tickers)
    refusals = []
    for call in (lambda: client.get_ticker("NOPE"), lambda: stranger.get_candles(60, "XBTZAR", 0)):
        try:
            await asyncio.to_thread(call)
        except APIError as error:
            refusals.append(error.code)
    heard = dict(zip(PAIRS, await streamed, strict=True))
    return {"heard": heard, "rest": rest, "markets": markets, "tickers": tickers, "refusals": refusals}


print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
