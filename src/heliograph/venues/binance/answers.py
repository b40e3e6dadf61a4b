"""Recorded answers of Binance's REST interface, read by the URL that they answer.

Sources: as in `rest`. A feed asks for candles, aggregate trades and books only; recordings have more.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import BookTop, Candle, DayStatistics, Side, Source, Trade, TradeCause
from heliograph.model.numbers import amount
from heliograph.venues.answering import asked_of, is_a, reading
from heliograph.venues.binance.frames import RawProblem, decode_book, decode_past_trades, decode_rows
from heliograph.venues.binance.instruments import parse_instruments
from heliograph.venues.binance.market import Rules
from heliograph.venues.binance.rest import to_candle, to_past_trade, to_snapshot
from heliograph.venues.candle_pages import newest_open
from heliograph.venues.fields import Id, Ms


class RawDayAnswer(msgspec.Struct, rename="camel"):
    """An element of a ticker/24hr answer. On COIN-M `volume` counts contracts."""

    symbol: str
    last_price: Decimal
    open_price: Decimal
    high_price: Decimal
    low_price: Decimal
    volume: Decimal
    close_time: Ms
    count: Id
    quote_volume: Decimal | None = None
    base_volume: Decimal | None = None


class RawTopAnswer(msgspec.Struct, rename="camel"):
    """An element of a ticker/bookTicker answer. Spot gives no time."""

    symbol: str
    bid_price: Decimal
    bid_qty: Decimal
    ask_price: Decimal
    ask_qty: Decimal
    time: Ms | None = None


class RawTradeAnswer(msgspec.Struct, rename="camel"):
    """An element of a trades answer."""

    id: Id
    price: Decimal
    qty: Decimal
    time: Ms
    is_buyer_maker: bool


class RawRefusal(RawProblem, forbid_unknown_fields=True):
    """The body of an answer that is an error."""


T = TypeVar("T")

_days: Final = msgspec.json.Decoder(RawDayAnswer | list[RawDayAnswer])
_tops: Final = msgspec.json.Decoder(RawTopAnswer | list[RawTopAnswer])
_trades: Final = msgspec.json.Decoder(list[RawTradeAnswer])
_decode_refusal: Final = msgspec.json.Decoder(RawRefusal).decode


def read_answer(rules: Rules, url: str, body: bytes, received_ns: int) -> list[VenueEvent | Instrument]:
    """Read a recorded answer.

    Args:
        rules: the market's.
        url: what was asked: a URL, or its path and query; without a symbol, the answer must tell its own.
        body: the answer.
        received_ns: when it came.

    Raises:
        DecodeError: the answer is not what is documented for that URL, or the URL is not known.

    """
    if is_a(_decode_refusal, body):
        return []
    with reading(url):
        asked = asked_of(url)
        return _read(rules, asked.path, asked.query, body, received_ns)


def _read(
    rules: Rules, path: str, query: Mapping[str, str], body: bytes, received_ns: int
) -> list[VenueEvent | Instrument]:
    if path.endswith("exchangeInfo"):
        return list(parse_instruments(rules.market, body))
    if path.endswith("ticker/24hr"):
        return [_to_day(rules, raw, received_ns) for raw in _listed(_days.decode(body))]
    if path.endswith("ticker/bookTicker"):
        return [_to_top(rules, raw, received_ns) for raw in _listed(_tops.decode(body))]
    symbol = query.get("symbol")
    if path.endswith("depth"):
        raw = decode_book(body)
        name = raw.symbol or symbol
        return [] if name is None else [to_snapshot(raw, rules.instrument(name), received_ns)]
    instrument = rules.instrument(query["symbol"])
    if path.endswith("klines"):
        return [*_candles(rules, instrument, Interval(query["interval"]), body, received_ns)]
    if path.endswith("aggTrades"):
        return [to_past_trade(raw, instrument, received_ns) for raw in decode_past_trades(body)]
    if path.endswith("trades"):
        return [_to_trade(instrument, raw, received_ns) for raw in _trades.decode(body)]
    raise ValueError("an answer to something that is not known")


def _candles(rules: Rules, instrument: Instrument, interval: Interval, body: bytes, received_ns: int) -> list[Candle]:
    contracts = rules.rest.counts_contracts
    rows = decode_rows(body)
    return newest_open([to_candle(row, instrument, interval, received_ns, contracts=contracts) for row in rows])


def _to_day(rules: Rules, raw: RawDayAnswer, received_ns: int) -> DayStatistics:
    volume = amount(raw.volume)
    base = None if raw.base_volume is None else amount(raw.base_volume)
    quote = None if raw.quote_volume is None else amount(raw.quote_volume)
    contracts = rules.rest.counts_contracts
    return DayStatistics(
        rules.instrument(raw.symbol),
        amount(raw.last_price),
        amount(raw.open_price),
        amount(raw.high_price),
        amount(raw.low_price),
        base if contracts else volume,
        None if contracts else quote,
        volume if contracts else None,
        raw.count,
        raw.close_time * NS_PER_MS,
        received_ns,
    )


def _to_top(rules: Rules, raw: RawTopAnswer, received_ns: int) -> BookTop:
    bid, ask = amount(raw.bid_price), amount(raw.ask_price)
    return BookTop(
        rules.instrument(raw.symbol),
        bid or None,
        amount(raw.bid_qty) if bid else None,
        ask or None,
        amount(raw.ask_qty) if ask else None,
        None,
        None if raw.time is None else raw.time * NS_PER_MS,
        received_ns,
    )


def _to_trade(instrument: Instrument, raw: RawTradeAnswer, received_ns: int) -> Trade:
    side = Side.SELL if raw.is_buyer_maker else Side.BUY
    price, quantity = amount(raw.price), amount(raw.qty)
    event_ns = raw.time * NS_PER_MS
    cause = TradeCause.MARKET
    return Trade(instrument, str(raw.id), None, price, quantity, side, cause, event_ns, received_ns, Source.REST)


def _listed(items: T | list[T]) -> list[T]:
    return items if isinstance(items, list) else [items]
