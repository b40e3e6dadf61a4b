"""When a candle of a stream is closed: Kraken never says so, and tells no candle in which nothing was traded.

Each trade brings a revision of its candle, in order, on a connection that loses nothing. So the revision seen last
stands once the very next candle begins. A later candle closes nothing here: the silence between them is a hole to
whoever follows the candles, and REST fills it with candles that are flat. Where no successor comes, REST is asked once
the candle should be over. So it is after a silence of the whole connection, which has a sign of life every second: one
by our clock, or one that the venue's times show, since they went on by more than there were signs of life between them.

Source: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ohlc ("on trade events").
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
"""How long after a candle's end, by our clock, REST is asked."""
SILENCE_NS: Final = 3 * NS_PER_S
"""A connection that said nothing for this long has stood still: signs of life come each second."""
SIGN_NS: Final = NS_PER_S * 5 // 4
"""How much time may pass at the venue for each sign of life; they come "approximately" each second."""
SPACING_NS: Final = 10 * NS_PER_S
"""Between two such requests of one socket: the venue suffers one a second, of all sockets together."""
AGAIN_NS: Final = 60 * NS_PER_S


class Bars:
    """The newest revision of each candle of one socket that is not known to be closed."""

    def __init__(self) -> None:
        self._open: dict[Key, Candle] = {}
        self._wanted: dict[Key, int] = {}  # when to ask REST for it; not if REST has closed it
        self._doubted: set[Key] = set()
        self._heard_ns = 0
        self._venue_ns = 0
        self._signs = 0
        self._next_ns = 0

    def heard(self, received_ns: int) -> None:
        """Take note that the connection says something: revisions before a silence may not have been the last."""
        if self._heard_ns and received_ns - self._heard_ns > SILENCE_NS:
            self._doubted.update(self._open)
        self._heard_ns = received_ns

    def alive(self) -> None:
        """Take note of a sign of life, which has no time."""
        self._signs += 1

    def told(self, venue_ns: int) -> None:
        """Take note of a time that the venue told; those before the newest do not count."""
        if venue_ns <= self._venue_ns:
            return
        if self._venue_ns and venue_ns - self._venue_ns > SILENCE_NS + self._signs * SIGN_NS:
            self._doubted.update(self._open)
        self._venue_ns = venue_ns
        self._signs = 0

    def take(self, candle: Candle, events: list[VenueEvent]) -> None:
        """Take a revision, and tell it; before it the candle that it closes, if there is one.

        One that is closed already, as a snapshot has them, needs no successor.
        """
        key = (candle.instrument.id, candle.interval)
        known = self._open.get(key)
        if known is None or candle.open_ns > known.open_ns:
            followed = known is not None and candle.open_ns == known.close_ns and key not in self._doubted
            if known is not None and followed and not known.closed:
                events.append(msgspec.structs.replace(known, closed=True, received_ns=candle.received_ns))
            self._wanted[key] = candle.close_ns + OVERDUE_NS
        elif candle.open_ns < known.open_ns:
            return  # A snapshot repeats it: what it was has been told, or is asked for.
        elif (candle.trade_count or 0) < (known.trade_count or 0):
            return
        self._open[key] = candle
        self._doubted.discard(key)
        events.append(candle)

    def keep(self, wanted: Iterable[Key]) -> None:
        """Forget all others than these: their streams end, so that what was seen last need not be final."""
        kept = frozenset(wanted)
        self._open = {key: candle for key, candle in self._open.items() if key in kept}
        self._wanted = {key: at_ns for key, at_ns in self._wanted.items() if key in kept}
        self._doubted &= kept

    def settled(self, candle: Candle) -> None:
        """Take note that REST closed a candle."""
        key = (candle.instrument.id, candle.interval)
        known = self._open.get(key)
        if known is not None and candle.open_ns >= known.open_ns:
            self._wanted.pop(key, None)

    def due(self, now_ns: int) -> CandlePage | None:
        """Return what to ask REST for, if it is time to: the candle whose turn came first.

        Args:
            now_ns: the time of day by our own clock.

        """
        if not self._wanted or self._next_ns - SPACING_NS <= now_ns < self._next_ns:
            return None
        key = min(self._wanted, key=self._wanted.__getitem__)
        if self._wanted[key] > now_ns:
            return None
        self._wanted[key] = now_ns + AGAIN_NS
        self._next_ns = now_ns + SPACING_NS
        candle = self._open[key]
        return CandlePage(candle.instrument, candle.interval, candle.open_ns, None)
