"""OKX's REST answers: requests for what a feed lacks, and what their bodies mean.

Recent candles (the newest 1440) and older ones are two endpoints; both answer newest first, and `after` means older
than, `before` newer than. History may lag behind the present, and may give fewer rows than it was asked for, so a page
is complete only once its first candle is there or the venue has nothing older.

Sources: "Get candlesticks", "Get candlesticks history" and "Get trades history" of
https://www.okx.com/docs-v5/en/#order-book-trading-market-data-get-candlesticks .
"""

from typing import Final

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.model.instrument import SPOT, Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Side, Source, Trade, TradeCause
from heliograph.model.numbers import amount, parse
from heliograph.venues.answering import problem_of
from heliograph.venues.candle_pages import MONTH_NS_MIN, ascending, past_candle
from heliograph.venues.contract import CandlePage, Request, TradePage, VenueError
from heliograph.venues.okx.frames import (
    RawAnswer,
    RawRow,
    RawTrade,
    decode_answer,
    decode_past_trades,
    decode_rows,
)
from heliograph.venues.okx.routes import BARS_OF, Bars
from heliograph.venues.okx.rows import quantity_of
from heliograph.venues.okx.streams import BARS

RECENT: Final = "/api/v5/market/candles"
HISTORY: Final = "/api/v5/market/history-candles"
TRADES: Final = "/api/v5/market/history-trades"
ROWS_MAX: Final = 300
TRADES_PER_PAGE_MAX: Final = 100
RECENT_WEIGHT: Final = 1
"""40 requests in 2 s, which is what the budget counts in."""
HISTORY_WEIGHT: Final = 2
"""20 requests in 2 s, as of every other endpoint here."""
PASSING: Final = frozenset({"50001", "50004", "50011", "50013", "50026", "50061"})
"""Codes of a no that another attempt may not meet: the venue is busy, away, or asked too often."""
PAGES_MAX: Final = 1000
"""Pages under way at once; of a page beyond these the rows so far are forgotten."""


def page_end(page: CandlePage) -> int:
    """Return the last open time that one answer to this page can reach."""
    length_ns = page.interval.length_ns
    step_ns = length_ns or MONTH_NS_MIN
    end_ns = page.from_ns + (ROWS_MAX - 1) * step_ns
    if length_ns is None:
        end_ns = page.interval.open_of(end_ns)
    return end_ns if page.to_ns is None else min(end_ns, page.to_ns)


