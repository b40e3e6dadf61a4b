"""Tickers, folded from what venues tell apart: the top of the book, the last 24 hours, and trades."""

from decimal import Decimal
from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Instrument
from heliograph.model.market import BookTop, DayStatistics, Ticker, Trade

RENUMBERED_AFTER_NS: Final = 5 * NS_PER_S
"""A lower sequence that comes this long after the higher one means that the venue numbers anew."""


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
        self._last: Decimal | None = None
        self._last_ns: int | None = None

    def top(self, top: BookTop) -> Ticker | None:
        """Take the book's top, and return the ticker that it makes; None if it is older than the one known."""
        known = self._top
        if known is not None:
            if top.sequence is not None and known.sequence is not None:
                if top.sequence <= known.sequence and top.received_ns - known.received_ns < RENUMBERED_AFTER_NS:
                    return None
            elif _older(top.event_ns, known.event_ns):
                return None
        self._top = top
        return self._ticker(top.event_ns, top.received_ns)

    def day(self, day: DayStatistics) -> Ticker | None:
        """Take the day's statistics, and return the ticker that they make; None if they are older or the same."""
        known = self._day
        if known is not None and (day.event_ns == known.event_ns is not None or _older(day.event_ns, known.event_ns)):
            return None
        self._day = day
        self._move(day.last, day.event_ns)
        return self._ticker(day.event_ns, day.received_ns)

    def trade(self, trade: Trade) -> None:
        """Take a trade's price as the last one."""
        self._move(trade.price, trade.event_ns)

    def _move(self, last: Decimal, event_ns: int | None) -> None:
        if not _older(event_ns, self._last_ns):
            self._last, self._last_ns = last, event_ns

    def _ticker(self, event_ns: int | None, received_ns: int) -> Ticker | None:
        top, day, last = self._top, self._day, self._last
        if top is None or last is None or top.bid is None or top.ask is None:
            return None
        if day is None:
            return Ticker(
                self.instrument, last, top.bid, top.bid_quantity, top.ask, top.ask_quantity, None, None, None,
                event_ns, received_ns,
            )  # fmt: skip
        return Ticker(
            self.instrument, last, top.bid, top.bid_quantity, top.ask, top.ask_quantity, day.base_volume,
            day.quote_volume, day.contracts, event_ns, received_ns,
        )  # fmt: skip


def _older(event_ns: int | None, known_ns: int | None) -> bool:
    return event_ns is not None and known_ns is not None and event_ns < known_ns
