"""Tickers, folded from what venues tell apart: the top of the book, the last 24 hours, and trades."""

from decimal import Decimal
from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Instrument
from heliograph.model.market import BookTop, DayStatistics, Ticker, Trade

RENUMBERED_AFTER_NS: Final = 5 * NS_PER_S
"""A lower sequence that comes this long after the higher one means that the venue numbers anew."""

Volumes = tuple[Decimal | None, Decimal | None, Decimal | None]
"""In base, in quote, in contracts."""


class TickerFold:
    """One instrument's ticker.

    It exists from the moment when last, bid and ask are all known, and is told again with every change of the book's
    top or of the day's statistics. A trade moves the last price, which the next ticker then carries.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.touched_ns: int | None = None
        """When the top or the statistics last came, news or not."""
        self._top: BookTop | None = None
        self._day: DayStatistics | None = None
        self._volumes: Volumes = (None, None, None)
        self._last: Decimal | None = None
        self._last_ns: int | None = None

    def top(self, top: BookTop) -> Ticker | None:
        """Take the book's top, and return the ticker that it makes; None if it is older than the one known."""
        known = self._top
        if known is not None:
            sequence, before = top.sequence, known.sequence
            if sequence is None or before is None:
                if _older(top.event_ns, known.event_ns):
                    return None
            elif sequence <= before and top.received_ns - known.received_ns < RENUMBERED_AFTER_NS:
                return None
        self._top = top
        last, bid, ask = self._last, top.bid, top.ask
        if last is None or bid is None or ask is None:
            return None
        base, quote, contracts = self._volumes
        return Ticker(  # The hot one of the two places: `_ticker` is the other.
            self.instrument, last, bid, top.bid_quantity, ask, top.ask_quantity, base, quote, contracts,
            top.event_ns, top.received_ns,
        )  # fmt: skip

    def day(self, day: DayStatistics) -> Ticker | None:
        """Take the day's statistics, and return the ticker that they make; None if they are older or the same."""
        known = self._day
        if known is not None and (day.event_ns == known.event_ns is not None or _older(day.event_ns, known.event_ns)):
            return None
        self._day = day
        self._volumes = (day.base_volume, day.quote_volume, day.contracts)
        self._move(day.last, day.event_ns)
        return self._ticker(day)

    def trade(self, trade: Trade) -> None:
        """Take a trade's price as the last one."""
        self._move(trade.price, trade.event_ns)

    def _move(self, last: Decimal, event_ns: int | None) -> None:
        if not _older(event_ns, self._last_ns):
            self._last, self._last_ns = last, event_ns

    def _ticker(self, day: DayStatistics) -> Ticker | None:
        top = self._top
        if top is None or top.bid is None or top.ask is None or self._last is None:
            return None
        return Ticker(
            self.instrument, self._last, top.bid, top.bid_quantity, top.ask, top.ask_quantity, *self._volumes,
            day.event_ns, day.received_ns,
        )  # fmt: skip


def _older(event_ns: int | None, known_ns: int | None) -> bool:
    return event_ns is not None and known_ns is not None and event_ns < known_ns