def candle_request(page: CandlePage, *, path: str | None = None, to_ns: int | None = None) -> Request:
    """Ask for the first candles of a range.

    Args:
        page: the range.
        path: which endpoint; None is the one for recent candles, which seconds do not have.
        to_ns: the open time to end with, where later ones are known; None: as late as an answer reaches.

    """
    end_ns = page_end(page) if to_ns is None else to_ns
    path = path or (HISTORY if page.interval is Interval.S1 else RECENT)
    return Request(
        path,
        (
            ("instId", page.instrument.venue_symbol),
            ("bar", BARS[page.interval]),
            ("before", str(page.from_ns // NS_PER_MS - 1)),
            ("after", str(end_ns // NS_PER_MS + 1)),
            ("limit", str(ROWS_MAX)),
        ),
        RECENT_WEIGHT if path == RECENT else HISTORY_WEIGHT,
        page,
    )


def trade_request(page: TradePage) -> Request:
    """Ask for the first trades of a range: so many older than the number after the last one wanted."""
    last = min(page.to_sequence, page.from_sequence + TRADES_PER_PAGE_MAX - 1)
    return Request(
        TRADES,
        (
            ("instId", page.instrument.venue_symbol),
            ("type", "1"),
            ("after", str(last + 1)),
            ("limit", str(max(1, last - page.from_sequence + 1))),
        ),
        HISTORY_WEIGHT,
        page,
    )


def parse_error(status: int, body: bytes) -> VenueError:
    """Read the body of an answer that is not a success: `{code,msg}`, or whatever stands in front of the venue says."""

    def read(body: bytes) -> VenueError:
        problem: RawAnswer = decode_answer(body)
        return VenueError(problem.code, problem.msg)

    return problem_of(status, body, read)


def to_candle(row: RawRow, instrument: Instrument, bars: Bars, received_ns: int) -> Candle:
    """Make a candle of a row of an answer; raise `ValueError` if it cannot be one."""
    open_ns = row.ts * NS_PER_MS
    volume, in_coin, in_quote = quantity_of(row.vol), quantity_of(row.volCcy), quantity_of(row.volCcyQuote)
    spot = instrument.market == SPOT
    return past_candle(
        instrument,
        bars.interval,
        open_ns,
        (row.o, row.h, row.l, row.c),
        (volume if spot else in_coin, in_quote, None if spot else volume),
        received_ns,
        closed=row.confirm == "1",
        close_ns=bars.close_of(open_ns),
    )


class CandleAnswer(msgspec.Struct, frozen=True):
    """What answers to a page of candles told, and what is still to be asked."""

    candles: list[Candle]
    following: Request | None


class Pages:
    """Pages of candles under way: their rows are kept until a page is complete, and then told in ascending order."""

    def __init__(self) -> None:
        self._rows: dict[CandlePage, dict[int, Candle]] = {}
        self._recent: dict[CandlePage, int] = {}  # where recent candles were asked for: how many came

    def take(self, request: Request, page: CandlePage, data: bytes, venue_ns: int, received_ns: int) -> CandleAnswer:
        """Take an answer; raises one of `FAULTS`.

        Args:
            request: what was asked.
            page: its purpose.
            data: the rows.
            venue_ns: the newest instant that the venue told.
            received_ns: when the answer came.

        """
        if page not in self._rows and len(self._rows) >= PAGES_MAX:
            self.forget(next(iter(self._rows)))
        held = self._rows.setdefault(page, {})
        end_ns = page_end(page)
        fresh = _read(page, data, end_ns, received_ns)
        if request.path == RECENT or page.interval is Interval.S1:
            self._recent[page] = self._recent.get(page, 0) + len(fresh)
        before = min(held, default=None)
        for candle in fresh:
            held.setdefault(candle.open_ns, candle)
        oldest = min(held, default=None)
        exhausted = request.path == HISTORY and oldest == before
        if oldest != page.from_ns and not exhausted:
            to_ns = end_ns if oldest is None else oldest - 1
            return CandleAnswer([], candle_request(page, path=HISTORY, to_ns=to_ns))
        return self._finish(page, end_ns, venue_ns)

    def forget(self, page: CandlePage) -> None:
        """Give a page up."""
        self._rows.pop(page, None)
        self._recent.pop(page, None)

    def _finish(self, page: CandlePage, end_ns: int, venue_ns: int) -> CandleAnswer:
        held = self._rows[page]
        recent = self._recent.get(page)
        self.forget(page)
        candles = [held[open_ns] for open_ns in sorted(held)]
        whole = bool(candles) and candles[-1].open_ns == end_ns
        if recent is None and not whole:  # History lags: what is newer may be among the recent.
            from_ns = page.interval.next_open(candles[-1].open_ns) if candles else page.from_ns
            return CandleAnswer(candles, candle_request(_from(page, from_ns), path=RECENT))
        if page.to_ns is not None:
            done = end_ns >= page.to_ns
        else:
            done = end_ns >= venue_ns if not whole else not candles[-1].closed
        if done:
            return CandleAnswer(candles, None)
        path = RECENT if recent and page.interval is not Interval.S1 else HISTORY
        return CandleAnswer(candles, candle_request(_from(page, page.interval.next_open(end_ns)), path=path))


def _from(page: CandlePage, from_ns: int) -> CandlePage:
    return CandlePage(page.instrument, page.interval, from_ns, page.to_ns)


def _read(page: CandlePage, data: bytes, end_ns: int, received_ns: int) -> list[Candle]:
    bars = BARS_OF[BARS[page.interval]]
    candles = [to_candle(row, page.instrument, bars, received_ns) for row in decode_rows(data)]
    return [c for c in ascending(candles, newest_first=True) if page.from_ns <= c.open_ns <= end_ns]


def to_past_trade(raw: RawTrade, instrument: Instrument, received_ns: int) -> Trade:
    """Make a trade of an element of an answer; raise `ValueError` or `ArithmeticError` if it cannot be one."""
    side = Side.BUY if raw.side == "buy" else Side.SELL
    price, quantity = amount(parse(raw.px)), amount(raw.sz)
    number, event_ns = raw.tradeId, raw.ts * NS_PER_MS
    cause = TradeCause.MARKET
    return Trade(
        instrument, str(number), number, price, quantity, side, cause, event_ns, received_ns, Source.REST
    )  # fmt: skip


def read_trades(page: TradePage, data: bytes, received_ns: int) -> tuple[list[Trade], TradePage | None]:
    """Read an answer to a page of trades, and say what is still to be asked; raises one of `FAULTS`."""
    rows = decode_past_trades(data)
    trades: list[Trade] = []
    newer: int | None = None
    for raw in rows:
        if newer is not None and raw.tradeId >= newer:
            raise ValueError("trades that are not in descending order")
        newer = raw.tradeId
        if page.from_sequence <= raw.tradeId <= page.to_sequence:
            trades.append(to_past_trade(raw, page.instrument, received_ns))
    trades.reverse()
    last = min(page.to_sequence, page.from_sequence + TRADES_PER_PAGE_MAX - 1)
    if last >= page.to_sequence or not trades:
        return trades, None
    return trades, TradePage(page.instrument, last + 1, page.to_sequence)
