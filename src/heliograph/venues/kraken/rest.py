"""Kraken's REST answers: requests for what a feed lacks, and what their bodies mean.

A pair is asked for by its alternative name, `XBTUSD`, which is the one of all examples, and answered by its symbol,
`BTC/USD`, which `assetVersion=1` asks for. A refusal has the status 200, and its code in `error`.

Candles reach back 720 intervals, whatever is asked. All but the last row are committed. Trades are given by time, not
by number: of those that a feed misses, the newest thousand can be had.

Sources: https://docs.kraken.com/api-reference/market-data/get-ohlc-data ,
https://docs.kraken.com/api-reference/market-data/get-recent-trades and
https://support.kraken.com/hc/en-us/articles/360001491786-API-error-messages .
"""

from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Side, Source, Trade, TradeCause
from heliograph.model.numbers import amount, parse
from heliograph.venues.answering import problem_of
from heliograph.venues.candle_pages import CandleAnswer, ascending, past_candle, read_page
from heliograph.venues.contract import CandlePage, Request, TradePage, VenueError
from heliograph.venues.faults import REASON_MAX
from heliograph.venues.fields import NOTHING, Id, Seconds
from heliograph.venues.kraken.streams import MINUTES

CANDLES_PATH: Final = "/0/public/OHLC"
TRADES_PATH: Final = "/0/public/Trades"
PAIRS_PATH: Final = "/0/public/AssetPairs"
TRADES_MAX: Final = 1000
DISPLAY: Final = ("assetVersion", "1")

_ALTERNATIVES: Final = {"BTC": "XBT", "DOGE": "XDG"}


class RawAnswer(msgspec.Struct):
    """What all answers have around them."""

    error: list[str]
    result: msgspec.Raw = NOTHING


class RawRow(msgspec.Struct, array_like=True):
    """A candle."""

    time: Seconds
    open: str
    high: str
    low: str
    close: str
    vwap: str
    volume: str
    count: Id


class RawTrade(msgspec.Struct, array_like=True):
    """A trade: its time is in seconds, with a fraction; its side is `b` or `s`."""

    price: str
    volume: str
    time: Decimal
    side: str
    sort: str
    miscellaneous: str
    trade_id: Id


class Rows(NamedTuple):
    """An answer's candles, and when the last one opened that is committed."""

    candles: list[Candle]
    last_s: int


_decode_answer: Final = msgspec.json.Decoder(RawAnswer).decode
_decode_result: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_rows: Final = msgspec.json.Decoder(list[RawRow]).decode
_decode_trades: Final = msgspec.json.Decoder(list[RawTrade]).decode
_decode_last: Final = msgspec.json.Decoder(Seconds).decode
_SIDES: Final = {"b": Side.BUY, "s": Side.SELL}


def pair_name(instrument: Instrument) -> str:
    """Return a pair's alternative name."""
    return "".join(_ALTERNATIVES.get(asset, asset) for asset in instrument.venue_symbol.split("/"))


def candle_request(page: CandlePage) -> Request:
    """Ask for the candles from the beginning of a range up to the present."""
    # Whether `since` leaves out the candle that it names is not documented: one second before it there is none.
    since_s = max(0, page.from_ns // NS_PER_S - 1)
    query = (
        ("pair", pair_name(page.instrument)),
        ("interval", str(MINUTES[page.interval])),
        ("since", str(since_s)),
        DISPLAY,
    )
    return Request(CANDLES_PATH, query, 1, page)


def trade_request(page: TradePage) -> Request:
    """Ask for the newest trades, among which those that are missing may be."""
    query = (("pair", pair_name(page.instrument)), ("count", str(TRADES_MAX)), DISPLAY)
    return Request(TRADES_PATH, query, 1, page)


def parse_error(status: int, body: bytes) -> VenueError:
    """Read an answer's code, empty if it is no refusal; be it the venue's or of what stands before it."""

    def read(body: bytes) -> VenueError:
        errors = _decode_answer(body).error
        return VenueError(errors[0][:REASON_MAX] if errors else "", "; ".join(errors)[:REASON_MAX])

    return problem_of(status, body, read)


def accepted(body: bytes) -> msgspec.Raw:
    """Return an answer's result; raise `ValueError` with the venue's words if it is a refusal."""
    answer = _decode_answer(body)
    if not answer.result:
        raise ValueError(f"a refusal: {'; '.join(answer.error)[:REASON_MAX]}")
    return answer.result


def content_of(body: bytes, instrument: Instrument) -> tuple[msgspec.Raw, msgspec.Raw]:
    """Return what an answer says of an instrument, and its `last`; raise one of `FAULTS` if it says nothing of it."""
    result = _decode_result(accepted(body))
    last = result.pop("last", NOTHING)
    ((name, content),) = result.items()
    if name != instrument.venue_symbol:
        raise ValueError(f"an answer about {name[:40]}")
    return content, last


def read_rows(instrument: Instrument, interval: Interval, body: bytes, received_ns: int) -> Rows:
    """Read an answer's candles, ascending; raise one of `FAULTS`."""
    content, last = content_of(body, instrument)
    last_s = _decode_last(last)
    rows = _decode_rows(content)
    candles = [
        past_candle(
            instrument,
            interval,
            row.time * NS_PER_S,
            (row.open, row.high, row.low, row.close),
            (parse(row.volume), None, None),
            received_ns,
            trade_count=row.count,
            # The last row is of the present, whatever is said of it.
            closed=row.time <= last_s and row is not rows[-1],
        )
        for row in rows
    ]
    return Rows(ascending(candles, newest_first=False), last_s)


def read_candles(page: CandlePage, body: bytes, venue_ns: int, received_ns: int) -> CandleAnswer:
    """Read an answer to a page of candles; raises one of `FAULTS`. There is never another page."""
    candles, _ = read_rows(page.instrument, page.interval, body, received_ns)
    newest_ns = max([venue_ns, page.from_ns, page.to_ns or 0, *(candle.open_ns for candle in candles[-1:])])
    return read_page(page, candles, page.interval.next_open(page.interval.open_of(newest_ns)), venue_ns)


def read_trades(instrument: Instrument, body: bytes, received_ns: int) -> list[Trade]:
    """Read an answer's trades, ascending; raises one of `FAULTS`."""
    content, _ = content_of(body, instrument)
    return [
        Trade(
            instrument,
            str(raw.trade_id),
            raw.trade_id,
            amount(parse(raw.price)),
            amount(parse(raw.volume)),
            _SIDES[raw.side],
            TradeCause.MARKET,
            int(amount(raw.time).scaleb(9)),
            received_ns,
            Source.REST,
        )
        for raw in _decode_trades(content)
    ]
