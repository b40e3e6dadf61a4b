"""Bybit's protocol as clients that nobody here wrote understand it, held against what happened in the world."""

from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from heliograph.clock import NS_PER_MS
from heliograph.sim import SimulatedVenue
from heliograph.sim.world import MarketWorld
from heliograph.venues.scene import Bar
from tests.conformance.conftest import Launch, Reading
from tests.conformance.truth import (
    ccxt_told,
    check_ccxt_book,
    check_ccxt_rows,
    check_minutes,
    check_run,
    scene_of,
    true_bar,
)
from tests.conformance.tunnel import open_tunnel

pytestmark = [pytest.mark.conformance, pytest.mark.asyncio(loop_scope="module")]

VENUE = "bybit"
SOCKET_HOST = "stream.bybit.com"
HOSTS = (SOCKET_HOST,)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def readings(sim: SimulatedVenue, launch: Launch, certificate: str) -> AsyncIterator[dict[str, Reading]]:
    """What clients read; Bybit's own goes to Bybit's own host, to which a proxy knows the way."""
    async with open_tunnel({SOCKET_HOST: sim.listeners["spot"].doors.tls_port}) as proxy:
        yield {
            "ccxt": launch("client_ccxt.py", EXCHANGE="bybit"),
            "pybit": launch("client_pybit.py", https_proxy=proxy, WEBSOCKET_CLIENT_CA_BUNDLE=certificate),
        }


def amounts(bar: Bar) -> list[Decimal]:
    """Volume and turnover are quantity and counter: of inverse contracts, dollars and coins."""
    return [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.counter]


def check_klines(scene: MarketWorld, symbol: str, messages: list[dict[str, Any]]) -> None:
    closed = [row for message in messages for row in message["data"] if row["confirm"]]
    check_minutes((row["start"] for row in closed), 3)
    for row in closed:
        told = [Decimal(row[name]) for name in ("open", "high", "low", "close", "volume", "turnover")]
        assert told == amounts(true_bar(scene, symbol, row["start"]))


def check_rows(scene: MarketWorld, symbol: str, rows: list[list[str]]) -> None:
    """REST rows go back minute by minute from the live one, which comes first."""
    assert len(rows) == 50
    assert all(int(before[0]) - int(after[0]) == 60_000 for before, after in pairwise(rows))
    for row in rows[1:]:
        assert [Decimal(cell) for cell in row[1:]] == amounts(true_bar(scene, symbol, int(row[0])))


def check_book(scene: MarketWorld, symbol: str, book: dict[str, Any], at_ms: int) -> None:
    true = scene.book(symbol, 50, at_ms * NS_PER_MS)
    for side, levels in (("b", true.bids), ("a", true.asks)):
        held = [(Decimal(price), Decimal(size)) for price, size in book[side]]
        assert sorted(held, reverse=side == "b") == list(levels)


def check_recent_book(scene: MarketWorld, symbol: str, book: dict[str, Any]) -> None:
    """A book is one of the last second's."""
    answered_ns = book["timestamp"] * NS_PER_MS
    recent = [scene.book(symbol, 10, answered_ns - age_ms * NS_PER_MS) for age_ms in range(0, 1000, 50)]
    told = [[(Decimal(str(price)), Decimal(str(size))) for price, size in book[side][:10]] for side in ("bids", "asks")]
    assert told in [[list(true.bids), list(true.asks)] for true in recent]


async def test_bybits_own_sdk_reads_what_happened_over_tls(sim: SimulatedVenue, readings: dict[str, Reading]) -> None:
    read = await readings["pybit"]
    assert read["refusal"] == 10001
    for category, symbol in (("spot", "BTCUSDT"), ("linear", "BTCUSDT"), ("inverse", "BTCUSD")):
        scene, heard, rest = scene_of(sim, category), read["heard"][category], read["rest"][category]
        assert {row["symbol"] for row in rest["instruments"]} == set(scene.listings)
        check_klines(scene, symbol, heard["kline"])
        check_rows(scene, symbol, rest["kline"])
        streamed = [row for message in heard["trade"] for row in message["data"]]
        check_run(
            scene, symbol, [(row["T"], Decimal(row["p"]), Decimal(row["v"]), row["S"] == "Buy") for row in streamed]
        )
        recent = [(int(r["time"]), Decimal(r["price"]), Decimal(r["size"]), r["side"] == "Buy") for r in rest["trades"]]
        check_run(scene, symbol, recent[::-1])
        for message in heard["book"]:
            check_book(scene, symbol, message["data"], message["cts"])
        check_book(scene, symbol, rest["book"], rest["book"]["cts"])
        for ticker in [rest["ticker"], *(message["data"] for message in heard["ticker"])]:
            # The SDK keeps what a change of a contract's ticker leaves out, so all is there in each.
            assert Decimal(ticker["lastPrice"]) > 0
            if category != "spot":
                assert Decimal(ticker["bid1Price"]) < Decimal(ticker["ask1Price"])


async def test_ccxt_reads_what_happened_in_spot_linear_and_inverse(
    sim: SimulatedVenue, readings: dict[str, Reading]
) -> None:
    read = await readings["ccxt"]
    assert read["refusal"] == "BadRequest"
    for name, category, symbol in (
        ("BTC/USDT", "spot", "BTCUSDT"),
        ("BTC/USDT:USDT", "linear", "BTCUSDT"),
        ("BTC/USD:BTC", "inverse", "BTCUSD"),
    ):
        part, scene, inverse = read[name], scene_of(sim, category), category == "inverse"
        assert len(part["ohlcv"]) == 50
        for rows in (part["ohlcv"][:-1], part["watched"]["candles"]):
            # ccxt gives the volume of an inverse contract in coins.
            check_ccxt_rows(scene, symbol, rows, lambda bar, inverse=inverse: bar.counter if inverse else bar.volume)
        for trades in (part["trades"], part["watched"]["trades"]):
            check_run(scene, symbol, [ccxt_told(trade) for trade in trades], ordered=trades is not part["trades"])
        # An answer's book is that of the last turn of a slow topic, and ccxt tells when it was answered alone.
        check_recent_book(scene, symbol, part["book"])
        for book in part["watched"]["books"]:
            check_ccxt_book(book, scene.book(symbol, 50, book["timestamp"] * NS_PER_MS))
        listed = {market["id"] for market in read["markets"].values()}
        assert set(scene.listings) <= listed
    assert read["markets"]["BTC/USDT"]["precision"]["price"] == 0.01
