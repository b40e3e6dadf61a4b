from collections.abc import Callable
from decimal import Decimal
from zlib import crc32

import pytest

from heliograph.model.book import BookDelta, BookSnapshot, OrderBook
from heliograph.venues.kraken.book import checksum_of, to_levels
from heliograph.venues.kraken.frames import RawBooks, RawLevel, decode_frame
from heliograph.venues.kraken.instruments import instrument_of_symbol

BTC = instrument_of_symbol("BTC/USD")


def documented(fixture: Callable[[str], bytes]) -> tuple[OrderBook, int]:
    raw = decode_frame(fixture("book_snapshot.json"))
    assert isinstance(raw, RawBooks)
    book = OrderBook(BTC)
    book.replace(BookSnapshot(BTC, to_levels(raw.data[0].bids), to_levels(raw.data[0].asks), None, None, 0))
    return book, raw.data[0].checksum


def test_t6_the_checksum_is_that_of_the_documentation_s_example(fixture: Callable[[str], bytes]) -> None:
    book, checksum = documented(fixture)
    assert checksum_of(book) == checksum == 3_310_070_434


def test_t6_only_the_ten_best_levels_count(fixture: Callable[[str], bytes]) -> None:
    book, checksum = documented(fixture)
    book.apply(BookDelta(BTC, [(Decimal("45000.0"), Decimal(1))], [], None, None, None, 0))
    assert checksum_of(book) == checksum
    book.apply(BookDelta(BTC, [(Decimal("45283.5"), Decimal("0.10000001"))], [], None, None, None, 0))
    assert checksum_of(book) != checksum


def test_small_numbers_are_written_out() -> None:
    book = OrderBook(BTC)
    book.replace(BookSnapshot(BTC, [(Decimal("0.00000100"), Decimal("0.00000012"))], [], None, None, 0))
    assert checksum_of(book) == crc32(b"10012")


@pytest.mark.parametrize(("price", "quantity"), [("-1", "1"), ("1", "-1"), ("1", "Infinity"), ("1", "1" * 60)])
def test_levels_that_cannot_be_are_refused(price: str, quantity: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        to_levels([RawLevel(Decimal(price), Decimal(quantity))])
