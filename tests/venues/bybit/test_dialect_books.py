"""The rules follow https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook as of 2026-07-24."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim.world import MarketWorld, World
from heliograph.venues.bybit.dialect import Dialect
from heliograph.venues.bybit.dialect_books import Books, cadence_ns
from heliograph.venues.bybit.dialect_wording import Wording
from heliograph.venues.bybit.layout import LAYOUT
from heliograph.venues.scene import Book, BookChange

EPOCH_NS = 1_795_000_000 * NS_PER_S
WORLD = World(5, 12, EPOCH_NS, listers=LAYOUT.listers)
DIALECT = Dialect(WORLD.markets)
PLACES = [("spot", "BTCUSDT"), ("linear", "ETHUSDT"), ("inverse", "BTCUSD")]


def books(category: str, symbol: str, depth: int, *restarts_ns: int) -> Books:
    wordings = DIALECT.wordings(category)
    assert wordings is not None
    return Books(wordings[symbol], depth, restarts_ns)


def content(frame: dict[str, object]) -> dict[str, Any]:
    data = frame["data"]
    assert isinstance(data, dict)
    return data


def apply(sides: dict[str, dict[str, str]], change: dict[str, Any]) -> None:
    for side, levels in sides.items():
        for price, size in change[side]:
            if size == "0":
                del levels[price]  # A level that goes must have been there.
            else:
                levels[price] = size


@pytest.mark.parametrize("depth", [50, 200, 1000])
@pytest.mark.parametrize(("category", "symbol"), PLACES)
def test_a_book_is_a_chain_of_update_ids_that_rise_by_one(category: str, symbol: str, depth: int) -> None:
    book = books(category, symbol, depth)
    first = book.now(EPOCH_NS)
    assert (first["topic"], first["type"]) == (f"orderbook.{depth}.{symbol}", "snapshot")
    whole = content(first)
    assert set(whole) == {"s", "b", "a", "u", "seq"}
    sides = {side: dict(whole[side]) for side in "ba"}
    update_id, sequence, at_ns = whole["u"], whole["seq"], EPOCH_NS
    for step_ms in [100, 100, 300, 1000, 50, 50, 2500, 10] * 2:
        until_ns = at_ns + step_ms * NS_PER_MS
        for frame in book.since(at_ns, until_ns):
            change = content(frame)
            assert frame["type"] == "delta"
            assert change["u"] == update_id + 1
            assert change["seq"] > sequence
            assert change["b"] or change["a"]
            assert change["b"] == sorted(change["b"], key=lambda level: -Decimal(level[0]))
            assert change["a"] == sorted(change["a"], key=lambda level: Decimal(level[0]))
            update_id, sequence = change["u"], change["seq"]
            apply(sides, change)
        at_ns = until_ns
    truth = content(books(category, symbol, depth).now(at_ns))
    assert truth["u"] == update_id
    assert sides == {side: dict(truth[side]) for side in "ba"}
    assert len(sides["b"]) == min(depth, 100)


def test_a_moving_book_forgets_what_leaves_its_depth() -> None:
    """The best price must have moved in the meantime, or this shows nothing."""
    book, span_ns = books("linear", "BTCUSDT", 50), 40 * NS_PER_S
    start = content(book.now(EPOCH_NS))
    sides = {side: dict(start[side]) for side in "ba"}
    for frame in book.since(EPOCH_NS, EPOCH_NS + span_ns):
        apply(sides, content(frame))
    end = content(book.now(EPOCH_NS + span_ns))
    assert start["b"][0][0] != end["b"][0][0]
    assert sides == {side: dict(end[side]) for side in "ba"}


@pytest.mark.parametrize(("category", "symbol"), PLACES)
def test_the_best_prices_are_snapshots_and_those_that_rest_are_said_again_after_three_seconds(
    category: str, symbol: str
) -> None:
    book = books(category, symbol, 1)
    last = book.now(EPOCH_NS)
    again = 0
    for frame in book.since(EPOCH_NS, EPOCH_NS + 60 * NS_PER_S):
        before, after = content(last), content(frame)
        assert (frame["type"], len(after["b"]), len(after["a"])) == ("snapshot", 1, 1)
        if (before["b"], before["a"]) == (after["b"], after["a"]):
            again += 1
            assert after["u"] == before["u"]
        else:
            assert after["u"] > before["u"]
        last = frame
    assert (content(last)["b"], content(last)["u"]) == (
        content(books(category, symbol, 1).now(EPOCH_NS + 60 * NS_PER_S))["b"],
        content(books(category, symbol, 1).now(EPOCH_NS + 60 * NS_PER_S))["u"],
    )
    if symbol == "BTCUSD":
        assert again == 0  # It trades too often to rest.


class Holed(MarketWorld):
    """A market whose third bid comes and goes: those of a world have no holes."""

    def book(self, symbol: str, depth: int, now_ns: int) -> Book:
        whole = super().book(symbol, depth + 1, now_ns)
        out = 2 if now_ns // (200 * NS_PER_MS) % 2 else depth
        return msgspec.structs.replace(
            whole, bids=(*whole.bids[:out], *whole.bids[out + 1 :])[:depth], asks=whole.asks[:depth]
        )

    def book_change(self, symbol: str, from_ns: int, to_ns: int) -> BookChange | None:
        before, after = (dict(self.book(symbol, 100, at_ns).bids) for at_ns in (from_ns, to_ns))
        bids = [
            (price, after.get(price, Decimal(0))) for price in before | after if before.get(price) != after.get(price)
        ]
        change = super().book_change(symbol, from_ns, to_ns)
        return None if change is None else msgspec.structs.replace(change, bids=tuple(bids))


def test_levels_that_come_and_go_let_others_in_and_out() -> None:
    holed = Holed(5, MarketId("linear"), LAYOUT.listers[MarketId("linear")](1, EPOCH_NS - 3600 * NS_PER_S))
    wording = Wording("linear", holed, holed.listings["BTCUSDT"])
    book = Books(wording, 50)
    sides = {side: dict(content(book.now(EPOCH_NS))[side]) for side in "ba"}
    for turn in range(30):
        at_ns = EPOCH_NS + turn * 100 * NS_PER_MS
        for frame in book.since(at_ns, at_ns + 100 * NS_PER_MS):
            apply(sides, content(frame))
        truth = content(Books(wording, 50).now(at_ns + 100 * NS_PER_MS))
        assert sides == {side: dict(truth[side]) for side in "ba"}


class Rest(MarketWorld):
    """A market that stands still for ten seconds: those of a world never rest for three."""

    def book(self, symbol: str, depth: int, now_ns: int) -> Book:
        return super().book(symbol, depth, EPOCH_NS if 0 < now_ns - EPOCH_NS <= 10 * NS_PER_S else now_ns)


def test_best_prices_that_rest_are_said_again_every_three_seconds() -> None:
    resting = Rest(5, MarketId("linear"), LAYOUT.listers[MarketId("linear")](1, EPOCH_NS - 3600 * NS_PER_S))
    book = Books(Wording("linear", resting, resting.listings["BTCUSDT"]), 1)
    start = book.now(EPOCH_NS + 100 * NS_PER_MS)
    frames = list(book.since(EPOCH_NS + 100 * NS_PER_MS, EPOCH_NS + 10 * NS_PER_S))
    stands_ns = (
        EPOCH_NS
        - next(n for n in range(40) if book._sides(EPOCH_NS // 10**8 - n - 1) != book._sides(EPOCH_NS // 10**8)) * 10**8
    )
    assert [frame["ts"] for frame in frames] == [
        stands_ns // NS_PER_MS + 3000 * n
        for n in range(1, 4)
        if stands_ns + 3 * n * NS_PER_S <= EPOCH_NS + 10 * NS_PER_S
    ]
    assert len(frames) >= 3
    assert {content(frame)["u"] for frame in frames} == {content(start)["u"]}
    assert all((content(frame)["b"], frame["type"]) == (content(start)["b"], "snapshot") for frame in frames)


@pytest.mark.parametrize("depth", [1, 50])
def test_t3_a_book_that_is_said_whole_again_keeps_its_update_ids(depth: int) -> None:
    wordings = DIALECT.wordings("spot")
    assert wordings is not None
    until_ns = EPOCH_NS + 5 * NS_PER_S
    plain = list(Books(wordings["BTCUSDT"], depth).since(EPOCH_NS, until_ns))
    told = list(Books(wordings["BTCUSDT"], depth, (), (EPOCH_NS + 2 * NS_PER_S - 1,)).since(EPOCH_NS, until_ns))
    (again,) = [frame for frame in told if frame["ts"] == (EPOCH_NS + 2 * NS_PER_S) // NS_PER_MS]
    assert (again["type"], len(content(again)["b"])) == ("snapshot", depth)
    others = [frame for frame in told if frame is not again]
    assert others == [frame for frame in plain if frame["ts"] != again["ts"]]
    if depth > 1:
        assert [content(frame)["u"] for frame in told] == [content(frame)["u"] for frame in plain]


@pytest.mark.parametrize("depth", [1, 50, 1000])
def test_t5_a_restart_begins_a_book_at_update_id_one(depth: int) -> None:
    restart_ns = EPOCH_NS + 2 * NS_PER_S + 1
    book = books("linear", "BTCUSDT", depth, restart_ns)
    frames = list(book.since(EPOCH_NS, EPOCH_NS + 5 * NS_PER_S))
    (anew,) = [frame for frame in frames if content(frame)["u"] == 1]
    assert anew["type"] == "snapshot"
    assert isinstance(anew["ts"], int)
    assert restart_ns <= anew["ts"] * NS_PER_MS < restart_ns + 200 * NS_PER_MS
    assert len(content(anew)["b"]) == min(depth, 100)
    index = frames.index(anew)
    assert all(content(frame)["u"] > 1_000_000 for frame in frames[:index])
    after = [content(frame)["u"] for frame in frames[index:]]
    assert after == (sorted(after) if depth == 1 else list(range(1, len(after) + 1)))
    other = books("linear", "BTCUSDT", depth, restart_ns).now(EPOCH_NS + 5 * NS_PER_S)
    assert content(other)["u"] == after[-1]


def test_a_restart_may_be_planned_while_the_dialect_runs() -> None:
    dialect = Dialect(WORLD.markets)
    wordings = dialect.wordings("linear")
    assert wordings is not None
    book = dialect.books(wordings["BTCUSDT"], 50)
    before = list(book.since(EPOCH_NS, EPOCH_NS + NS_PER_S))
    dialect.restarts_ns.append(EPOCH_NS + 3 * NS_PER_S)
    assert list(book.since(EPOCH_NS, EPOCH_NS + NS_PER_S)) == before
    assert 1 in [content(frame)["u"] for frame in book.since(EPOCH_NS + 2 * NS_PER_S, EPOCH_NS + 4 * NS_PER_S)]


def test_depths_have_their_paces_and_others_are_not_offered() -> None:
    paces = {
        (category, depth): cadence_ns(category, depth)
        for category in ("spot", "linear")
        for depth in (1, 50, 200, 1000)
    }
    assert [pace // NS_PER_MS for pace in paces.values() if pace] == [10, 20, 200, 200, 10, 20, 100, 200]
    assert [cadence_ns("linear", depth) for depth in (0, 25, 500)] == [None, None, None]


def test_sizes_of_contracts_have_the_digits_of_their_step_and_those_of_spot_none_too_many() -> None:
    for category, symbol in PLACES:
        listing = WORLD.markets[MarketId(category)].listings[symbol]
        levels = content(books(category, symbol, 50).now(EPOCH_NS))["b"]
        for price, size in levels:
            if category == "spot":
                assert not size.endswith("0") or "." not in size
                assert not price.endswith("0") or "." not in price
            else:
                assert Decimal(size).as_tuple().exponent == listing.lot_size.as_tuple().exponent
                assert Decimal(price).as_tuple().exponent == listing.tick_size.as_tuple().exponent
