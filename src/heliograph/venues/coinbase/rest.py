"""Coinbase's REST answers: requests for candles and trades that a feed lacks, and what their bodies mean.

Sources: https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-product-candles and
https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-market-trades .
"""

from collections.abc import Iterable
from typing import Final

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Side, Source, Trade, TradeCause
from heliograph.model.numbers import amount, parse
from heliograph.venues.answering import problem_of
from heliograph.venues.candle_pages import CandleAnswer, ascending, page_end, past_candle, read_page
from heliograph.venues.coinbase.frames import (
    RawFill,
    RawRow,
    decode_problem,
    decode_rows,
    decode_trades,
    instant_ns,
)
from heliograph.venues.contract import CandlePage, Request, TradePage, VenueError

PREFIX: Final = "/api/v3/brokerage"
PRODUCTS_PATH: Final = f"{PREFIX}/market/products"
BOOK_PATH: Final = f"{PREFIX}/market/product_book"
ROWS_MAX: Final = 350
TRADES_MAX: Final = 100
"""However many are asked for, there are no more in an answer (undocumented, recorded by others 2026-09-27)."""

GRANULARITIES: Final = {
    "ONE_MINUTE": Interval.M1,
    "FIVE_MINUTE": Interval.M5,
    "FIFTEEN_MINUTE": Interval.M15,
    "THIRTY_MINUTE": Interval.M30,
    "ONE_HOUR": Interval.H1,
    "TWO_HOUR": Interval.H2,
    "FOUR_HOUR": Interval.H4,
    "SIX_HOUR": Interval.H6,
    "ONE_DAY": Interval.D1,
}
GRANULARITY_NAMES: Final = {interval: name for name, interval in GRANULARITIES.items()}


def candle_request(page: CandlePage) -> Request:
    """Ask for the first candles of a range."""
    query = (
        ("start", str(page.from_ns // NS_PER_S)),
        ("end", str(page_end(page, ROWS_MAX) // NS_PER_S)),
        ("granularity", GRANULARITY_NAMES[page.interval]),
        ("limit", str(ROWS_MAX)),
    )
    return Request(f"{PRODUCTS_PATH}/{page.instrument.venue_symbol}/candles", query, 1, page)


def trade_request(page: TradePage) -> Request:
    """Ask for the newest trades: there is no asking by number, so that only what was just missed can be had."""
    path = f"{PRODUCTS_PATH}/{page.instrument.venue_symbol}/ticker"
    return Request(path, (("limit", str(TRADES_MAX)),), 1, page)


def parse_error(status: int, body: bytes) -> VenueError:
    """Read the body of an answer whose HTTP status is not a success, be it the venue's or of what stands before it."""

    def read(body: bytes) -> VenueError:
        problem = decode_problem(body)
        return VenueError(problem.error, problem.message)

    return problem_of(status, body, read)


def past_candles(instrument: Instrument, interval: Interval, body: bytes, received_ns: int) -> list[Candle]:
    """Return an answer's candles, ascending; raise one of `FAULTS` if it is no such answer.

    There is none of a stretch in which nothing was traded.
    """
    candles = [_to_candle(row, instrument, interval, received_ns) for row in decode_rows(body).candles]
    return ascending(candles, newest_first=True)


def read_candles(page: CandlePage, body: bytes, venue_ns: int, received_ns: int) -> CandleAnswer:
    """Read an answer to a page of candles; raises one of `FAULTS`."""
    candles = past_candles(page.instrument, page.interval, body, received_ns)
    return read_page(page, candles, page_end(page, ROWS_MAX), venue_ns)


def past_trades(instrument: Instrument, body: bytes, received_ns: int) -> list[Trade]:
    """Return an answer's trades, ascending; raise one of `FAULTS` if it is no such answer."""
    found = decode_trades(body).trades
    check_products(instrument, (raw.product_id for raw in found))
    return [to_trade(raw, instrument, received_ns) for raw in reversed(found)]


def read_trades(page: TradePage, body: bytes, received_ns: int) -> list[Trade]:
    """Return those trades of an answer that were asked for; raises one of `FAULTS`."""
    trades = past_trades(page.instrument, body, received_ns)
    wanted = range(page.from_sequence, page.to_sequence + 1)
    return [trade for trade in trades if trade.sequence in wanted]


def check_products(instrument: Instrument, products: Iterable[str]) -> None:
    """Raise `ValueError` if one of these is another product."""
    for product in products:
        if product != instrument.venue_symbol:
            raise ValueError(f"data of {product[:50]!r}")


def to_trade(raw: RawFill, instrument: Instrument, received_ns: int) -> Trade:
    """Make a trade of a past one; raise `ValueError` or `ArithmeticError` if it cannot be one."""
    side = Side.SELL if raw.side == "BUY" else Side.BUY  # The venue tells the maker's.
    price, quantity = amount(parse(raw.price)), amount(raw.size)
    number, event_ns = int(raw.trade_id), instant_ns(raw.time)
    cause = TradeCause.MARKET
    return Trade(
        instrument, raw.trade_id, number, price, quantity, side, cause, event_ns, received_ns, Source.REST
    )  # fmt: skip


def _to_candle(row: RawRow, instrument: Instrument, interval: Interval, received_ns: int) -> Candle:
    prices = (row.open, row.high, row.low, row.close)
    volumes = (parse(row.volume), None, None)
    return past_candle(instrument, interval, int(row.start) * NS_PER_S, prices, volumes, received_ns)
