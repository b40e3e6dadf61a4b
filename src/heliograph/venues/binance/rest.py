"""Binance's REST answers: requests for what a feed lacks, and what their bodies mean.

Sources: https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints and, for futures,
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api and
https://developers.binance.com/docs/derivatives/coin-margined-futures/market-data/rest-api .
"""

from decimal import Decimal
from itertools import pairwise
from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookSnapshot, Level
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Side, Source, Trade, TradeCause
from heliograph.model.numbers import parse
from heliograph.venues.binance.frames import (
    FAULTS,
    RawBook,
    RawLevel,
    RawPastTrade,
    RawProblem,
    RawRow,
    decode_book,
    decode_past_trades,
    decode_rows,
)
from heliograph.venues.contract import BookPage, CandlePage, Request, TradePage, VenueError

TRADES_PER_PAGE_MAX: Final = 1000
BOOK_DEPTH_MAX: Final = 1000
WINDOW_NS_MAX: Final = 199 * 86_400 * NS_PER_S
"""COIN-M refuses windows of more than 200 days (code -4088); a day less costs the others nothing."""
SETTLED_NS: Final = 10 * NS_PER_S
"""How far past its end the venue's time must be for a last row to be final.

An answer may be some seconds old when it is read, and bars were seen to change up to 2 s after their end.
"""
LATE_NS: Final = 3 * NS_PER_S
"""How far past its end the venue's time must be for a row to be final that is followed by another one."""


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


def page_end(page: CandlePage, rows_max: int) -> int:
    """Return the last open time that one answer to this page can reach.

    A window never holds more rows than one answer, since COIN-M then gives the newest of them and not the oldest. It
    reaches one candle beyond what is wanted: its presence proves the one before it closed.
    """
    length_ns = page.interval.length_ns
    step_ns = 28 * 86_400 * NS_PER_S if length_ns is None else length_ns  # No month is shorter.
    reach_ns = min((rows_max - 1) * step_ns, max(WINDOW_NS_MAX, step_ns))
    end_ns = page.interval.open_of(page.from_ns + reach_ns)
    return end_ns if page.to_ns is None else min(end_ns, page.interval.next_open(page.to_ns))


def candle_request(rest: Rest, page: CandlePage) -> Request:
    """Ask for the first candles of a range."""
    end_ns = page_end(page, rest.rows_max)
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
    try:
        problem = msgspec.json.decode(body, type=RawProblem)
    except FAULTS:
        return VenueError(str(status), body[:200].decode("utf-8", "replace"))
    return VenueError(str(problem.code), problem.msg)


def to_candle(
    row: RawRow, instrument: Instrument, interval: Interval, received_ns: int, *, contracts: bool, closed: bool
) -> Candle:
    """Make a candle of a row; raise `ValueError` if it cannot be one."""
    o, h, l, c = parse(row.o), parse(row.h), parse(row.l), parse(row.c)  # noqa: E741 (the venue's name)
    v, q = parse(row.v), parse(row.q)
    if not (0 <= l <= o <= h and l <= c <= h and v >= 0 and q >= 0):
        raise ValueError(f"prices out of order: open {o}, high {h}, low {l}, close {c}")
    open_ns = row.t * NS_PER_MS
    if row.t > row.T or interval.open_of(open_ns) != open_ns:
        raise ValueError(f"a candle of {interval.value} that opens at {row.t} and closes at {row.T}")
    base, quote, count = (q, None, v) if contracts else (v, q, None)
    return Candle(
        instrument,
        interval,
        open_ns,
        (row.T + 1) * NS_PER_MS,
        o,
        h,
        l,
        c,
        base,
        quote,
        count,
        row.n,
        closed,
        None,
        received_ns,
        Source.REST,
    )


class CandleAnswer(msgspec.Struct, frozen=True):
    """What an answer to a page of candles told, and what is still to be asked."""

    candles: list[Candle]
    following: CandlePage | None


def read_candles(rest: Rest, page: CandlePage, body: bytes, venue_ns: int, received_ns: int) -> CandleAnswer:
    """Read an answer to a page of candles; raises one of `FAULTS`.

    A row is closed if it ended well before the newest instant that the venue told us, be it `venue_ns` or the opening
    of the last row: our own clock proves nothing, and the live bar is in every answer that reaches the present. In a
    range that ends, whose asker has waited for what is late, it suffices that another row follows.
    """
    rows = decode_rows(body)
    proven_ns = max([venue_ns, *(row.t * NS_PER_MS for row in rows[-1:])])
    end_ns = page_end(page, rest.rows_max)
    wanted_ns = end_ns if page.to_ns is None else page.to_ns
    candles: list[Candle] = []
    for i, row in enumerate(rows):
        if i and row.t <= rows[i - 1].t:
            raise ValueError("candles that are not in ascending order")
        followed = i + 1 < len(rows)
        past_ns = proven_ns - (row.T + 1) * NS_PER_MS
        closed = past_ns >= (LATE_NS if followed else SETTLED_NS) or (followed and page.to_ns is not None)
        candle = to_candle(
            row, page.instrument, page.interval, received_ns, contracts=rest.counts_contracts, closed=closed
        )
        if page.from_ns <= candle.open_ns <= wanted_ns:
            candles.append(candle)
    newest_ns = candles[-1].open_ns if candles else -1
    to_the_present = page.to_ns is None and (newest_ns == end_ns or end_ns < venue_ns)
    if not to_the_present and (page.to_ns is None or end_ns > page.to_ns):
        # One that is neither final for sure nor the live one is not told: it would be a step back.
        return CandleAnswer([c for c in candles if c.closed or c is candles[-1]], None)
    if newest_ns == end_ns:
        candles.pop()  # The next page begins with it, and then knows whether another follows.
        while len(candles) > 1 and not candles[-1].closed:
            end_ns = candles.pop().open_ns
    return CandleAnswer(candles, CandlePage(page.instrument, page.interval, end_ns, page.to_ns))


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
    if not _descending([price for price, _ in bids]) or not _descending([-price for price, _ in asks]):
        raise ValueError("levels that are not in order")
    event_ns = None if raw.E is None else raw.E * NS_PER_MS
    return BookSnapshot(instrument, bids, asks, raw.lastUpdateId, event_ns, received_ns)


def read_book(instrument: Instrument, body: bytes, received_ns: int) -> BookSnapshot:
    """Read an answer to a snapshot's request; raises one of `FAULTS`."""
    raw = decode_book(body)
    if raw.symbol is not None and raw.symbol != instrument.venue_symbol:
        raise ValueError(f"a book of {raw.symbol}")
    return to_snapshot(raw, instrument, received_ns)


def _descending(prices: list[Decimal]) -> bool:
    return all(a > b for a, b in pairwise(prices))
