"""Bybit's protocol as clients that nobody here wrote understand it, held against what happened in the world."""

from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim import SimulatedVenue
from heliograph.sim.authority import Authority
from heliograph.sim.world import MarketWorld
from heliograph.venues.scene import Bar
from tests.conformance.tunnel import open_tunnel

pytestmark = pytest.mark.conformance

Run = Callable[..., Awaitable[dict[str, Any]]]

MINUTE_NS = 60 * NS_PER_S
SOCKET_HOST = "stream.bybit.com"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whom Bybit's own SDK trusts, and who vouches for Bybit's own host."""
    made = Authority(SOCKET_HOST)
    made.write(tmp_path / "ca.pem")
    return made


@pytest.fixture
async def sim(authority: Authority) -> AsyncIterator[SimulatedVenue]:
    """A simulated Bybit in which a minute takes two seconds."""
    async with SimulatedVenue("bybit", seed=11, speed=30, symbols=3, history_minutes=120, authority=authority) as venue:
        yield venue


def true_bar(scene: MarketWorld, symbol: str, open_ms: int) -> Bar:
    open_ns = open_ms * NS_PER_MS
    return scene.bar(symbol, open_ns, open_ns + MINUTE_NS, open_ns + MINUTE_NS)


def amounts(bar: Bar) -> list[Decimal]:
    """Volume and turnover are quantity and counter: of inverse contracts, dollars and coins."""
    return [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.counter]


def check_klines(scene: MarketWorld, symbol: str, messages: list[dict[str, Any]]) -> None:
    closed = [row for message in messages for row in message["data"] if row["confirm"]]
    assert len(closed) >= 3
    assert all(after["start"] - before["start"] == 60_000 for before, after in pairwise(closed))
    for row in closed:
        told = [Decimal(row[name]) for name in ("open", "high", "low", "close", "volume", "turnover")]
        assert told == amounts(true_bar(scene, symbol, row["start"]))


def check_rows(scene: MarketWorld, symbol: str, rows: list[list[str]]) -> None:
    """REST rows go back minute by minute from the live one, which comes first."""
    assert len(rows) == 50
    assert all(int(before[0]) - int(after[0]) == 60_000 for before, after in pairwise(rows))
    for row in rows[1:]:
        assert [Decimal(cell) for cell in row[1:]] == amounts(true_bar(scene, symbol, int(row[0])))


def check_trades(scene: MarketWorld, symbol: str, told: list[tuple[int, Decimal, Decimal, str]]) -> None:
    """Trades as (ms, price, size, side) are all that happened from the first one's millisecond on."""
    assert len(told) >= 20
    true = [
        (fill.time_ns // NS_PER_MS, fill.price, fill.quantity, "Buy" if fill.taker_buys else "Sell")
        for fill in scene.fills(symbol, told[0][0] * NS_PER_MS - 1, (told[-1][0] + 1) * NS_PER_MS - 1)
    ]
    begun = true.index(told[0])
    assert true[begun : begun + len(told)] == told


def check_book(scene: MarketWorld, symbol: str, book: dict[str, Any], at_ms: int) -> None:
    true = scene.book(symbol, 50, at_ms * NS_PER_MS)
    for side, levels in (("b", true.bids), ("a", true.asks)):
        held = [(Decimal(price), Decimal(size)) for price, size in book[side]]
        assert sorted(held, reverse=side == "b") == list(levels)


async def test_bybits_own_sdk_reads_what_happened_over_tls(sim: SimulatedVenue, run: Run, tmp_path: Path) -> None:
    port = sim.listeners["spot"].doors.tls_port
    async with open_tunnel({SOCKET_HOST: port}) as proxy:
        read = await run("client_pybit.py", https_proxy=proxy, WEBSOCKET_CLIENT_CA_BUNDLE=str(tmp_path / "ca.pem"))
    assert read["refusal"] == 10001
    for category, symbol in (("spot", "BTCUSDT"), ("linear", "BTCUSDT"), ("inverse", "BTCUSD")):
        scene, heard, rest = sim.world.markets[MarketId(category)], read["heard"][category], read["rest"][category]
        assert {row["symbol"] for row in rest["instruments"]} == set(scene.listings)
        check_klines(scene, symbol, heard["kline"])
        check_rows(scene, symbol, rest["kline"])
        streamed = [row for message in heard["trade"] for row in message["data"]]
        check_trades(scene, symbol, [(row["T"], Decimal(row["p"]), Decimal(row["v"]), row["S"]) for row in streamed])
        recent = [(int(r["time"]), Decimal(r["price"]), Decimal(r["size"]), r["side"]) for r in rest["trades"]]
        check_trades(scene, symbol, recent[::-1])
        for message in heard["book"]:
            check_book(scene, symbol, message["data"], message["cts"])
        check_book(scene, symbol, rest["book"], rest["book"]["cts"])
        for ticker in [rest["ticker"], *(message["data"] for message in heard["ticker"])]:
            # The SDK keeps what a change of a contract's ticker leaves out, so all is there in each.
            assert Decimal(ticker["lastPrice"]) > 0
            if category != "spot":
                assert Decimal(ticker["bid1Price"]) < Decimal(ticker["ask1Price"])
