"""The shapes follow https://bybit-exchange.github.io/docs/v5/market/kline and its neighbours as of 2026-07-24."""

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim.world import World
from heliograph.venues.bybit.dialect import Dialect
from heliograph.venues.bybit.dialect_rest import Rest
from heliograph.venues.bybit.layout import LAYOUT
from heliograph.venues.dialect import Ask

NOW_NS = 1_795_000_000 * NS_PER_S + 7 * NS_PER_S
MINUTE_MS = 60_000
LIVE_MS = NOW_NS // NS_PER_MS // MINUTE_MS * MINUTE_MS
WORLD = World(5, 2, NOW_NS, history_minutes=1500, listers=LAYOUT.listers)
DIALECT = Dialect(WORLD.markets)
REST = Rest(DIALECT)
LISTED_MS = WORLD.markets[MarketId("spot")].listings["BTCUSDT"].listed_ns // NS_PER_MS


def asked(path: str, **query: object) -> tuple[int, dict[str, Any]]:
    answer = REST.answer(Ask(f"/v5/market/{path}", {name: str(value) for name, value in query.items()}), NOW_NS)
    content = json.loads(answer.body)
    assert set(content) == {"retCode", "retMsg", "result", "retExtInfo", "time"}
    assert (content["retExtInfo"], content["time"]) == ({}, NOW_NS // NS_PER_MS)
    return answer.status, content


def ask(path: str, **query: object) -> dict[str, Any]:
    status, content = asked(path, **query)
    assert (status, content["retCode"], content["retMsg"]) == (200, 0, "OK")
    result = content["result"]
    assert isinstance(result, dict)
    return result


def opens(**query: object) -> list[int]:
    wanted = {"category": "spot", "symbol": "BTCUSDT", "interval": 1} | query
    return [int(row[0]) for row in ask("kline", **wanted)["list"]]


def test_t13_candles_come_newest_first_with_the_live_one_among_them() -> None:
    assert opens() == [LIVE_MS - n * MINUTE_MS for n in range(200)]
    assert len(opens(limit=1000)) == 1000
    result = ask("kline", category="inverse", symbol="BTCUSD", interval=1, limit=2)
    assert (result["category"], result["symbol"]) == ("inverse", "BTCUSD")
    assert all(len(row) == 7 and all(isinstance(field, str) for field in row) for row in result["list"])


def test_the_category_of_candles_is_linear_by_default() -> None:
    assert ask("kline", symbol="BTCUSDT", interval="D")["category"] == "linear"


def test_a_start_alone_gives_the_oldest_and_an_end_the_newest() -> None:
    middle = LIVE_MS - 10 * MINUTE_MS
    assert opens(start=middle, limit=2) == [middle + MINUTE_MS, middle]
    assert opens(end=middle, limit=2) == [middle, middle - MINUTE_MS]
    assert opens(start=middle - 5 * MINUTE_MS, end=middle, limit=2) == [middle, middle - MINUTE_MS]
    assert opens(start=middle, end=middle) == [middle]
    assert opens(start=middle, end=middle - 1) == []
    assert opens(start=LIVE_MS + MINUTE_MS) == []


def test_a_start_within_a_candle_means_that_candle() -> None:
    middle = LIVE_MS - 10 * MINUTE_MS
    assert opens(start=middle + 8_000, end=middle + 76_000) == [middle + MINUTE_MS, middle]


def test_pages_backwards_meet_without_a_hole_down_to_the_listing() -> None:
    found: list[int] = []
    end = LIVE_MS
    while page := opens(end=end, limit=1000):
        found += page
        end = page[-1] - 1
    assert found == list(range(LIVE_MS, LISTED_MS - 1, -MINUTE_MS))


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("kline", {"category": "spot", "symbol": "NOPE", "interval": "1"}, "Not supported symbols"),
        ("kline", {"category": "linear", "symbol": "btcusdt", "interval": "1"}, "params error: symbol invalid"),
        ("kline", {"category": "linear", "interval": "1"}, "params error: symbol invalid"),
        ("kline", {"category": "linear", "symbol": "BTCUSDT", "interval": "2"}, "Invalid period!"),
        ("kline", {"category": "linear", "symbol": "BTCUSDT"}, "Invalid period!"),
        ("kline", {"category": "margin", "symbol": "BTCUSDT", "interval": "1"}, "Illegal category"),
        ("kline", {"symbol": "BTCUSDT", "interval": "1", "limit": "0"}, "params error: limit invalid"),
        ("kline", {"symbol": "BTCUSDT", "interval": "1", "start": "x"}, "params error: start invalid"),
        ("tickers", {"symbol": "BTCUSDT"}, "Illegal category"),
        ("orderbook", {"category": "inverse", "symbol": "BTCUSDT"}, "params error: symbol invalid"),
        ("recent-trade", {"category": "spot"}, "Not supported symbols"),
        ("instruments-info", {"category": "linear", "symbol": "NOPE"}, "params error: symbol invalid"),
    ],
)
def test_t20_what_is_wrong_is_told_with_a_status_of_200(path: str, query: dict[str, str], words: str) -> None:
    status, content = asked(path, **query)
    assert (status, content["retCode"], content["retMsg"]) == (200, 10001, words)


