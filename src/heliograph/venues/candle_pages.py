"""Candles of the past: rows of an answer made candles, proven closed, and the page that comes after them.

For every venue whose answer to a range of open times is one list, in either order. A row is closed if it says so
itself, or if it ended well before the newest instant that the venue told: our own clock proves nothing, and the live
bar is in every answer that reaches the present.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Source
from heliograph.model.numbers import amount, parse
from heliograph.venues.contract import CandlePage

SETTLED_NS: Final = 10 * NS_PER_S
"""How far past its end the venue's time must be for a last row to be final.

An answer may be some seconds old when it is read, and bars were seen to change up to 2 s after their end.
"""
LATE_NS: Final = 3 * NS_PER_S
"""How far past its end the venue's time must be for a row to be final that is followed by another one."""
MONTH_NS_MIN: Final = 28 * 86_400 * NS_PER_S


class CandleAnswer(msgspec.Struct, frozen=True):
    """What an answer to a page of candles told, ascending, and what is still to be asked."""

    candles: list[Candle]
    following: CandlePage | None


def page_end(page: CandlePage, rows_max: int, window_ns_max: int | None = None) -> int:
    """Return the last open time that one answer to this page can reach.

    A window never holds more rows than one answer: of more, some venues give the newest and not the oldest, others
    refuse. It reaches one candle beyond what is wanted, whose presence proves the one before it closed.

    Args:
        page: what is wanted.
        rows_max: rows of one answer.
        window_ns_max: the longest window that the venue takes, where it bounds that.

    """
    step_ns = page.interval.length_ns or MONTH_NS_MIN
    reach_ns = (rows_max - 1) * step_ns
    if window_ns_max is not None:
        reach_ns = min(reach_ns, max(window_ns_max, step_ns))
    end_ns = page.interval.open_of(page.from_ns + reach_ns)
    return end_ns if page.to_ns is None else min(end_ns, page.interval.next_open(page.to_ns))


def past_candle(
    instrument: Instrument,
    interval: Interval,
    open_ns: int,
    prices: Iterable[str],
    volumes: Sequence[Decimal | None],
    received_ns: int,
    *,
    trade_count: int | None = None,
    closed: bool = False,
    close_ns: int | None = None,
) -> Candle:
    """Make a candle of a row; raise `ValueError` or `ArithmeticError` if it cannot be one.

    Args:
        instrument: whose.
        interval: how long.
        open_ns: when it opens.
        prices: open, high, low and close, as the venue wrote them.
        volumes: in the base asset, in the quote asset, and in contracts.
        received_ns: when the answer came.
        trade_count: how many trades, where the venue says so.
        closed: whether the row itself says that it is closed.
        close_ns: the first instant after it, where the venue tells; None: as the calendar has it, and then it must
            open on the calendar's grid.

    """
    o, h, l, c = (parse(price) for price in prices)  # noqa: E741 (the usual names)
    if not (0 <= l <= o <= h and l <= c <= h):
        raise ValueError(f"prices out of order: open {o}, high {h}, low {l}, close {c}")
    if close_ns is None:
        if interval.open_of(open_ns) != open_ns:
            raise ValueError(f"a candle of {interval.value} that opens at {open_ns // NS_PER_MS}")
        close_ns = interval.next_open(open_ns)
    base, quote, contracts = (None if volume is None else amount(volume) for volume in volumes)
    return Candle(
        instrument, interval, open_ns, close_ns, o, h, l, c, base, quote, contracts,
        trade_count, closed, None, received_ns, Source.REST,
    )  # fmt: skip


def ascending(candles: list[Candle], *, newest_first: bool) -> list[Candle]:
    """Return candles of an answer in ascending order; raise `ValueError` if the answer had another than it says."""
    rising = candles[::-1] if newest_first else candles
    if any(a.open_ns >= b.open_ns for a, b in pairwise(rising)):
        raise ValueError(f"candles that are not in {'descending' if newest_first else 'ascending'} order")
    return rising


def newest_open(candles: Sequence[Candle]) -> list[Candle]:
    """Return candles of a recorded answer, all but the last of them closed, since another follows."""
    return [*(_closed(candle) for candle in candles[:-1]), *candles[-1:]]


def read_page(page: CandlePage, candles: Sequence[Candle], end_ns: int, venue_ns: int) -> CandleAnswer:
    """Say what of an answer is to be told, and what is to be asked next.

    In a range that ends, whose asker has waited for what is late, it suffices that another row follows.

    Args:
        page: what was asked.
        candles: the rows, ascending (`ascending`), each closed only if it says so itself.
        end_ns: the page's `page_end`.
        venue_ns: the newest instant that the venue told, be it by a stream or by the answer.

    """
    proven_ns = max([venue_ns, *(candle.open_ns for candle in candles[-1:])])
    wanted_ns = end_ns if page.to_ns is None else page.to_ns
    told: list[Candle] = []
    for i, candle in enumerate(candles):
        if not page.from_ns <= candle.open_ns <= wanted_ns:
            continue
        followed = i + 1 < len(candles)
        past_ns = proven_ns - candle.close_ns
        proven = past_ns >= (LATE_NS if followed else SETTLED_NS) or (followed and page.to_ns is not None)
        told.append(_closed(candle) if proven else candle)
    newest_ns = told[-1].open_ns if told else -1
    more = (newest_ns == end_ns or end_ns < proven_ns) if page.to_ns is None else end_ns <= page.to_ns
    if not more:  # One that is neither final for sure nor the live one is not told: it would be a step back.
        return CandleAnswer([c for c in told if c.closed or c is told[-1]], None)
    if newest_ns == end_ns:
        told.pop()  # The next page begins with it, and then knows whether another follows.
        while len(told) > 1 and not told[-1].closed:
            end_ns = told.pop().open_ns
    return CandleAnswer(told, CandlePage(page.instrument, page.interval, end_ns, page.to_ns))


def _closed(candle: Candle) -> Candle:
    return candle if candle.closed else msgspec.structs.replace(candle, closed=True)
