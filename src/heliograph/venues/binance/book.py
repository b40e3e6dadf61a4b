"""Keeping an order book whole: the sequence rules of Binance's depth streams, and the snapshot that they start from.

Sources: "How to manage a local order book correctly" of
https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams and of
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams .
"""

import enum
from collections import deque
from typing import Final, NamedTuple

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.market import Channel, Gap

BUFFER_MAX: Final = 1000
"""Deltas that wait for a snapshot: at ten a second, longer than any request may take."""
STALE_MAX: Final = 100
"""Old deltas in a row after which the venue's numbers are taken to have started afresh."""
WAIT_NS_MIN: Final = NS_PER_S
WAIT_NS_MAX: Final = 60 * NS_PER_S


class Rule(enum.Enum):
    """How a delta proves that it follows another."""

    FIRST_FOLLOWS = "U == previous u + 1"
    NAMES_PREVIOUS = "pu == previous u"


class Numbered(NamedTuple):
    """A delta and the venue's numbers for it."""

    first: int
    last: int
    previous: int | None
    delta: BookDelta


class Sequence:
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
        self.snapshots_unusable = 0
        self._rule = rule
        self._buffer: deque[Numbered] = deque(maxlen=BUFFER_MAX)
        self._last = 0  # the snapshot's number, then that of the newest delta told
        self._joined = False  # whether a delta has followed the snapshot yet
        self._stale_run = 0
        self._asked = False
        self._due_ns = 0
        self._wait_ns = WAIT_NS_MIN

    def due(self, now_ns: int) -> bool:
        """Tell whether a snapshot is to be asked for, and take it that it is being asked for.

        The first is due at once, a further one no sooner than a wait that doubles while they come to nothing.
        """
        too_soon = self._due_ns - WAIT_NS_MAX <= now_ns < self._due_ns  # A clock set back does not hold us for ever.
        if not self.waiting or self._asked or too_soon:
            return False
        self._asked = True
        self._due_ns = now_ns + self._wait_ns
        return True

    def asked_in_vain(self) -> None:
        """Take it that no usable snapshot came of asking."""
        self._asked = False
        self.snapshots_unusable += 1
        self._wait_ns = min(2 * self._wait_ns, WAIT_NS_MAX)

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
            number: its `lastUpdateId`.
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
        self.waiting = False
        self._asked = False
        self._stale_run = 0
        events.append(snapshot)
        for item in self._buffer:
            self._tell(item, events)
        self._buffer.clear()

    def _follows(self, item: Numbered) -> bool:
        if item.first > item.last or item.last < self._last:
            return False
        if self._rule is Rule.FIRST_FOLLOWS:
            if self._joined:
                return item.first == self._last + 1
            return item.first <= self._last + 1 <= item.last
        if self._joined or item.previous is None:
            return item.previous == self._last
        # The documented rule is U <= number <= u. Nothing of this instrument happened between pu and U, so a snapshot
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
            self._wait_ns = WAIT_NS_MIN
        self._stale_run = 0
        self.applied += 1
        events.append(item.delta)

    def _break(self, item: Numbered, events: list[VenueEvent]) -> None:
        self.gaps += 1
        backwards = item.last <= self._last
        events.append(
            Gap(
                self.instrument,
                Channel.BOOK,
                None,
                None,
                None,
                self._last + 1,
                None if backwards else item.first - 1,
                "the venue's numbers ran backwards" if backwards else "a delta is missing",
                item.delta.received_ns,
            )
        )
        self.waiting = True
        self._stale_run = 0
        self._buffer.clear()
        self._buffer.append(item)
