"""The JSON of the bus: exactly the documents' field names, plus ours.

Market data is written as JSON numbers with the venue's digits, in fixed point; times as ISO 8601 with milliseconds.
Readers take numbers and decimal strings alike. The documents' `timestamp` is required, so where the venue gave no time
it is the time of receipt, and our own field `event_time` says so by being null.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.clock import from_iso, iso_ms
from heliograph.errors import DecodeError
from heliograph.model.book import BookDelta, BookSnapshot, Level
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument, InstrumentId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap, Side, Source, Ticker, Trade, TradeCause
from heliograph.model.numbers import finite, fixed

ORDERBOOK_DEPTH: Final = 20
"""Levels of each side in an entry of an `orderbook` stream."""


class Encoder:
    """Events into the JSON of their stream, with each instrument's names rendered once."""

    def __init__(self) -> None:
        self._names: dict[InstrumentId, str] = {}

    def encode(self, event: Event) -> bytes:
        """Return the JSON of the event's stream entry."""
        if type(event) is Candle:
            return self._candle(event).encode()
        if type(event) is Trade:
            return self._trade(event).encode()
        if type(event) is Ticker:
            return self._ticker(event).encode()
        if type(event) is BookDelta:
            return self._book_delta(event).encode()
        if type(event) is BookSnapshot:
            return self._order_book(event).encode()
        assert type(event) is Gap
        return self._gap(event).encode()

    def _name(self, instrument: Instrument) -> str:
        name = f'"exchange":{_quoted(instrument.exchange)},"symbol":{_quoted(instrument.symbol)}'
        self._names[instrument.id] = name
        return name

    def _candle(self, e: Candle) -> str:
        name = self._names.get(e.instrument.id) or self._name(e.instrument)
        return (
            f'{{{name},"interval":"{e.interval.value}","open_time":"{iso_ms(e.open_ns)}",'
            f'"close_time":"{iso_ms(e.close_ns)}","open":{fixed(e.open)},"high":{fixed(e.high)},"low":{fixed(e.low)},'
            f'"close":{fixed(e.close)},"base_volume":{_number(e.base_volume)},'
            f'"quote_volume":{_number(e.quote_volume)},"contracts":{_number(e.contracts)},'
            f'"trade_count":{"null" if e.trade_count is None else e.trade_count},'
            f'"closed":{"true" if e.closed else "false"},"event_time":{_time(e.event_ns)},"source":"{e.source.value}"}}'
        )

    def _trade(self, e: Trade) -> str:
        name = self._names.get(e.instrument.id) or self._name(e.instrument)
        stamp = iso_ms(e.received_ns if e.event_ns is None else e.event_ns)
        trade_id = "null" if e.trade_id is None else _quoted(e.trade_id)
        return (
            f'{{{name},"timestamp":"{stamp}","price":{fixed(e.price)},"quantity":{fixed(e.quantity)},'
            f'"side":"{e.side.value}","trade_id":{trade_id},"sequence":{"null" if e.sequence is None else e.sequence},'
            f'"cause":"{e.cause.value}","event_time":{_time(e.event_ns)},"source":"{e.source.value}"}}'
        )

    def _ticker(self, e: Ticker) -> str:
        name = self._names.get(e.instrument.id) or self._name(e.instrument)
        stamp = iso_ms(e.received_ns if e.event_ns is None else e.event_ns)
        return (
            f'{{{name},"timestamp":"{stamp}","last_price":{fixed(e.last)},"bid_price":{fixed(e.bid)},'
            f'"ask_price":{fixed(e.ask)},"volume_24h":{_number(e.base_volume_24h)},'
            f'"bid_quantity":{_number(e.bid_quantity)},"ask_quantity":{_number(e.ask_quantity)},'
            f'"quote_volume_24h":{_number(e.quote_volume_24h)},"contracts_24h":{_number(e.contracts_24h)},'
            f'"event_time":{_time(e.event_ns)}}}'
        )

    def _order_book(self, e: BookSnapshot) -> str:
        name = self._names.get(e.instrument.id) or self._name(e.instrument)
        stamp = iso_ms(e.received_ns if e.event_ns is None else e.event_ns)
        return (
            f'{{{name},"timestamp":"{stamp}","bids":[{_levels(e.bids)}],"asks":[{_levels(e.asks)}],'
            f'"sequence":{"null" if e.sequence is None else e.sequence},"event_time":{_time(e.event_ns)}}}'
        )

    def _book_delta(self, e: BookDelta) -> str:
        name = self._names.get(e.instrument.id) or self._name(e.instrument)
        stamp = iso_ms(e.received_ns if e.event_ns is None else e.event_ns)
        return (
            f'{{{name},"timestamp":"{stamp}","bids":[{_levels(e.bids)}],"asks":[{_levels(e.asks)}],'
            f'"first_sequence":{"null" if e.first_sequence is None else e.first_sequence},'
            f'"sequence":{"null" if e.sequence is None else e.sequence},"event_time":{_time(e.event_ns)},'
            f'"reset":{"true" if e.reset else "false"}}}'
        )

    def _gap(self, e: Gap) -> str:
        name = self._names.get(e.instrument.id) or self._name(e.instrument)
        return (
            f'{{{name},"channel":"{e.channel.value}",'
            f'"interval":{"null" if e.interval is None else _quoted(e.interval)},'
            f'"from_time":{_time(e.from_ns)},"to_time":{_time(e.to_ns)},'
            f'"from_sequence":{"null" if e.from_sequence is None else e.from_sequence},'
            f'"to_sequence":{"null" if e.to_sequence is None else e.to_sequence},'
            f'"reason":{_quoted(e.reason)},"timestamp":"{iso_ms(e.received_ns)}"}}'
        )


