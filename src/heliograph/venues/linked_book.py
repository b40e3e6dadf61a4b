"""Books whose snapshot comes in the channel itself, and whose deltas each follow the one before by number.

A book that broke is had by subscribing to it once more. Venues that number by ones say `number - 1` for the number
before; those that number nothing prove each delta by a checksum.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot, Level, OrderBook
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.market import Channel, Gap
from heliograph.model.numbers import ZERO
from heliograph.venues.again import Again

STALE_MAX: Final = 20
"""Old deltas in a row after which the venue's numbers are taken to have started afresh."""
STEADY_MIN: Final = 600
"""Deltas that a book must take, about a minute of them, before its next break is mended without waiting."""
WAIT_NS_MIN: Final = 5 * NS_PER_S
WAIT_NS_MAX: Final = 320 * NS_PER_S


class Book:
    """One instrument's snapshot and deltas, checked one by one.

    Without a snapshot it is `waiting`: it drops deltas, and wants to be subscribed to again (`due`). What it tells is
    always a snapshot followed by every delta since, or a `Gap` and a new start. The counters are for whoever reports.

    Args:
        instrument: whose book it is.
        checksum_of: computes a book's checksum, for venues that send one.
        depth_max: levels of each side, for venues that say nothing more of a level that fell out of that depth: it is
            taken out, and that is told with the delta that pushed it out. Only of books that are held to a checksum.

    """

    def __init__(
        self,
        instrument: Instrument,
        checksum_of: Callable[[OrderBook], int] | None = None,
        depth_max: int | None = None,
    ) -> None:
        self.instrument = instrument
        self.waiting = True
        self.dropped = 0
        self.applied = 0
        """Deltas told; the venue's signs of life without a change do not count."""
        self.gaps = 0
        self.snapshots = 0
        """Snapshots told."""
        self.resyncs = 0
        """Those of them that came unasked and replaced a book that was whole."""
        self.checksum_ok = 0
        self.checksum_bad = 0
        self._checksum_of = checksum_of
        self._depth_max = depth_max
        self._shadow: OrderBook | None = None  # the book itself, kept only where checksums are to be verified
        self._last: int | None = None  # the number of the newest frame told
        self._stale_run = 0
        self._steady = 0
        self._asked = False  # whether we know when its snapshot was asked for
        self._again = Again(WAIT_NS_MIN, WAIT_NS_MAX)

    def due(self, now_ns: int) -> bool:
        """Tell whether to subscribe once more, and take it that it is being done.

        The subscription itself has asked for the first snapshot, so the first call begins a wait. A first break, and
        one of a book that was steady, is mended at once; a snapshot that does not come, and one that breaks soon, is
        asked for again after a wait that doubles.
        """
        if not self.waiting:
            return False
        if not self._asked:
            self._asked = True
            self._again.asked(now_ns)
            return False
        if not self._again.due(now_ns):
            return False
        self._again.asked(now_ns)
        self._again.in_vain()
        return True

    def start(self, snapshot: BookSnapshot, events: list[VenueEvent], checksum: int | None = None) -> None:
        """Take a snapshot, at whatever time it comes: it replaces the book.

        Args:
            snapshot: the whole book; its `sequence` is its number.
            events: where to tell it.
            checksum: the venue's, if this and the deltas after it are to be held to such.

        """
        if not self.waiting:
            self.resyncs += 1
        self._asked = True
        if not self.snapshots:
            self._again.at_once()
        self.waiting = False
        self._last = snapshot.sequence
        self._stale_run = self._steady = 0
        self._shadow = None
        if checksum is not None:
            self._shadow = OrderBook(snapshot.instrument)
            self._shadow.replace(snapshot)
            if not self._verified(self._shadow, checksum):
                self.break_off("a checksum does not match", None, snapshot.received_ns, events)
                return
        self.snapshots += 1
        events.append(snapshot)

    def take(
        self, delta: BookDelta, previous: int | None, events: list[VenueEvent], checksum: int | None = None
    ) -> None:
        """Take a delta as it comes: tell it, pass over it, or tell a gap and wait for a snapshot.

        Args:
            delta: the delta; its `sequence` is its number.
            previous: the number of the one before it; None only where checksums prove deltas instead.
            events: where to tell it.
            checksum: the venue's, of the book after this; None if it is not to be verified.

        """
        if self.waiting:
            self.dropped += 1
            return
        number, last = delta.sequence, self._last
        if previous is None or number is None:
            if self._shadow is None:
                self.break_off("a delta without a number", None, delta.received_ns, events)
                return
        elif previous != last:
            if last is not None and previous <= number <= last and self._stale_run < STALE_MAX:
                self._stale_run += 1
                self.dropped += 1
                return
            backwards = last is not None and number <= last
            reason = "the venue's numbers ran backwards" if backwards else "a delta is missing"
            self.break_off(reason, None if backwards else previous, delta.received_ns, events)
            return
        elif number < previous:
            self.break_off("the venue's numbers began anew", None, delta.received_ns, events)
            return
        elif number == previous and not delta.bids and not delta.asks:
            return
        if self._shadow is not None:
            self._shadow.apply(delta)
            if self._depth_max is not None:
                delta = _cut(self._shadow, delta, self._depth_max)
            if checksum is not None and not self._verified(self._shadow, checksum):
                self.break_off("a checksum does not match", None, delta.received_ns, events)
                return
        self._last = number
        self._stale_run = 0
        self._steady += 1
        if self._steady == STEADY_MIN:
            self._again.worked()
            self._again.at_once()
        self.applied += 1
        events.append(delta)

    def break_off(self, reason: str, to_sequence: int | None, received_ns: int, events: list[VenueEvent]) -> None:
        """Tell a gap, drop what showed it, and wait for a snapshot.

        Args:
            reason: what is wrong.
            to_sequence: the last number that is missing, where that is known.
            received_ns: when it was found.
            events: where to tell it.

        """
        self.gaps += 1
        self.dropped += 1
        first = None if self._last is None else self._last + 1
        to = None if to_sequence is None or first is None or to_sequence < first else to_sequence
        events.append(Gap(self.instrument, Channel.BOOK, None, None, None, first, to, reason, received_ns))
        self.waiting = True
        self._stale_run = 0
        self._shadow = None

    def _verified(self, shadow: OrderBook, checksum: int) -> bool:
        good = self._checksum_of is not None and self._checksum_of(shadow) == checksum
        if good:
            self.checksum_ok += 1
        else:
            self.checksum_bad += 1
        return good


