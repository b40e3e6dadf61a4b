"""Order books: Hyperliquid sends whole ones, never changes, so that there is no sequence to hold them to.

Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions#data-type-definitions
(`WsBook`: pushed on each block that is at least half a second after the last push).
"""

from heliograph.clock import NS_PER_MS
from heliograph.model.book import BookSnapshot, Level
from heliograph.model.instrument import Instrument
from heliograph.model.numbers import BOUND, NOT_AN_AMOUNT, ZERO, Amounts, fits
from heliograph.venues.hyperliquid.frames import RawBook, RawLevel


def to_book(raw: RawBook, instrument: Instrument, prices: Amounts, received_ns: int) -> BookSnapshot:
    """Make a snapshot, best prices first; raise `ValueError` or `ArithmeticError` if it is none."""
    bids, asks = raw.levels
    return BookSnapshot(
        instrument,
        _levels(bids, prices, falling=True),
        _levels(asks, prices, falling=False),
        None,
        raw.time * NS_PER_MS,
        received_ns,
    )


def _levels(raw: list[RawLevel], prices: Amounts, *, falling: bool) -> list[Level]:
    made: list[Level] = []
    before = None
    for level in raw:
        price, quantity = prices[level.px], level.sz
        if not ZERO <= fits(quantity) < BOUND:
            raise ValueError(NOT_AN_AMOUNT)
        if before is not None and (price >= before if falling else price <= before):
            raise ValueError("levels that are not in order")
        before = price
        made.append((price, quantity))
    return made
