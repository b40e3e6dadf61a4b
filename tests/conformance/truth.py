"""What truly happened in a simulated market, as readings of its clients are held against it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim import SimulatedVenue
from heliograph.sim.world import MarketWorld
from heliograph.venues.scene import Bar, Book, Fill, Level

MINUTE_NS = 60 * NS_PER_S

Told = tuple[int, Decimal, Decimal, bool]
"""A trade as a client tells it: milliseconds, price, quantity, whether the taker buys."""


def scene_of(sim: SimulatedVenue, market: str) -> MarketWorld:
    """Return what happens at one market."""
    return sim.world.markets[MarketId(market)]


def true_bar(scene: MarketWorld, symbol: str, open_ms: int) -> Bar:
    """Return the complete bar of one minute."""
    open_ns = open_ms * NS_PER_MS
    return scene.bar(symbol, open_ns, open_ns + MINUTE_NS, open_ns + MINUTE_NS)


def check_minutes(opens_ms: Iterable[int], count: int) -> None:
    """Bars follow each other minute by minute, and there are at least so many."""
    opens = list(opens_ms)
    assert len(opens) >= count
    assert all(after - before == 60_000 for before, after in pairwise(opens))


def book_at(scene: MarketWorld, symbol: str, update_id: int, now_ns: int, depth: int = 100) -> Book:
    """Find the book that had this update id."""
    low_ns, high_ns = scene.listings[symbol].listed_ns, now_ns
    while high_ns - low_ns > NS_PER_MS:
        middle_ns = (low_ns + high_ns) // 2
        if scene.book(symbol, 1, middle_ns).update_id < update_id:
            low_ns = middle_ns
        else:
            high_ns = middle_ns
    book = scene.book(symbol, depth, high_ns)
    assert book.update_id == update_id, "no such update happened"
    return book


def told(fill: Fill) -> Told:
    """Return a fill as a client tells it."""
    return fill.time_ns // NS_PER_MS, fill.price, fill.quantity, fill.taker_buys


def check_run(scene: MarketWorld, symbol: str, trades: list[Told], count: int = 20, *, ordered: bool = True) -> None:
    """Trades without numbers are all that happened from the first one to the last, and at least so many.

    Where a client sorts them by their time and an id that says nothing, only those of different times are `ordered`.
    """
    assert len(trades) >= count
    from_ms, to_ms = trades[0][0], trades[-1][0]
    true = [told(fill) for fill in scene.fills(symbol, from_ms * NS_PER_MS - 1, (to_ms + 1) * NS_PER_MS - 1)]
    if ordered:
        # The first one may look like its neighbours.
        begun = [index for index, trade in enumerate(true) if trade == trades[0]]
        assert trades in [true[index : index + len(trades)] for index in begun]
    else:
        assert [trade[0] for trade in trades] == sorted(trade[0] for trade in trades)
        assert Counter(trades) <= Counter(true)
        # Of the first and the last instant there may be more than was asked for.
        assert Counter(trade for trade in true if from_ms < trade[0] < to_ms) <= Counter(trades)


def check_numbered(scene: MarketWorld, symbol: str, trades: list[tuple[int, Told]], now_ns: int) -> None:
    """Trades by their numbers have no hole and are what happened."""
    assert len(trades) >= 20
    true = scene.fills_from(symbol, trades[0][0], len(trades), now_ns)
    assert trades == [(fill.id, told(fill)) for fill in true]


def levels_of(changes: Iterable[Iterable[tuple[Decimal, Decimal]]], *, bids: bool) -> list[Level]:
    """Lay a side's changes over each other, and return what stands then, the best first."""
    held: dict[Decimal, Decimal] = {}
    for change in changes:
        held |= dict(change)
    return sorted((level for level in held.items() if level[1]), reverse=bids)


# What ccxt makes of it: numbers are floats, whatever the venue.


def check_ccxt_rows(
    scene: MarketWorld,
    symbol: str,
    rows: list[list[float]],
    volume: Callable[[Bar], Decimal] = lambda bar: bar.volume,
    *,
    quiet: bool = False,
) -> None:
    """Closed rows are what happened, minute after minute; where it is `quiet`, minutes without a trade are left out."""
    if quiet:
        opens = [int(row[0]) for row in rows]
        assert len(rows) >= 3
        assert opens == sorted(set(opens))
        left_out = set(range(opens[0], opens[-1], 60_000)) - set(opens)
        assert all(true_bar(scene, symbol, opened).fills == 0 for opened in left_out)
    else:
        check_minutes((int(row[0]) for row in rows), 3)
    for row in rows:
        true = true_bar(scene, symbol, int(row[0]))
        assert row[1:] == [float(value) for value in (true.open, true.high, true.low, true.close, volume(true))]


def ccxt_told(trade: Mapping[str, Any]) -> Told:
    """Return a trade of ccxt's as any client tells one."""
    assert trade["side"] in ("buy", "sell")
    price, amount = (Decimal(str(trade[name])) for name in ("price", "amount"))
    return trade["timestamp"], price, amount, trade["side"] == "buy"


def check_ccxt_book(book: Mapping[str, Any], true: Book) -> None:
    """The best ten levels of both sides are the true ones."""
    for side, levels in (("bids", true.bids), ("asks", true.asks)):
        assert book[side][:10] == [[float(price), float(size)] for price, size in levels[:10]]
        assert len(book[side]) >= 5
