"""Bybit's REST answers: requests for the candles that a feed lacks, and what their bodies mean.

Sources: https://bybit-exchange.github.io/docs/v5/market/kline and, for the envelope of all answers, "Common response
parameters" of https://bybit-exchange.github.io/docs/v5/guide . An answer may be a refusal although its HTTP status is
200: then its `retCode` is not zero.
"""

from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle
from heliograph.model.numbers import parse
from heliograph.venues.answering import problem_of
from heliograph.venues.bybit.frames import RawAnswer, RawRow, decode_answer, decode_rows
from heliograph.venues.bybit.streams import INTERVAL_NAMES
from heliograph.venues.candle_pages import CandleAnswer, ascending, page_end, past_candle, read_page
from heliograph.venues.contract import CandlePage, Request, VenueError

KLINES_PATH: Final = "/v5/market/kline"
ROWS_MAX: Final = 1000


class Rest(msgspec.Struct, frozen=True):
    """How one market's REST interface differs from the others'."""

    category: MarketId
    counts_contracts: bool
    """Whether volumes count contracts of one quote unit, and turnovers the base asset."""


def candle_request(rest: Rest, page: CandlePage) -> Request:
    """Ask for the first candles of a range."""
    query = (
        ("category", str(rest.category)),
        ("symbol", page.instrument.venue_symbol),
        ("interval", INTERVAL_NAMES[page.interval]),
        ("start", str(page.from_ns // NS_PER_MS)),
        ("end", str(page_end(page, ROWS_MAX) // NS_PER_MS)),
        ("limit", str(ROWS_MAX)),
    )
    return Request(KLINES_PATH, query, 1, page)


def parse_error(status: int, body: bytes) -> VenueError:
    """Read the body of an answer whose HTTP status is not a success, be it the venue's or of what stands before it."""

    def read(body: bytes) -> VenueError:
        answer = decode_answer(body)
        return VenueError(str(answer.retCode), answer.retMsg)

    return problem_of(status, body, read)


def accepted(body: bytes) -> RawAnswer:
    """Return an answer's envelope; raise `ValueError` with the venue's words if it is a refusal."""
    answer = decode_answer(body)
    if answer.retCode:
        raise ValueError(f"{answer.retMsg[:200]} (code {answer.retCode})")
    return answer


def past_candles(
    rest: Rest, instrument: Instrument, interval: Interval, answer: RawAnswer, received_ns: int
) -> list[Candle]:
    """Return an answer's candles, ascending; raise one of `FAULTS` if they are not those that were asked for."""
    result = decode_rows(answer.result)
    if (result.category, result.symbol) != (rest.category, instrument.venue_symbol):
        raise ValueError(f"candles of {result.category[:20]} {result.symbol[:40]}")
    candles = [to_candle(rest, row, instrument, interval, received_ns) for row in result.list]
    return ascending(candles, newest_first=True)


def to_candle(rest: Rest, row: RawRow, instrument: Instrument, interval: Interval, received_ns: int) -> Candle:
    """Make a candle of a row; raise `ValueError` or `ArithmeticError` if it cannot be one."""
    volume, turnover = parse(row.volume), parse(row.turnover)
    volumes = (turnover, volume, volume) if rest.counts_contracts else (volume, turnover, None)
    prices = (row.open, row.high, row.low, row.close)
    return past_candle(instrument, interval, int(row.start) * NS_PER_MS, prices, volumes, received_ns)


def read_candles(rest: Rest, page: CandlePage, body: bytes, venue_ns: int, received_ns: int) -> CandleAnswer:
    """Read an answer to a page of candles; raises one of `FAULTS`. The answer tells the venue's clock as well."""
    answer = accepted(body)
    candles = past_candles(rest, page.instrument, page.interval, answer, received_ns)
    return read_page(page, candles, page_end(page, ROWS_MAX), max(venue_ns, (answer.time or 0) * NS_PER_MS))
