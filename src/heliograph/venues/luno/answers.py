"""Recorded answers of Luno's REST interface, read by their URL.

Source: https://www.luno.com/en/developers/api#tag/Market
"""

from collections.abc import Callable, Mapping
from typing import Final

from heliograph.clock import NS_PER_MS
from heliograph.model.book import BookSnapshot, Level
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.numbers import Amounts
from heliograph.venues.answering import Asked, asked_of, is_a, reading
from heliograph.venues.candle_pages import newest_open
from heliograph.venues.levels import check_order, to_levels
from heliograph.venues.luno.frames import RawLevel, decode_book, decode_error, decode_ticker, decode_tickers
from heliograph.venues.luno.instruments import instrument_of_symbol, parse_instruments
from heliograph.venues.luno.rest import CANDLES_PATH, TICKER_PATH, TRADES_PATH, past_candles, past_trades, to_statistics
from heliograph.venues.luno.streams import DURATIONS_S

MARKETS_PATH: Final = "/api/exchange/1/markets"
_LEVELS_MAX: Final = 1_024
_INTERVALS: Final = {str(seconds): interval for interval, seconds in DURATIONS_S.items()}

_Answer = list[VenueEvent | Instrument]


def read_answer(url: str, body: bytes, received_ns: int) -> list[VenueEvent | Instrument]:
    """Read a recorded answer.

    Args:
        url: what was asked: a URL, or its path and query.
        body: the answer.
        received_ns: when it came.

    Raises:
        DecodeError: the answer is not what is documented for that path, or the path is not known.

    """
    with reading(url):
        if is_a(decode_error, body):
            return []
        asked = asked_of(url)
        read = _READERS.get(asked.path)
        if read is None:
            raise ValueError("an answer to something that is not known")
        return read(asked, body, received_ns)


def _candles(asked: Asked, body: bytes, received_ns: int) -> _Answer:
    interval = _INTERVALS.get(asked.query.get("duration", ""))
    if interval is None:
        raise ValueError("candles of a length that is not known")
    return [*newest_open(past_candles(_pair(asked), interval, body, received_ns))]


def _ticker(_asked: Asked, body: bytes, received_ns: int) -> _Answer:
    raw = decode_ticker(body)
    return [to_statistics(raw, instrument_of_symbol(raw.pair), received_ns)]


def _tickers(_asked: Asked, body: bytes, received_ns: int) -> _Answer:
    return [
        to_statistics(raw, instrument_of_symbol(raw.pair), received_ns) for raw in decode_tickers(body).tickers
    ]  # fmt: skip


def _top(asked: Asked, body: bytes, received_ns: int) -> _Answer:
    """Read a book by price, or by order: orders of one price are added up."""
    raw = decode_book(body)
    bids, asks = (_summed(side) for side in (raw.bids, raw.asks))
    check_order(bids, asks)
    return [BookSnapshot(_pair(asked), bids, asks, None, raw.timestamp * NS_PER_MS, received_ns)]


def _summed(raw: list[RawLevel]) -> list[Level]:
    levels: list[Level] = []
    for price, quantity in to_levels([(level.price, level.volume) for level in raw], Amounts(_LEVELS_MAX)):
        if levels and levels[-1][0] == price:
            levels[-1] = (price, levels[-1][1] + quantity)
        else:
            levels.append((price, quantity))
    return levels


def _pair(asked: Asked) -> Instrument:
    return instrument_of_symbol(asked.query.get("pair", ""))


_READERS: Final[Mapping[str, Callable[[Asked, bytes, int], _Answer]]] = {
    MARKETS_PATH: lambda _asked, body, _received_ns: [*parse_instruments(body)],
    CANDLES_PATH: _candles,
    TRADES_PATH: lambda asked, body, received_ns: [*past_trades(_pair(asked), body, received_ns)],
    TICKER_PATH: _ticker,
    "/api/1/tickers": _tickers,
    "/api/1/orderbook_top": _top,
    "/api/1/orderbook": _top,
}
