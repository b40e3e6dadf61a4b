"""A joined book against a world that knows the true book."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot, Level, OrderBook
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.market import Channel, Gap
from heliograph.venues.contract import BookPage, Effect, Fetch, Request
from heliograph.venues.joined_book import BUFFER_MAX, STALE_MAX, Book, Books, Numbered, Rule

BTC = Instrument(VenueId("binance"), SPOT, "BTCUSDT")
RULES = st.sampled_from(Rule)


def numbered(first: int, last: int, previous: int | None = None, *levels: Level) -> Numbered:
    return Numbered(first, last, previous, BookDelta(BTC, levels, (), first, last, None, last))


def snapshot(number: int, *levels: Level) -> BookSnapshot:
    return BookSnapshot(BTC, levels, (), number, None, number)


def spot() -> Book:
    return Book(BTC, Rule.FIRST_FOLLOWS)


def futures() -> Book:
    return Book(BTC, Rule.NAMES_PREVIOUS)


def started(rule: Rule, number: int) -> tuple[Book, list[VenueEvent]]:
    joined = Book(BTC, rule)
    assert joined.due(0)
    events: list[VenueEvent] = []
    joined.start(snapshot(number), number, events)
    return joined, events


def told(events: list[VenueEvent]) -> list[int | str | None]:
    return [
        "gap" if isinstance(e, Gap) else e.sequence for e in events if isinstance(e, Gap | BookSnapshot | BookDelta)
    ]


@pytest.mark.parametrize(
    ("first", "last", "outcome"),
    [
        (5, 9, [10]),  # older: dropped
        (8, 10, [10]),
        (8, 11, [10, 11]),  # U <= L+1 <= u
        (11, 11, [10, 11]),
        (11, 15, [10, 15]),
        (12, 15, [10, "gap"]),
    ],
)
def test_spot_joins_where_the_next_number_lies_inside(first: int, last: int, outcome: list[object]) -> None:
    joined, events = started(Rule.FIRST_FOLLOWS, 10)
    joined.take(numbered(first, last), events)
    assert told(events) == outcome


@pytest.mark.parametrize(
    ("first", "last", "previous", "outcome"),
    [
        (5, 9, 4, [10]),  # u < L: dropped
        (8, 10, 7, [10, 10]),  # U <= L <= u, as documented
        (8, 14, 7, [10, 14]),
        (12, 15, 10, [10, 15]),  # it says that it follows L
        (12, 15, 8, [10, 15]),  # nothing happened between 8 and 12, so L is on the way
        (12, 15, 11, [10, "gap"]),
    ],
)
def test_futures_join_where_the_snapshot_lies_between_the_previous_and_the_last(
    first: int, last: int, previous: int, outcome: list[object]
) -> None:
    joined, events = started(Rule.NAMES_PREVIOUS, 10)
    joined.take(numbered(first, last, previous), events)
    assert told(events) == outcome


def test_futures_number_by_the_previous_since_their_first_jumps() -> None:
    joined, events = started(Rule.NAMES_PREVIOUS, 10)
    for item in (numbered(9, 12, 8), numbered(40, 44, 12), numbered(51, 60, 44)):
        joined.take(item, events)
    assert told(events) == [10, 12, 44, 60]
    assert (joined.applied, joined.dropped, joined.gaps) == (3, 0, 0)


def test_what_comes_before_the_snapshot_waits_for_it() -> None:
    joined = spot()
    events: list[VenueEvent] = []
    for item in (numbered(1, 3), numbered(4, 6), numbered(7, 9)):
        joined.take(item, events)
    assert events == []
    joined.start(snapshot(5), 5, events)
    assert told(events) == [5, 6, 9]
    assert (joined.dropped, joined.applied) == (1, 2)


def test_a_snapshot_older_than_what_waits_is_useless_and_another_is_asked_for_later() -> None:
    joined = spot()
    events: list[VenueEvent] = []
    joined.take(numbered(10, 12), events)
    assert joined.due(0)
    assert not joined.due(0), "it was asked for already"
    joined.start(snapshot(8), 8, events)
    assert events == []
    assert (joined.waiting, joined.snapshots_unusable) == (True, 1)
    assert not joined.due(NS_PER_S - 1)
    assert joined.due(NS_PER_S)
    joined.start(snapshot(9), 9, events)
    assert told(events) == [9, 12]


def test_the_wait_between_snapshots_doubles_up_to_a_minute() -> None:
    joined = spot()
    asked_s = [second for second in range(300) if _asks(joined, second)]
    assert [b - a for a, b in pairwise(asked_s)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def _asks(joined: Book, second: int) -> bool:
    due = joined.due(second * NS_PER_S)
    if due:
        joined.asked_in_vain()
    return due


def test_the_wait_starts_afresh_once_a_snapshot_was_joined() -> None:
    joined = spot()
    events: list[VenueEvent] = []
    for second in range(100):
        _asks(joined, second)
    joined.start(snapshot(1), 1, events)
    joined.take(numbered(2, 2), events)
    joined.take(numbered(9, 9), events)
    assert [second for second in range(200, 206) if _asks(joined, second)] == [200, 201, 203]


def test_a_clock_set_back_does_not_stop_us_asking() -> None:
    joined = spot()
    assert joined.due(10 * 3600 * NS_PER_S)
    joined.asked_in_vain()
    assert joined.due(0)


def test_a_missing_delta_is_a_gap_that_says_what_is_missing() -> None:
    joined, events = started(Rule.FIRST_FOLLOWS, 10)
    joined.take(numbered(11, 12), events)
    joined.take(numbered(15, 16), events)
    gap = events[-1]
    assert isinstance(gap, Gap)
    assert (gap.channel, gap.from_sequence, gap.to_sequence) == (Channel.BOOK, 13, 14)
    assert gap.received_ns == 16
    assert (joined.waiting, joined.gaps) == (True, 1)
    joined.start(snapshot(14), 14, events)
    assert told(events) == [10, 12, "gap", 14, 16], "the delta that showed the gap was kept"


def test_a_repeated_delta_changes_nothing() -> None:
    for rule in Rule:
        joined, events = started(rule, 10)
        for item in (numbered(11, 12, 10), numbered(11, 12, 10), numbered(13, 14, 12)):
            joined.take(item, events)
        assert told(events) == [10, 12, 14]
        assert (joined.applied, joined.dropped, joined.gaps) == (2, 1, 0)


def test_two_swapped_deltas_are_a_gap_never_a_wrong_book() -> None:
    joined, events = started(Rule.FIRST_FOLLOWS, 10)
    for item in (numbered(13, 14), numbered(11, 12), numbered(15, 16)):
        joined.take(item, events)
    assert told(events) == [10, "gap"]
    joined.start(snapshot(13), 13, events)
    assert told(events) == [10, "gap", 13, 14, 16]


def test_numbers_that_start_afresh_are_noticed() -> None:
    joined, events = started(Rule.FIRST_FOLLOWS, 10**9)
    joined.take(numbered(10**9 + 1, 10**9 + 1), events)
    for number in range(1, STALE_MAX + 2):
        joined.take(numbered(number, number), events)
    gap = events[-1]
    assert isinstance(gap, Gap)
    assert (gap.to_sequence, gap.reason) == (None, "the venue's numbers ran backwards")
    assert joined.waiting


def test_what_waits_is_bounded_and_the_oldest_goes() -> None:
    joined = spot()
    events: list[VenueEvent] = []
    for number in range(1, BUFFER_MAX + 11):
        joined.take(numbered(number, number), events)
    joined.start(snapshot(10), 10, events)
    assert len(events) == 1 + BUFFER_MAX
    assert joined.dropped == 10


def test_a_hole_while_waiting_leaves_what_came_before_it_behind() -> None:
    joined = spot()
    events: list[VenueEvent] = []
    for item in (numbered(1, 2), numbered(5, 6), numbered(7, 8)):
        joined.take(item, events)
    joined.start(snapshot(2), 2, events)
    assert events == [], "what lies between 2 and 5 was never seen"
    joined.start(snapshot(4), 4, events)
    assert told(events) == [4, 6, 8]


def test_a_snapshot_that_nobody_waits_for_changes_nothing() -> None:
    joined, events = started(Rule.FIRST_FOLLOWS, 10)
    joined.take(numbered(11, 12), events)
    joined.start(snapshot(50), 50, events)
    assert told(events) == [10, 12]


def test_a_delta_that_ends_before_it_begins_is_dropped() -> None:
    joined, events = started(Rule.FIRST_FOLLOWS, 10)
    joined.take(numbered(11, 3), events)
    assert told(events) == [10]
    assert joined.dropped == 1


def test_t3_a_whole_book_amid_the_deltas_replaces_the_book_without_a_gap() -> None:
    joined, events = started(Rule.FIRST_FOLLOWS, 10)
    joined.take(numbered(11, 12), events)
    joined.replace(snapshot(40), 40, events)
    joined.take(numbered(38, 40), events)
    joined.take(numbered(41, 44), events)
    assert told(events) == [10, 12, 40, 44]
    assert (joined.gaps, joined.resyncs, joined.dropped) == (0, 1, 1)


def test_t3_a_whole_book_ends_the_wait_for_a_snapshot_that_then_changes_nothing() -> None:
    joined = spot()
    events: list[VenueEvent] = []
    joined.take(numbered(5, 6), events)
    assert joined.due(0)
    joined.replace(snapshot(9), 9, events)
    joined.start(snapshot(7), 7, events)
    joined.take(numbered(10, 11), events)
    assert told(events) == [9, 11]


def request_for(instrument: Instrument) -> Request:
    return Request("/depth", (("symbol", instrument.venue_symbol),), 1, BookPage(instrument))


def books(*, open_to_all: bool = False) -> Books:
    return Books(Rule.FIRST_FOLLOWS, request_for, open_to_all=open_to_all)


def test_the_first_delta_of_a_carried_book_asks_for_its_snapshot_once() -> None:
    carried = books()
    carried.carry([BTC])
    events: list[VenueEvent] = []
    effects: list[Effect] = []
    assert carried.take(numbered(5, 6), events, effects)
    assert carried.take(numbered(7, 8), events, effects)
    carried.ticked(10 * NS_PER_S, effects)
    assert effects == [Fetch(request_for(BTC))]
    assert carried.awaited(BTC)
    carried.start(snapshot(6), events)
    assert told(events) == [6, 8]
    assert not carried.awaited(BTC)
    assert carried.counters("resyncs") == {"BTCUSDT": {"dropped": 1, "applied": 1, "gaps": 0, "resyncs": 0}}


def test_a_request_that_failed_is_made_again_later() -> None:
    carried = books()
    carried.carry([BTC])
    effects: list[Effect] = []
    carried.ticked(0, effects)
    carried.failed(request_for(BTC))
    carried.ticked(1, effects)
    assert len(effects) == 1
    carried.ticked(NS_PER_S, effects)
    assert len(effects) == 2


def test_a_book_that_is_not_carried_is_welcome_only_where_all_are() -> None:
    assert not books().take(numbered(5, 6), [], [])
    assert not books().replace(snapshot(5), 5, [])
    assert not books().awaited(BTC)
    effects: list[Effect] = []
    assert books(open_to_all=True).take(numbered(5, 6), [], effects)
    assert effects == [Fetch(request_for(BTC))]


def test_a_book_that_stays_carried_keeps_what_it_knows_and_one_that_is_dropped_asks_no_more() -> None:
    carried = books()
    carried.carry([BTC])
    events: list[VenueEvent] = []
    carried.ticked(0, [])
    carried.start(snapshot(6), events)
    carried.carry([BTC])
    assert not carried.awaited(BTC)
    carried.drop(BTC)
    effects: list[Effect] = []
    carried.ticked(NS_PER_S, effects)
    assert (effects, carried.counters()) == ([], {})


def test_a_snapshot_without_a_number_is_none() -> None:
    with pytest.raises(ValueError, match="number"):
        books(open_to_all=True).start(BookSnapshot(BTC, (), (), None, None, 0), [])


class World:
    """A book that changes, and the deltas and snapshots that tell of it."""

    def __init__(self, rule: Rule, steps: list[tuple[int, int, int]]) -> None:
        self.items: list[Numbered] = []
        self.states: dict[int, dict[Decimal, Decimal]] = {0: {}}
        last = 0
        book: dict[Decimal, Decimal] = {}
        for width, price, quantity in steps:
            skip = width % 3 if rule is Rule.NAMES_PREVIOUS else 0
            first, previous, last = last + 1 + skip, last, last + skip + width
            book = book | {Decimal(price): Decimal(quantity)}
            book = {p: q for p, q in book.items() if q}
            self.states[last] = book
            self.items.append(numbered(first, last, previous, (Decimal(price), Decimal(quantity))))

    def snapshot(self, number: int) -> BookSnapshot:
        return snapshot(number, *sorted(self.states[number].items(), reverse=True))


STEPS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(0, 3)), min_size=1, max_size=20)


@given(rule=RULES, steps=STEPS, data=st.data())
def test_whatever_arrives_in_whatever_order_the_book_is_true_or_a_gap_was_told(
    rule: Rule, steps: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """Deltas lost, doubled and out of order, snapshots of any age at any moment."""
    world = World(rule, steps)
    joined = Book(BTC, rule)
    book = OrderBook(BTC)
    whole = False
    arrivals = data.draw(st.lists(st.integers(0, len(steps) - 1), max_size=40))
    for index in arrivals:
        events: list[VenueEvent] = []
        joined.take(world.items[index], events)
        kind = data.draw(st.sampled_from(["none", "none", "asked", "pushed"]))
        if kind != "none":
            number = data.draw(st.sampled_from(sorted(world.states)))
            tell = joined.start if kind == "asked" else joined.replace
            tell(world.snapshot(number), number, events)
        for event in events:
            if isinstance(event, Gap):
                whole = False
            elif isinstance(event, BookSnapshot):
                book.replace(event)
                whole = True
            elif isinstance(event, BookDelta):
                assert whole, "a delta without a book to apply it to"
                book.apply(event)
            if whole:
                assert book.sequence is not None
                assert dict(book.bids()) == world.states[book.sequence]
        assert whole is not joined.waiting


@given(rule=RULES, steps=STEPS, data=st.data())
def test_in_order_and_with_a_snapshot_from_the_way_nothing_is_lost(
    rule: Rule, steps: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    world = World(rule, steps)
    joined = Book(BTC, rule)
    book = OrderBook(BTC)
    events: list[VenueEvent] = []
    when = data.draw(st.integers(0, len(steps)))
    number = data.draw(st.sampled_from(sorted(world.states)[: when + 1]))
    for index, item in enumerate([*world.items, None]):
        if index == when:
            joined.start(world.snapshot(number), number, events)
        if item is not None:
            joined.take(item, events)
    for event in events:
        assert not isinstance(event, Gap)
        if isinstance(event, BookSnapshot):
            book.replace(event)
        elif isinstance(event, BookDelta):
            book.apply(event)
    assert book.sequence == max(world.states)
    assert dict(book.bids()) == world.states[max(world.states)]
    assert joined.gaps == 0
