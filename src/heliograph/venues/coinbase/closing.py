"""When a candle of the stream is closed: Coinbase never says so, and may not tell its end.

The channel tells each second how the present candle stands. What was traded after the last such second of a candle may
be told no more, so that neither the next candle nor silence closes one: REST does. It is asked once the venue's own
time is past the end by so much that what is late has come. Our own clock has no part in it.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Instrument
from heliograph.model.market import Candle
from heliograph.venues.coinbase.streams import STREAMED
from heliograph.venues.contract import CandlePage

LATE_NS: Final = 2 * NS_PER_S
"""How long after a candle's end REST is asked first; hearts beat every second, so that it is up to a second more."""
PAUSE_NS_MIN: Final = 9 * NS_PER_S
"""Until it is asked again, if the answer has proven nothing. Then a row needs no other row after it to be final."""
PAUSE_NS_MAX: Final = 320 * NS_PER_S


class _Pending(msgspec.Struct):
    instrument: Instrument
    from_ns: int  # the oldest candle that is not known to be closed
    newest_ns: int
    ask_ns: int
    pause_ns: int = 0


class Closing:
    """The candles that are not known to be closed.

    Args:
        size_max: of how many instruments to remember some before starting afresh.

    """

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._pending: dict[str, _Pending] = {}

    def take(self, candle: Candle) -> None:
        """Take note of a candle that the stream told."""
        symbol = candle.instrument.venue_symbol
        pending = self._pending.get(symbol)
        if pending is not None:
            pending.newest_ns = max(pending.newest_ns, candle.open_ns)
            return
        if len(self._pending) >= self._size_max:
            self._pending.clear()
        ask_ns = candle.close_ns + LATE_NS
        self._pending[symbol] = _Pending(candle.instrument, candle.open_ns, candle.open_ns, ask_ns)

    def settled(self, candle: Candle) -> None:
        """Take note that REST closed a candle: what is left is the newest, if that is another."""
        symbol = candle.instrument.venue_symbol
        pending = self._pending.get(symbol)
        if pending is None or candle.interval is not STREAMED or candle.open_ns < pending.from_ns:
            return
        if pending.newest_ns <= candle.open_ns:
            del self._pending[symbol]
        else:
            newest_ns = pending.newest_ns
            ask_ns = STREAMED.next_open(newest_ns) + LATE_NS
            self._pending[symbol] = _Pending(pending.instrument, newest_ns, newest_ns, ask_ns)

    def keep(self, symbols: Iterable[str]) -> None:
        """Forget the candles of all others than these."""
        kept = frozenset(symbols)
        self._pending = {symbol: pending for symbol, pending in self._pending.items() if symbol in kept}

    def due(self, venue_ns: int) -> list[CandlePage]:
        """Return what to ask REST for at this time of the venue's, and take it that it is being done.

        The first question ends with the candle itself, which another row then closes; the next ones do not end.
        """
        pages = []
        for pending in self._pending.values():
            if venue_ns < pending.ask_ns:
                continue
            first = not pending.pause_ns
            pages.append(CandlePage(pending.instrument, STREAMED, pending.from_ns, pending.from_ns if first else None))
            pending.pause_ns = PAUSE_NS_MIN if first else min(2 * pending.pause_ns, PAUSE_NS_MAX)
            pending.ask_ns = venue_ns + pending.pause_ns
        return pages
