"""The order book, folded from snapshots and deltas."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.book import BookDelta, BookSnapshot, Level, OrderBook
from heliograph.model.instrument import SPOT, Instrument, VenueId

INSTRUMENT = Instrument(VenueId("binance"), SPOT, "BTCUSDT", "BTC", "USDT")

levels = st.lists(
    st.tuples(st.integers(1, 40).map(Decimal), st.integers(0, 5).map(Decimal)),
    max_size=12,
    unique_by=lambda level: level[0],
)
changes = st.lists(st.tuples(levels, levels), max_size=20)


def snapshot(bids: list[Level], asks: list[Level]) -> BookSnapshot:
    return BookSnapshot(INSTRUMENT, bids, asks, 1, 10, 11)


def delta(bids: list[Level], asks: list[Level], sequence: int = 2) -> BookDelta:
    return BookDelta(INSTRUMENT, bids, asks, sequence, sequence, 20, 21)


@given(levels, levels, changes)
def test_the_book_is_the_plain_fold_of_what_it_was_told(
    bids: list[Level], asks: list[Level], told: list[tuple[list[Level], list[Level]]]
) -> None:
    book = OrderBook(INSTRUMENT)
    book.replace(snapshot(bids, asks))
    expected_bids, expected_asks = dict(bids), dict(asks)
    for changed_bids, changed_asks in told:
        book.apply(delta(changed_bids, changed_asks))
        expected_bids.update(changed_bids)
        expected_asks.update(changed_asks)
    assert book.bids() == sorted(((p, q) for p, q in expected_bids.items() if q), reverse=True)
    assert book.asks() == sorted((p, q) for p, q in expected_asks.items() if q)
    assert book.bids(3) == book.bids()[:3]
    assert book.asks(3) == book.asks()[:3]


def test_a_snapshot_replaces_everything() -> None:
    book = OrderBook(INSTRUMENT)
    book.replace(snapshot([(Decimal(1), Decimal(1))], [(Decimal(2), Decimal(1))]))
    book.replace(snapshot([], [(Decimal(3), Decimal("2.50"))]))
    assert book.bids() == []
    assert book.asks() == [(Decimal(3), Decimal("2.50"))]


def test_a_delta_that_is_a_reset_replaces_everything() -> None:
    book = OrderBook(INSTRUMENT)
    book.replace(snapshot([(Decimal(1), Decimal(1))], [(Decimal(5), Decimal(1))]))
    book.apply(BookDelta(INSTRUMENT, [(Decimal(2), Decimal(1))], [], None, 9, 20, 21, reset=True))
    assert (book.bids(), book.asks()) == ([(Decimal(2), Decimal(1))], [])


def test_a_level_keeps_the_digits_it_last_came_with() -> None:
    book = OrderBook(INSTRUMENT)
    book.replace(snapshot([(Decimal("1.0"), Decimal("5.00"))], []))
    book.apply(delta([(Decimal("1.0"), Decimal("6.000"))], []))
    assert [str(q) for _, q in book.bids()] == ["6.000"]


def test_a_snapshot_of_the_book_says_where_it_stands() -> None:
    book = OrderBook(INSTRUMENT)
    book.replace(snapshot([(Decimal(1), Decimal(1))], []))
    book.apply(delta([], [(Decimal(2), Decimal(1))], sequence=9))
    top = book.snapshot(received_ns=77, depth_max=20)
    assert (top.sequence, top.event_ns, top.received_ns) == (9, 20, 77)
    assert (list(top.bids), list(top.asks)) == ([(Decimal(1), Decimal(1))], [(Decimal(2), Decimal(1))])
