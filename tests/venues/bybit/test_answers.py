"""Recorded answers of every endpoint that is read; the recordings themselves are in test_captures."""

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
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.market import BookTop, Candle, DayStatistics, Side, Source, Trade
from heliograph.venues.bybit import VENUE


def read(market: str, url: str, result: object, code: int = 0) -> list[VenueEvent | Instrument]:
    data = result if isinstance(result, bytes) else json.dumps({"retCode": code, "result": result, "time": 5}).encode()
    return VENUE.markets[MarketId(market)].read_answer(url, data, 7)


def test_candles_come_ascending_and_closed_but_for_the_last(fixture: Callable[[str], bytes]) -> None:
    url = "https://api.bybit.com/v5/market/kline?category=inverse&symbol=BTCUSD&interval=60"
    candles = read("inverse", url, fixture("klines_inverse.json"))
    assert [(c.closed, c.source, str(c.contracts)) for c in candles if isinstance(c, Candle)] == [
        (True, Source.REST, "6356"), (True, Source.REST, "4177"), (False, Source.REST, "268611")
    ]  # fmt: skip


def test_a_ticker_is_a_top_and_a_day_of_its_own_market_only() -> None:
    ticker = {
        "symbol": "BTCUSDT", "lastPrice": "2", "bid1Price": "", "bid1Size": "", "ask1Price": "3", "ask1Size": "1",
        "volume24h": "5", "turnover24h": "10",
    }  # fmt: skip
    result = {"category": "spot", "list": [ticker]}
    top, day = read("spot", "/v5/market/tickers", result)
    assert isinstance(top, BookTop)
    assert isinstance(day, DayStatistics)
    assert (top.bid, top.ask, top.event_ns) == (None, Decimal(3), 5_000_000)
    assert (day.last, day.base_volume, day.quote_volume, day.open) == (Decimal(2), Decimal(5), Decimal(10), None)
    assert read("linear", "/v5/market/tickers", result) == []
    never = {"symbol": "XUSDT", "lastPrice": "", "bid1Price": "", "bid1Size": "", "ask1Price": "", "ask1Size": ""}
    (top,) = read("linear", "/v5/market/tickers", {"category": "linear", "list": [never]})
    assert isinstance(top, BookTop)


def test_trades_come_oldest_first_and_a_book_whole() -> None:
    fills = [
        {
            "execId": name,
            "symbol": "BTCUSDT",
            "price": "1",
            "size": "2",
            "side": "Sell",
            "time": "9",
            "isBlockTrade": False,
        }
        for name in ("new", "old")
    ]
    result = {"category": "linear", "list": fills}
    trades = read("linear", "/v5/market/recent-trade?category=linear&symbol=BTCUSDT", result)
    assert [(t.trade_id, t.side, t.sequence, t.event_ns) for t in trades if isinstance(t, Trade)] == [
        ("old", Side.SELL, None, 9_000_000), ("new", Side.SELL, None, 9_000_000)
    ]  # fmt: skip
    assert read("spot", "/v5/market/recent-trade", result) == []
    pair = VENUE.markets[MarketId("spot")].instrument("BTCUSDT")
    book = {"s": "BTCUSDT", "b": [["1", "2"]], "a": [], "ts": 4, "u": 3, "seq": 8, "cts": 3}
    assert read("spot", "/v5/market/orderbook?category=spot&symbol=BTCUSDT", book) == [
        BookSnapshot(pair, [(Decimal(1), Decimal(2))], [], 3, 4_000_000, 7)
    ]


def test_instruments_are_read(fixture: Callable[[str], bytes]) -> None:
    found = read("linear", "/v5/market/instruments-info?category=linear", fixture("instruments_linear.json"))
    assert [i.venue_symbol for i in found if isinstance(i, Instrument)] == ["BTCUSDT", "BTC-25DEC26", "NEWUSDT"]


def test_a_refusal_and_what_is_private_tell_nothing() -> None:
    assert read("spot", "/v5/market/kline?symbol=X&interval=1", {}, code=10001) == []
    assert read("spot", "/v5/position/list", {"list": []}) == []


@pytest.mark.parametrize(
    ("url", "result"),
    [
        ("/v5/market/kline?symbol=BTCUSDT", {}),
        ("/v5/market/kline?symbol=BTCUSDT&interval=7", {}),
        ("/v5/market/kline?symbol=BTC/USDT&interval=1", {}),
        ("/v5/market/tickers", {}),
        ("/v5/market/instruments-info", {}),
        ("/v5/market/tickers", b"[]"),
        ("http://[", {}),
    ],
)
def test_what_is_not_documented_is_refused(url: str, result: object) -> None:
    with pytest.raises(DecodeError):
        read("spot", url, result)


PATHS = ["kline?symbol=A1&interval=1", "tickers", "orderbook", "recent-trade", "instruments-info"]


@given(st.sampled_from([f"/v5/market/{p}" for p in PATHS]) | st.text(max_size=40), st.binary(max_size=200))
def test_nothing_makes_it_raise_anything_else(url: str, data: bytes) -> None:
    for body in (data, b'{"retCode":0,"result":' + data + b"}"):
        with contextlib.suppress(DecodeError):
            read("spot", url, body)
