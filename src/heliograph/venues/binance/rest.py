"""Binance's REST answers: requests for what a feed lacks, and what their bodies mean.

Sources: https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints and, for futures,
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api and
https://developers.binance.com/docs/derivatives/coin-margined-futures/market-data/rest-api .
"""

from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookSnapshot, Level
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Side, Source, Trade, TradeCause
from heliograph.model.numbers import parse
from heliograph.venues.answering import problem_of
from heliograph.venues.binance.frames import (
    RawBook,
    RawLevel,
    RawPastTrade,
    RawProblem,
    RawRow,
    decode_book,
    decode_past_trades,
    decode_rows,
)
from heliograph.venues.candle_pages import CandleAnswer, ascending, page_end, past_candle, read_page
from heliograph.venues.contract import BookPage, CandlePage, Request, TradePage, VenueError
from heliograph.venues.levels import check_order

TRADES_PER_PAGE_MAX: Final = 1000
BOOK_DEPTH_MAX: Final = 1000
WINDOW_NS_MAX: Final = 199 * 86_400 * NS_PER_S
"""COIN-M refuses windows of more than 200 days (code -4088); a day less costs the others nothing."""


class Rest(msgspec.Struct, frozen=True):
    """How one market's REST interface differs from the others'."""

    prefix: str
    """Such as `/api/v3`."""
    rows_max: int
    """Candles of one answer."""
    klines_weights: tuple[tuple[int, int], ...]
    """Pairs of a limit and the weight of requests up to that limit, ascending."""
    trades_weight: int
    depth_weight: int
    """The weight of a snapshot of `BOOK_DEPTH_MAX` levels."""
    counts_contracts: bool
    """Whether `v` counts contracts, and `q` the base asset."""


def end_of(rest: Rest, page: CandlePage) -> int:
    """Return the last open time that one answer to this page can reach."""
    return page_end(page, rest.rows_max, WINDOW_NS_MAX)


