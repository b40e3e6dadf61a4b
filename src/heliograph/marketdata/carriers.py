"""Continuity of trades that the venue does not number: which connections' trades follow what was told.

A connection tells an instrument's trades in the venue's order and leaves none out, so those of a connection that has
told before follow by themselves; it is a *carrier*. What another one tells waits, until it is known to follow: because
it says again what was told, as some venues do to whoever subscribes; because it took over from a carrier in a planned
move, while both were connected; or because no carrier is left, and then what was lost between is told as a `Gap`.
Where two are carriers, whichever is ahead tells, and the other repeats.
"""

from collections.abc import Sequence
from typing import Final

from heliograph.marketdata.dedupe import TradeIds
from heliograph.metrics import FeedMetrics
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument
from heliograph.model.market import Channel, Gap, Trade

LOST: Final = "the connection was lost, and the venue does not number its trades"
APART: Final = "two connections tell different trades, and the venue does not number them"


class Carriers:
    """The trades of one instrument that carry no number.

    Args:
        instrument: whose trades.
        ids: those told.
        metrics: where duplicates and gaps are counted.
        held_max: trades of a connection that may wait for what they follow.
        dedupe: False delivers what is repeated as well.
        explicit: False leaves gaps untold.

    """

    def __init__(
        self,
        instrument: Instrument,
        ids: TradeIds,
        metrics: FeedMetrics,
        held_max: int,
        *,
        dedupe: bool = True,
        explicit: bool = True,
    ) -> None:
        self._instrument = instrument
        self._ids = ids
        self._metrics = metrics
        self._held_max = held_max
        self._dedupe = dedupe
        self._explicit = explicit
        self._begun = False
        self._last: Trade | None = None
        self._carriers: set[int] = set()
        self._heirs: dict[int, int] = {}
        self._waiting: dict[int, list[Trade]] = {}

    def take(self, trade: Trade, source: int, now_ns: int, out: list[Event]) -> bool:
        """Take a trade of a connection, and tell whether it waits: then `settle` is to follow once its batch is in."""
        if source not in self._carriers:
            if self._begun:
                self._waiting.setdefault(source, []).append(trade)
                return True
            self._begun = True
            self._carriers.add(source)
        if trade.trade_id is None or self._ids.is_new(trade.trade_id, now_ns):
            self._last = trade
            out.append(trade)
        else:
            self._repeated(trade, out)
        return False

    def settle(self, now_ns: int, out: list[Event]) -> None:
        """Tell what waits, as far as it is known to follow, or cannot be."""
        for source, trades in list(self._waiting.items()):
            trades.sort(key=_time_of)  # Stable; what is said again need not come in the order in which it happened.
            following = self._after_known(trades)
            if following is not None:
                self._join(source, following, now_ns, out)
            elif not self._carriers:
                self._part(source, trades, LOST, now_ns, out)
            elif len(trades) > self._held_max:
                self._part(source, trades, APART, now_ns, out)

    def relieved(self, source: int, heir: int) -> None:
        """Take note that a connection is about to end, and that another one already carries all that it does."""
        if source in self._carriers:
            self._heirs[source] = heir

    def lost(self, source: int, now_ns: int, out: list[Event]) -> None:
        """Take note that a connection is gone for good."""
        self._waiting.pop(source, None)
        self._heirs = {old: heir for old, heir in self._heirs.items() if heir != source}
        heir = self._heirs.pop(source, None)
        if source not in self._carriers:
            return
        self._carriers.discard(source)
        if self._carriers:
            return
        if heir is not None:
            waiting = self._waiting.get(heir, [])
            following = self._after_known(waiting)
            self._join(heir, waiting if following is None else following, now_ns, out)
        else:
            self.settle(now_ns, out)

    def _join(self, source: int, trades: Sequence[Trade], now_ns: int, out: list[Event]) -> None:
        """Make a connection a carrier, and tell those of its trades that follow."""
        self._metrics.duplicates += len(self._waiting.pop(source, ())) - len(trades)
        self._carriers.add(source)
        for trade in trades:
            self.take(trade, source, now_ns, out)

    def _part(self, source: int, trades: Sequence[Trade], reason: str, now_ns: int, out: list[Event]) -> None:
        """Make a connection a carrier whose trades do not follow, and tell the gap before them."""
        last = self._last
        if last is not None and last.event_ns is not None:
            since_ns = last.event_ns
            trades = [trade for trade in trades if trade.event_ns is None or trade.event_ns >= since_ns]
        if not trades:  # All are from before what was told last: what comes after them is still to be heard.
            self._metrics.duplicates += len(self._waiting.pop(source))
            return
        if last is not None and self._explicit:
            first = trades[0]
            out.append(
                Gap(
                    self._instrument, Channel.TRADES, None, last.event_ns, first.event_ns, None, None, reason,
                    first.received_ns,
                )
            )  # fmt: skip
            self._metrics.gaps_found += 1
            self._metrics.gaps_unfilled += 1
        self._join(source, trades, now_ns, out)

    def _after_known(self, trades: Sequence[Trade]) -> Sequence[Trade] | None:
        """Return the trades behind the last one that was told; None if none of them was."""
        if not self._dedupe:
            return trades
        for index in range(len(trades) - 1, -1, -1):
            trade_id = trades[index].trade_id
            if trade_id is not None and trade_id in self._ids:
                return trades[index + 1 :]
        return None

    def _repeated(self, trade: Trade, out: list[Event]) -> None:
        self._metrics.duplicates += 1
        if not self._dedupe:
            out.append(trade)


def _time_of(trade: Trade) -> int:
    return trade.event_ns or 0
