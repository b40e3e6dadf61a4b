"""When a candle of a stream is closed: Hyperliquid never says so.

A candle is closed by its successor: a frame of the very next candle of the same instrument and interval, after which
the revision seen last stands. A later one closes nothing: between them nothing may have been traded, or a silence may
have swallowed the end of the first, and only REST can tell. The same holds where the connection fell silent since that
revision. Where no successor comes, as in a quiet market, REST is asked once the candle should be over, and closes it if
its answer or the venue's time proves it. Our own clock decides when to ask and what to doubt, never what is closed.
`Candle.source` tells which of the two it was.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import InstrumentId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle
from heliograph.venues.contract import CandlePage

Key = tuple[InstrumentId, Interval]

OVERDUE_NS: Final = 15 * NS_PER_S
"""How long after a candle's end, by our clock, REST is asked: any later than this, and nothing was traded since."""
SLACK_NS: Final = NS_PER_S // 4
QUIET_NS: Final = 5 * NS_PER_S
"""A socket is silent after twice as long as it usually rests and this slack besides, but after five seconds at most."""
SPACING_NS: Final = 20 * NS_PER_S
"""Between two such requests of one socket: ten sockets then spend half of the venue's budget at most."""
PAUSE_NS_MAX: Final = 640 * NS_PER_S


class Bars:
    """The newest revision of each candle that is not known to be closed.

    Args:
        size_max: how many to remember before starting afresh.

    """

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._open: dict[Key, Candle] = {}
        self._again: dict[Key, tuple[int, int]] = {}  # when to ask again, and how long to wait then
        self._settled: set[Key] = set()  # closed by REST already, so that nothing is to be asked
        self._doubted: set[Key] = set()  # not heard since a silence, so that its last revisions may have been lost
        self._heard_ns = 0
        self._rest_ns = 0  # how long the socket usually says nothing
        self._next_ns = 0

    def take(self, candle: Candle, events: list[VenueEvent]) -> None:
        """Take a revision, and tell it; before it the candle that it closes, if there is one.

        A candle that is left behind and not closed is a hole to whoever follows the candles, and asks REST for it.
        """
        key = (candle.instrument.id, candle.interval)
        known = self._open.get(key)
        if known is None or candle.open_ns > known.open_ns:
            if known is not None:
                if candle.open_ns == known.close_ns and key not in self._doubted:
                    # That it is closed reached us with its successor.
                    events.append(msgspec.structs.replace(known, closed=True, received_ns=candle.received_ns))
                self._again.pop(key, None)
                self._settled.discard(key)
            elif len(self._open) >= self._size_max:
                self.keep(())
            self._open[key] = candle
            self._doubted.discard(key)
        elif candle.open_ns < known.open_ns:
            # A revision that comes late: told as one more final one, so that a difference is found and reported.
            candle = msgspec.structs.replace(candle, closed=True)
        elif (candle.trade_count or 0) >= (known.trade_count or 0):
            self._open[key] = candle
            self._doubted.discard(key)
        events.append(candle)

    def heard(self, received_ns: int) -> None:
        """Take note that the socket says something: after a silence, what is not heard of again may be incomplete.

        What a silence is goes by the socket's own habits: a busy one is known to be silent after a blink, and one that
        seldom speaks costs no more than a question to REST.
        """
        rested_ns = min(max(0, received_ns - self._heard_ns), QUIET_NS + 1) if self._heard_ns else 0
        self._heard_ns = received_ns
        if rested_ns > min(2 * self._rest_ns + SLACK_NS, QUIET_NS):
            self.doubt()
        self._rest_ns += (rested_ns - self._rest_ns) // 16

    def doubt(self) -> None:
        """Take note that something was lost: whatever is not heard of again is not known to be complete."""
        self._doubted.update(self._open)

    def keep(self, wanted: Iterable[Key]) -> None:
        """Forget all others than these: their streams end, so that what was seen last need not be final."""
        kept = frozenset(wanted)
        self._open = {key: candle for key, candle in self._open.items() if key in kept}
        self._again = {key: again for key, again in self._again.items() if key in kept}
        self._settled &= kept
        self._doubted &= kept

    def settled(self, candle: Candle) -> None:
        """Take note that REST closed a candle: there is no need to ask for it any more."""
        key = (candle.instrument.id, candle.interval)
        known = self._open.get(key)
        if known is not None and candle.open_ns >= known.open_ns:
            self._settled.add(key)

    def due(self, now_ns: int) -> CandlePage | None:
        """Return what to ask REST for, if it is time to: the candle whose turn came first.

        Args:
            now_ns: the time of day by our own clock.

        """
        if self._next_ns - SPACING_NS <= now_ns < self._next_ns:  # A clock set back does not hold us for ever.
            return None
        overdue: Candle | None = None
        first_ns = now_ns + 1
        for key, candle in self._open.items():
            if key in self._settled:
                continue
            at_ns = self._again[key][0] if key in self._again else candle.close_ns + OVERDUE_NS
            if at_ns < first_ns:
                overdue, first_ns = candle, at_ns
        if overdue is None:
            return None
        key = (overdue.instrument.id, overdue.interval)
        pause_ns = self._again[key][1] if key in self._again else SPACING_NS
        self._again[key] = (now_ns + pause_ns, min(2 * pause_ns, PAUSE_NS_MAX))
        self._next_ns = now_ns + SPACING_NS
        return CandlePage(overdue.instrument, overdue.interval, overdue.open_ns, None)
