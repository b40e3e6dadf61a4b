"""Gate's REST answers: requests for what a feed lacks, and what their bodies mean.

Sources: "Market candlesticks", "Get futures candlesticks", "Retrieve order book" and "Futures order book" of
https://www.gate.com/docs/developers/apiv4/en/ . A window counts both its ends, and one of more candles than an answer
holds is refused ("Candlestick range too broad"), as is one that begins more than 10 000 candles ago ("Candlestick too
long ago"): https://github.com/ccxt/ccxt/issues/17464 and https://github.com/ccxt/ccxt/issues/27887 .
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.book import BookSnapshot, Level
from heliograph.model.instrument import SPOT, Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Side, Source, Trade, TradeCause
from heliograph.model.numbers import amount, parse
from heliograph.venues.answering import problem_of
from heliograph.venues.candle_pages import CandleAnswer, ascending, page_end, past_candle, read_page
from heliograph.venues.contract import BookPage, CandlePage, Request, TradePage, VenueError
from heliograph.venues.gateio.bars import Units, Volumes, volumes_of
from heliograph.venues.gateio.frames import (
    RawBook,
    RawLevel,
    RawObject,
    RawRow,
    RawSpotPast,
    decode_book,
    decode_objects,
    decode_past_trades,
    decode_rows,
)
from heliograph.venues.gateio.times import instant_ns, seconds_ns
from heliograph.venues.levels import check_order

TRADES_PER_PAGE_MAX: Final = 1000


class Rest(msgspec.Struct, frozen=True):
    """How one market's REST interface differs from the others'."""

    market: MarketId
    prefix: str
    """Such as `/api/v4/futures/usdt`."""
    symbol: str
    """The name of the parameter that names the instrument."""
    units: Units
    lengths: Mapping[Interval, str]
    """Gate's names of the lengths of candles."""
    rows_max: int
    """Candles of one answer."""
    depth_max: int
    """Levels of one snapshot."""


