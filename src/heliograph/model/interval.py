"""The lengths that a candle can have, and the grid that each lies on."""

import enum
from datetime import UTC, datetime, timedelta

from heliograph.clock import NS_PER_S

_MONDAY_NS = 4 * 86_400 * NS_PER_S  # 1970-01-05 was the first Monday after the epoch.


class Interval(enum.StrEnum):
    """A candle's length. `m` is minutes and `M` is months, as every venue writes it."""

    S1 = "1s"
    S10 = "10s"
    M1 = "1m"
    M3 = "3m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H2 = "2h"
    H4 = "4h"
    H6 = "6h"
    H8 = "8h"
    H12 = "12h"
    D1 = "1d"
    D2 = "2d"
    D3 = "3d"
    W1 = "1w"
    MO1 = "1M"
    MO3 = "3M"

    @property
    def length_ns(self) -> int | None:
        """Nanoseconds from one open time to the next; None for months, whose lengths differ."""
        return _LENGTHS_NS.get(self)

    def next_open(self, open_ns: int) -> int:
        """Return the open time of the candle after the one that opens at `open_ns`.

        Args:
            open_ns: an open time on this interval's grid, in nanoseconds since the Unix epoch.

        """
        length_ns = _LENGTHS_NS.get(self)
        if length_ns is not None:
            return open_ns + length_ns
        opened = datetime.fromtimestamp(open_ns // NS_PER_S, UTC)
        months = opened.year * 12 + opened.month - 1 + (1 if self is Interval.MO1 else 3)
        following = datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
        return (following - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * NS_PER_S

    def open_of(self, instant_ns: int) -> int:
        """Return the open time of the candle that `instant_ns` falls into, on the UTC grid.

        Weeks open on Mondays; lengths of several days count from the epoch.
        """
        length_ns = _LENGTHS_NS.get(self)
        if self is Interval.W1 and length_ns is not None:
            return (instant_ns - _MONDAY_NS) // length_ns * length_ns + _MONDAY_NS
        if length_ns is not None:
            return instant_ns // length_ns * length_ns
        moment = datetime.fromtimestamp(instant_ns // NS_PER_S, UTC)
        month = moment.month if self is Interval.MO1 else (moment.month - 1) // 3 * 3 + 1
        first = datetime(moment.year, month, 1, tzinfo=UTC)
        return (first - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * NS_PER_S


_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LENGTHS_NS = {i: int(i[:-1]) * _UNIT_S[i[-1]] * NS_PER_S for i in Interval if i[-1] != "M"}