class Books:
    """The books of one socket.

    Args:
        checksum_of: see `Book`.
        depth_max: see `Book`.

    """

    def __init__(self, checksum_of: Callable[[OrderBook], int] | None = None, depth_max: int | None = None) -> None:
        self._checksum_of = checksum_of
        self._depth_max = depth_max
        self._books: dict[str, Book] = {}

    @property
    def by_symbol(self) -> Mapping[str, Book]:
        """The books, by the venue's symbol."""
        return self._books

    def carry(self, instruments: Iterable[Instrument]) -> None:
        """Keep these books and no others."""
        books = self._books
        self._books = {}
        for instrument in instruments:
            kept = books.get(instrument.venue_symbol)
            self._books[instrument.venue_symbol] = kept or Book(instrument, self._checksum_of, self._depth_max)

    def of(self, instrument: Instrument) -> Book:
        """Return an instrument's book, which is begun if there is none yet."""
        book = self._books.get(instrument.venue_symbol)
        if book is None:
            book = self._books[instrument.venue_symbol] = Book(instrument, self._checksum_of, self._depth_max)
        return book

    def due(self, now_ns: int) -> list[Instrument]:
        """Return the instruments whose book is to be subscribed to again, and take it that this is being done."""
        return [book.instrument for book in self._books.values() if book.due(now_ns)]


def _cut(book: OrderBook, delta: BookDelta, depth_max: int) -> BookDelta:
    """Take out what a delta has pushed beyond a depth, and return the delta that says so."""
    bids: list[Level] = [(price, ZERO) for price, _ in book.bids()[depth_max:]]
    asks: list[Level] = [(price, ZERO) for price, _ in book.asks()[depth_max:]]
    if not bids and not asks:
        return delta
    book.apply(msgspec.structs.replace(delta, bids=bids, asks=asks, reset=False))
    return msgspec.structs.replace(delta, bids=[*delta.bids, *bids], asks=[*delta.asks, *asks])
