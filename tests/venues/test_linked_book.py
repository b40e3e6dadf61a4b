"""A linked book against a world that knows the true one."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot, Level, OrderBook
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.market import Channel, Gap
from heliograph.venues.linked_book import STALE_MAX, STEADY_MIN, WAIT_NS_MAX, WAIT_NS_MIN, Book, Books

BTC = Instrument(VenueId("okx"), SPOT, "BTC-USDT")
LATER_NS = 1_800_000_000 * NS_PER_S


def level(price: str, quantity: str) -> Level:
    return Decimal(price), Decimal(quantity)


def snapshot(number: int | None, *bids: Level) -> BookSnapshot:
    return BookSnapshot(BTC, bids, (), number, LATER_NS, LATER_NS)


def delta(number: int | None, *bids: Level) -> BookDelta:
    return BookDelta(BTC, bids, (), None, number, LATER_NS, LATER_NS)


def started(number: int = 10) -> tuple[Book, list[VenueEvent]]:
    linked = Book(BTC)
    events: list[VenueEvent] = []
    linked.start(snapshot(number), events)
    assert not linked.waiting
    events.clear()
    return linked, events


def gap(from_sequence: int | None, to_sequence: int | None, reason: str) -> Gap:
    return Gap(BTC, Channel.BOOK, None, None, None, from_sequence, to_sequence, reason, LATER_NS)


def quantity_of_best(book: OrderBook) -> int:
    return int(book.bids(1)[0][1])


def test_changes_follow_by_the_number_that_they_name_however_far_it_jumps() -> None:
    linked, events = started()
    changes = [delta(15, level("1", "1")), delta(900, level("1", "2"))]
    linked.take(changes[0], 10, events)
    linked.take(changes[1], 15, events)
    assert events == changes
    assert (linked.applied, linked.snapshots, linked.dropped, linked.gaps) == (2, 1, 0, 0)


def test_a_change_that_is_missing_is_a_gap_and_wants_a_snapshot() -> None:
    linked, events = started()
    linked.take(delta(20, level("1", "1")), 15, events)
    assert events == [gap(11, 15, "a delta is missing")]
    assert linked.waiting
    assert linked.due(LATER_NS)
    linked.take(delta(25, level("1", "1")), 20, events)
    assert len(events) == 1
    linked.start(snapshot(30), events)
    linked.take(delta(31, level("1", "1")), 30, events)
    assert [type(event) for event in events] == [Gap, BookSnapshot, BookDelta]
    assert (linked.gaps, linked.dropped) == (1, 2)


def test_t3_a_snapshot_in_mid_stream_replaces_the_book_without_a_gap() -> None:
    linked, events = started()
    linked.start(snapshot(50), events)
    linked.take(delta(60, level("1", "1")), 50, events)
    assert [type(event) for event in events] == [BookSnapshot, BookDelta]
    assert (linked.resyncs, linked.gaps) == (1, 0)


def test_t4_a_sign_of_life_without_a_change_is_no_gap_and_no_event() -> None:
    linked, events = started()
    linked.take(delta(10), 10, events)
    linked.take(delta(11, level("1", "1")), 10, events)
    assert [type(event) for event in events] == [BookDelta]


def test_t5_numbers_that_begin_anew_are_a_new_start_with_its_reason() -> None:
    """The documentation's example: after maintenance a linked change has a lower number than the one it names."""
    linked, events = started(15)
    linked.take(delta(3, level("1", "1")), 15, events)
    assert events == [gap(16, None, "the venue's numbers began anew")]
    linked.start(snapshot(3), events)
    linked.take(delta(5, level("1", "1")), 3, events)
    assert [type(event) for event in events] == [Gap, BookSnapshot, BookDelta]


def test_a_doubled_change_changes_nothing_and_swapped_ones_are_a_gap() -> None:
    linked, events = started()
    first, second, third = delta(15, level("1", "1")), delta(20, level("1", "2")), delta(25, level("1", "3"))
    linked.take(first, 10, events)
    linked.take(first, 10, events)
    assert (len(events), linked.dropped) == (1, 1)
    linked.take(third, 20, events)
    linked.take(second, 15, events)
    assert [type(event) for event in events] == [BookDelta, Gap]


