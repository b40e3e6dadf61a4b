"""Recorded answers of Bybit's REST interface, read by the URL that they answer.

Sources: as in `rest`, and https://bybit-exchange.github.io/docs/v5/market/tickers , …/orderbook and …/recent-trade . A
feed asks for candles only; recordings have more.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.model.book import BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument
from heliograph.model.market import Side, Source, Trade, TradeCause
from heliograph.model.numbers import Amounts, amount, parse
from heliograph.venues.answering import asked_of, reading
from heliograph.venues.bybit.frames import MsText, RawAnswer, RawTicker, decode_answer, decode_book
from heliograph.venues.bybit.instruments import parse_instruments
from heliograph.venues.bybit.market import Rules
from heliograph.venues.bybit.rest import KLINES_PATH, past_candles
from heliograph.venues.bybit.streams import INTERVALS
from heliograph.venues.bybit.tickers import TickerMerge, top_of
from heliograph.venues.candle_pages import newest_open
from heliograph.venues.levels import to_levels


class RawTickerList(msgspec.Struct):
    """The result of a tickers answer."""

    category: str
    list: list[RawTicker]


class RawPastTrade(msgspec.Struct, rename="camel"):
    """An element of a recent-trade answer."""

    exec_id: str
    symbol: str
    price: str
    size: str
    side: Literal["Buy", "Sell"]
    time: MsText


class RawPastTrades(msgspec.Struct):
    """The result of a recent-trade answer, newest first."""

    category: str
    list: list[RawPastTrade]


_decode_tickers: Final = msgspec.json.Decoder(RawTickerList).decode
_decode_trades: Final = msgspec.json.Decoder(RawPastTrades).decode
_PRICES_MAX: Final = 1000


def read_answer(rules: Rules, url: str, body: bytes, received_ns: int) -> list[VenueEvent | Instrument]:
    """Read a recorded answer.

    Args:
        rules: the market's.
        url: what was asked: a URL, or its path and query.
        body: the answer; a refusal, an answer of another market and one outside `/v5/market` tell nothing.
        received_ns: when it came.

    Raises:
        DecodeError: the answer is not what is documented for that URL.

    """
    with reading(url):
        asked = asked_of(url)
        answer = decode_answer(body)
        return [] if answer.retCode else _read(rules, asked.path, asked.query, body, answer, received_ns)


def _read(
    rules: Rules, path: str, query: Mapping[str, str], body: bytes, answer: RawAnswer, received_ns: int
) -> list[VenueEvent | Instrument]:
    if path.endswith("instruments-info"):
        return list(parse_instruments(rules.market, body))
    if path.endswith("/market/tickers"):
        return _tickers(rules, answer, received_ns)
    if path.endswith(KLINES_PATH):
        instrument, interval = rules.instrument(query["symbol"]), INTERVALS[query["interval"]]
        return [*newest_open(past_candles(rules.rest, instrument, interval, answer, received_ns))]
    if path.endswith("/market/orderbook"):
        raw, prices = decode_book(answer.result), Amounts(_PRICES_MAX)
        event_ns = None if raw.ts is None else raw.ts * NS_PER_MS
        bids, asks = to_levels(raw.b, prices), to_levels(raw.a, prices)
        return [BookSnapshot(rules.instrument(raw.s), bids, asks, raw.u, event_ns, received_ns)]
    if path.endswith("/market/recent-trade"):
        found = _decode_trades(answer.result)
        if found.category != rules.market:
            return []
        return [_to_trade(rules, raw, received_ns) for raw in reversed(found.list)]
    return []


def _tickers(rules: Rules, answer: RawAnswer, received_ns: int) -> list[VenueEvent | Instrument]:
    found = _decode_tickers(answer.result)
    if found.category != rules.market:
        return []
    prices = Amounts(_PRICES_MAX)
    event_ns = None if answer.time is None else answer.time * NS_PER_MS
    told: list[VenueEvent | Instrument] = []
    for raw in found.list:
        instrument = rules.instrument(raw.symbol)
        merge = TickerMerge(instrument, counts_contracts=rules.rest.counts_contracts)
        told.append(top_of(raw, instrument, prices, event_ns, received_ns))
        if raw.lastPrice:
            told.append(merge.day(raw, prices, event_ns, received_ns))
    return told


def _to_trade(rules: Rules, raw: RawPastTrade, received_ns: int) -> Trade:
    side = Side.BUY if raw.side == "Buy" else Side.SELL
    price, quantity, event_ns = amount(parse(raw.price)), amount(parse(raw.size)), int(raw.time) * NS_PER_MS
    instrument = rules.instrument(raw.symbol)
    cause = TradeCause.MARKET
    return Trade(instrument, raw.exec_id, None, price, quantity, side, cause, event_ns, received_ns, Source.REST)
