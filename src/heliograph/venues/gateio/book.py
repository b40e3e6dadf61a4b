"""Keeping an order book whole: the numbers of Gate's book updates, and the snapshots that they start from.

Sources: "How to maintain local order book" of https://www.gate.com/docs/developers/apiv4/ws/en/ and of
https://www.gate.com/docs/developers/futures/ws/en/ . Since 2025 an update can also be the whole book (`full`), at any
moment: https://www.gate.com/announcements/article/44678 .
"""

from collections import deque
from typing import Final, NamedTuple

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.market import Channel, Gap

WAITING_MAX: Final = 1000
"""Updates that wait for a snapshot: at ten a second, longer than any request may take."""
BEHIND_MAX: Final = 100
"""Updates in a row that are older than the book, after which the numbers are taken to have started afresh."""
PAUSE_NS_MIN: Final = NS_PER_S
PAUSE_NS_MAX: Final = 60 * NS_PER_S


class Update(NamedTuple):
    """Changes, and the venue's numbers of the first and the last of them."""

    first: int
    last: int
    delta: BookDelta


class Sequence:
    """One instrument's updates, joined to a snapshot and checked one by one: each begins one after the last ended.

    What it tells is always a snapshot and every update since, or a `Gap` and a new start; meanwhile it is `waiting`,
    and wants a snapshot (`due`). The counters are for whoever reports.

    Args:
        instrument: whose book it is.

    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.waiting = True
        self.dropped = 0
        self.applied = 0
        self.gaps = 0
        self.resyncs = 0
        self.snapshots_unusable = 0
        self._kept: deque[Update] = deque()
        self._number = 0  # that of the book as told
        self._exact = False  # whether an update has joined the snapshot yet: it may overlap it, later ones may not
        self._behind = 0
        self._asked = False
        self._next_ask_ns = 0
        self._pause_ns = PAUSE_NS_MIN

    def due(self, now_ns: int) -> bool:
        """Tell whether a snapshot is to be asked for, and take it that it is being asked for.

        The first is due at once, a further one no sooner than a pause that doubles while they come to nothing.
        """
        # The lower bound lets a clock that was set back not hold us for ever.
        paused = self._next_ask_ns - PAUSE_NS_MAX <= now_ns < self._next_ask_ns
        if self._asked or paused or not self.waiting:
            return False
        self._asked = True
        self._next_ask_ns = now_ns + self._pause_ns
        return True

    def asked_in_vain(self) -> None:
        """Take it that no usable snapshot came of asking."""
        self._asked = False
        self.snapshots_unusable += 1
        self._pause_ns = min(self._pause_ns * 2, PAUSE_NS_MAX)

    def take(self, update: Update, events: list[VenueEvent]) -> None:
        """Take an update as it comes: tell it, keep it, drop it, or tell a gap and start afresh."""
        if self.waiting:
            self._keep(update)
        elif self._joins(update):
            self._tell(update, events)
        elif update.last <= self._number and self._behind < BEHIND_MAX:
            self.dropped += 1
            self._behind += 1
        else:
            self._lose(update, events)

    def start(self, snapshot: BookSnapshot, number: int, events: list[VenueEvent]) -> None:
        """Take the snapshot that was asked for; one that nobody waits for changes nothing.

        Args:
            snapshot: the whole book.
            number: its `id`.
            events: where to tell it, and the updates that were kept back for it.

        """
        if not self.waiting:
            return
        kept = deque(update for update in self._kept if update.last > number)
        if kept and kept[0].first > number + 1:
            self.asked_in_vain()  # What lies between the snapshot and the oldest update was never seen.
            return
        self.dropped += len(self._kept) - len(kept)
        self._begin(snapshot, number, events)
        for update in kept:
            self._tell(update, events)

    def replace(self, snapshot: BookSnapshot, number: int, events: list[VenueEvent]) -> None:
        """Take a whole book that the venue sent of its own accord: it counts whatever came before, and is no gap."""
        self.resyncs += 1
        self.dropped += len(self._kept)
        self._begin(snapshot, number, events)

    def _begin(self, snapshot: BookSnapshot, number: int, events: list[VenueEvent]) -> None:
        self._kept.clear()
        self._number = number
        self._exact = self.waiting = self._asked = False
        self._behind = 0
        events.append(snapshot)

    def _joins(self, update: Update) -> bool:
        following = self._number + 1
        if self._exact:
            return update.first == following <= update.last
        return update.first <= following <= update.last

    def _keep(self, update: Update) -> None:
        if self._kept:
            newest = self._kept[-1].last
            if update.last <= newest and self._behind < BEHIND_MAX:
                self.dropped += 1
                self._behind += 1
                return
            if update.first != newest + 1:
                self.dropped += len(self._kept)
                self._kept.clear()
        if len(self._kept) == WAITING_MAX:
            self._kept.popleft()
            self.dropped += 1
        self._behind = 0
        self._kept.append(update)

    def _tell(self, update: Update, events: list[VenueEvent]) -> None:
        self._number = update.last
        if not self._exact:
            self._exact = True
            self._pause_ns = PAUSE_NS_MIN
        self._behind = 0
        self.applied += 1
        events.append(update.delta)

    def _lose(self, update: Update, events: list[VenueEvent]) -> None:
        self.gaps += 1
        backwards = update.last <= self._number
        until = None if backwards else update.first - 1
        reason = "the venue's numbers ran backwards" if backwards else "an update is missing"
        received_ns = update.delta.received_ns
        missing = self._number + 1
        events.append(Gap(self.instrument, Channel.BOOK, None, None, None, missing, until, reason, received_ns))
        self.waiting = True
        self._behind = 0
        self._kept.clear()
        self._kept.append(update)