def _number(value: Decimal | None) -> str:
    return "null" if value is None else fixed(value)


def _time(instant_ns: int | None) -> str:
    return "null" if instant_ns is None else f'"{iso_ms(instant_ns)}"'


def _levels(levels: Sequence[Level]) -> str:
    return ",".join([f'{{"price":{fixed(price)},"quantity":{fixed(quantity)}}}' for price, quantity in levels])


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


class _Level(msgspec.Struct):
    price: Decimal
    quantity: Decimal


class _CandleEntry(msgspec.Struct):
    interval: Interval
    open_time: str
    close_time: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    base_volume: Decimal | None
    quote_volume: Decimal | None
    contracts: Decimal | None
    trade_count: int | None
    closed: bool
    event_time: str | None
    source: Source


class _TradeEntry(msgspec.Struct):
    timestamp: str
    price: Decimal
    quantity: Decimal
    side: Side
    trade_id: str | None = None
    sequence: int | None = None
    cause: TradeCause = TradeCause.MARKET
    event_time: str | None = None
    source: Source = Source.STREAM


class _TickerEntry(msgspec.Struct):
    timestamp: str
    last_price: Decimal
    bid_price: Decimal
    ask_price: Decimal
    volume_24h: Decimal | None = None
    bid_quantity: Decimal | None = None
    ask_quantity: Decimal | None = None
    quote_volume_24h: Decimal | None = None
    contracts_24h: Decimal | None = None
    event_time: str | None = None


class _BookEntry(msgspec.Struct):
    timestamp: str
    bids: list[_Level]
    asks: list[_Level]
    first_sequence: int | None = None
    sequence: int | None = None
    event_time: str | None = None
    reset: bool = False


class _GapEntry(msgspec.Struct):
    channel: Channel
    interval: Interval | None
    from_time: str | None
    to_time: str | None
    from_sequence: int | None
    to_sequence: int | None
    reason: str
    timestamp: str


_FAULTS: Final = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
"""What an entry can raise that is none: JSON, text, numbers and times, nesting without end."""

_candle_decoder = msgspec.json.Decoder(_CandleEntry)
_trade_decoder = msgspec.json.Decoder(_TradeEntry)
_ticker_decoder = msgspec.json.Decoder(_TickerEntry)
_book_decoder = msgspec.json.Decoder(_BookEntry)
_gap_decoder = msgspec.json.Decoder(_GapEntry)


