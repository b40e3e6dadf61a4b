"""The venue's checksum, as long as it was real."""

import zlib
from decimal import Decimal

from heliograph.model.book import BookSnapshot, Level, OrderBook
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.venues.linked_book import Book
from heliograph.venues.okx.book import CHECKSUM_END_NS, checksum_of, counters_of, is_real

BTC = Instrument(VenueId("okx"), SPOT, "BTC-USDT")


def level(price: str, quantity: str) -> Level:
    return Decimal(price), Decimal(quantity)


def book(bids: list[Level], asks: list[Level]) -> OrderBook:
    made = OrderBook(BTC)
    made.replace(BookSnapshot(BTC, bids, asks, 1, None, 0))
    return made


def test_t6_a_checksum_is_real_until_its_end_and_never_where_it_is_zero() -> None:
    assert is_real(-12345, CHECKSUM_END_NS - 1)
    assert not is_real(-12345, CHECKSUM_END_NS)
    assert not is_real(0, CHECKSUM_END_NS - 1)
    assert not is_real(None, CHECKSUM_END_NS - 1)


def test_counters_leave_out_what_never_happened() -> None:
    kept = Book(BTC)
    kept.start(BookSnapshot(BTC, [], [], 1, None, 0), [])
    assert counters_of(kept) == {"applied": 1, "checksum_ok": 0, "checksum_bad": 0}
    kept.start(BookSnapshot(BTC, [], [], 5, None, 0), [])
    assert counters_of(kept) == {"applied": 2, "checksum_ok": 0, "checksum_bad": 0, "replaced": 1}


def test_the_text_that_is_checked_takes_the_sides_in_turn() -> None:
    """The two examples of the documentation, whose CRC32 was taken by hand."""
    bids = [level("3366.1", "7"), level("3366", "6")]
    asks = [level("3366.8", "9"), level("3368", "8")]
    assert checksum_of(book(bids, asks)) & 0xFFFFFFFF == zlib.crc32(b"3366.1:7:3366.8:9:3366:6:3368:8")
    asks.append(level("3372", "8"))
    assert checksum_of(book(bids[:1], asks)) & 0xFFFFFFFF == zlib.crc32(b"3366.1:7:3366.8:9:3368:8:3372:8")


def test_tiny_quantities_are_checked_with_their_digits() -> None:
    text = b"0.00000001:0.0000000200"
    assert checksum_of(book([level("0.00000001", "0.0000000200")], [])) & 0xFFFFFFFF == zlib.crc32(text)
