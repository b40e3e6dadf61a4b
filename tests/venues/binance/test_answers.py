"""Recorded answers of every endpoint that recordings have; the recordings themselves are in test_captures."""

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import DecodeError
from heliograph.model.book import BookSnapshot
from heliograph.model.event import VenueEvent
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.market import BookTop, Candle, DayStatistics, Source, Trade
from heliograph.venues import find_market, find_venue

ROW = [0, "1", "3", "1", "2", "5", 59_999, "9", 1, "1", "1", "0"]


def read(market: str, url: str, body: object) -> list[VenueEvent | Instrument]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return find_market(find_venue("binance"), MarketId(market)).read_answer(url, data, 7)


def test_candles_are_closed_but_for_the_last() -> None:
    later = [60_000, *ROW[1:6], 119_999, *ROW[7:]]
    candles = read("spot", "https://x/api/v3/klines?symbol=BTCUSDT&interval=1m", [ROW, later])
    assert [(c.closed, c.source, c.received_ns) for c in candles if isinstance(c, Candle)] == [
        (True, Source.REST, 7),
        (False, Source.REST, 7),
    ]


def test_trades_single_and_aggregate() -> None:
    single = {"id": 5, "price": "1", "qty": "2", "quoteQty": "2", "time": 9, "isBuyerMaker": False}
    aggregate = {"a": 6, "p": "1", "q": "2", "f": 1, "l": 1, "T": 9, "m": True}
    (one,) = read("usdm", "/fapi/v1/trades?symbol=BTCUSDT", [single])
    (two,) = read("usdm", "/fapi/v1/aggTrades?symbol=BTCUSDT", [aggregate])
    assert isinstance(one, Trade)
    assert isinstance(two, Trade)
    assert (one.trade_id, one.sequence, two.sequence) == ("5", None, 6)


def test_a_day_and_a_book_top_of_coinm_come_in_lists() -> None:
    day = {
        "symbol": "BTCUSD_PERP", "pair": "BTCUSD", "lastPrice": "9", "openPrice": "8", "highPrice": "9",
        "lowPrice": "7", "volume": "100", "baseVolume": "1.5", "closeTime": 3, "count": 4,
    }  # fmt: skip
    (statistics,) = read("coinm", "/dapi/v1/ticker/24hr", [day])
    assert isinstance(statistics, DayStatistics)
    assert (statistics.contracts, statistics.base_volume, statistics.quote_volume) == (
        Decimal(100),
        Decimal("1.5"),
        None,
    )
    top = {"symbol": "BTCUSDT", "bidPrice": "0", "bidQty": "0", "askPrice": "2", "askQty": "1"}
    (book_top,) = read("spot", "/api/v3/ticker/bookTicker?symbol=BTCUSDT", top)
    assert isinstance(book_top, BookTop)
    assert (book_top.bid, book_top.ask, book_top.event_ns) == (None, Decimal(2), None)


def test_a_book_needs_a_symbol_from_somewhere() -> None:
    body = {"lastUpdateId": 1, "bids": [], "asks": []}
    assert read("spot", "depth", body) == []
    (snapshot,) = read("spot", "/api/v3/depth?symbol=BTCUSDT", body)
    assert isinstance(snapshot, BookSnapshot)
    (snapshot,) = read("coinm", "depth", body | {"symbol": "BTCUSD_PERP", "E": 3})
    assert isinstance(snapshot, BookSnapshot)
    assert snapshot.event_ns == 3_000_000


def test_a_refusal_is_documented_and_tells_nothing() -> None:
    assert read("spot", "anything", {"code": -1121, "msg": "Invalid symbol."}) == []


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/api/v3/klines?symbol=BTCUSDT", [ROW]),
        ("/api/v3/klines?symbol=BTCUSDT&interval=7m", [ROW]),
        ("/api/v3/klines?symbol=BTC/USDT&interval=1m", [ROW]),
        ("/api/v3/exchangeInfo", []),
        ("/api/v3/unheardOf?symbol=BTCUSDT", {}),
        ("", {}),
        ("http://[", {}),
    ],
)
def test_what_is_not_documented_is_refused(url: str, body: object) -> None:
    with pytest.raises(DecodeError):
        read("spot", url, body)


@given(
    st.sampled_from(["klines?symbol=A1&interval=1m", "aggTrades?symbol=A1", "trades?symbol=A1", "depth", "ticker/24hr",
                     "ticker/bookTicker", "exchangeInfo"]) | st.text(max_size=40),
    st.binary(max_size=200),
)  # fmt: skip
def test_nothing_makes_it_raise_anything_else(url: str, body: bytes) -> None:
    with contextlib.suppress(DecodeError):
        read("spot", url, body)
