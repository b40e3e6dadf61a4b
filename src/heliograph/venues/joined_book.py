"""Books whose snapshot is asked of REST: deltas are kept back for it, joined to it by number, and checked one by one.

Sources: "How to manage a local order book correctly" of
https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams and of
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams ; "How to maintain local
order book" of https://www.gate.com/docs/developers/apiv4/ws/en/ .
"""

import enum
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.market import Channel, Gap
from heliograph.venues.again import Again
from heliograph.venues.contract import BookPage, Effect, Fetch, Request

BUFFER_MAX: Final = 1000
"""Deltas that wait for a snapshot: at ten a second, longer than any request may take."""
STALE_MAX: Final = 100
"""Old deltas in a row after which the venue's numbers are taken to have started afresh."""
WAIT_NS_MIN: Final = NS_PER_S
WAIT_NS_MAX: Final = 60 * NS_PER_S


class Rule(enum.Enum):
    """How a delta proves that it follows another."""

    FIRST_FOLLOWS = "first == previous last + 1"
    NAMES_PREVIOUS = "previous == previous last"


class Numbered(NamedTuple):
    """A delta and the venue's numbers for it: of its first change and its last, and of the one before it."""

    first: int
    last: int
    previous: int | None
    delta: BookDelta


class Book:
    """One instrument's deltas, joined to a snapshot and checked one by one.

    Without a snapshot it is `waiting`: it keeps deltas back and wants to be given one (`due`). What it tells is always
    a snapshot followed by every delta since, or a `Gap` and a new start. The counters are for whoever reports.

    Args:
        instrument: whose book it is.
        rule: the market's rule.

    """

    def __init__(self, instrument: Instrument, rule: Rule) -> None:
        self.instrument = instrument
        self.waiting = True
        self.dropped = 0
        self.applied = 0
        self.gaps = 0
        self.resyncs = 0
        """Whole books that the venue sent of its own accord."""
        self.snapshots_unusable = 0
        self._rule = rule
        self._buffer: deque[Numbered] = deque(maxlen=BUFFER_MAX)
        self._last = 0  # the snapshot's number, then that of the newest delta told
        self._joined = False  # whether a delta has followed the snapshot yet: it may overlap it, later ones may not
        self._stale_run = 0
        self._asked = False
        self._again = Again(WAIT_NS_MIN, WAIT_NS_MAX)

    def due(self, now_ns: int) -> bool:
        """Tell whether a snapshot is to be asked for, and take it that it is being asked for.

        The first is due at once, a further one no sooner than a wait that doubles while they come to nothing.
        """
        if self._asked or not self.waiting or not self._again.due(now_ns):
            return False
        self._asked = True
        self._again.asked(now_ns)
        return True

    def asked_in_vain(self) -> None:
        """Take it that no usable snapshot came of asking."""
        self._asked = False
        self.snapshots_unusable += 1
        self._again.in_vain()

    def take(self, item: Numbered, events: list[VenueEvent]) -> None:
        """Take a delta as it comes: tell it, keep it, drop it, or tell a gap and start afresh."""
        if self.waiting:
            self._keep(item)
        elif self._follows(item):
            self._tell(item, events)
        elif self._stale(item) and self._stale_run < (STALE_MAX if self._joined else BUFFER_MAX):
            self.dropped += 1
            self._stale_run += 1
        else:
            self._break(item, events)

    def start(self, snapshot: BookSnapshot, number: int, events: list[VenueEvent]) -> None:
        """Take the snapshot that was asked for; one that nobody waits for changes nothing.

        Args:
            snapshot: the whole book.
            number: that of the last change in it.
            events: where to tell it, and the deltas that were kept back for it.

        """
        if not self.waiting:
            return
        self._last = number
        self._joined = False
        while self._buffer and self._stale(self._buffer[0]) and not self._follows(self._buffer[0]):
            self._buffer.popleft()
            self.dropped += 1
        if self._buffer and not self._follows(self._buffer[0]):
            self.asked_in_vain()  # It is older than the oldest delta: what lies between was never seen.
            return
        self._begin()
        events.append(snapshot)
        for item in self._buffer:
            self._tell(item, events)
        self._buffer.clear()

    def replace(self, snapshot: BookSnapshot, number: int, events: list[VenueEvent]) -> None:
        """Take a whole book that the venue sent of its own accord: it counts whatever came before, and is no gap."""
        self.resyncs += 1
        self.dropped += len(self._buffer)
        self._buffer.clear()
        self._last = number
        self._joined = False
        self._begin()
        events.append(snapshot)

    def _begin(self) -> None:
        self.waiting = self._asked = False
        self._stale_run = 0

    def _follows(self, item: Numbered) -> bool:
        if item.first > item.last or item.last < self._last:
            return False
        if self._rule is Rule.FIRST_FOLLOWS:
            if self._joined:
                return item.first == self._last + 1
            return item.first <= self._last + 1 <= item.last
        if self._joined or item.previous is None:
            return item.previous == self._last
        # Binance's rule is U <= number <= u. Nothing of this instrument happened between pu and U, so a snapshot
        # from there joins as well; levels are totals, so one from within the delta does.
        return item.previous <= self._last <= item.last

    def _stale(self, item: Numbered) -> bool:
        return item.last <= self._last

    def _keep(self, item: Numbered) -> None:
        if self._buffer:
            newest = self._buffer[-1]
            if item.last <= newest.last and self._stale_run < STALE_MAX:
                self.dropped += 1
                self._stale_run += 1
                return
            linked = item.first == newest.last + 1 if self._rule is Rule.FIRST_FOLLOWS else item.previous == newest.last
            if not linked:
                self.dropped += len(self._buffer)
                self._buffer.clear()
        if len(self._buffer) == BUFFER_MAX:
            self.dropped += 1
        self._stale_run = 0
        self._buffer.append(item)

    def _tell(self, item: Numbered, events: list[VenueEvent]) -> None:
        self._last = item.last
        if not self._joined:
            self._joined = True
            self._again.worked()
        self._stale_run = 0
        self.applied += 1
        events.append(item.delta)

    def _break(self, item: Numbered, events: list[VenueEvent]) -> None:
        self.gaps += 1
        backwards = item.last <= self._last
        to = None if backwards else item.first - 1
        reason = "the venue's numbers ran backwards" if backwards else "a delta is missing"
        received_ns = item.delta.received_ns
        events.append(Gap(self.instrument, Channel.BOOK, None, None, None, self._last + 1, to, reason, received_ns))
        self.waiting = True
        self._stale_run = 0
        self._buffer.clear()
        self._buffer.append(item)


