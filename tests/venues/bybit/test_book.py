"""The sequence machine of book topics."""

from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot, Level, OrderBook
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.market import Channel, Gap
from heliograph.venues.bybit.book import RESTARTED, STALE_MAX, WAIT_NS_MAX, WAIT_NS_MIN, Sequence

BTC = Instrument(VenueId("bybit"), SPOT, "BTCUSDT")


def snapshot(number: int, *levels: Level) -> BookSnapshot:
    return BookSnapshot(BTC, levels, (), number, None, number)


def delta(number: int, *levels: Level) -> BookDelta:
    return BookDelta(BTC, levels, (), number, number, None, number)


def fed(*items: BookSnapshot | BookDelta) -> tuple[Sequence, list[VenueEvent]]:
    sequence, events = Sequence(BTC, 200), list[VenueEvent]()
    for item in items:
        feed(sequence, item, events)
    return sequence, events


def feed(sequence: Sequence, item: BookSnapshot | BookDelta, events: list[VenueEvent]) -> None:
    assert item.sequence is not None
    if isinstance(item, BookSnapshot):
        sequence.start(item, item.sequence, events)
    else:
        sequence.take(item, item.sequence, events)


def told(events: list[VenueEvent]) -> list[int | str | None]:
    return [
        "gap" if isinstance(e, Gap) else e.sequence for e in events if isinstance(e, Gap | BookSnapshot | BookDelta)
    ]


def test_deltas_follow_a_snapshot_one_by_one() -> None:
    sequence, events = fed(snapshot(10), delta(11), delta(12))
    assert told(events) == [10, 11, 12]
    assert (sequence.applied, sequence.dropped, sequence.gaps, sequence.resyncs) == (2, 0, 0, 0)


def test_without_a_snapshot_deltas_are_dropped() -> None:
    sequence, events = fed(delta(11), delta(12), snapshot(12), delta(13))
    assert told(events) == [12, 13]
    assert sequence.dropped == 2


def test_a_missing_delta_is_a_gap_until_the_next_snapshot() -> None:
    sequence, events = fed(snapshot(10), delta(12), delta(13), snapshot(14), delta(15))
    assert told(events) == [10, "gap", 14, 15]
    assert events[1] == Gap(BTC, Channel.BOOK, None, None, None, 11, 11, "a delta is missing", 12)
    assert (sequence.gaps, sequence.dropped, sequence.resyncs) == (1, 2, 0)


def test_a_delta_that_comes_twice_changes_nothing() -> None:
    sequence, events = fed(snapshot(10), delta(11), delta(11), delta(12))
    assert told(events) == [10, 11, 12]
    assert sequence.dropped == 1


def test_t3_a_snapshot_sent_again_replaces_the_book_without_an_alarm() -> None:
    sequence, events = fed(snapshot(10), delta(11), snapshot(11), snapshot(40), delta(41))
    assert told(events) == [10, 11, 11, 40, 41]
    assert (sequence.gaps, sequence.resyncs, sequence.restarts) == (0, 2, 0)


def test_t5_a_restart_of_the_service_is_a_resync_and_counted_as_one() -> None:
    sequence, events = fed(snapshot(10), delta(11), snapshot(RESTARTED), delta(2))
    assert told(events) == [10, 11, 1, 2]
    assert (sequence.gaps, sequence.resyncs, sequence.restarts) == (0, 1, 1)


def test_numbers_that_run_backwards_for_long_are_a_gap() -> None:
    sequence, events = fed(snapshot(1000), *(delta(number) for number in range(1, STALE_MAX + 2)))
    assert told(events) == [1000, "gap"]
    gap = events[-1]
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.to_sequence) == ("the venue's numbers ran backwards", None)
    assert sequence.waiting


def test_a_book_is_asked_for_again_if_no_snapshot_comes_and_less_and_less_often() -> None:
    sequence, _ = fed()
    asked = [now_s for now_s in range(200) if sequence.due(now_s * NS_PER_S)]
    waits = [b - a for a, b in pairwise(asked)]
    assert asked[0] == WAIT_NS_MIN // NS_PER_S
    assert waits == [5, 10, 20, 40, 60]
    assert WAIT_NS_MAX == 60 * NS_PER_S


def test_a_gap_is_mended_at_once_and_gaps_in_a_row_are_not() -> None:
    sequence, events = fed(snapshot(10))
    now_ns = 1000 * NS_PER_S
    asked = []
    for second in range(30):
        feed(sequence, delta(100 + 2 * second), events)
        if sequence.due(now_ns + second * NS_PER_S):
            asked.append(second)
            feed(sequence, snapshot(100 + 2 * second), events)
    assert asked == [0, 5, 15]


def test_a_whole_book_asks_for_nothing_and_a_clock_set_back_holds_nobody_for_ever() -> None:
    sequence, _ = fed(snapshot(10))
    assert not sequence.due(2**62)
    waiting, _ = fed()
    assert not waiting.due(2**62)
    assert waiting.due(0)


PRICES = st.integers(1, 5).map(Decimal)


@given(
    st.lists(st.tuples(PRICES, st.integers(0, 3).map(Decimal)), min_size=1, max_size=40),
    st.sets(st.integers(0, 39)),
    st.sets(st.integers(0, 39)),
    st.integers(2, 50),
)
def test_whatever_is_lost_or_doubled_what_is_told_is_the_true_book(
    changes: list[Level], lost: set[int], doubled: set[int], first: int
) -> None:
    """The venue sends its true book after each gap; at every moment the fold of what was told is a book that was."""
    truth = OrderBook(BTC)
    truth.replace(snapshot(first))
    sequence, folded = Sequence(BTC, 200), OrderBook(BTC)
    events: list[VenueEvent] = []
    feed(sequence, snapshot(first), events)
    for i, change in enumerate(changes):
        frame = delta(first + 1 + i, change)
        truth.apply(frame)
        if i not in lost:
            feed(sequence, frame, events)
        if i in doubled and i not in lost:
            feed(sequence, frame, events)
        if sequence.waiting:
            feed(sequence, truth.snapshot(0), events)
        for event in events:
            if isinstance(event, BookSnapshot):
                folded.replace(event)
            elif isinstance(event, BookDelta):
                folded.apply(event)
        events.clear()
        if folded.sequence == truth.sequence:
            assert folded.bids() == truth.bids()
