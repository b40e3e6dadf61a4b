"""The sequence machine against a world that knows the true book."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot, Level, OrderBook
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument
from heliograph.model.market import Channel, Gap
from heliograph.venues.gateio.book import BEHIND_MAX, WAITING_MAX, Sequence, Update
from heliograph.venues.gateio.instruments import GATEIO

BTC = Instrument(GATEIO, SPOT, "BTC_USDT")


def update(first: int, last: int, *levels: Level) -> Update:
    return Update(first, last, BookDelta(BTC, levels, (), first, last, None, last))


def snapshot(number: int, *levels: Level) -> BookSnapshot:
    return BookSnapshot(BTC, levels, (), number, None, number)


def started(number: int) -> tuple[Sequence, list[VenueEvent]]:
    sequence = Sequence(BTC)
    assert sequence.due(0)
    events: list[VenueEvent] = []
    sequence.start(snapshot(number), number, events)
    return sequence, events


def told(events: list[VenueEvent]) -> list[int | str | None]:
    return [
        "gap" if isinstance(e, Gap) else e.sequence for e in events if isinstance(e, Gap | BookSnapshot | BookDelta)
    ]


@pytest.mark.parametrize(
    ("first", "last", "outcome"),
    [
        (5, 9, [10]),  # older: dropped
        (8, 10, [10]),
        (8, 11, [10, 11]),  # U <= id + 1 <= u
        (11, 11, [10, 11]),
        (11, 15, [10, 15]),
        (12, 15, [10, "gap"]),
        (11, 3, [10]),  # ends before it begins
    ],
)
def test_an_update_joins_a_snapshot_where_the_next_number_lies_inside(
    first: int, last: int, outcome: list[object]
) -> None:
    sequence, events = started(10)
    sequence.take(update(first, last), events)
    assert told(events) == outcome


def test_later_updates_begin_one_after_the_last_and_may_not_overlap() -> None:
    sequence, events = started(10)
    for item in (update(9, 12), update(13, 13), update(13, 15)):
        sequence.take(item, events)
    assert told(events) == [10, 12, 13, "gap"]
    assert (sequence.applied, sequence.gaps) == (2, 1)


def test_what_comes_before_the_snapshot_waits_for_it() -> None:
    sequence = Sequence(BTC)
    events: list[VenueEvent] = []
    for item in (update(1, 3), update(4, 6), update(7, 9)):
        sequence.take(item, events)
    assert events == []
    sequence.start(snapshot(5), 5, events)
    assert told(events) == [5, 6, 9]
    assert (sequence.dropped, sequence.applied) == (1, 2)


def test_a_snapshot_older_than_what_waits_is_useless_and_another_is_asked_for_later() -> None:
    sequence = Sequence(BTC)
    events: list[VenueEvent] = []
    sequence.take(update(10, 12), events)
    assert sequence.due(0)
    assert not sequence.due(0), "it was asked for already"
    sequence.start(snapshot(8), 8, events)
    assert (events, sequence.waiting, sequence.snapshots_unusable) == ([], True, 1)
    assert not sequence.due(NS_PER_S - 1)
    assert sequence.due(NS_PER_S)
    sequence.start(snapshot(9), 9, events)
    assert told(events) == [9, 12]


def _asks(sequence: Sequence, second: int) -> bool:
    due = sequence.due(second * NS_PER_S)
    if due:
        sequence.asked_in_vain()
    return due


def test_the_pause_between_snapshots_doubles_up_to_a_minute_and_starts_afresh_once_joined() -> None:
    sequence = Sequence(BTC)
    asked_s = [second for second in range(300) if _asks(sequence, second)]
    assert [b - a for a, b in pairwise(asked_s)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    events: list[VenueEvent] = []
    sequence.start(snapshot(1), 1, events)
    sequence.take(update(2, 2), events)
    sequence.take(update(9, 9), events)
    assert [second for second in range(400, 406) if _asks(sequence, second)] == [400, 401, 403]


def test_a_clock_set_back_does_not_stop_us_asking() -> None:
    sequence = Sequence(BTC)
    assert sequence.due(10 * 3600 * NS_PER_S)
    sequence.asked_in_vain()
    assert sequence.due(0)


def test_a_missing_update_is_a_gap_that_says_what_is_missing() -> None:
    sequence, events = started(10)
    sequence.take(update(11, 12), events)
    sequence.take(update(15, 16), events)
    gap = events[-1]
    assert isinstance(gap, Gap)
    assert (gap.channel, gap.from_sequence, gap.to_sequence) == (Channel.BOOK, 13, 14)
    assert (gap.received_ns, sequence.waiting) == (16, True)
    sequence.start(snapshot(14), 14, events)
    assert told(events) == [10, 12, "gap", 14, 16], "the update that showed the gap was kept"


def test_t3_a_whole_book_amid_the_updates_replaces_the_book_without_a_gap() -> None:
    sequence, events = started(10)
    sequence.take(update(11, 12), events)
    sequence.replace(snapshot(40), 40, events)
    sequence.take(update(38, 40), events)
    sequence.take(update(41, 44), events)
    assert told(events) == [10, 12, 40, 44]
    assert (sequence.gaps, sequence.resyncs, sequence.dropped) == (0, 1, 1)


def test_t3_a_whole_book_ends_the_wait_for_a_snapshot_that_then_changes_nothing() -> None:
    sequence = Sequence(BTC)
    events: list[VenueEvent] = []
    sequence.take(update(5, 6), events)
    assert sequence.due(0)
    sequence.replace(snapshot(9), 9, events)
    sequence.start(snapshot(7), 7, events)
    sequence.take(update(10, 11), events)
    assert told(events) == [9, 11]


def test_t5_numbers_that_start_afresh_are_noticed() -> None:
    sequence, events = started(10**9)
    for number in range(1, BEHIND_MAX + 2):
        sequence.take(update(number, number), events)
    gap = events[-1]
    assert isinstance(gap, Gap)
    assert (gap.to_sequence, gap.reason) == (None, "the venue's numbers ran backwards")
    assert sequence.waiting


def test_t4_a_repeated_update_changes_nothing() -> None:
    sequence, events = started(10)
    for item in (update(11, 12), update(11, 12), update(13, 14)):
        sequence.take(item, events)
    assert told(events) == [10, 12, 14]
    assert (sequence.applied, sequence.dropped, sequence.gaps) == (2, 1, 0)


def test_two_swapped_updates_are_a_gap_never_a_wrong_book() -> None:
    sequence, events = started(10)
    for item in (update(13, 14), update(11, 12), update(15, 16)):
        sequence.take(item, events)
    assert told(events) == [10, "gap"]
    sequence.start(snapshot(13), 13, events)
    assert told(events) == [10, "gap", 13, 14, 16]


def test_what_waits_is_bounded_and_the_oldest_goes() -> None:
    sequence = Sequence(BTC)
    events: list[VenueEvent] = []
    for number in range(1, WAITING_MAX + 11):
        sequence.take(update(number, number), events)
    sequence.start(snapshot(10), 10, events)
    assert len(events) == 1 + WAITING_MAX
    assert sequence.dropped == 10


def test_a_hole_while_waiting_leaves_what_came_before_it_behind() -> None:
    sequence = Sequence(BTC)
    events: list[VenueEvent] = []
    for item in (update(1, 2), update(5, 6), update(7, 8)):
        sequence.take(item, events)
    sequence.start(snapshot(2), 2, events)
    assert events == [], "what lies between 2 and 5 was never seen"
    sequence.start(snapshot(4), 4, events)
    assert told(events) == [4, 6, 8]


STEPS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(0, 3)), min_size=1, max_size=20)


class World:
    """A book that changes, and the updates and snapshots that tell of it."""

    def __init__(self, steps: list[tuple[int, int, int]]) -> None:
        self.items: list[Update] = []
        self.states: dict[int, dict[Decimal, Decimal]] = {0: {}}
        last = 0
        book: dict[Decimal, Decimal] = {}
        for width, price, quantity in steps:
            first, last = last + 1, last + width
            book = {p: q for p, q in (book | {Decimal(price): Decimal(quantity)}).items() if q}
            self.states[last] = book
            self.items.append(update(first, last, (Decimal(price), Decimal(quantity))))

    def snapshot(self, number: int) -> BookSnapshot:
        return snapshot(number, *sorted(self.states[number].items(), reverse=True))


@given(steps=STEPS, data=st.data())
def test_whatever_arrives_in_whatever_order_the_book_is_true_or_a_gap_was_told(
    steps: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """Updates lost, doubled and out of order, snapshots of any age at any moment, asked for or not."""
    world = World(steps)
    sequence = Sequence(BTC)
    book = OrderBook(BTC)
    whole = False
    for index in data.draw(st.lists(st.integers(0, len(steps) - 1), max_size=40)):
        events: list[VenueEvent] = []
        sequence.take(world.items[index], events)
        kind = data.draw(st.sampled_from(["none", "none", "asked", "pushed"]))
        if kind != "none":
            number = data.draw(st.sampled_from(sorted(world.states)))
            tell = sequence.start if kind == "asked" else sequence.replace
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
        assert whole is not sequence.waiting


@given(steps=STEPS, data=st.data())
def test_in_order_and_with_a_snapshot_from_the_way_nothing_is_lost(
    steps: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    world = World(steps)
    sequence = Sequence(BTC)
    book = OrderBook(BTC)
    events: list[VenueEvent] = []
    when = data.draw(st.integers(0, len(steps)))
    number = data.draw(st.sampled_from(sorted(world.states)[: when + 1]))
    for index, item in enumerate([*world.items, None]):
        if index == when:
            sequence.start(world.snapshot(number), number, events)
        if item is not None:
            sequence.take(item, events)
    for event in events:
        assert not isinstance(event, Gap)
        if isinstance(event, BookSnapshot):
            book.replace(event)
        elif isinstance(event, BookDelta):
            book.apply(event)
    assert dict(book.bids()) == world.states[max(world.states)]
    assert sequence.gaps == 0
