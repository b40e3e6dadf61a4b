"""The checksum of a book: the CRC32 of the ten best levels of each side, as the venue wrote them.

Source: https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2 .
"""

from decimal import Decimal
from typing import Final
from zlib import crc32

from heliograph.model.book import Level, OrderBook
from heliograph.model.numbers import BOUND, NOT_AN_AMOUNT, ZERO, fits
from heliograph.venues.kraken.frames import RawLevel

LEVELS: Final = 10
"""Levels of each side that the checksum proves."""


def checksum_of(book: OrderBook) -> int:
    """Return the checksum of a book."""
    levels = [*book.asks(LEVELS), *book.bids(LEVELS)]
    return crc32("".join(_digits(price) + _digits(quantity) for price, quantity in levels).encode())


def to_levels(raw: list[RawLevel]) -> list[Level]:
    """Make levels; raise `ArithmeticError` or `ValueError` if one cannot be."""
    for level in raw:
        if not (ZERO <= fits(level.qty) < BOUND and ZERO <= fits(level.price) < BOUND):
            raise ValueError(NOT_AN_AMOUNT)
    return [(level.price, level.qty) for level in raw]


def _digits(value: Decimal) -> str:
    return f"{value:f}".replace(".", "").lstrip("0")
