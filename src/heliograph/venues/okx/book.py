"""Keeping an order book whole: OKX's chain of numbers, and the checksum that was real until June 2026.

The snapshot comes in the channel itself. A change names the number before its own (`prevSeqId`); numbers may jump by
any amount, so nothing but that link says that none is missing. A book that broke is subscribed to again.

Sources: "Sequence ID" and "Checksum" of
https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel .
"""

import zlib
from itertools import zip_longest
from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.model.book import OrderBook
from heliograph.model.numbers import fixed
from heliograph.venues.linked_book import Book

CHECKSUM_END_NS: Final = 1_782_172_800 * NS_PER_S
"""2026-06-23, since when the venue's checksum is the constant 0. Nothing that is newer is held to it."""
CHECKSUM_LEVELS: Final = 25


def checksum_of(book: OrderBook) -> int:
    """Return the signed CRC32 of the best 25 levels of each side, in turn, with the digits that the venue sent."""
    sides = zip_longest(book.bids(CHECKSUM_LEVELS), book.asks(CHECKSUM_LEVELS))
    text = ":".join([f"{fixed(level[0])}:{fixed(level[1])}" for pair in sides for level in pair if level is not None])
    value = zlib.crc32(text.encode())
    return value - 2**32 if value >= 2**31 else value


def is_real(checksum: int | None, event_ns: int) -> bool:
    """Tell whether a book is to be held to a checksum."""
    # The simulated exchange sent the constant 0 three weeks before the real one did.
    return bool(checksum) and event_ns < CHECKSUM_END_NS


def counters_of(book: Book) -> dict[str, int]:
    """Return how a book fared: `applied` counts snapshots too; what never happened is left out, but for checksums."""
    always = {
        "applied": book.applied + book.snapshots,
        "checksum_ok": book.checksum_ok,
        "checksum_bad": book.checksum_bad,
    }
    rare = {"dropped": book.dropped, "gaps": book.gaps, "replaced": book.resyncs}
    return always | {name: count for name, count in rare.items() if count}