class Books:
    """The books of one socket, by the venue's symbol, and the requests for their snapshots.

    Args:
        rule: the market's rule.
        request: asks for a snapshot.
        open_to_all: whether a book of an instrument that nobody named is welcome.

    """

    def __init__(self, rule: Rule, request: Callable[[Instrument], Request], *, open_to_all: bool) -> None:
        self._rule = rule
        self._request = request
        self._open_to_all = open_to_all
        self._books: dict[str, Book] = {}

    def carry(self, instruments: Iterable[Instrument]) -> None:
        """Keep these books and no others."""
        self._books = {i.venue_symbol: self._books.get(i.venue_symbol) or Book(i, self._rule) for i in instruments}

    def drop(self, instrument: Instrument) -> None:
        """Forget a book that the venue refuses, lest its snapshot be asked for, for ever."""
        self._books.pop(instrument.venue_symbol, None)

    def take(self, item: Numbered, events: list[VenueEvent], effects: list[Effect]) -> bool:
        """Take a delta, and ask for a snapshot if that is due; False if its book is not carried."""
        book = self._of(item.delta.instrument)
        if book is None:
            return False
        book.take(item, events)
        if book.waiting and book.due(item.delta.received_ns):
            effects.append(Fetch(self._request(book.instrument)))
        return True

    def replace(self, snapshot: BookSnapshot, number: int, events: list[VenueEvent]) -> bool:
        """Take a whole book that came unasked; False if its book is not carried."""
        book = self._of(snapshot.instrument)
        if book is not None:
            book.replace(snapshot, number, events)
        return book is not None

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        """Ask for the snapshots that are due."""
        due = [book.instrument for book in self._books.values() if book.due(now_ns)]
        effects.extend([Fetch(self._request(instrument)) for instrument in due])

    def awaited(self, instrument: Instrument) -> bool:
        """Tell whether somebody waits for a snapshot; not so of a book that was left in the meantime."""
        book = self._of(instrument)
        return book is not None and book.waiting

    def start(self, snapshot: BookSnapshot, events: list[VenueEvent]) -> None:
        """Take a snapshot that was asked for; raise `ValueError` if it has no number."""
        if snapshot.sequence is None:
            raise ValueError("a book without its number")
        book = self._of(snapshot.instrument)
        if book is not None:
            book.start(snapshot, snapshot.sequence, events)

    def failed(self, request: Request) -> None:
        """Take it that a request came to nothing: if it was for a snapshot, that is asked for again, later."""
        if isinstance(request.purpose, BookPage):
            book = self._books.get(request.purpose.instrument.venue_symbol)
            if book is not None:
                book.asked_in_vain()

    def counters(self, *names: str) -> dict[str, dict[str, int]]:
        """Return each book's counters, by the venue's symbol: `dropped`, `applied`, `gaps` and those named."""
        shown = ("dropped", "applied", "gaps", *names)
        return {symbol: {name: getattr(book, name) for name in shown} for symbol, book in self._books.items()}

    def _of(self, instrument: Instrument) -> Book | None:
        book = self._books.get(instrument.venue_symbol)
        if book is None and self._open_to_all:
            book = self._books[instrument.venue_symbol] = Book(instrument, self._rule)
        return book
