"""Luno's protocol as clients that nobody here wrote understand it, held against what happened in the world."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from heliograph.clock import NS_PER_MS
from heliograph.sim import SimulatedVenue
from heliograph.sim.world import MarketWorld
from heliograph.venues.luno.dialect import LEVELS
from heliograph.venues.scene import Book, Level
from tests.conformance.conftest import Launch, Reading
from tests.conformance.truth import (
    Told,
    check_ccxt_book,
    check_ccxt_rows,
    check_minutes,
    check_numbered,
    scene_of,
    true_bar,
)

pytestmark = [pytest.mark.conformance, pytest.mark.asyncio(loop_scope="module")]

VENUE = "luno"
SPEED = 20
"""A pair has more than eighty updates a second of the market."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def readings(launch: Launch) -> dict[str, Reading]:
    return {"ccxt": launch("client_ccxt.py", EXCHANGE="luno"), "sdk": launch("client_luno_sdk.py")}


def check_rows(scene: MarketWorld, pair: str, rows: list[dict[str, Any]]) -> None:
    check_minutes((row["timestamp"] for row in rows), 50)
    for row in rows[:-1]:
        true = true_bar(scene, pair, row["timestamp"])
        told = [Decimal(row[name]) for name in ("open", "high", "low", "close", "volume")]
        assert told == [true.open, true.high, true.low, true.close, true.volume]


def numbered(row: dict[str, Any]) -> tuple[int, Told]:
    return row["sequence"], (row["timestamp"], Decimal(row["price"]), Decimal(row["volume"]), row["is_buy"])


def check_streamed_trades(scene: MarketWorld, pair: str, rows: list[dict[str, Any]], now_ns: int) -> None:
    assert len(rows) >= 20
    told = [(row["sequence"], row["timestamp"], Decimal(row["base"]), Decimal(row["counter"])) for row in rows]
    true = scene.fills_from(pair, told[0][0], len(told), now_ns)
    assert told == [(fill.id, fill.time_ns // NS_PER_MS, fill.quantity, fill.counter) for fill in true]


def by_price(orders: Iterable[tuple[str, str]]) -> list[Level]:
    """Put orders of the same price together."""
    held: dict[Decimal, Decimal] = defaultdict(Decimal)
    for price, volume in orders:
        held[Decimal(price)] += Decimal(volume)
    return list(held.items())


def check_levels(bids: list[Level], asks: list[Level], true: Book) -> None:
    assert (bids, asks) == (list(true.bids), list(true.asks))
    assert len(bids) == len(asks) == LEVELS


def check_answers(scene: MarketWorld, pair: str, rest: dict[str, Any], now_ns: int) -> None:
    check_rows(scene, pair, rest["candles"])
    for name in ("trades", "later_trades"):
        check_numbered(scene, pair, [numbered(row) for row in rest[name]][::-1], now_ns)
    for name in ("top", "book"):
        told = {side: by_price((row["price"], row["volume"]) for row in rest[name][side]) for side in ("bids", "asks")}
        check_levels(told["bids"], told["asks"], scene.book(pair, LEVELS, rest[name]["timestamp"] * NS_PER_MS))
    # Two orders may stand at one price, which one of the two answers shows.
    assert len(rest["book"]["bids"]) > len(rest["top"]["bids"])
    ticker, at_ns = rest["ticker"], rest["ticker"]["timestamp"] * NS_PER_MS
    true = scene.book(pair, 1, at_ns)
    assert (Decimal(ticker["bid"]), Decimal(ticker["ask"])) == (true.bids[0][0], true.asks[0][0])
    assert Decimal(ticker["last_trade"]) == scene.fills_from(pair, scene.last_ids(pair, at_ns)[1], 1, at_ns)[0].price


async def test_lunos_own_sdk_reads_what_happened(sim: SimulatedVenue, readings: dict[str, Reading]) -> None:
    read, now_ns, scene = await readings["sdk"], sim.clock.now_ns(), scene_of(sim, "spot")
    assert read["refusals"] == ["ErrMarketUnavailable", "ErrUnauthorised"]
    for pair, heard in read["heard"].items():
        assert len(heard["books"]) >= 40
        for time_ms, book in heard["books"].items():
            assert book["status"] == "ACTIVE"
            true = scene.book(pair, LEVELS, int(time_ms) * NS_PER_MS)
            check_levels(by_price(book["bids"]), by_price(book["asks"]), true)
        check_streamed_trades(scene, pair, heard["trades"], now_ns)
        check_answers(scene, pair, read["rest"][pair], now_ns)
    assert {market["market_id"] for market in read["markets"]["markets"]} == set(scene.listings)
    assert {ticker["pair"] for ticker in read["tickers"]["tickers"]} == set(scene.listings)


async def test_ccxt_reads_what_happened(sim: SimulatedVenue, readings: dict[str, Reading]) -> None:
    read, now_ns, scene = await readings["ccxt"], sim.clock.now_ns(), scene_of(sim, "spot")
    assert read["refusal"] == "ExchangeError"
    part, pair = read["BTC/USDT"], "XBTUSDT"
    check_ccxt_rows(scene, pair, part["ohlcv"][:-1])
    check_ccxt_book(part["book"], scene.book(pair, LEVELS, part["book"]["timestamp"] * NS_PER_MS))
    # ccxt tells amount and cost of a trade, and nothing else.
    told = [(trade["amount"], trade["cost"]) for trade in part["watched"]["trades"]]
    assert len(told) >= 30
    # Both began at once: the first trade may have come before the book.
    since_ns = (part["book"]["timestamp"] - 60_000) * NS_PER_MS
    true = [(float(fill.quantity), float(fill.counter)) for fill in scene.fills(pair, since_ns, now_ns)]
    begun = [index for index, trade in enumerate(true) if trade == told[0]]
    assert told in [true[index : index + len(told)] for index in begun]
    assert {market["id"] for market in read["markets"].values()} == set(scene.listings)
    assert read["markets"]["BTC/ZAR"]["precision"]["price"] == 1
