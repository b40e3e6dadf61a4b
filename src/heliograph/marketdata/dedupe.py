"""What has been told already: revisions of candles, and trades that carry no sequence."""

from decimal import Decimal

from heliograph.model.instrument import InstrumentId
from heliograph.model.market import Candle


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


class TradeWindow:
    """The ids of recent trades, for venues that do not number their trades.

    Args:
        window_ns: how long an id is remembered, in nanoseconds.
        entries_max: how many ids are remembered.

    """

    def __init__(self, window_ns: int, entries_max: int) -> None:
        self._window_ns = window_ns
        self._entries_max = entries_max
        self._seen: dict[tuple[InstrumentId, str], int] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._seen)

    def is_new(self, instrument: InstrumentId, trade_id: str, now_ns: int) -> bool:
        """Tell whether this id was not seen within the window, and remember it.

        Args:
            instrument: whose trade it is; venues number each instrument's trades on their own.
            trade_id: the venue's id.
            now_ns: the time, from a clock that never runs backwards.

        """
        key = (instrument, trade_id)
        seen = self._seen
        if key in seen:
            if now_ns - seen[key] <= self._window_ns:
                return False
            del seen[key]
        seen[key] = now_ns
        while len(seen) > self._entries_max or now_ns - next(iter(seen.values())) > self._window_ns:
            del seen[next(iter(seen))]
        return True
