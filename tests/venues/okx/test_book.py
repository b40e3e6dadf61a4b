"""The sequence machine: the venue's chain of numbers, and checksums as long as they were real."""

import zlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot, Level, OrderBook
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.market import Channel, Gap
from heliograph.venues.okx.book import (
    CHECKSUM_END_NS,
    STALE_MAX,
    STEADY_MIN,
    WAIT_NS_MAX,
    WAIT_NS_MIN,
    Sequence,
    checksum_of,
)

BTC = Instrument(VenueId("okx"), SPOT, "BTC-USDT")
LATER_NS = CHECKSUM_END_NS + 100 * 86_400 * NS_PER_S


def level(price: str, quantity: str) -> Level:
    return Decimal(price), Decimal(quantity)


def snapshot(number: int | None, *bids: Level, event_ns: int = LATER_NS) -> BookSnapshot:
    return BookSnapshot(BTC, bids, (), number, event_ns, event_ns)


def delta(number: int | None, *bids: Level, event_ns: int = LATER_NS) -> BookDelta:
    return BookDelta(BTC, bids, (), None, number, event_ns, event_ns)


def started(number: int = 10) -> tuple[Sequence, list[VenueEvent]]:
    sequence = Sequence(BTC)
    events: list[VenueEvent] = []
    sequence.start(snapshot(number), 0, events)
    assert not sequence.waiting
    events.clear()
    return sequence, events


def gap(from_sequence: int | None, to_sequence: int | None, reason: str) -> Gap:
    return Gap(BTC, Channel.BOOK, None, None, None, from_sequence, to_sequence, reason, LATER_NS)


def test_changes_follow_by_the_number_that_they_name_however_far_it_jumps() -> None:
    sequence, events = started()
    changes = [delta(15, level("1", "1")), delta(900, level("1", "2"))]
    sequence.take(changes[0], 10, 0, events)
    sequence.take(changes[1], 15, 0, events)
    assert events == changes
    assert sequence.counters() == {"applied": 3, "checksum_ok": 0, "checksum_bad": 0}


def test_a_change_that_is_missing_is_a_gap_and_wants_a_snapshot() -> None:
    sequence, events = started()
    sequence.take(delta(20, level("1", "1")), 15, 0, events)
    assert events == [gap(11, 15, "a change is missing")]
    assert sequence.waiting
    assert sequence.due(LATER_NS)
    sequence.take(delta(25, level("1", "1")), 20, 0, events)
    assert len(events) == 1
    sequence.start(snapshot(30), 0, events)
    sequence.take(delta(31, level("1", "1")), 30, 0, events)
    assert [type(event) for event in events] == [Gap, BookSnapshot, BookDelta]
    assert (sequence.gaps, sequence.dropped) == (1, 1)


def test_t3_a_snapshot_in_mid_stream_replaces_the_book_without_a_gap() -> None:
    sequence, events = started()
    sequence.start(snapshot(50), 0, events)
    sequence.take(delta(60, level("1", "1")), 50, 0, events)
    assert [type(event) for event in events] == [BookSnapshot, BookDelta]
    assert (sequence.replaced, sequence.gaps) == (1, 0)


def test_t4_a_sign_of_life_without_a_change_is_no_gap_and_no_event() -> None:
    sequence, events = started()
    sequence.take(delta(10), 10, 0, events)
    sequence.take(delta(11, level("1", "1")), 10, 0, events)
    assert [type(event) for event in events] == [BookDelta]


def test_t5_numbers_that_begin_anew_are_a_new_start_with_its_reason() -> None:
    """The documentation's example: after maintenance a linked change has a lower number than the one it names."""
    sequence, events = started(15)
    sequence.take(delta(3, level("1", "1")), 15, 0, events)
    assert events == [gap(16, None, "the venue's numbers began anew")]
    sequence.start(snapshot(3), 0, events)
    sequence.take(delta(5, level("1", "1")), 3, 0, events)
    assert [type(event) for event in events] == [Gap, BookSnapshot, BookDelta]


def test_a_doubled_change_changes_nothing_and_swapped_ones_are_a_gap() -> None:
    sequence, events = started()
    first, second, third = delta(15, level("1", "1")), delta(20, level("1", "2")), delta(25, level("1", "3"))
    sequence.take(first, 10, 0, events)
    sequence.take(first, 10, 0, events)
    assert (len(events), sequence.dropped) == (1, 1)
    sequence.take(third, 20, 0, events)
    sequence.take(second, 15, 0, events)
    assert [type(event) for event in events] == [BookDelta, Gap]


def test_old_numbers_without_end_are_a_new_start() -> None:
    sequence, events = started(1000)
    for _ in range(STALE_MAX):
        sequence.take(delta(5, level("1", "1")), 4, 0, events)
    assert events == []
    sequence.take(delta(5, level("1", "1")), 4, 0, events)
    assert [type(event) for event in events] == [Gap]


def test_t6_a_checksum_is_not_verified_after_its_end() -> None:
    sequence = Sequence(BTC)
    events: list[VenueEvent] = []
    sequence.start(snapshot(1, level("10", "1"), event_ns=CHECKSUM_END_NS), 12345, events)
    sequence.take(delta(2, level("10", "2"), event_ns=CHECKSUM_END_NS), 1, 54321, events)
    assert [type(event) for event in events] == [BookSnapshot, BookDelta]
    assert (sequence.checksum_ok, sequence.checksum_bad, sequence.waiting) == (0, 0, False)


