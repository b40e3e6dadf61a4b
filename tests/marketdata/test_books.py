from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.marketdata.books import BookFold
from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookDelta, BookSnapshot, Level, OrderBook
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument
from tests.marketdata.conftest import BTC

TENTH_NS = 10**8


def _levels(*levels: tuple[int, int]) -> list[Level]:
    return [(Decimal(price), Decimal(quantity)) for price, quantity in levels]


def _snapshot(btc: Instrument, sequence: int, *bids: tuple[int, int]) -> BookSnapshot:
    return BookSnapshot(btc, _levels(*bids), _levels((1000, 1)), sequence, None, 0)


def _delta(btc: Instrument, sequence: int, *bids: tuple[int, int]) -> BookDelta:
    return BookDelta(btc, _levels(*bids), [], sequence, sequence, None, 0)


def _folded(btc: Instrument, out: list[Event]) -> OrderBook:
    book = OrderBook(btc)
    for event in out:
        if isinstance(event, BookDelta):
            book.apply(event)
    return book


def test_deltas_alone_fold_into_the_book_also_over_a_resynchronisation(btc: Instrument) -> None:
    metrics = FeedMetrics("binance", "spot")
    fold = BookFold(btc, TENTH_NS, metrics)
    out: list[Event] = []
    fold.take(_snapshot(btc, 10, (5, 1), (4, 1)), 1, 0, out)
    fold.take(_delta(btc, 11, (5, 0), (6, 2)), 1, 0, out)
    fold.take(_snapshot(btc, 20, (7, 1), (4, 1)), 1, 0, out)
    fold.take(_delta(btc, 21, (3, 9)), 1, 0, out)
    assert _folded(btc, out).bids() == _levels((7, 1), (4, 1), (3, 9))
    bridge = [e for e in out if isinstance(e, BookDelta) and e.first_sequence is None]
    assert [e.sequence for e in bridge] == [10, 20]
    assert sorted(bridge[1].bids) == sorted(_levels((6, 0), (7, 1)))
    assert metrics.book_resyncs == 1


def test_the_top_is_told_at_once_and_then_not_more_often_than_its_interval(btc: Instrument) -> None:
    fold = BookFold(btc, TENTH_NS, FeedMetrics("binance", "spot"))
    out: list[Event] = []
    fold.take(_snapshot(btc, 1, *((price, 1) for price in range(1, 40))), 1, 0, out)
    for step in range(1, 100):
        fold.take(_delta(btc, 1 + step, (step, 7)), 1, step * TENTH_NS // 50, out)
    told = [e for e in out if isinstance(e, BookSnapshot)]
    assert [e.sequence for e in told] == [1, 51]
    assert len(told[0].bids) == 20
    fold.tell(2 * TENTH_NS, out)
    fold.tell(4 * TENTH_NS, out)
    assert [e.sequence for e in out if isinstance(e, BookSnapshot)] == [1, 51, 100]


def test_deltas_before_a_snapshot_are_nobodys(btc: Instrument) -> None:
    fold = BookFold(btc, TENTH_NS, FeedMetrics("binance", "spot"))
    out: list[Event] = []
    fold.take(_delta(btc, 5, (5, 1)), 1, 0, out)
    assert out == []


def test_t29_a_second_connection_takes_over_when_it_is_not_behind(btc: Instrument) -> None:
    fold = BookFold(btc, TENTH_NS, FeedMetrics("binance", "spot"))
    out: list[Event] = []
    fold.take(_snapshot(btc, 10, (5, 1)), 1, 0, out)
    fold.take(_delta(btc, 12, (6, 1)), 1, 0, out)
    fold.take(_snapshot(btc, 11, (5, 1)), 2, 0, out)
    before = len(out)
    assert before == len(out)
    fold.take(_delta(btc, 12, (6, 1)), 2, 0, out)
    fold.take(_delta(btc, 13, (7, 1)), 1, 0, out)
    fold.take(_delta(btc, 13, (7, 1)), 2, 0, out)
    deltas = [e for e in out if isinstance(e, BookDelta)]
    assert [(e.first_sequence, e.sequence) for e in deltas] == [(None, 10), (12, 12), (13, 13)]
    assert _folded(btc, out).bids() == _levels((7, 1), (6, 1), (5, 1))


def test_after_a_lost_connection_the_next_one_bridges(btc: Instrument) -> None:
    fold = BookFold(btc, TENTH_NS, FeedMetrics("binance", "spot"))
    out: list[Event] = []
    fold.take(_snapshot(btc, 10, (5, 1)), 1, 0, out)
    fold.lost(1)
    fold.take(_delta(btc, 11, (6, 1)), 1, 0, out)
    fold.take(_snapshot(btc, 8, (4, 1)), 2, 0, out)
    assert _folded(btc, out).bids() == _levels((4, 1))


Change = tuple[int, int, int]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 6), st.integers(0, 3)), max_size=60), st.integers(0, 40))
def test_the_told_deltas_always_fold_into_the_told_book(btc: Instrument, changes: list[Change], lost_at: int) -> None:
    """Two connections see the same book, each at its own pace; the first is lost at some moment."""
    fold = BookFold(btc, 0, FeedMetrics("binance", "spot"))
    out: list[Event] = []
    history = [_snapshot(btc, 0, (3, 1))]
    deltas = [_delta(btc, n + 1, (price, quantity)) for n, (_, price, quantity) in enumerate(changes)]
    at = {1: 0, 2: 0}
    fold.take(history[0], 1, 0, out)
    fold.take(history[0], 2, 0, out)
    for step, (source, _, _) in enumerate(changes):
        if step == lost_at:
            fold.lost(1)
        if at[source] < len(deltas) and not (source == 1 and step >= lost_at):
            fold.take(deltas[at[source]], source, step, out)
            at[source] += 1
        tops = [e for e in out if isinstance(e, BookSnapshot)]
        folded = _folded(btc, out)
        assert (tops[-1].bids, tops[-1].sequence) == (folded.bids(), folded.sequence)
    sequences = [e.sequence for e in out if isinstance(e, BookDelta) and e.sequence is not None]
    if lost_at >= len(changes):
        assert sequences == sorted(set(sequences))


def test_a_connection_that_was_behind_when_the_owner_left_goes_on_with_the_book(btc: Instrument) -> None:
    """Its codec is in sequence and will not send another snapshot: what it says from now on is all there is."""
    fold = BookFold(btc, TENTH_NS, FeedMetrics("binance", "spot"))
    out: list[Event] = []
    fold.take(_snapshot(btc, 10, (5, 1)), 1, 0, out)
    fold.take(_delta(btc, 11, (6, 1)), 1, 0, out)
    fold.take(_snapshot(btc, 10, (5, 1)), 2, 0, out)
    fold.lost(1)
    fold.take(_delta(btc, 11, (6, 1)), 2, 0, out)
    fold.take(_delta(btc, 12, (7, 1)), 2, 0, out)
    assert _folded(btc, out).bids() == _levels((7, 1), (6, 1), (5, 1))


def test_a_feed_that_begins_anew_voids_what_a_reader_of_the_deltas_knew() -> None:
    """A feed that was killed does not know what it told: its successor's first delta is the whole book."""
    told: list[Event] = []
    for sequence, price in ((10, 5), (20, 4)):
        BookFold(BTC, 10**8, FeedMetrics("binance", "spot")).take(_snapshot(BTC, sequence, (price, 1)), 1, 0, told)
    assert _folded(BTC, told).bids(1) == [(Decimal(4), Decimal(1))]