def test_old_numbers_without_end_are_a_new_start() -> None:
    linked, events = started(1000)
    for _ in range(STALE_MAX):
        linked.take(delta(5, level("1", "1")), 4, events)
    assert events == []
    linked.take(delta(5, level("1", "1")), 4, events)
    assert [type(event) for event in events] == [Gap]


def test_t6_breaks_that_never_end_are_mended_ever_more_rarely() -> None:
    linked = Book(BTC)
    assert not linked.due(0)
    now_ns, asked = 0, 0
    for _ in range(3600):
        now_ns += NS_PER_S
        events: list[VenueEvent] = []
        if linked.due(now_ns):
            asked += 1
            linked.start(snapshot(1), events)
        linked.take(delta(9, level("1", "1")), 5, events)
    assert asked <= 3600 * NS_PER_S // WAIT_NS_MAX + 8


def test_a_snapshot_that_does_not_come_is_asked_for_again() -> None:
    linked = Book(BTC)
    assert not linked.due(0)
    assert not linked.due(WAIT_NS_MIN - 1)
    assert linked.due(WAIT_NS_MIN)
    assert not linked.due(2 * WAIT_NS_MIN - 1)
    assert linked.due(2 * WAIT_NS_MIN)
    assert not linked.due(4 * WAIT_NS_MIN - 1)


def test_a_book_that_was_steady_is_mended_at_once() -> None:
    linked, events = started(0)
    linked.take(delta(10, level("1", "1")), 5, events)
    assert linked.due(0), "the first break is mended at once"
    linked.start(snapshot(0), events)
    for number in range(STEADY_MIN):
        linked.take(delta(number + 1, level("1", "1")), number, events)
    linked.take(delta(10_000, level("1", "1")), 9_999, events)
    assert linked.due(1)


def test_a_live_change_without_a_number_is_a_gap() -> None:
    linked, events = started()
    linked.take(delta(None, level("1", "1")), None, events)
    assert [type(event) for event in events] == [Gap]


def test_a_book_that_breaks_soon_is_mended_after_a_wait() -> None:
    linked, events = started()
    asked = []
    for second in range(40):
        linked.take(delta(100 + 2 * second, level("1", "1")), 99 + 2 * second, events)
        if linked.due(LATER_NS + second * NS_PER_S):
            asked.append(second)
            linked.start(snapshot(100 + 2 * second), events)
    assert asked == [0, 5, 15, 35]


def test_without_a_snapshot_deltas_are_dropped() -> None:
    linked = Book(BTC)
    events: list[VenueEvent] = []
    linked.take(delta(11), 10, events)
    assert (events, linked.dropped, linked.gaps) == ([], 1, 0)


def test_a_whole_book_asks_for_nothing_and_a_clock_set_back_holds_nobody_for_ever() -> None:
    assert not started()[0].due(2**62)
    waiting = Book(BTC)
    assert not waiting.due(2**62)
    assert waiting.due(0)


def test_old_numbers_without_end_ran_backwards() -> None:
    linked, events = started(1000)
    for number in range(1, STALE_MAX + 2):
        linked.take(delta(number, level("1", "1")), number - 1, events)
    assert events == [gap(1001, None, "the venue's numbers ran backwards")]


def test_t6_a_checksum_proves_a_snapshot_and_deltas_without_numbers() -> None:
    """As where a venue numbers nothing: a delta that does not make the book of the checksum is a gap."""
    linked = Book(BTC, quantity_of_best)
    events: list[VenueEvent] = []
    linked.start(snapshot(None, level("10", "1")), events, 1)
    linked.take(delta(None, level("10", "2")), None, events, 2)
    linked.take(delta(None, level("9", "5")), None, events, 2)
    assert [type(event) for event in events] == [BookSnapshot, BookDelta, BookDelta]
    linked.take(delta(None, level("10", "3")), None, events, 4)
    assert events[-1] == gap(None, None, "a checksum does not match")
    assert (linked.checksum_ok, linked.checksum_bad, linked.waiting) == (3, 1, True)