def test_t6_a_book_that_lives_over_the_end_is_held_to_checksums_up_to_it_only() -> None:
    before_ns = CHECKSUM_END_NS - 1
    sequence = Sequence(BTC)
    events: list[VenueEvent] = []
    good = checksum_of([level("10", "1")], [])
    sequence.start(snapshot(1, level("10", "1"), event_ns=before_ns), good, events)
    sequence.take(delta(2, level("10", "2"), event_ns=before_ns), 1, 0, events)
    sequence.take(delta(3, level("10", "3"), event_ns=CHECKSUM_END_NS), 2, 77, events)
    assert (sequence.checksum_ok, sequence.checksum_bad, sequence.waiting) == (1, 0, False)
    assert len(events) == 3


def test_t6_an_old_checksum_that_does_not_match_is_a_gap() -> None:
    before_ns = CHECKSUM_END_NS - 1
    sequence = Sequence(BTC)
    events: list[VenueEvent] = []
    sequence.start(
        snapshot(1, level("10", "1"), event_ns=before_ns), checksum_of([level("10", "1")], []), events
    )  # fmt: skip
    sequence.take(delta(2, level("10", "2"), event_ns=before_ns), 1, 77, events)
    assert [type(event) for event in events] == [BookSnapshot, Gap]
    assert (sequence.checksum_bad, sequence.waiting) == (1, True)


def test_t6_breaks_that_never_end_are_mended_ever_more_rarely() -> None:
    sequence = Sequence(BTC)
    sequence.asked(0)
    now_ns, asked = 0, 0
    for _ in range(3600):
        now_ns += NS_PER_S
        events: list[VenueEvent] = []
        if sequence.due(now_ns):
            asked += 1
            sequence.start(snapshot(1), 0, events)
        sequence.take(delta(9, level("1", "1")), 5, 0, events)
    assert asked <= 3600 * NS_PER_S // WAIT_NS_MAX + 6


def test_a_snapshot_that_does_not_come_is_asked_for_again() -> None:
    sequence = Sequence(BTC)
    sequence.asked(0)
    assert not sequence.due(WAIT_NS_MIN - 1)
    assert sequence.due(WAIT_NS_MIN)
    assert not sequence.due(WAIT_NS_MIN + 1)


def test_a_book_that_was_steady_is_mended_at_once() -> None:
    sequence, events = started(0)
    sequence.asked(0)
    for number in range(STEADY_MIN):
        sequence.take(delta(number + 1, level("1", "1")), number, 0, events)
    sequence.take(delta(10_000, level("1", "1")), 9_999, 0, events)
    assert sequence.due(1)


def test_a_live_change_without_a_number_is_a_gap() -> None:
    sequence, events = started()
    sequence.take(delta(None, level("1", "1")), None, 0, events)
    assert [type(event) for event in events] == [Gap]


def test_the_text_that_is_checked_takes_the_sides_in_turn() -> None:
    """The two examples of the documentation, whose CRC32 was taken by hand."""
    bids = [level("3366.1", "7"), level("3366", "6")]
    asks = [level("3366.8", "9"), level("3368", "8")]
    assert checksum_of(bids, asks) & 0xFFFFFFFF == zlib.crc32(b"3366.1:7:3366.8:9:3366:6:3368:8")
    asks.append(level("3372", "8"))
    assert checksum_of(bids[:1], asks) & 0xFFFFFFFF == zlib.crc32(b"3366.1:7:3366.8:9:3368:8:3372:8")


def test_tiny_quantities_are_checked_with_their_digits() -> None:
    text = b"0.00000001:0.0000000200"
    assert checksum_of([level("0.00000001", "0.0000000200")], []) & 0xFFFFFFFF == zlib.crc32(text)


@pytest.mark.parametrize("lost", range(1, 6))
def test_any_lost_change_is_told(lost: int) -> None:
    sequence, events = started(0)
    for number in range(1, 8):
        if number != lost:
            sequence.take(delta(number * 10, level("1", "1")), (number - 1) * 10, 0, events)
    assert sum(isinstance(event, Gap) for event in events) == 1


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5), st.sampled_from("kldsr")), max_size=60))
def test_what_is_told_always_folds_to_the_venues_book(steps: list[tuple[int, int, str]]) -> None:
    """k: a change arrives; l: it is lost; d: it comes twice; s: a snapshot comes; r: the numbers begin anew."""
    truth: dict[Decimal, Decimal] = {}
    number, resets = 100_000, 0
    sequence = Sequence(BTC)
    folded: OrderBook | None = None
    for price, quantity, fate in steps:
        events: list[VenueEvent] = []
        if fate == "s":
            sequence.start(snapshot(number, *truth.items()), 0, events)
        else:
            resets += fate == "r"
            previous, number = number, 100_000 - 1000 * resets if fate == "r" else number + quantity + 1
            changed = level(str(price), str(quantity))
            truth[changed[0]] = changed[1]
            for _ in range({"l": 0, "d": 2}.get(fate, 1)):
                sequence.take(delta(number, changed), previous, 0, events)
        for event in events:
            if isinstance(event, BookSnapshot):
                folded = OrderBook(BTC)
                folded.replace(event)
            elif isinstance(event, BookDelta):
                assert folded is not None
                folded.apply(event)
            else:
                folded = None
        if folded is not None and not sequence.waiting and folded.sequence == number:
            assert dict(folded.bids()) == {p: q for p, q in truth.items() if q}
