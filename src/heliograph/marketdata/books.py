"""Order books, folded so that the deltas alone tell the whole story.

A consumer who folds an instrument's deltas has the book at every moment from the first `reset` on: a feed's first
delta is one, the whole book, since a feed that has just begun does not know what was told before it. Where it starts
anew from a snapshot later, the difference between the old book and the new one is told as a delta, without
`first_sequence`. Beside the deltas the top of the book is told as a snapshot, not more often than a bound.
"""

from collections.abc import Iterable
from decimal import Decimal

from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookDelta, BookSnapshot, Level, OrderBook
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument
from heliograph.model.market import Gap
from heliograph.model.wire import ORDERBOOK_DEPTH

_NOTHING = Decimal(0)


class BookFold:
    """One instrument's book, from one connection or, around a planned reconnect, from two.

    The connection that owns the book is the one that is told. Another one's book grows in its shadow, and takes over as
    soon as it is not behind.

    Args:
        instrument: whose book.
        snapshot_interval_ns: the shortest time between two snapshots of the top.
        metrics: where resynchronisations are counted.

    """

    def __init__(self, instrument: Instrument, snapshot_interval_ns: int, metrics: FeedMetrics) -> None:
        self.instrument = instrument
        self.touched_ns: int | None = None
        """When a snapshot or delta last came."""
        self._snapshot_interval_ns = snapshot_interval_ns
        self._metrics = metrics
        self._book = OrderBook(instrument)
        self._owner: int | None = None
        self._shadows: dict[int, OrderBook] = {}
        self._begun = False
        self._changed_ns: int | None = None
        self._told_ns: int | None = None

    def take(self, event: BookSnapshot | BookDelta, source: int, now_ns: int, out: list[Event]) -> None:
        """Take what a connection says of the book.

        Args:
            event: as the codec made it, in sequence.
            source: which connection it came from.
            now_ns: nanoseconds, from a clock that never runs backwards.
            out: where deltas and snapshots of the top are appended.

        """
        self.touched_ns = now_ns
        if source == self._owner:
            if type(event) is BookDelta:
                self._book.apply(event)
                out.append(event)
            else:
                self._metrics.book_resyncs += 1
                self._replace(_folded(event), event.received_ns, out)
        elif self._owner is None and source not in self._shadows:
            if type(event) is BookDelta:
                return  # it changes a book that nobody has
            self._owner = source
            self._replace(_folded(event), event.received_ns, out)
        else:
            self._shadow(event, source, out)
            if source != self._owner:
                return
        self._changed_ns = event.received_ns
        self.tell(now_ns, out)

    def gap(self, gap: Gap, source: int, out: list[Event]) -> None:
        """Take note that a connection has lost the thread; its own snapshot is to follow."""
        self._shadows.pop(source, None)
        if source == self._owner:
            out.append(gap)

    def lost(self, source: int) -> None:
        """Take note that a connection is gone; what was told of its book stands until another one brings its own."""
        self._shadows.pop(source, None)
        if source == self._owner:
            self._owner = None

    def tell(self, now_ns: int, out: list[Event]) -> None:
        """Append a snapshot of the top if the book has changed, and the last one is long enough ago."""
        if self._changed_ns is None:
            return
        if self._told_ns is not None and now_ns - self._told_ns < self._snapshot_interval_ns:
            return
        out.append(self._book.snapshot(self._changed_ns, ORDERBOOK_DEPTH))
        self._told_ns = now_ns
        self._changed_ns = None

    def _shadow(self, event: BookSnapshot | BookDelta, source: int, out: list[Event]) -> None:
        shadow = self._shadows.get(source)
        if type(event) is BookSnapshot:
            shadow = self._shadows[source] = _folded(event)
        elif shadow is None:
            return
        else:
            assert type(event) is BookDelta
            shadow.apply(event)
        behind = (
            shadow.sequence is not None and self._book.sequence is not None and shadow.sequence < self._book.sequence
        )
        if self._owner is None or not behind:  # Without an owner nobody else will ever catch up.
            del self._shadows[source]
            self._owner = source
            self._replace(shadow, event.received_ns, out)

    def _replace(self, book: OrderBook, received_ns: int, out: list[Event]) -> None:
        bids = _difference(self._book.bids(), book.bids())
        asks = _difference(self._book.asks(), book.asks())
        if bids or asks or not self._begun:
            out.append(
                BookDelta(
                    self.instrument, bids, asks, None, book.sequence, book.event_ns, received_ns, reset=not self._begun
                )
            )
        self._begun = True
        self._book = book


def _folded(event: BookSnapshot | BookDelta) -> OrderBook:
    assert type(event) is BookSnapshot
    book = OrderBook(event.instrument)
    book.replace(event)
    return book


def _difference(old: Iterable[Level], new: Iterable[Level]) -> list[Level]:
    gone = dict(old)
    changed = [(price, quantity) for price, quantity in new if gone.pop(price, None) != quantity]
    return [*((price, _NOTHING) for price in gone), *changed]