def test_t6_a_snapshot_whose_checksum_does_not_match_is_not_told() -> None:
    linked = Book(BTC, quantity_of_best)
    events: list[VenueEvent] = []
    linked.start(snapshot(1, level("10", "1")), events, 7)
    assert events == [gap(2, None, "a checksum does not match")]
    assert (linked.waiting, linked.snapshots) == (True, 0)


def test_t6_a_checksum_that_is_not_to_be_verified_is_not() -> None:
    linked = Book(BTC, quantity_of_best)
    events: list[VenueEvent] = []
    linked.start(snapshot(1, level("10", "1")), events, 1)
    linked.take(delta(2, level("10", "2")), 1, events)
    linked.take(delta(3, level("10", "3")), 2, events, 3)
    assert [type(event) for event in events] == [BookSnapshot, BookDelta, BookDelta]
    assert (linked.checksum_ok, linked.checksum_bad) == (2, 0)


def test_a_level_that_falls_out_of_depth_is_taken_out_and_told() -> None:
    """Or it would stand in the way once the levels before it are gone, since the venue says nothing more of it."""
    linked = Book(BTC, lambda book: len(book.bids()), depth_max=2)
    events: list[VenueEvent] = []
    linked.start(snapshot(None, level("3", "1"), level("2", "1")), events, checksum=2)
    pushes = delta(None, level("5", "1"), level("4", "1"))
    linked.take(pushes, None, events, checksum=2)
    told = events[-1]
    assert isinstance(told, BookDelta)
    assert told.bids == [*pushes.bids, level("3", "0"), level("2", "0")]
    linked.take(delta(None, level("5", "0")), None, events, checksum=1)
    assert (linked.gaps, linked.applied) == (0, 2)
    assert events[-1] == delta(None, level("5", "0"))


def test_books_are_kept_while_they_are_carried_and_say_which_are_due() -> None:
    eth = Instrument(VenueId("okx"), SPOT, "ETH-USDT")
    books = Books()
    books.carry([BTC, eth])
    events: list[VenueEvent] = []
    books.of(BTC).start(snapshot(1), events)
    books.carry([BTC])
    assert not books.of(BTC).waiting
    assert [*books.by_symbol] == ["BTC-USDT"]
    books.of(BTC).take(delta(9), 5, events)
    assert books.due(LATER_NS) == [BTC]
    assert books.due(LATER_NS) == []
    assert books.of(eth).waiting


@pytest.mark.parametrize("lost", range(1, 6))
def test_any_lost_change_is_told(lost: int) -> None:
    linked, events = started(0)
    for number in range(1, 8):
        if number != lost:
            linked.take(delta(number * 10, level("1", "1")), (number - 1) * 10, events)
    assert sum(isinstance(event, Gap) for event in events) == 1


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5), st.sampled_from("kldsr")), max_size=60))
def test_what_is_told_always_folds_to_the_venues_book(steps: list[tuple[int, int, str]]) -> None:
    """k: a change arrives; l: it is lost; d: it comes twice; s: a snapshot comes; r: the numbers begin anew."""
    truth: dict[Decimal, Decimal] = {}
    number, resets = 100_000, 0
    linked = Book(BTC)
    folded: OrderBook | None = None
    for price, quantity, fate in steps:
        events: list[VenueEvent] = []
        if fate == "s":
            linked.start(snapshot(number, *truth.items()), events)
        else:
            resets += fate == "r"
            previous, number = number, 100_000 - 1000 * resets if fate == "r" else number + quantity + 1
            changed = level(str(price), str(quantity))
            truth[changed[0]] = changed[1]
            for _ in range({"l": 0, "d": 2}.get(fate, 1)):
                linked.take(delta(number, changed), previous, events)
        for event in events:
            if isinstance(event, BookSnapshot):
                folded = OrderBook(BTC)
                folded.replace(event)
            elif isinstance(event, BookDelta):
                assert folded is not None
                folded.apply(event)
            else:
                folded = None
        if folded is not None and not linked.waiting and folded.sequence == number:
            assert dict(folded.bids()) == {p: q for p, q in truth.items() if q}
