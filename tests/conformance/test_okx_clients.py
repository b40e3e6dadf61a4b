"""OKX's protocol as clients that nobody here wrote understand it, held against what happened in the world."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim import SimulatedVenue
from heliograph.sim.world import MarketWorld
from heliograph.venues.scene import Book

pytestmark = pytest.mark.conformance

Run = Callable[[str], Awaitable[dict[str, Any]]]

MINUTE_NS = 60 * NS_PER_S


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedVenue]:
    """A simulated OKX in which a minute takes two seconds."""
    async with SimulatedVenue("okx", seed=11, speed=30, symbols=3, history_minutes=120) as running:
        yield running


def book_at(scene: MarketWorld, symbol: str, update_id: int, now_ns: int) -> Book:
    """Find the book that had this update id."""
    low_ns, high_ns = scene.listings[symbol].listed_ns, now_ns
    while high_ns - low_ns > NS_PER_MS:
        middle_ns = (low_ns + high_ns) // 2
        if scene.book(symbol, 1, middle_ns).update_id < update_id:
            low_ns = middle_ns
        else:
            high_ns = middle_ns
    book = scene.book(symbol, 100, high_ns)
    assert book.update_id == update_id, "no such update happened"
    return book


async def test_ccxt_reads_what_happened_in_spot_linear_and_inverse(sim: SimulatedVenue, run: Run) -> None:
    read = await run("client_ccxt_okx.py")
    assert read["refusal"] == "BadSymbol"
    for name, market, symbol in (
        ("BTC/USDT", "spot", "BTC-USDT"),
        ("BTC/USDT:USDT", "swap", "BTC-USDT-SWAP"),
        ("BTC/USD:BTC", "swap", "BTC-USD-SWAP"),
    ):
        part, scene, now_ns = read[name], sim.world.markets[MarketId(market)], sim.clock.now_ns()
        listing = scene.listings[symbol]
        assert len(part["ohlcv"]) == 50
        for row in part["ohlcv"][:-1] + part["watched"]["candles"]:
            open_ns = row[0] * NS_PER_MS
            true = scene.bar(symbol, open_ns, open_ns + MINUTE_NS, open_ns + MINUTE_NS)
            base, _, _ = listing.volumes(true)
            assert row[1:] == [float(value) for value in (true.open, true.high, true.low, true.close, base)]
        first = int(part["trades"][0]["id"])
        assert [(int(t["id"]), t["price"], t["amount"]) for t in part["trades"]] == [
            (fill.id, float(fill.price), float(fill.quantity)) for fill in scene.fills_from(symbol, first, 20, now_ns)
        ]
        told = part["watched"]["trades"]
        after_ns = told[0]["timestamp"] * NS_PER_MS - 1
        whole = {item.last_fill: item for item in scene.aggregates(symbol, after_ns, now_ns)}
        for trade in told:
            item = whole[int(trade["id"])]
            assert (trade["timestamp"], trade["price"]) == (item.time_ns // NS_PER_MS, float(item.price))
            assert (trade["amount"], trade["side"]) == (float(item.quantity), "buy" if item.taker_buys else "sell")
        for book in part["watched"]["books"]:
            held = book_at(scene, symbol, book["nonce"], now_ns)
            assert book["bids"] == [[float(price), float(size)] for price, size in held.bids[:10]]
            assert book["asks"] == [[float(price), float(size)] for price, size in held.asks[:10]]
    sizes = {name: market["contractSize"] for name, market in read["markets"].items()}
    assert (sizes["BTC/USDT:USDT"], sizes["ETH/USDT:USDT"], sizes["BTC/USD:BTC"]) == (0.01, 0.1, 100)
    assert read["markets"]["BTC/USDT"]["precision"]["price"] == 0.1
