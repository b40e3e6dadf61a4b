"""Recorded answers of Kraken's REST interface, read by the URL that they answer.

Sources: as in `rest`, https://docs.kraken.com/api-reference/market-data/get-order-book and
https://docs.kraken.com/api/docs/rest-api/get-ticker-information .
"""

from typing import Annotated, Final

import msgspec

from heliograph.model.book import BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.market import BookTop, DayStatistics
from heliograph.model.numbers import Amounts, amount, parse
from heliograph.venues.answering import asked_of, is_a, reading
from heliograph.venues.candle_pages import newest_open
from heliograph.venues.kraken.instruments import instrument_of_symbol, parse_instruments
from heliograph.venues.kraken.rest import accepted, content_of, read_rows, read_trades
from heliograph.venues.kraken.streams import INTERVALS
from heliograph.venues.levels import check_order, to_levels

LEVELS_MAX: Final = 1000
_SILENT: Final = frozenset({"Time", "SystemStatus", "Assets", "Spread", "GroupedBook"})


class RawLevel(msgspec.Struct, array_like=True):
    """A level, and when it last changed, in seconds."""

    price: str
    volume: str
    time: int


class RawDepth(msgspec.Struct):
    """A book."""

    asks: list[RawLevel]
    bids: list[RawLevel]


class RawRefusal(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a refusal."""

    error: Annotated[list[str], msgspec.Meta(min_length=1)]


class RawDay(msgspec.Struct, rename={"ask": "a", "bid": "b", "last": "c", "volumes": "v", "lows": "l", "highs": "h"}):
    """A ticker: best ask and bid with whole and exact lots, last trade, and volume, low and high of today and a day."""

    ask: tuple[str, str, str]
    bid: tuple[str, str, str]
    last: tuple[str, str]
    volumes: tuple[str, str]
    lows: tuple[str, str]
    highs: tuple[str, str]


_decode_depth: Final = msgspec.json.Decoder(RawDepth).decode
_decode_days: Final = msgspec.json.Decoder(dict[str, RawDay]).decode
_decode_refusal: Final = msgspec.json.Decoder(RawRefusal).decode
_decode_names: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_answer(url: str, body: bytes, received_ns: int) -> list[VenueEvent | Instrument]:
    """Read a recorded answer.

    Args:
        url: what was asked. An answer to what was asked without `assetVersion=1` names no symbol, and tells nothing.
        body: the answer.
        received_ns: when it came.

    Raises:
        DecodeError: the answer is not what is documented for that URL, or the URL is not known.

    """
    with reading(url):
        return _read(url, body, received_ns)


def _read(url: str, body: bytes, received_ns: int) -> list[VenueEvent | Instrument]:
    asked = asked_of(url)
    name = asked.path.rpartition("/")[2]
    if is_a(_decode_refusal, body):
        return []
    if name == "AssetPairs":
        return [*parse_instruments(body)]
    result = accepted(body)
    if name in _SILENT:
        return []
    if name == "Ticker":
        days = _decode_days(result).items()
        return [
            e for symbol, day in days if "/" in symbol for e in _day(instrument_of_symbol(symbol), day, received_ns)
        ]
    if name not in ("OHLC", "Trades", "Depth"):
        raise ValueError("an answer to something that is not known")
    (symbol,) = (key for key in _decode_names(result) if key != "last")
    if "/" not in symbol:
        return []
    instrument = instrument_of_symbol(symbol)
    if name == "Trades":
        return [*read_trades(instrument, body, received_ns)]
    if name == "Depth":
        return [_depth(instrument, body, received_ns)]
    interval = INTERVALS.get(int(asked.query.get("interval", "1")))
    return [] if interval is None else [*newest_open(read_rows(instrument, interval, body, received_ns).candles)]


def _depth(instrument: Instrument, body: bytes, received_ns: int) -> BookSnapshot:
    raw = _decode_depth(content_of(body, instrument)[0])
    prices = Amounts(LEVELS_MAX)
    bids, asks = (to_levels(((e.price, parse(e.volume)) for e in side), prices) for side in (raw.bids, raw.asks))
    check_order(bids, asks)
    return BookSnapshot(instrument, bids, asks, None, None, received_ns)


def _day(instrument: Instrument, raw: RawDay, received_ns: int) -> tuple[DayStatistics, BookTop]:
    last, volume, low, high = (amount(parse(text)) for text in (raw.last[0], raw.volumes[1], raw.lows[1], raw.highs[1]))
    bid, bid_size, ask, ask_size = (amount(parse(text)) for text in (raw.bid[0], raw.bid[2], raw.ask[0], raw.ask[2]))
    return (
        DayStatistics(instrument, last, None, high, low, volume, None, None, None, None, received_ns),
        BookTop(instrument, bid, bid_size, ask, ask_size, None, None, received_ns),
    )
