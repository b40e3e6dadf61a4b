"""What has been told already: revisions of candles, and trades that carry no sequence."""

from collections import deque
from decimal import Decimal
from typing import Final

from heliograph.model.instrument import InstrumentId
from heliograph.model.market import Candle

KEPT: Final = 64
"""Ids of an instrument's newest trades that are remembered however old: venues were seen to repeat thirty."""


def supersedes(candle: Candle, known: Candle) -> bool:
    """Tell whether a revision of a candle is news to whoever knows an earlier one of the same open time.

    The venue's event time decides; where one of the two has none, or both the same, the count of trades does, and
    then the volume, since both only grow while a candle is open. Equal in all three is a duplicate.
    """
    event_ns, known_ns = candle.event_ns, known.event_ns
    if event_ns != known_ns and event_ns is not None and known_ns is not None:
        return event_ns > known_ns
    count, known_count = candle.trade_count, known.trade_count
    if count != known_count and count is not None and known_count is not None:
        return count > known_count
    volume, known_volume = _volume(candle), _volume(known)
    if volume is None or known_volume is None:
        return (candle.open, candle.high, candle.low, candle.close) != (known.open, known.high, known.low, known.close)
    return volume > known_volume


def conflicts(candle: Candle, final: Candle) -> bool:
    """Tell whether two final revisions of one candle disagree; what only one of them says is no conflict."""
    return (
        candle.open != final.open
        or candle.high != final.high
        or candle.low != final.low
        or candle.close != final.close
        or _differ(candle.base_volume, final.base_volume)
        or _differ(candle.quote_volume, final.quote_volume)
        or _differ(candle.contracts, final.contracts)
        or _differ(candle.trade_count, final.trade_count)
    )


def _volume(candle: Candle) -> Decimal | None:
    return candle.contracts if candle.base_volume is None else candle.base_volume


def _differ(one: object, other: object) -> bool:
    return one is not None and other is not None and one != other


class TradeIds:
    """The ids of one instrument's recent trades. Made by `TradeWindow.open`."""

    __slots__ = ("_order", "_seen", "_window", "_window_ns")

    def __init__(self, window: "TradeWindow") -> None:
        self._window = window
        self._window_ns = window.window_ns
        self._seen: dict[str, int] = {}  # when
        # Oldest first: a dict that is eaten from its front becomes slow. Most trades are numbered, and need none.
        self._order: deque[str] | None = None

    def __len__(self) -> int:
        return 0 if self._order is None else len(self._order)

    def __contains__(self, trade_id: str) -> bool:
        return trade_id in self._seen

    def is_new(self, trade_id: str, now_ns: int) -> bool:
        """Tell whether this id was not seen yet, and remember it.

        Args:
            trade_id: the venue's id.
            now_ns: the time, from a clock that never runs backwards.

        """
        seen = self._seen
        if trade_id in seen:
            return False
        seen[trade_id] = now_ns
        order = self._order
        if order is None:
            order = self._order = deque()
        order.append(trade_id)
        if len(order) > KEPT:
            window = self._window
            window.excess += 1
            while len(order) > KEPT and (
                now_ns - seen[order[0]] > self._window_ns or window.excess > window.excess_max
            ):
                self.drop()
        return True

    def drop(self) -> None:
        """Forget the oldest."""
        order = self._order
        assert order is not None
        del self._seen[order.popleft()]
        if len(order) >= KEPT:
            self._window.excess -= 1


class TradeWindow:
    """The ids of recent trades, for venues that do not number their trades.

    An id is remembered for `window_ns`, and the newest `KEPT` of each instrument however old they are, since a venue
    may say the last trades of a quiet instrument again to whoever subscribes. There are `entries_max` in all at most,
    or `KEPT` for each open instrument where that is more.

    Args:
        window_ns: how long an id is remembered, in nanoseconds.
        entries_max: how many ids are remembered.

    """

    def __init__(self, window_ns: int, entries_max: int) -> None:
        self.window_ns = window_ns
        self.excess = 0
        """Ids beyond the `KEPT` of each instrument; counted by `TradeIds`."""
        self.excess_max = entries_max
        self._entries_max = entries_max
        self._open: dict[InstrumentId, TradeIds] = {}
        self._left: dict[InstrumentId, TradeIds] = {}  # the longest left first

    def __len__(self) -> int:
        return sum(len(ids) for known in (self._open, self._left) for ids in known.values())

    def open(self, instrument: InstrumentId) -> TradeIds:
        """Return an instrument's ids, with those that are still known; venues number each instrument's on their own."""
        ids = self._open.get(instrument)
        if ids is None:
            ids = self._open[instrument] = self._left.pop(instrument, TradeIds(self))
            self._bound()
        return ids

    def leave(self, instrument: InstrumentId) -> None:
        """Keep an instrument's newest ids for as long as there is room, in case that it is opened again."""
        ids = self._open.pop(instrument, None)
        if ids is not None:
            while len(ids) > KEPT:
                ids.drop()
            self._left[instrument] = ids
            self._bound()

    def _bound(self) -> None:
        while self._left and KEPT * (len(self._open) + len(self._left)) > self._entries_max:
            del self._left[next(iter(self._left))]
        self.excess_max = max(0, self._entries_max - KEPT * (len(self._open) + len(self._left)))
        for ids in sorted(self._open.values(), key=len, reverse=True):
            while self.excess > self.excess_max and len(ids) > KEPT:
                ids.drop()
