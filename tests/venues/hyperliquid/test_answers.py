"""Recorded answers of every question that recordings have; the recordings themselves are in test_captures."""

import contextlib
import json
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import DecodeError
from heliograph.model.book import BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument, MarketId
from heliograph.model.market import Candle, Side, Source, Trade
from heliograph.venues.hyperliquid import VENUE
from heliograph.venues.hyperliquid.instruments import USDM

INFO = "https://api.hyperliquid.xyz/info "
CANDLES = {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": 0, "endTime": 9}}
TRADE = {"coin": "BTC", "side": "A", "px": "1.50", "sz": "2", "time": 9, "hash": "0x", "tid": 7, "users": ["0x", "0x"]}


def read(question: object, body: object, market: MarketId = USDM) -> list[VenueEvent | Instrument]:
    asked = question if isinstance(question, str) else INFO + json.dumps(question)
    return VENUE.markets[market].read_answer(asked, body if isinstance(body, bytes) else json.dumps(body).encode(), 7)


def test_candles_are_closed_but_for_the_last(fixture: Callable[[str], bytes]) -> None:
    candles = read(CANDLES, fixture("candles.json"))
    assert [(c.closed, c.source, c.received_ns) for c in candles if isinstance(c, Candle)] == [
        (True, Source.REST, 7),
        (False, Source.REST, 7),
    ]


def test_lists_of_instruments(fixture: Callable[[str], bytes]) -> None:
    perpetuals = read({"type": "meta"}, fixture("meta.json"))
    pairs = read({"type": "spotMeta"}, fixture("spot_meta.json"), SPOT)
    assert [i.venue_symbol for i in perpetuals if isinstance(i, Instrument)] == ["BTC", "kPEPE", "MATIC"]
    everything = b"[%b]" % fixture("meta.json")
    assert read({"type": "allPerpMetas"}, everything) == perpetuals
    assert [i.venue_symbol for i in pairs if isinstance(i, Instrument)] == ["PURR/USDC", "@107"]


def test_a_book_or_none_where_there_is_no_such_coin(fixture: Callable[[str], bytes]) -> None:
    raw = json.loads(fixture("book.json"))["data"]
    (book,) = read({"type": "l2Book", "coin": "BTC"}, raw)
    assert isinstance(book, BookSnapshot)
    assert (book.instrument.venue_symbol, len(book.bids), len(book.asks)) == ("BTC", 2, 1)
    assert read({"type": "l2Book", "coin": "NOPE"}, None) == []


def test_recent_trades() -> None:
    one, dust = read({"type": "recentTrades", "coin": "BTC"}, [TRADE, TRADE | {"tid": 0, "side": "B"}])
    assert isinstance(one, Trade)
    assert isinstance(dust, Trade)
    assert (one.trade_id, one.sequence, str(one.price), one.quantity, one.side) == (
        "7", None, "1.50", Decimal(2), Side.SELL,
    )  # fmt: skip
    assert (dust.trade_id, dust.side, dust.source) == (None, Side.BUY, Source.REST)


def test_answers_without_market_data_are_documented() -> None:
    assert read({"type": "allMids"}, {"BTC": "1"}) == []
    assert read('{"type":"openOrders","user":"0x1"}', []) == []
    assert read('{"action":{"type":"order",...}}', {"status": "ok"}) == []


@pytest.mark.parametrize(
    ("question", "body"),
    [
        (CANDLES, None),
        (CANDLES, {}),
        ({"type": "candleSnapshot"}, []),
        ({"type": "candleSnapshot", "req": {"coin": "@107", "interval": "1m"}}, []),
        ({"type": "meta"}, []),
        ({"type": "spotMeta"}, {"tokens": [], "universe": []}),
        ({"type": "l2Book"}, None),
        ({"type": "l2Book", "coin": "BTC"}, []),
        ({"type": "recentTrades", "coin": "BTC"}, [TRADE | {"side": "C"}]),
        ({"type": "recentTrades", "coin": "BTC"}, [TRADE | {"px": "-1"}]),
        ({"type": "unheardOf"}, {}),
        ({"type": "allMids"}, b"{"),
        ({}, {}),
        ("", {}),
        ("https://api.hyperliquid.xyz/info", {}),
        ("{", {}),
    ],
)
def test_what_is_not_documented_is_refused(question: object, body: object) -> None:
    with pytest.raises(DecodeError):
        read(question, body)


@given(
    st.sampled_from(["meta", "candleSnapshot", "l2Book", "recentTrades", "allMids"]).map(
        lambda kind: json.dumps(CANDLES | {"type": kind, "coin": "BTC"})
    )
    | st.text(max_size=40),
    st.binary(max_size=200),
)
def test_nothing_makes_it_raise_anything_else(question: str, body: bytes) -> None:
    with contextlib.suppress(DecodeError):
        read(question, body)
