"""The JSON of the bus: the documents' names, exact digits, and back."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS
from heliograph.errors import DecodeError
from heliograph.model import wire
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import Event
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap, Side, Source, Ticker, Trade, TradeCause

INSTRUMENT = Instrument(VenueId("binance"), SPOT, "BTCUSDT", "BTC", "USDT")
RECEIVED_NS = 1_653_818_762_600 * NS_PER_MS

amounts = st.decimals(0, 10**12, allow_nan=False, allow_infinity=False, places=8)
optional_amounts = st.none() | amounts
instants = st.integers(0, 4_000_000_000_000).map(lambda ms: ms * NS_PER_MS)
optional_instants = st.none() | instants
optional_sequences = st.none() | st.integers(0, 2**63)
sides = st.lists(st.tuples(amounts, amounts), max_size=5)

candles = st.builds(
    Candle,
    st.just(INSTRUMENT),
    st.sampled_from(Interval),
    instants,
    instants,
    amounts,
    amounts,
    amounts,
    amounts,
    optional_amounts,
    optional_amounts,
    optional_amounts,
    st.none() | st.integers(0, 10**9),
    st.booleans(),
    optional_instants,
    st.just(RECEIVED_NS),
    st.sampled_from(Source),
)
trades = st.builds(
    Trade,
    st.just(INSTRUMENT),
    st.none() | st.text(max_size=20),
    optional_sequences,
    amounts,
    amounts,
    st.sampled_from(Side),
    st.sampled_from(TradeCause),
    optional_instants,
    st.just(RECEIVED_NS),
    st.sampled_from(Source),
)
tickers = st.builds(
    Ticker,
    st.just(INSTRUMENT),
    amounts,
    amounts,
    optional_amounts,
    amounts,
    optional_amounts,
    optional_amounts,
    optional_amounts,
    optional_amounts,
    optional_instants,
    st.just(RECEIVED_NS),
)
snapshots = st.builds(
    BookSnapshot, st.just(INSTRUMENT), sides, sides, optional_sequences, optional_instants, st.just(RECEIVED_NS)
)
deltas = st.builds(
    BookDelta,
    st.just(INSTRUMENT),
    sides,
    sides,
    optional_sequences,
    optional_sequences,
    optional_instants,
    st.just(RECEIVED_NS),
    st.booleans(),
)
gaps = st.builds(
    Gap,
    st.just(INSTRUMENT),
    st.sampled_from(Channel),
    st.none() | st.sampled_from(Interval),
    optional_instants,
    optional_instants,
    optional_sequences,
    optional_sequences,
    st.text(max_size=30),
    st.just(RECEIVED_NS),
)


def decode(event: Event, data: bytes) -> Event:
    match event:
        case Candle():
            return wire.decode_candle(data, INSTRUMENT, RECEIVED_NS)
        case Trade():
            return wire.decode_trade(data, INSTRUMENT, RECEIVED_NS)
        case Ticker():
            return wire.decode_ticker(data, INSTRUMENT, RECEIVED_NS)
        case BookSnapshot():
            return wire.decode_order_book(data, INSTRUMENT, RECEIVED_NS)
        case BookDelta():
            return wire.decode_book_delta(data, INSTRUMENT, RECEIVED_NS)
        case Gap():
            return wire.decode_gap(data, INSTRUMENT)


@given(st.one_of(candles, trades, tickers, snapshots, deltas, gaps))
def test_every_event_survives_the_bus_to_the_last_digit(event: Event) -> None:
    data = wire.Encoder().encode(event)
    assert decode(event, data) == event
    assert repr(decode(event, data)) == repr(event)


@given(st.binary(max_size=200))
def test_no_bytes_make_a_reader_raise_anything_but_a_decode_error(data: bytes) -> None:
    for read in (wire.decode_candle, wire.decode_trade, wire.decode_ticker, wire.decode_order_book):
        with pytest.raises(DecodeError):
            read(data, INSTRUMENT, RECEIVED_NS)
    with pytest.raises(DecodeError):
        wire.decode_gap(data, INSTRUMENT)


@pytest.mark.parametrize("extra", ["[" * 5000, '{"a":' * 5000])
def test_a_reader_refuses_what_is_nested_without_end(extra: str) -> None:
    with pytest.raises(DecodeError):
        wire.decode_ticker(b'{"extra":' + extra.encode(), INSTRUMENT, RECEIVED_NS)


def encoded(event: Event) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(wire.Encoder().encode(event), parse_float=str, parse_int=int)
    return document


def test_a_ticker_has_the_documents_fields_and_the_venues_digits() -> None:
    last, bid, ask = Decimal("29038.47000000"), Decimal("0.00000001"), Decimal("2.50")
    event = Ticker(INSTRUMENT, last, bid, None, ask, None, None, None, None, None, RECEIVED_NS)
    document = encoded(event)
    assert document["symbol"] == "BTC/USDT"
    assert document["exchange"] == "binance"
    assert document["last_price"] == "29038.47000000"
    assert document["bid_price"] == "0.00000001"
    assert document["ask_price"] == "2.50"
    assert document["volume_24h"] is None
    assert document["timestamp"] == "2022-05-29T10:06:02.600Z"
    assert document["event_time"] is None


def test_a_trade_and_an_order_book_have_the_documents_fields() -> None:
    trade = Trade(
        INSTRUMENT, "7", 7, Decimal("1.0"), Decimal("2.0"), Side.SELL, TradeCause.MARKET, RECEIVED_NS, RECEIVED_NS
    )
    assert {"symbol", "timestamp", "price", "quantity", "side", "trade_id", "exchange"} <= encoded(trade).keys()
    assert encoded(trade)["side"] == "sell"
    book = BookSnapshot(INSTRUMENT, [(Decimal("1.0"), Decimal("2.0"))], [], 9, RECEIVED_NS, RECEIVED_NS)
    assert encoded(book)["bids"] == [{"price": "1.0", "quantity": "2.0"}]
    assert {"symbol", "timestamp", "bids", "asks", "exchange"} <= encoded(book).keys()


def test_a_reader_takes_decimal_strings_as_well_as_numbers() -> None:
    data = b'{"timestamp":"2026-11-21T00:00:00Z","price":"1.50","quantity":2.50,"side":"buy"}'
    trade = wire.decode_trade(data, INSTRUMENT, RECEIVED_NS)
    assert (str(trade.price), str(trade.quantity)) == ("1.50", "2.50")


@pytest.mark.parametrize("price", ['"NaN"', '"Infinity"', "1" * 60, "true", "null"])
def test_a_reader_refuses_what_is_no_price(price: str) -> None:
    data = f'{{"timestamp":"2026-11-21T00:00:00Z","price":{price},"quantity":1,"side":"buy"}}'.encode()
    with pytest.raises(DecodeError):
        wire.decode_trade(data, INSTRUMENT, RECEIVED_NS)