def test_what_is_no_route_is_not_found() -> None:
    assert asked("nothing")[0] == 404
    assert REST.answer(Ask("/v5/market/time", method="POST"), NOW_NS).status == 404
    assert REST.answer(Ask("/x"), NOW_NS).status == 404


def test_spot_lists_everything_at_once() -> None:
    result = ask("instruments-info", category="spot", limit=1)
    assert set(result) == {"category", "list"}
    assert [pair["symbol"] for pair in result["list"]] == ["BTCUSDT", "ETHUSDT"]
    assert result["list"][0]["lotSizeFilter"]["basePrecision"] == "0.00001"
    assert result["list"][0]["priceFilter"] == {"tickSize": "0.01"}
    assert ask("instruments-info", category="spot", symbol="NOPE")["list"] == []
    assert len(ask("instruments-info", category="spot", symbol="ETHUSDT")["list"]) == 1


@pytest.mark.parametrize("encoded", [True, False])
def test_contracts_come_in_pages_whether_the_cursor_is_encoded_once_or_twice(encoded: bool) -> None:
    found, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        page = ask("instruments-info", category="linear", limit=2, cursor=cursor)
        found += [contract["symbol"] for contract in page["list"]]
        cursor = page["nextPageCursor"] if encoded else unquote(page["nextPageCursor"])
        pages += 1
    # The last full page has a cursor too, behind which nothing is.
    assert (found, pages) == (list(WORLD.markets[MarketId("linear")].listings), 3)
    assert ask("instruments-info", category="linear")["nextPageCursor"] == ""
    assert ask("instruments-info", category="linear", symbol="BTCUSDT", limit=1)["nextPageCursor"] == ""


def test_contracts_say_what_they_are() -> None:
    linear = {c["symbol"]: c for c in ask("instruments-info", category="linear")["list"]}
    assert [c["contractType"] for c in linear.values()] == ["LinearPerpetual"] * 2 + [
        "LinearFutures",
        "LinearPerpetual",
    ]
    assert (linear["BTCPERP"]["quoteCoin"], linear["BTCPERP"]["settleCoin"]) == ("USDC", "USDC")
    assert linear["BTCUSDT"]["deliveryTime"] == "0"
    assert linear["BTCUSDT"]["priceFilter"]["tickSize"] == "0.10"
    assert linear["BTCUSDT"]["lotSizeFilter"]["qtyStep"] == "0.001"
    perpetual, future, _ = ask("instruments-info", category="inverse")["list"]
    assert (perpetual["contractType"], perpetual["settleCoin"]) == ("InversePerpetual", "BTC")
    assert (future["contractType"], int(future["deliveryTime"]) > LIVE_MS) == ("InverseFutures", True)
    assert perpetual["lotSizeFilter"]["qtyStep"] == "1"


def test_of_options_nothing_is_listed() -> None:
    assert ask("instruments-info", category="option", baseCoin="BTC") == {
        "category": "option", "list": [], "nextPageCursor": ""
    }  # fmt: skip
    assert ask("tickers", category="option", baseCoin="BTC")["list"] == []


def test_contracts_of_a_coin_come_linear_and_inverse_together() -> None:
    both = ask("instruments-info", category="linear", baseCoin="ETH")["list"]
    assert [c["contractType"] for c in both] == ["LinearPerpetual", "InversePerpetual"]
    assert ask("instruments-info", category="linear", status="PreLaunch")["list"] == []


