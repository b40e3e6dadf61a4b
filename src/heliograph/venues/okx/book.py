"""Keeping an order book whole: OKX's chain of numbers, and the checksum that was real until June 2026.

The snapshot comes in the channel itself. A change names the number before its own (`prevSeqId`); numbers may jump by
any amount, so nothing but that link says that none is missing. A book that broke is subscribed to again.

Sources: "Sequence ID" and "Checksum" of
https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-order-book-channel .
"""

import zlib
from collections.abc import Sequence as AbstractSequence
from itertools import zip_longest
from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta, BookSnapshot, Level, OrderBook
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.market import Channel, Gap
from heliograph.model.numbers import fixed

CHECKSUM_END_NS: Final = 1_782_172_800 * NS_PER_S
"""2026-06-23, since when the venue's checksum is the constant 0. Nothing that is newer is held to it."""
CHECKSUM_LEVELS: Final = 25
STALE_MAX: Final = 10
"""Old changes in a row after which the venue's numbers are taken to have started afresh."""
STEADY_MIN: Final = 600
"""Changes that a book must take, about a minute of them, before its next break is mended without waiting."""
WAIT_NS_MIN: Final = 10 * NS_PER_S
WAIT_NS_MAX: Final = 320 * NS_PER_S


class Sequence:
    """One instrument's snapshot and changes, checked one by one.

    Without a snapshot it is `waiting`: it drops changes and wants to be subscribed to again (`due`). What it tells is
    always a snapshot followed by every change since, or a `Gap` and a new start. The counters are for whoever reports.

    Args:
        instrument: whose book it is.

    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.waiting = True
        self.applied = 0
        """Snapshots and changes told; the venue's signs of life without a change do not count."""
        self.dropped = 0
        self.gaps = 0
        self.replaced = 0
        """Snapshots that came while nothing was amiss."""
        self.checksum_ok = 0
        self.checksum_bad = 0
        self._last: int | None = None  # the number of the newest frame told
        self._shadow: OrderBook | None = None  # the book itself, kept only where checksums are to be verified
        self._stale_run = 0
        self._steady = 0
        self._due_ns: int | None = None
        self._wait_ns = WAIT_NS_MIN

    def asked(self, now_ns: int) -> None:
        """Take it that the book was subscribed to, so that its snapshot is on its way."""
        self._due_ns = now_ns + self._wait_ns

    def due(self, now_ns: int) -> bool:
        """Tell whether to subscribe once more, and take it that it is being done.

        A snapshot that does not come, and one that breaks soon, are asked for again after a wait that doubles.
        """
        if not self.waiting:
            return False
        if self._due_ns is not None and self._due_ns - WAIT_NS_MAX <= now_ns < self._due_ns:
            return False  # A clock that was set back does not hold us for ever.
        self._wait_ns = min(2 * self._wait_ns, WAIT_NS_MAX)
        self.asked(now_ns)
        return True

    def start(self, snapshot: BookSnapshot, checksum: int | None, events: list[VenueEvent]) -> None:
        """Take a snapshot, at whatever time it comes: it replaces the book."""
        if not self.waiting:
            self.replaced += 1
        self.waiting = False
        self._last = snapshot.sequence
        self._stale_run = self._steady = 0
        self._shadow = None
        if _real(checksum, snapshot.event_ns):
            self._shadow = OrderBook(snapshot.instrument)
            self._shadow.replace(snapshot)
            if not self._verified(checksum):
                self._break("a checksum does not match", None, snapshot.received_ns, events)
                return
        self.applied += 1
        events.append(snapshot)

    def take(self, delta: BookDelta, previous: int | None, checksum: int | None, events: list[VenueEvent]) -> None:
        """Take a change as it comes: tell it, pass over it, or tell a gap and wait for a snapshot.

        Args:
            delta: the change; its `sequence` is the venue's `seqId`.
            previous: its `prevSeqId`; None in recordings that are older than these numbers.
            checksum: what the book's checksum is after it.
            events: where to tell it.

        """
        if self.waiting:
            self.dropped += 1
            return
        sequence, last = delta.sequence, self._last
        if previous is None or sequence is None:
            if self._shadow is None:
                self._break("a change without a number", None, delta.received_ns, events)
                return
        elif previous != last:
            if last is not None and previous <= sequence <= last and self._stale_run < STALE_MAX:
                self._stale_run += 1
                self.dropped += 1
            else:
                self._break("a change is missing", previous, delta.received_ns, events)
            return
        elif sequence < previous:
            self._break("the venue's numbers began anew", None, delta.received_ns, events)
            return
        elif sequence == previous and not delta.bids and not delta.asks:
            return
        if self._shadow is not None:
            self._shadow.apply(delta)
            if _real(checksum, delta.event_ns) and not self._verified(checksum):
                self._break("a checksum does not match", None, delta.received_ns, events)
                return
        self._last = sequence
        self._stale_run = 0
        self._steady += 1
        if self._steady == STEADY_MIN:
            self._wait_ns = WAIT_NS_MIN
            self._due_ns = None
        self.applied += 1
        events.append(delta)

    def counters(self) -> dict[str, int]:
        """Return how the book fared; what never happened is left out, but for the checksums."""
        always = {"applied": self.applied, "checksum_ok": self.checksum_ok, "checksum_bad": self.checksum_bad}
        rare = {"dropped": self.dropped, "gaps": self.gaps, "replaced": self.replaced}
        return always | {name: count for name, count in rare.items() if count}

    def _verified(self, checksum: int | None) -> bool:
        assert self._shadow is not None
        assert checksum is not None
        good = checksum_of(self._shadow.bids(CHECKSUM_LEVELS), self._shadow.asks(CHECKSUM_LEVELS)) == checksum
        if good:
            self.checksum_ok += 1
        else:
            self.checksum_bad += 1
        return good

    def _break(self, reason: str, to_sequence: int | None, received_ns: int, events: list[VenueEvent]) -> None:
        self.gaps += 1
        first = None if self._last is None else self._last + 1
        to = None if to_sequence is None or first is None or to_sequence < first else to_sequence
        events.append(Gap(self.instrument, Channel.BOOK, None, None, None, first, to, reason, received_ns))
        self.waiting = True
        self._stale_run = 0
        self._shadow = None


def checksum_of(bids: AbstractSequence[Level], asks: AbstractSequence[Level]) -> int:
    """Return the signed CRC32 of the best 25 levels of each side, in turn, with the digits that the venue sent."""
    sides = zip_longest(bids[:CHECKSUM_LEVELS], asks[:CHECKSUM_LEVELS])
    text = ":".join([f"{fixed(level[0])}:{fixed(level[1])}" for pair in sides for level in pair if level is not None])
    value = zlib.crc32(text.encode())
    return value - 2**32 if value >= 2**31 else value


def _real(checksum: int | None, event_ns: int | None) -> bool:
    # The simulated exchange sent the constant 0 three weeks before the real one did.
    return bool(checksum) and event_ns is not None and event_ns < CHECKSUM_END_NS
