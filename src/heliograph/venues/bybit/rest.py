"""Bybit's REST answers: requests for the candles that a feed lacks, and what their bodies mean.

Sources: https://bybit-exchange.github.io/docs/v5/market/kline and, for the envelope of all answers, "Common response
parameters" of https://bybit-exchange.github.io/docs/v5/guide . An answer may be a refusal although its HTTP status is
200: then its `retCode` is not zero.
"""

from itertools import pairwise
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Source
from heliograph.model.numbers import parse
from heliograph.venues.bybit.frames import FAULTS, RawAnswer, RawRow, decode_answer, decode_rows
from heliograph.venues.bybit.streams import INTERVAL_NAMES
from heliograph.venues.contract import CandlePage, Request, VenueError

KLINES_PATH: Final = "/v5/market/kline"
ROWS_MAX: Final = 1000
SETTLED_NS: Final = 10 * NS_PER_S
"""How far past its end the venue's time must be for a last row to be final: rows have no flag that says so."""
LATE_NS: Final = 3 * NS_PER_S
"""How far past its end the venue's time must be for a row to be final that is followed by another one."""


class Rest(msgspec.Struct, frozen=True):
    """How one market's REST interface differs from the others'."""

    category: MarketId
    counts_contracts: bool
    """Whether volumes count contracts of one quote unit, and turnovers the base asset."""


class CandleAnswer(msgspec.Struct, frozen=True):
    """What an answer to a page of candles told, ascending, and what is still to be asked."""

    candles: list[Candle]
    following: CandlePage | None


def page_end(page: CandlePage) -> int:
    """Return the last open time that one answer to this page can reach.

    A window never holds more rows than one answer: of more, the venue gives the newest and not the oldest. It reaches
    one candle beyond what is wanted, whose presence proves the one before it closed.
    """
    step_ns = page.interval.length_ns or 28 * 86_400 * NS_PER_S  # No month is shorter.
    end_ns = page.interval.open_of(page.from_ns + (ROWS_MAX - 1) * step_ns)
    return end_ns if page.to_ns is None else min(end_ns, page.interval.next_open(page.to_ns))


def candle_request(rest: Rest, page: CandlePage) -> Request:
    """Ask for the first candles of a range."""
    query = (
        ("category", str(rest.category)),
        ("symbol", page.instrument.venue_symbol),
        ("interval", INTERVAL_NAMES[page.interval]),
        ("start", str(page.from_ns // NS_PER_MS)),
        ("end", str(page_end(page) // NS_PER_MS)),
        ("limit", str(ROWS_MAX)),
    )
    return Request(KLINES_PATH, query, 1, page)


def parse_error(status: int, body: bytes) -> VenueError:
    """Read the body of an answer whose HTTP status is not a success, be it the venue's or of what stands before it."""
    try:
        answer = decode_answer(body)
    except FAULTS:
        return VenueError(str(status), body[:200].decode("utf-8", "replace"))
    return VenueError(str(answer.retCode), answer.retMsg)


def accepted(body: bytes) -> RawAnswer:
    """Return an answer's envelope; raise `ValueError` with the venue's words if it is a refusal."""
    answer = decode_answer(body)
    if answer.retCode:
        raise ValueError(f"{answer.retMsg[:200]} (code {answer.retCode})")
    return answer


def rows_of(rest: Rest, symbol: str, answer: RawAnswer) -> list[RawRow]:
    """Return an answer's rows in ascending order; raise one of `FAULTS` if they are not those that were asked for."""
    result = decode_rows(answer.result)
    if (result.category, result.symbol) != (rest.category, symbol):
        raise ValueError(f"candles of {result.category[:20]} {result.symbol[:40]}")
    if any(int(newer.start) <= int(older.start) for newer, older in pairwise(result.list)):
        raise ValueError("candles that are not in descending order")
    return result.list[::-1]


def to_candle(
    rest: Rest, row: RawRow, instrument: Instrument, interval: Interval, received_ns: int, *, closed: bool
) -> Candle:
    """Make a candle of a row; raise `ValueError` if it cannot be one."""
    o, h, l, c = parse(row.open), parse(row.high), parse(row.low), parse(row.close)  # noqa: E741 (the usual names)
    volume, turnover = parse(row.volume), parse(row.turnover)
    if not (0 <= l <= o <= h and l <= c <= h and volume >= 0 and turnover >= 0):
        raise ValueError(f"prices out of order: open {o}, high {h}, low {l}, close {c}")
    open_ns = int(row.start) * NS_PER_MS
    if interval.open_of(open_ns) != open_ns:
        raise ValueError(f"a candle of {interval.value} that opens at {row.start}")
    base, quote, contracts = (turnover, volume, volume) if rest.counts_contracts else (volume, turnover, None)
    return Candle(
        instrument,
        interval,
        open_ns,
        interval.next_open(open_ns),
        o,
        h,
        l,
        c,
        base,
        quote,
        contracts,
        None,
        closed,
        None,
        received_ns,
        Source.REST,
    )


def read_candles(rest: Rest, page: CandlePage, body: bytes, venue_ns: int, received_ns: int) -> CandleAnswer:
    """Read an answer to a page of candles; raises one of `FAULTS`.

    A row is closed if it ended well before the newest instant that the venue told us, be it `venue_ns` or the clock in
    the answer: our own clock proves nothing, and the live bar is in every answer that reaches the present. In a range
    that ends, whose asker has waited for what is late, it suffices that another row follows.
    """
    answer = accepted(body)
    rows = rows_of(rest, page.instrument.venue_symbol, answer)
    opens_ns = [int(row.start) * NS_PER_MS for row in rows]
    proven_ns = max([venue_ns, (answer.time or 0) * NS_PER_MS, *opens_ns[-1:]])
    end_ns = page_end(page)
    wanted_ns = end_ns if page.to_ns is None else page.to_ns
    candles: list[Candle] = []
    for row, open_ns in zip(rows, opens_ns, strict=True):
        followed = open_ns < opens_ns[-1]
        past_ns = proven_ns - page.interval.next_open(open_ns)
        closed = past_ns >= (LATE_NS if followed else SETTLED_NS) or (followed and page.to_ns is not None)
        candle = to_candle(rest, row, page.instrument, page.interval, received_ns, closed=closed)
        if page.from_ns <= open_ns <= wanted_ns:
            candles.append(candle)
    newest_ns = candles[-1].open_ns if candles else -1
    more = (newest_ns == end_ns or end_ns < proven_ns) if page.to_ns is None else end_ns <= page.to_ns
    if not more:  # One that is neither final for sure nor the live one is not told: it would be a step back.
        return CandleAnswer([c for c in candles if c.closed or c is candles[-1]], None)
    if newest_ns == end_ns:
        candles.pop()  # The next page begins with it, and then knows whether another follows.
        while len(candles) > 1 and not candles[-1].closed:
            end_ns = candles.pop().open_ns
    return CandleAnswer(candles, CandlePage(page.instrument, page.interval, end_ns, page.to_ns))