@pytest.mark.parametrize(("category", "symbol", "default"), [("spot", "BTCUSDT", 1), ("linear", "BTCUSDT", 25)])
def test_a_book_has_the_update_id_of_the_deepest_topic(category: str, symbol: str, default: int) -> None:
    book = ask("orderbook", category=category, symbol=symbol)
    assert set(book) == {"s", "a", "b", "ts", "u", "seq", "cts"}
    assert (len(book["a"]), len(book["b"])) == (default, default)
    stream = DIALECT.stream(category, f"orderbook.{200 if category == 'spot' else 1000}.{symbol}")
    assert stream is not None
    whole = json.loads(DIALECT.opening(stream, NOW_NS)[0])["data"]
    assert (book["u"], book["seq"]) == (whole["u"], whole["seq"])
    assert ask("orderbook", category=category, symbol=symbol, limit=500)["b"] == whole["b"]


def test_recent_trades_are_those_of_the_sockets_newest_first() -> None:
    for category, symbol, most in (("spot", "BTCUSDT", 60), ("linear", "BTCUSDT", 1000), ("inverse", "BTCUSD", 1000)):
        recent = ask("recent-trade", category=category, symbol=symbol, limit=5000)["list"]
        assert len(recent) == most
        stream = DIALECT.stream(category, f"publicTrade.{symbol}")
        assert stream is not None
        told = [
            (trade["i"], trade["p"], trade["v"], trade["S"], str(trade["T"]), str(trade["seq"]))
            for frame in DIALECT.frames(stream, NOW_NS - 60 * NS_PER_S, NOW_NS)
            for trade in json.loads(frame)["data"]
        ][::-1]
        names = ("execId", "price", "size", "side", "time", "seq")
        assert [tuple(trade[name] for name in names) for trade in recent[:40]] == told[:40]
    assert len(ask("recent-trade", category="linear", symbol="BTCUSDT")["list"]) == 500


def test_tickers_are_of_one_or_of_all() -> None:
    assert [t["symbol"] for t in ask("tickers", category="inverse")["list"]] == list(
        WORLD.markets[MarketId("inverse")].listings
    )
    (ticker,) = ask("tickers", category="spot", symbol="ETHUSDT")["list"]
    assert ticker["symbol"] == "ETHUSDT"


def test_the_time_is_told_in_seconds_and_in_nanoseconds() -> None:
    assert ask("time") == {"timeSecond": str(NOW_NS // NS_PER_S), "timeNano": str(NOW_NS)}


def test_an_address_has_six_hundred_requests_in_five_seconds_for_everything() -> None:
    quota = REST.quota(Ask("/v5/market/kline"))
    assert (quota.weight_max, quota.window_s) == (600, 5)
    assert REST.quota(Ask("/v5/market/time")) == quota
    assert REST.headers(quota, 1, 5_000) == {
        "X-Bapi-Limit": "600", "X-Bapi-Limit-Status": "599", "X-Bapi-Limit-Reset-Timestamp": "5000"
    }  # fmt: skip
    assert REST.headers(quota, 700, 5_000)["X-Bapi-Limit-Status"] == "0"
    refused = REST.too_much(Ask("/v5/market/kline"), wait_s=1)
    assert (refused.status, refused.body, refused.retry_after_s) == (403, b"access too frequent", None)
    assert REST.banned(until_ms=0, wait_s=600).status == 403
    assert REST.bans


def test_trouble_has_the_documented_codes() -> None:
    codes = {status: json.loads(REST.broken(status).body)["retCode"] for status in (200, 500, 503)}
    assert codes == {200: 10006, 500: 10016, 503: 10016}
    assert REST.broken(502).status == 502


@settings(deadline=None)  # What is looked at first, a world has to draw.
@given(
    st.sampled_from(["kline", "tickers", "orderbook", "recent-trade", "instruments-info", "time", ""]),
    st.dictionaries(
        st.sampled_from(["category", "symbol", "interval", "start", "end", "limit", "cursor", "baseCoin", "status"]),
        st.text(max_size=9) | st.sampled_from(["spot", "linear", "BTCUSDT", "1", "D", "M"]),
    ),
)
def test_no_query_makes_it_raise(path: str, query: dict[str, str]) -> None:
    asked(path, **query)
