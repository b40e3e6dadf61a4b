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
from heliograph.model.instrument import Instrument
from heliograph.model.market import Candle, Side, Source, Trade, TradeCause
from heliograph.venues.gateio import VENUE

ROW = ["1790349960", "500.5", "100.5", "101.0", "99.0", "100.0", "5", "false"]
MARKETS = {str(name): market for name, market in VENUE.markets.items()}


def read(name: str, url: str, body: object) -> list[VenueEvent | Instrument]:
    return MARKETS[name].read_answer(url, json.dumps(body).encode(), 9)


def test_candles_are_closed_where_the_row_says_so_or_another_follows() -> None:
    later = ["1790350020", *ROW[1:]]
    told = read("spot", "/api/v4/spot/candlesticks?currency_pair=BTC_USDT&interval=1m", [ROW, later])
    assert [c.closed for c in told if isinstance(c, Candle)] == [True, False]
    (candle,) = read("spot", "/api/v4/spot/candlesticks?currency_pair=BTC_USDT&interval=1m", [[*ROW[:7], "true"]])
    assert isinstance(candle, Candle)
    assert (candle.closed, candle.source) == (True, Source.REST)


def test_the_two_markets_write_the_same_field_in_different_units() -> None:
    """The name says milliseconds, and on futures it is seconds."""
    spot = {"id": "220643972", "create_time": "1790359364", "create_time_ms": "1790359364969.221000",
            "currency_pair": "BTC_USDT", "side": "sell", "amount": "0.000761", "price": "83818.9"}  # fmt: skip
    (trade,) = read("spot", "https://api.gateio.ws/api/v4/spot/trades?currency_pair=BTC_USDT", [spot])
    assert isinstance(trade, Trade)
    assert (trade.trade_id, trade.side, trade.event_ns) == ("220643972", Side.SELL, 1_790_359_364_969_221_000)
    futures = {"id": 842236400, "contract": "BTC_USDT", "create_time": 1790359375.258,
               "create_time_ms": 1790359375.258, "size": -9, "price": "83775.5", "is_internal": True}  # fmt: skip
    (trade,) = read("usdm", "/api/v4/futures/usdt/trades?contract=BTC_USDT", [futures])
    assert isinstance(trade, Trade)
    assert (trade.quantity, trade.side, trade.cause) == (Decimal(9), Side.SELL, TradeCause.LIQUIDATION)
    assert trade.event_ns == 1_790_359_375_258_000_000
    with pytest.raises(DecodeError):
        read("usdm", "/api/v4/futures/usdt/trades", [futures | {"create_time_ms": 1790359375258}])


def test_a_book_needs_a_symbol_from_somewhere() -> None:
    body = {"current": 5, "update": 1654249526591, "asks": [["2", "1"]], "bids": []}
    assert read("spot", "order_book", body) == []
    (snapshot,) = read("spot", "/api/v4/spot/order_book?currency_pair=BTC_USDT", body)
    assert isinstance(snapshot, BookSnapshot)
    assert (snapshot.sequence, snapshot.event_ns) == (None, 1_654_249_526_591_000_000)


def test_lists_of_instruments(fixture: Callable[[str], bytes]) -> None:
    for name, url, file in (
        ("spot", "/api/v4/spot/currency_pairs", "currency_pairs.json"),
        ("usdm", "/api/v4/futures/usdt/contracts", "contracts_usdt.json"),
        ("coinm", "/api/v4/futures/btc/contracts", "contracts_btc.json"),
    ):
        told = MARKETS[name].read_answer(url, fixture(file), 9)
        assert told == MARKETS[name].parse_instruments(fixture(file)) != []


def test_a_refusal_is_documented_and_tells_nothing() -> None:
    assert read("spot", "anything", {"label": "INVALID_CURRENCY", "message": "Invalid currency BOGUS"}) == []


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/api/v4/spot/candlesticks?currency_pair=BTC_USDT&interval=7d", [ROW]),
        ("/api/v4/spot/candlesticks?currency_pair=BTCUSDT&interval=1m", [ROW]),
        ("/api/v4/spot/currency_pairs", {}),
        ("/api/v4/spot/unheard_of", {}),
        ("", {}),
        ("http://[", {}),
    ],
)
def test_what_is_not_documented_is_refused(url: str, body: object) -> None:
    with pytest.raises(DecodeError):
        read("spot", url, body)


@given(
    st.sampled_from(sorted(MARKETS)),
    st.sampled_from(["candlesticks?currency_pair=A_B&contract=A_USDT&interval=1m", "trades", "order_book",
                     "order_book?currency_pair=A_B", "currency_pairs", "contracts"]) | st.text(max_size=40),
    st.binary(max_size=200),
)  # fmt: skip
def test_nothing_makes_it_raise_anything_else(name: str, url: str, body: bytes) -> None:
    with contextlib.suppress(DecodeError):
        MARKETS[name].read_answer(url, body, 9)