def candle_request(rest: Rest, page: CandlePage) -> Request:
    """Ask for the first candles of a range."""
    end_ns = end_of(rest, page)
    length_ns = page.interval.length_ns
    rows = rest.rows_max if length_ns is None else min(rest.rows_max, (end_ns - page.from_ns) // length_ns + 1)
    limit = max(2, rows)
    weight = next(weight for bound, weight in rest.klines_weights if limit <= bound)
    return Request(
        f"{rest.prefix}/klines",
        (
            ("symbol", page.instrument.venue_symbol),
            ("interval", page.interval.value),
            ("startTime", str(page.from_ns // NS_PER_MS)),
            ("endTime", str(end_ns // NS_PER_MS)),
            ("limit", str(limit)),
        ),
        weight,
        page,
    )


def trade_request(rest: Rest, page: TradePage) -> Request:
    """Ask for the first aggregate trades of a range."""
    limit = min(TRADES_PER_PAGE_MAX, page.to_sequence - page.from_sequence + 1)
    return Request(
        f"{rest.prefix}/aggTrades",
        (
            ("symbol", page.instrument.venue_symbol),
            ("fromId", str(page.from_sequence)),
            ("limit", str(max(1, limit))),
        ),
        rest.trades_weight,
        page,
    )


def book_request(rest: Rest, instrument: Instrument) -> Request:
    """Ask for a snapshot of the book."""
    query = (("symbol", instrument.venue_symbol), ("limit", str(BOOK_DEPTH_MAX)))
    return Request(f"{rest.prefix}/depth", query, rest.depth_weight, BookPage(instrument))


def parse_error(status: int, body: bytes) -> VenueError:
    """Read the body of an answer that is not a success: `{code,msg}`, or whatever stands in front of the venue says."""

    def read(body: bytes) -> VenueError:
        problem = msgspec.json.decode(body, type=RawProblem)
        return VenueError(str(problem.code), problem.msg)

    return problem_of(status, body, read)


def to_candle(row: RawRow, instrument: Instrument, interval: Interval, received_ns: int, *, contracts: bool) -> Candle:
    """Make a candle of a row; raise `ValueError` or `ArithmeticError` if it cannot be one."""
    open_ns = row.t * NS_PER_MS
    if row.t > row.T or interval.open_of(open_ns) != open_ns:
        raise ValueError(f"a candle of {interval.value} that opens at {row.t} and closes at {row.T}")
    v, q = parse(row.v), parse(row.q)
    return past_candle(
        instrument,
        interval,
        open_ns,
        (row.o, row.h, row.l, row.c),
        (q, None, v) if contracts else (v, q, None),
        received_ns,
        trade_count=row.n,
        close_ns=(row.T + 1) * NS_PER_MS,
    )


def read_candles(rest: Rest, page: CandlePage, body: bytes, venue_ns: int, received_ns: int) -> CandleAnswer:
    """Read an answer to a page of candles; raises one of `FAULTS`."""
    candles = [
        to_candle(row, page.instrument, page.interval, received_ns, contracts=rest.counts_contracts)
        for row in decode_rows(body)
    ]
    return read_page(page, ascending(candles, newest_first=False), end_of(rest, page), venue_ns)


def to_past_trade(raw: RawPastTrade, instrument: Instrument, received_ns: int) -> Trade:
    """Make a trade of an element of an aggTrades answer; raise `ValueError` if it cannot be one."""
    price, quantity = parse(raw.p), parse(raw.q)
    if price < 0 or quantity < 0:
        raise ValueError("a negative amount")
    return Trade(
        instrument,
        str(raw.a),
        raw.a,
        price,
        quantity,
        Side.SELL if raw.m else Side.BUY,
        TradeCause.MARKET,
        raw.T * NS_PER_MS,
        received_ns,
        Source.REST,
    )


def read_trades(page: TradePage, body: bytes, received_ns: int) -> tuple[list[Trade], TradePage | None]:
    """Read an answer to a page of trades, and say what is still to be asked; raises one of `FAULTS`."""
    rows = decode_past_trades(body)
    trades: list[Trade] = []
    for i, raw in enumerate(rows):
        if i and raw.a <= rows[i - 1].a:
            raise ValueError("trades that are not in ascending order")
        if page.from_sequence <= raw.a <= page.to_sequence:
            trades.append(to_past_trade(raw, page.instrument, received_ns))
    if not rows or rows[-1].a >= page.to_sequence or rows[-1].a < page.from_sequence:
        return trades, None
    return trades, TradePage(page.instrument, rows[-1].a + 1, page.to_sequence)


def levels(raw: list[RawLevel]) -> list[Level]:
    """Make levels of a snapshot's; raise `ValueError` if one cannot be."""
    made: list[Level] = []
    for price_text, quantity_text in raw:
        price, quantity = parse(price_text), parse(quantity_text)
        if price < 0 or quantity < 0:
            raise ValueError("a negative amount")
        made.append((price, quantity))
    return made


def to_snapshot(raw: RawBook, instrument: Instrument, received_ns: int) -> BookSnapshot:
    """Make a snapshot of an answer, best prices first; raise `ValueError` if it is none."""
    bids, asks = levels(raw.bids), levels(raw.asks)
    check_order(bids, asks)
    event_ns = None if raw.E is None else raw.E * NS_PER_MS
    return BookSnapshot(instrument, bids, asks, raw.lastUpdateId, event_ns, received_ns)


def read_book(instrument: Instrument, body: bytes, received_ns: int) -> BookSnapshot:
    """Read an answer to a snapshot's request; raises one of `FAULTS`."""
    raw = decode_book(body)
    if raw.symbol is not None and raw.symbol != instrument.venue_symbol:
        raise ValueError(f"a book of {raw.symbol}")
    return to_snapshot(raw, instrument, received_ns)
