"""A simulated Kraken's books: numbers with all their places, what changed, and the checksum of the top ten.

Source: https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2
Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/book
"""

import zlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.venues.scene import Book, Level, Listing

TOP: Final = 10
"""Levels of each side that the checksum is of, however deep the subscription is."""


def places(listing: Listing) -> tuple[int, int]:
    """Return how many decimals prices have, and how many quantities."""
    return _decimals(listing.tick_size), _decimals(listing.lot_size)


def written(value: Decimal, decimals: int) -> str:
    """Write a number with so many decimals."""
    return f"{value:.{decimals}f}"


def number(value: Decimal, decimals: int) -> msgspec.Raw:
    """Write a JSON number with so many decimals, zeros at the end included: the checksum needs them."""
    return msgspec.Raw(written(value, decimals).encode())


def levels(listing: Listing, side: Sequence[Level]) -> list[dict[str, msgspec.Raw]]:
    """Render levels; one that is gone has a quantity of 0."""
    price_places, quantity_places = places(listing)
    return [{"price": number(p, price_places), "qty": number(q, quantity_places)} for p, q in side]


def changed(before: Sequence[Level], after: Sequence[Level], *, falling: bool) -> list[Level]:
    """Return what leads from one side of a book, as deep as is subscribed to, to that at a later instant.

    A level that only fell out of that depth is not told: the client must drop it by itself.
    """
    held, now = dict(before), dict(after)
    worst = after[-1][0] if after else None
    gone = [
        (price, Decimal(0))
        for price in held
        if price not in now and (worst is None or len(after) < len(before) or (price > worst) is falling)
    ]
    return gone + [(price, quantity) for price, quantity in after if held.get(price) != quantity]


def checksum(listing: Listing, book: Book) -> int:
    """Return the checksum of a book: asks from the lowest, then bids from the highest, without dots and zeros ahead."""
    price_places, quantity_places = places(listing)
    text = "".join(
        written(price, price_places).replace(".", "").lstrip("0")
        + written(quantity, quantity_places).replace(".", "").lstrip("0")
        for side in (book.asks, book.bids)
        for price, quantity in side[:TOP]
    )
    return zlib.crc32(text.encode())


def _decimals(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # Steps of a scene are finite.
    return max(0, -exponent)
