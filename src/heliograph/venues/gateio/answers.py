"""Recorded answers of Gate's REST interface, read by the URL that they answer.

Sources: as in `rest`, and "Retrieve market trades" and "Futures market transaction records" of
https://www.gate.com/docs/developers/apiv4/en/ . A feed asks for candles, books and spot's trades; recordings have
more.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument
from heliograph.model.market import Candle, Side, Source, Trade, TradeCause
from heliograph.model.numbers import amount, parse
from heliograph.venues.answering import asked_of, is_a, reading
from heliograph.venues.candle_pages import newest_open
from heliograph.venues.fields import Id
from heliograph.venues.gateio.frames import decode_book, decode_past_trades
from heliograph.venues.gateio.instruments import parse_instruments
from heliograph.venues.gateio.market import Rules
from heliograph.venues.gateio.rest import RawRefusal, read_rows, to_candle, to_past_trade, to_snapshot
from heliograph.venues.gateio.times import instant_ns

_SILENT: Final = frozenset({"accounts", "my_trades", "orders", "positions", "open_orders", "fee", "account_book"})


class RawFuturesPast(msgspec.Struct):
    """An element of a trades answer of futures. The time is seconds with a fraction, whatever its name says.

    (undocumented, seen 2026-09-25)
    """

    id: Id
    create_time_ms: Decimal
    contract: str
    size: Decimal
    price: str
    is_internal: bool = False


_decode_refusal: Final = msgspec.json.Decoder(RawRefusal).decode
_decode_futures: Final = msgspec.json.Decoder(list[RawFuturesPast]).decode


def read_answer(rules: Rules, url: str, body: bytes, received_ns: int) -> list[VenueEvent | Instrument]:
    """Read a recorded answer.

    Args:
        rules: the market's.
        url: what was asked: a URL, or its path and query; without a symbol, candles and books tell nothing.
        body: the answer.
        received_ns: when it came.

    Raises:
        DecodeError: the answer is not what is documented for that URL, or the URL is not known.

    """
    if is_a(_decode_refusal, body):
        return []
    with reading(url):
        asked = asked_of(url)
        return _read(rules, asked.path.rpartition("/")[2], asked.query, body, received_ns)


def _read(
    rules: Rules, name: str, query: Mapping[str, str], body: bytes, received_ns: int
) -> list[VenueEvent | Instrument]:
    if name in ("currency_pairs", "contracts"):
        return list(parse_instruments(rules.market, body))
    if name == "trades":
        return list(_trades(rules, body, received_ns))
    symbol = query.get(rules.rest.symbol)
    if name == "order_book":
        book = decode_book(body)
        return [] if symbol is None else [to_snapshot(rules.rest, book, rules.instrument(symbol), received_ns)]
    if name == "candlesticks":
        return [] if symbol is None else list(_candles(rules, rules.instrument(symbol), query, body, received_ns))
    if name in _SILENT:
        return []
    raise ValueError("an answer to something that is not known")


def _candles(
    rules: Rules, instrument: Instrument, query: Mapping[str, str], body: bytes, received_ns: int
) -> list[Candle]:
    interval = rules.intervals[query.get("interval", "5m")]
    rows = read_rows(rules.rest, instrument, body)
    return newest_open([to_candle(row, instrument, interval, received_ns) for row in rows])


def _trades(rules: Rules, body: bytes, received_ns: int) -> list[Trade]:
    if rules.market == SPOT:
        return [
            to_past_trade(raw, rules.instrument(raw.currency_pair), received_ns) for raw in decode_past_trades(body)
        ]
    return [_futures_trade(rules, raw, received_ns) for raw in _decode_futures(body) if raw.size]


def _futures_trade(rules: Rules, raw: RawFuturesPast, received_ns: int) -> Trade:
    return Trade(
        rules.instrument(raw.contract),
        str(raw.id),
        None,
        amount(parse(raw.price)),
        amount(raw.size.copy_abs()),
        Side.BUY if raw.size > 0 else Side.SELL,
        TradeCause.LIQUIDATION if raw.is_internal else TradeCause.MARKET,
        instant_ns(raw.create_time_ms, NS_PER_S),
        received_ns,
        Source.REST,
    )