def candle_request(rest: Rest, page: CandlePage) -> Request:
    """Ask for the first candles of a range. There is no `limit`, which Gate refuses beside a window."""
    return Request(
        f"{rest.prefix}/candlesticks",
        (
            (rest.symbol, page.instrument.venue_symbol),
            ("interval", rest.lengths[page.interval]),
            ("from", str(page.from_ns // NS_PER_S)),
            ("to", str(page_end(page, rest.rows_max) // NS_PER_S)),
        ),
        1,
        page,
    )


def book_request(rest: Rest, instrument: Instrument) -> Request:
    """Ask for a snapshot of the book, with the number that joins it to the updates."""
    query = ((rest.symbol, instrument.venue_symbol), ("limit", str(rest.depth_max)), ("with_id", "true"))
    return Request(f"{rest.prefix}/order_book", query, 1, BookPage(instrument))


def trade_request(rest: Rest, page: TradePage) -> Request:
    """Ask for the first trades of a range: so many before the number after the last one wanted.

    Source: https://github.com/gate/gateapi-python/blob/master/docs/SpotApi.md#list_trades (`reverse`)
    """
    last = _last_of(page)
    query = (
        (rest.symbol, page.instrument.venue_symbol),
        ("limit", str(max(1, last - page.from_sequence + 1))),
        ("last_id", str(last + 1)),
        ("reverse", "true"),
    )
    return Request(f"{rest.prefix}/trades", query, 1, page)


class RawRefusal(msgspec.Struct):
    """The body of an answer that is an error; some have no message, those of dated contracts a `detail`."""

    label: str
    message: str = ""
    detail: str = ""


def parse_error(status: int, body: bytes) -> VenueError:
    """Read the body of an answer that is not a success: `{label,message}`, or what stands before the venue says."""

    def read(body: bytes) -> VenueError:
        refusal = msgspec.json.decode(body, type=RawRefusal)
        return VenueError(refusal.label, refusal.message or refusal.detail)

    return problem_of(status, body, read)


class Row(NamedTuple):
    """A candle of an answer of any market."""

    open_ns: int
    prices: tuple[str, str, str, str]
    """Open, high, low, close."""
    volumes: Volumes
    closed: bool
    """Whether the row itself says so."""


def read_rows(rest: Rest, instrument: Instrument, body: bytes) -> list[Row]:
    """Read a candlesticks answer; raises one of `FAULTS`."""
    if rest.market == SPOT:
        return [_spot_row(raw) for raw in decode_rows(body)]
    return [_futures_row(rest.units, instrument, raw) for raw in decode_objects(body)]


def _spot_row(raw: RawRow) -> Row:
    open_ns = seconds_ns(raw.t)
    base = None if raw.base is None else amount(parse(raw.base))
    volumes = (base, amount(parse(raw.quote)), None)
    return Row(open_ns, (raw.open, raw.high, raw.low, raw.close), volumes, raw.closed == "true")


def _futures_row(units: Units, instrument: Instrument, raw: RawObject) -> Row:
    # What `sum` counts on an inverse contract is documented as quote, and not seen.
    settled = raw.sum if units is Units.LINEAR else None
    volumes = volumes_of(units, instrument, raw.v, settled)
    return Row(raw.t * NS_PER_S, (raw.o, raw.h, raw.l, raw.c), volumes, False)


def to_candle(row: Row, instrument: Instrument, interval: Interval, received_ns: int) -> Candle:
    """Make a candle of a row; raise `ValueError` or `ArithmeticError` if it cannot be one."""
    return past_candle(instrument, interval, row.open_ns, row.prices, row.volumes, received_ns, closed=row.closed)


def read_candles(rest: Rest, page: CandlePage, body: bytes, venue_ns: int, received_ns: int) -> CandleAnswer:
    """Read an answer to a page of candles; raises one of `FAULTS`. Only rows of spot say that they are closed."""
    rows = read_rows(rest, page.instrument, body)
    candles = [to_candle(row, page.instrument, page.interval, received_ns) for row in rows]
    return read_page(page, ascending(candles, newest_first=False), page_end(page, rest.rows_max), venue_ns)


def read_trades(page: TradePage, body: bytes, received_ns: int) -> tuple[list[Trade], TradePage | None]:
    """Read an answer to a page of trades, and say what is still to be asked; raises one of `FAULTS`."""
    told = [to_past_trade(raw, page.instrument, received_ns) for raw in decode_past_trades(body)]
    # That the newest comes first is how it was seen, and not promised.
    numbered = {trade.sequence: trade for trade in told if trade.sequence is not None}
    last = _last_of(page)
    trades = [numbered[number] for number in range(page.from_sequence, last + 1) if number in numbered]
    if last >= page.to_sequence or not trades:
        return trades, None
    return trades, TradePage(page.instrument, last + 1, page.to_sequence)


def to_past_trade(raw: RawSpotPast, instrument: Instrument, received_ns: int) -> Trade:
    """Make a trade of spot."""
    return Trade(
        instrument,
        raw.id,
        int(raw.sequence_id) if raw.sequence_id else None,
        amount(parse(raw.price)),
        amount(parse(raw.amount)),
        Side.BUY if raw.side == "buy" else Side.SELL,
        TradeCause.MARKET,
        instant_ns(raw.create_time_ms, NS_PER_MS),
        received_ns,
        Source.REST,
    )


def _last_of(page: TradePage) -> int:
    return min(page.to_sequence, page.from_sequence + TRADES_PER_PAGE_MAX - 1)


def read_book(rest: Rest, instrument: Instrument, body: bytes, received_ns: int) -> BookSnapshot:
    """Read an answer to a snapshot's request; raises one of `FAULTS`."""
    return to_snapshot(rest, decode_book(body), instrument, received_ns)


def to_snapshot(rest: Rest, raw: RawBook, instrument: Instrument, received_ns: int) -> BookSnapshot:
    """Make a snapshot of an answer, best prices first; raise `ValueError` if it is none."""
    bids, asks = [_level(level) for level in raw.bids], [_level(level) for level in raw.asks]
    check_order(bids, asks)
    unit_ns = NS_PER_MS if rest.market == SPOT else NS_PER_S
    event_ns = None if raw.update is None else instant_ns(raw.update, unit_ns)
    return BookSnapshot(instrument, bids, asks, raw.id, event_ns, received_ns)


def _level(raw: tuple[str, str] | RawLevel) -> Level:
    price, size = (raw.p, raw.s) if isinstance(raw, RawLevel) else (raw[0], parse(raw[1]))
    return amount(parse(price)), amount(size)
