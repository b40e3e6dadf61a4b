"""Order books: snapshots, deltas, and the book that they fold into."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from heliograph.model.instrument import Instrument

Level = tuple[Decimal, Decimal]
"""Price (quote per base) and quantity (the venue's unit): in a delta the level's new total, where zero deletes it."""


class BookSnapshot(msgspec.Struct, frozen=True, gc=False):
    """A whole book, or its top: replaces whatever was known before. Best prices first."""

    instrument: Instrument
    bids: Sequence[Level]
    asks: Sequence[Level]
    sequence: int | None
    event_ns: int | None
    received_ns: int


class BookDelta(msgspec.Struct, frozen=True, gc=False):
    """Levels that changed since the snapshot or delta before; the feed has checked that none is missing between.

    With `reset` they are the whole book: whatever was known before is void.
    """

    instrument: Instrument
    bids: Sequence[Level]
    asks: Sequence[Level]
    first_sequence: int | None
    sequence: int | None
    event_ns: int | None
    received_ns: int
    reset: bool = False


class OrderBook:
    """One instrument's book, folded from its snapshots and deltas.

    Args:
        instrument: whose book it is.

    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.sequence: int | None = None
        self.event_ns: int | None = None
        self._bids: dict[Decimal, Decimal] = {}
        self._asks: dict[Decimal, Decimal] = {}
        self._bid_prices: list[Decimal] = []  # ascending: the best bid is last
        self._ask_prices: list[Decimal] = []  # ascending: the best ask is first

    def replace(self, snapshot: BookSnapshot) -> None:
        """Forget everything and take the snapshot."""
        self._bids = {price: quantity for price, quantity in snapshot.bids if quantity}
        self._asks = {price: quantity for price, quantity in snapshot.asks if quantity}
        self._bid_prices = sorted(self._bids)
        self._ask_prices = sorted(self._asks)
        self.sequence = snapshot.sequence
        self.event_ns = snapshot.event_ns

    def apply(self, delta: BookDelta) -> None:
        """Take the changed levels, or the whole book if the delta is a reset."""
        if delta.reset:
            for held in (self._bids, self._asks, self._bid_prices, self._ask_prices):
                held.clear()
        _change(self._bids, self._bid_prices, delta.bids)
        _change(self._asks, self._ask_prices, delta.asks)
        self.sequence = delta.sequence
        self.event_ns = delta.event_ns

    def bids(self, depth_max: int | None = None) -> list[Level]:
        """Return the bids, best first.

        Args:
            depth_max: how many levels at most; None for all.

        """
        prices = self._bid_prices[::-1] if depth_max is None else self._bid_prices[: -depth_max - 1 : -1]
        return [(price, self._bids[price]) for price in prices]

    def asks(self, depth_max: int | None = None) -> list[Level]:
        """Return the asks, best first.

        Args:
            depth_max: how many levels at most; None for all.

        """
        return [(price, self._asks[price]) for price in self._ask_prices[:depth_max]]

    def snapshot(self, received_ns: int, depth_max: int | None = None) -> BookSnapshot:
        """Return the book as it stands.

        Args:
            received_ns: what to write as the time of receipt.
            depth_max: how many levels of each side at most; None for all.

        """
        return BookSnapshot(
            self.instrument, self.bids(depth_max), self.asks(depth_max), self.sequence, self.event_ns, received_ns
        )


def _change(levels: dict[Decimal, Decimal], prices: list[Decimal], changes: Iterable[Level]) -> None:
    for price, quantity in changes:
        if quantity:
            if price not in levels:
                insort(prices, price)
            levels[price] = quantity
        elif levels.pop(price, None) is not None:
            del prices[bisect_left(prices, price)]