def decode_candle(data: bytes, instrument: Instrument, received_ns: int) -> Candle:
    """Read an entry of a `candles_…` stream.

    Raises:
        DecodeError: the bytes are not such an entry.

    """
    try:
        e = _candle_decoder.decode(data)
        return Candle(
            instrument,
            e.interval,
            from_iso(e.open_time),
            from_iso(e.close_time),
            finite(e.open),
            finite(e.high),
            finite(e.low),
            finite(e.close),
            _finite(e.base_volume),
            _finite(e.quote_volume),
            _finite(e.contracts),
            e.trade_count,
            e.closed,
            _instant(e.event_time),
            received_ns,
            e.source,
        )
    except _FAULTS as e:
        raise DecodeError(f"not a candle entry: {e}") from e


def decode_trade(data: bytes, instrument: Instrument, received_ns: int) -> Trade:
    """Read an entry of a `trades` stream.

    Raises:
        DecodeError: the bytes are not such an entry.

    """
    try:
        e = _trade_decoder.decode(data)
        return Trade(
            instrument,
            e.trade_id,
            e.sequence,
            finite(e.price),
            finite(e.quantity),
            e.side,
            e.cause,
            _instant(e.event_time),
            received_ns,
            e.source,
        )
    except _FAULTS as e:
        raise DecodeError(f"not a trade entry: {e}") from e


def decode_ticker(data: bytes, instrument: Instrument, received_ns: int) -> Ticker:
    """Read an entry of a `ticker` stream.

    Raises:
        DecodeError: the bytes are not such an entry.

    """
    try:
        e = _ticker_decoder.decode(data)
        return Ticker(
            instrument,
            finite(e.last_price),
            finite(e.bid_price),
            _finite(e.bid_quantity),
            finite(e.ask_price),
            _finite(e.ask_quantity),
            _finite(e.volume_24h),
            _finite(e.quote_volume_24h),
            _finite(e.contracts_24h),
            _instant(e.event_time),
            received_ns,
        )
    except _FAULTS as e:
        raise DecodeError(f"not a ticker entry: {e}") from e


def decode_order_book(data: bytes, instrument: Instrument, received_ns: int) -> BookSnapshot:
    """Read an entry of an `orderbook` stream.

    Raises:
        DecodeError: the bytes are not such an entry.

    """
    try:
        e = _book_decoder.decode(data)
        return BookSnapshot(instrument, _sides(e.bids), _sides(e.asks), e.sequence, _instant(e.event_time), received_ns)
    except _FAULTS as e:
        raise DecodeError(f"not an order book entry: {e}") from e


def decode_book_delta(data: bytes, instrument: Instrument, received_ns: int) -> BookDelta:
    """Read an entry of a `book_deltas` stream.

    Raises:
        DecodeError: the bytes are not such an entry.

    """
    try:
        e = _book_decoder.decode(data)
        return BookDelta(
            instrument,
            _sides(e.bids),
            _sides(e.asks),
            e.first_sequence,
            e.sequence,
            _instant(e.event_time),
            received_ns,
            e.reset,
        )
    except _FAULTS as e:
        raise DecodeError(f"not a book delta entry: {e}") from e


def decode_gap(data: bytes, instrument: Instrument) -> Gap:
    """Read an entry of a `gaps` stream.

    Raises:
        DecodeError: the bytes are not such an entry.

    """
    try:
        e = _gap_decoder.decode(data)
        return Gap(
            instrument,
            e.channel,
            e.interval,
            _instant(e.from_time),
            _instant(e.to_time),
            e.from_sequence,
            e.to_sequence,
            e.reason,
            from_iso(e.timestamp),
        )
    except _FAULTS as e:
        raise DecodeError(f"not a gap entry: {e}") from e


def _finite(value: Decimal | None) -> Decimal | None:
    return None if value is None else finite(value)


def _instant(text: str | None) -> int | None:
    return None if text is None else from_iso(text)


def _sides(levels: list[_Level]) -> list[Level]:
    return [(finite(level.price), finite(level.quantity)) for level in levels]
