"""Hyperliquid's REST answers: requests for what a feed lacks, and what their bodies mean.

All questions go to `POST /info`, whose body says what is asked. Trades are not to be had by number: `recentTrades`
gives the newest few, and no older ones.

Sources: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint#candle-snapshot and
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/rate-limits-and-user-limits .
"""

from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Side, Source, Trade, TradeCause
from heliograph.model.numbers import amount, parse
from heliograph.venues.contract import CandlePage, Purpose, Request, VenueError
from heliograph.venues.hyperliquid.frames import RawBar, RawTrade, decode_bars

PATH: Final = "/info"
ROWS_MAX: Final = 500
"""Candles of one answer. Answers to a range of time end after so many: a range that is no longer is not cut short.

Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint#pagination
"""
WEIGHT: Final = 20
ROWS_PER_WEIGHT: Final = 60
"""Candles that cost one more."""
SETTLED_NS: Final = 10 * NS_PER_S
"""How far past its end the venue's time must be for a last row to be final: an answer may be old when it is read."""
LATE_NS: Final = 3 * NS_PER_S
"""How far past its end the venue's time must be for a row to be final that is followed by another one."""

SIDES: Final = {"A": Side.SELL, "B": Side.BUY}

_DAY_MS: Final = 86_400_000


def _grid(interval: Interval) -> tuple[int, int] | None:
    length_ns = interval.length_ns
    if length_ns is None:
        return None
    # Where the venue's weeks and triples of days begin is not documented, so those are held to whole days only.
    return length_ns // NS_PER_MS, min(length_ns // NS_PER_MS, _DAY_MS)


_GRIDS: Final = {interval: _grid(interval) for interval in Interval}


def check_grid(bar: RawBar) -> None:
    """Raise `ValueError` unless a candle opens on its interval's grid and is as long as that."""
    grid = _GRIDS[bar.i]
    if grid is None:
        open_ns = bar.t * NS_PER_MS
        if bar.i.open_of(open_ns) == open_ns and bar.i.next_open(open_ns) == (bar.T + 1) * NS_PER_MS:
            return
    elif bar.T - bar.t + 1 == grid[0] and not bar.t % grid[1]:
        return
    raise ValueError(f"a candle of {bar.i.value} that opens at {bar.t} and closes at {bar.T}")


def info_request(question: object, weight: int, purpose: Purpose) -> Request:
    """Ask something.

    Args:
        question: what the body says, before it is JSON.
        weight: what it costs.
        purpose: why.

    """
    return Request(PATH, (), weight, purpose, msgspec.json.encode(question))


def page_end(page: CandlePage) -> int:
    """Return the last open time that one answer to this page can reach.

    It reaches one candle beyond what is wanted: its presence proves the one before it closed.
    """
    length_ns = page.interval.length_ns
    if length_ns is None:
        end_ns = page.interval.open_of(page.from_ns + (ROWS_MAX - 1) * 28 * 86_400 * NS_PER_S)  # No month is shorter.
    else:
        end_ns = page.from_ns + (ROWS_MAX - 1) * length_ns
    return end_ns if page.to_ns is None else min(end_ns, page.interval.next_open(page.to_ns))


def candle_request(page: CandlePage) -> Request:
    """Ask for the first candles of a range."""
    end_ns = page_end(page)
    length_ns = page.interval.length_ns
    rows = ROWS_MAX if length_ns is None else (end_ns - page.from_ns) // length_ns + 1
    wanted = {
        "coin": page.instrument.venue_symbol,
        "interval": page.interval.value,
        "startTime": page.from_ns // NS_PER_MS,
        "endTime": end_ns // NS_PER_MS + 1,  # Whether the end belongs to the range is not documented.
    }
    return info_request({"type": "candleSnapshot", "req": wanted}, WEIGHT + -(-rows // ROWS_PER_WEIGHT), page)


def parse_error(status: int, body: bytes) -> VenueError:
    """Read the body of an answer that is not a success: a sentence, or nothing."""
    return VenueError(str(status), body[:200].decode("utf-8", "replace"))


def to_candle(bar: RawBar, instrument: Instrument, received_ns: int, *, closed: bool) -> Candle:
    """Make a candle of a row; raise `ValueError` or `ArithmeticError` if it cannot be one."""
    o, h, l, c = parse(bar.o), parse(bar.h), parse(bar.l), parse(bar.c)  # noqa: E741 (the venue's name)
    if not (0 <= l <= o <= h and l <= c <= h):
        raise ValueError(f"prices out of order: open {o}, high {h}, low {l}, close {c}")
    check_grid(bar)
    return Candle(
        instrument,
        bar.i,
        bar.t * NS_PER_MS,
        (bar.T + 1) * NS_PER_MS,
        o,
        h,
        l,
        c,
        amount(bar.v),
        None,
        None,
        bar.n,
        closed,
        None,
        received_ns,
        Source.REST,
    )


def to_trade(raw: RawTrade, instrument: Instrument, received_ns: int) -> Trade:
    """Make a trade of an element of a recentTrades answer; raise `ValueError` or `ArithmeticError` if it is none."""
    return Trade(
        instrument,
        # Conversions of dust all have the number 0 (undocumented, seen 2025-11-09), which therefore is none.
        str(raw.tid) if raw.tid else None,
        None,
        amount(parse(raw.px)),
        amount(raw.sz),
        SIDES[raw.side],
        TradeCause.MARKET,
        raw.time * NS_PER_MS,
        received_ns,
        Source.REST,
    )


class CandleAnswer(msgspec.Struct, frozen=True):
    """What an answer to a page of candles told, and what is still to be asked."""

    candles: list[Candle]
    following: CandlePage | None


def read_candles(page: CandlePage, body: bytes, venue_ns: int, received_ns: int) -> CandleAnswer:
    """Read an answer to a page of candles; raises one of `FAULTS`.

    A row is closed if it ended well before the newest instant that the venue told us, be it `venue_ns` or the opening
    of the last row: our own clock proves nothing, and the live bar is in every answer that reaches the present. In a
    range that ends, whose asker has waited for what is late, it suffices that another row follows.
    """
    rows = decode_bars(body)
    proven_ns = max([venue_ns, *(row.t * NS_PER_MS for row in rows[-1:])])
    end_ns = page_end(page)
    wanted_ns = end_ns if page.to_ns is None else page.to_ns
    candles: list[Candle] = []
    for i, row in enumerate(rows):
        if row.s != page.instrument.venue_symbol or row.i is not page.interval:
            raise ValueError(f"a candle of {row.s} and {row.i.value}")
        if i and row.t <= rows[i - 1].t:
            raise ValueError("candles that are not in ascending order")
        followed = i + 1 < len(rows)
        past_ns = proven_ns - (row.T + 1) * NS_PER_MS
        closed = past_ns >= (LATE_NS if followed else SETTLED_NS) or (followed and page.to_ns is not None)
        candle = to_candle(row, page.instrument, received_ns, closed=closed)
        if page.from_ns <= candle.open_ns <= wanted_ns:
            candles.append(candle)
    newest_ns = candles[-1].open_ns if candles else -1
    to_the_present = page.to_ns is None and (newest_ns == end_ns or end_ns < venue_ns)
    if not to_the_present and (page.to_ns is None or end_ns > page.to_ns):
        return CandleAnswer(candles, None)
    if newest_ns == end_ns:
        candles.pop()  # The next page begins with it, and then knows whether another follows.
        if len(candles) > 1 and not candles[-1].closed:
            end_ns = candles.pop().open_ns
    return CandleAnswer(candles, CandlePage(page.instrument, page.interval, end_ns, page.to_ns))
