"""What a reader was told, held against what truly happened."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Self

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.model.market import Candle, Side, Trade
from heliograph.venues.scene import Aggregate, Bar, Fill


class Verdict(msgspec.Struct, frozen=True):
    """How a record differs from the truth; all zero is a faithful record."""

    expected: int = 0
    """What truly happened, in the range that was held against the record."""
    lost: int = 0
    """What happened and is not in the record."""
    doubled: int = 0
    """What the record has more than once."""
    invented: int = 0
    """What is in the record, in that range, and never happened."""
    wrong: int = 0
    """What is in the record with other figures than it happened with."""
    disordered: int = 0
    """What stands in the record after something later."""

    @property
    def faithful(self) -> bool:
        """Whether nothing is lost, doubled, invented, wrong or out of order."""
        return not (self.lost or self.doubled or self.invented or self.wrong or self.disordered)

    def __add__(self, other: Self) -> "Verdict":
        return Verdict(*(mine + theirs for mine, theirs in zip(self._all(), other._all(), strict=True)))

    def _all(self) -> tuple[int, ...]:
        return msgspec.structs.astuple(self)


def audit_candles(truth: Sequence[Bar], told: Iterable[Candle]) -> Verdict:
    """Hold one instrument's closed candles of one interval against the bars that truly closed.

    Args:
        truth: the bars of the range to check, in order.
        told: the record, in its order; open candles, and what lies outside the range, are passed over. A candle
            without a count of trades is held against the rest.

    """
    if not truth:
        return Verdict()
    begin_ns, end_ns = truth[0].open_ns, truth[-1].end_ns
    closed = [c for c in told if c.closed and begin_ns <= c.open_ns < end_ns]
    fills = {bar.open_ns: bar.fills for bar in truth}
    counts = [fills.get(c.open_ns) if c.trade_count is None else c.trade_count for c in closed]
    return _verdict(
        {bar.open_ns: (bar.open, bar.high, bar.low, bar.close, bar.fills) for bar in truth},
        [(c.open_ns, (c.open, c.high, c.low, c.close, count)) for c, count in zip(closed, counts, strict=True)],
    )


def audit_trades(truth: Sequence[Aggregate | Fill], told: Iterable[Trade]) -> Verdict:
    """Hold one instrument's trades against those that truly happened.

    Args:
        truth: the trades of the range to check, in order; single ones where the venue tells of single ones.
        told: the record, in its order; what lies outside the range is passed over.

    """
    if not truth:
        return Verdict()
    begin, end = truth[0].id, truth[-1].id
    inside = [
        (t.sequence, (t.price, t.quantity)) for t in told if t.sequence is not None and begin <= t.sequence <= end
    ]
    return _verdict({trade.id: (trade.price, trade.quantity) for trade in truth}, inside)


def numbered_as(told: Iterable[Trade], *tellings: Sequence[Aggregate | Fill]) -> Sequence[Aggregate | Fill]:
    """Return that of several tellings of the same trades which the record tells in the same numbers.

    A venue numbers single trades, or the aggregates of what one taker traded at one price.
    """
    figures = [(t.sequence, t.price, t.quantity) for t in told]
    best: Sequence[Aggregate | Fill] = ()
    most = -1
    for telling in tellings:
        known = {(trade.id, trade.price, trade.quantity) for trade in telling}
        alike = sum(figure in known for figure in figures)
        if alike > most:
            best, most = telling, alike
    return best


def audit_unnumbered(truth: Sequence[Fill], told: Iterable[Trade]) -> Verdict:
    """Hold one instrument's trades, which the venue does not number, against the single trades that happened.

    Two trades of one millisecond, price, quantity and side cannot be told apart, so they are counted.

    Args:
        truth: the single trades of the range to check, in order; those before the first that was told are passed over.
        told: the record, in its order; what lies outside the range is passed over.

    """
    happened = [_alike(f.time_ns, f.price, f.quantity, f.taker_buys) for f in truth]
    if not happened:
        return Verdict()
    unique: dict[str, Trade] = {}
    count = 0
    inside = []
    for trade in told:
        if trade.event_ns is None or not happened[0][0] <= trade.event_ns // NS_PER_MS <= happened[-1][0]:
            continue
        count += 1
        if trade.trade_id is None or trade.trade_id not in unique:
            unique[trade.trade_id or f"#{count}"] = trade
            inside.append(_alike(trade.event_ns, trade.price, trade.quantity, trade.side is Side.BUY))
    begin = next((place for place, one in enumerate(happened) if inside and one[0] >= inside[0][0]), len(happened))
    expected, counted = Counter(happened[begin:]), Counter(inside)
    return Verdict(
        expected=expected.total(),
        lost=(expected - counted).total(),
        doubled=count - len(inside),
        invented=sum(count for one, count in (counted - expected).items() if one not in happened),
        disordered=sum(later[0] < earlier[0] for earlier, later in pairwise(inside)),
    )


def _alike(time_ns: int, price: Decimal, quantity: Decimal, taker_buys: bool) -> tuple[int, Decimal, Decimal, bool]:
    return time_ns // NS_PER_MS, price, quantity, taker_buys


def _verdict(truth: dict[int, Hashable], told: Sequence[tuple[int, Hashable]]) -> Verdict:
    counts = Counter(key for key, _ in told)
    return Verdict(
        expected=len(truth),
        lost=sum(key not in counts for key in truth),
        doubled=sum(count - 1 for count in counts.values()),
        invented=sum(key not in truth for key in counts),
        wrong=sum(key in truth and truth[key] != figures for key, figures in told),
        disordered=sum(later < earlier for (earlier, _), (later, _) in pairwise(told)),
    )
