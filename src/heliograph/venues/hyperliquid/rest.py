"""Hyperliquid's REST answers: requests for what a feed lacks, and what their bodies mean.

All questions go to `POST /info`, whose body says what is asked. Trades are not to be had by number: `recentTrades`
gives the newest few, and no older ones.

Sources: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint#candle-snapshot and
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/rate-limits-and-user-limits .
"""

from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Side, Source, Trade, TradeCause
from heliograph.model.numbers import amount, parse
from heliograph.venues.candle_pages import CandleAnswer, ascending, page_end, past_candle, read_page
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


def candle_request(page: CandlePage) -> Request:
    """Ask for the first candles of a range."""
    end_ns = page_end(page, ROWS_MAX)
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


def to_candle(bar: RawBar, instrument: Instrument, received_ns: int) -> Candle:
    """Make a candle of a row; raise `ValueError` or `ArithmeticError` if it cannot be one."""
    check_grid(bar)
    return past_candle(
        instrument,
        bar.i,
        bar.t * NS_PER_MS,
        (bar.o, bar.h, bar.l, bar.c),
        (bar.v, None, None),
        received_ns,
        trade_count=bar.n,
        close_ns=(bar.T + 1) * NS_PER_MS,
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


def read_candles(page: CandlePage, body: bytes, venue_ns: int, received_ns: int) -> CandleAnswer:
    """Read an answer to a page of candles; raises one of `FAULTS`."""
    rows = decode_bars(body)
    for row in rows:
        if row.s != page.instrument.venue_symbol or row.i is not page.interval:
            raise ValueError(f"a candle of {row.s} and {row.i.value}")
    candles = [to_candle(row, page.instrument, received_ns) for row in rows]
    return read_page(page, ascending(candles, newest_first=False), page_end(page, ROWS_MAX), venue_ns)
