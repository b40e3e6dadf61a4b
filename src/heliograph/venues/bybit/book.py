"""Keeping an order book whole: the sequence rule of Bybit's book topics.

Source: "Process snapshot/delta" of https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook . That `u` rises
by exactly one with each delta is not documented, but was seen to hold without exception (2026-09, 165,011 deltas).
"""

from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.market import Channel, Gap

STALE_MAX: Final = 100
"""Old deltas in a row after which the venue's numbers are taken to have started afresh."""
RESTARTED: Final = 1
"""The number of the book that follows a restart of the venue's service; it replaces the one before."""
WAIT_NS_MIN: Final = 5 * NS_PER_S
WAIT_NS_MAX: Final = 60 * NS_PER_S


class Sequence:
    """One instrument's book topic: a snapshot, and deltas that are checked one by one.

    Without a snapshot it is `waiting`: deltas are dropped, and it wants the topic to be asked for again (`due`), whose
    first frame is a snapshot. What it tells is always a snapshot followed by every delta since, or a `Gap` and a new
    start. The counters are for whoever reports.

    Args:
        instrument: whose book it is.
        depth: the topic's; a book of another depth has numbers of its own.

    """

    def __init__(self, instrument: Instrument, depth: int) -> None:
        self.instrument = instrument
        self.depth = depth
        self.waiting = True
        self.dropped = 0
        self.applied = 0
        self.gaps = 0
        self.resyncs = 0
        """Snapshots that came unasked and replaced a book that was whole."""
        self.restarts = 0
        """Those of them that say that the venue's service was restarted."""
        self._last = 0
        self._stale_run = 0
        self._due_ns: int | None = None  # None: the subscription itself has just asked for a snapshot
        self._wait_ns = WAIT_NS_MIN

    def due(self, now_ns: int) -> bool:
        """Tell whether the topic is to be asked for again, and take it that it is being asked for.

        After a gap it is due at once, and then no sooner than a wait that doubles until a delta follows a snapshot.
        """
        if not self.waiting:
            return False
        if self._due_ns is None:
            self._due_ns = now_ns + self._wait_ns
            return False
        if self._due_ns - WAIT_NS_MAX <= now_ns < self._due_ns:  # A clock set back does not hold us for ever.
            return False
        self._due_ns = now_ns + self._wait_ns
        self._wait_ns = min(2 * self._wait_ns, WAIT_NS_MAX)
        return True

    def start(self, snapshot: BookSnapshot, number: int, events: list[VenueEvent]) -> None:
        """Take a snapshot, which replaces whatever was known."""
        if not self.waiting:
            self.resyncs += 1
            if number == RESTARTED:
                self.restarts += 1
        elif self._due_ns is None:
            self._due_ns = snapshot.received_ns  # A first gap is mended at once.
        self.waiting = False
        self._last = number
        self._stale_run = 0
        events.append(snapshot)

    def take(self, delta: BookDelta, number: int, events: list[VenueEvent]) -> None:
        """Take a delta: tell it, drop it, or tell a gap and wait for a snapshot."""
        if number == self._last + 1 and not self.waiting:
            self._last = number
            self._stale_run = 0
            self._wait_ns = WAIT_NS_MIN
            self.applied += 1
            events.append(delta)
        elif self.waiting:
            self.dropped += 1
        elif number <= self._last and self._stale_run < STALE_MAX:
            self.dropped += 1
            self._stale_run += 1
        else:
            self._break(number, delta.received_ns, events)

    def _break(self, number: int, received_ns: int, events: list[VenueEvent]) -> None:
        backwards = number <= self._last
        reason = "the venue's numbers ran backwards" if backwards else "a delta is missing"
        to_sequence = None if backwards else number - 1
        first = self._last + 1
        events.append(Gap(self.instrument, Channel.BOOK, None, None, None, first, to_sequence, reason, received_ns))
        self.gaps += 1
        self.dropped += 1
        self.waiting = True
        self._stale_run = 0
