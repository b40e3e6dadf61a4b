"""The shapes follow https://www.luno.com/en/developers/api#tag/Market and answers recorded on 2026-09-22."""

import base64
import json
from decimal import Decimal
from typing import Any

import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim.world import World
from heliograph.venues.dialect import Answer, Ask
from heliograph.venues.luno.dialect import LEVELS, REVOKED, Dialect
from heliograph.venues.luno.dialect_rest import CANDLES_MAX, DURATIONS_S, TRADES_MAX, Rest
from heliograph.venues.luno.layout import LAYOUT

NOW_NS = 1_795_000_000 * NS_PER_S + 7_300 * NS_PER_MS
SECOND_NS = NOW_NS // NS_PER_S * NS_PER_S
NOW_MS = NOW_NS // NS_PER_MS
MINUTE_MS = 60_000
WORLD = World(5, 12, NOW_NS, 1_600, LAYOUT.listers)
SCENE = WORLD.markets[MarketId("spot")]
REST = Rest(Dialect(WORLD.markets))


def basic(key: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()}


def get(path: str, headers: dict[str, str] | None = None, **query: str) -> Answer:
    return REST.answer(Ask(path, query, "GET", headers or {}), NOW_NS)


def told(path: str, headers: dict[str, str] | None = None, **query: str) -> Any:
    answer = get(path, headers, **query)
    assert answer.status == 200
    return json.loads(answer.body)


def refusal(path: str, headers: dict[str, str] | None = None, **query: str) -> tuple[int, str]:
    answer = get(path, headers, **query)
    content = json.loads(answer.body)
    assert set(content) == {"error", "error_code"}
    return answer.status, content["error_code"]


def candles(since: int, duration: int = 60, pair: str = "XBTUSDT") -> list[Any]:
    content = told(
        "/api/exchange/1/candles", basic("keyid", "keysecret"), pair=pair, since=str(since), duration=str(duration)
    )
    assert (content["duration"], content["pair"]) == (duration, pair)
    found = content["candles"]
    assert isinstance(found, list)
    return found


def test_candles_come_oldest_first_from_an_instant_on_up_to_the_live_one() -> None:
    live = NOW_MS // MINUTE_MS * MINUTE_MS
    rows = candles(live - 3 * MINUTE_MS - 1)
    assert [row["timestamp"] for row in rows] == [live - n * MINUTE_MS for n in (3, 2, 1, 0)]
    assert list(rows[0]) == ["timestamp", "open", "close", "high", "low", "volume"]
    for row in rows:
        open_ns = row["timestamp"] * NS_PER_MS
        bar = SCENE.bar("XBTUSDT", open_ns, open_ns + 60 * NS_PER_S, SECOND_NS)
        assert [Decimal(row[name]) for name in ("open", "high", "low", "close", "volume")] == [
            bar.open, bar.high, bar.low, bar.close, bar.volume
        ]  # fmt: skip


def test_the_earliest_thousand_candles_are_told_and_none_from_before_the_listing() -> None:
    rows = candles(0)
    listed_ms = SCENE.listings["XBTUSDT"].listed_ns // NS_PER_MS
    assert (rows[0]["timestamp"], len(rows)) == (listed_ms, CANDLES_MAX)
    assert len(candles(rows[-1]["timestamp"] + 1)) == 1_601 - CANDLES_MAX
    assert candles(NOW_MS + 1) == []


def test_a_candle_without_a_trade_is_flat() -> None:
    rows = candles(NOW_MS - 60 * MINUTE_MS, pair="TRXUSDT")
    assert len(rows) == 60
    flat = [row for row in rows if row["volume"] == "0.00"]
    assert flat
    assert all(row["open"] == row["high"] == row["low"] == row["close"] for row in flat)


@pytest.mark.parametrize("duration", DURATIONS_S)
def test_candles_of_every_documented_length_lie_on_its_grid(duration: int) -> None:
    rows = candles(0, duration)
    assert rows
    assert all(row["timestamp"] % (duration * 1_000) == 0 for row in rows)


def test_candles_need_a_key() -> None:
    path, query = "/api/exchange/1/candles", {"pair": "XBTUSDT", "since": "0", "duration": "60"}
    for headers in ({}, {"authorization": "Basic !"}, {"authorization": "Bearer YTpi"}, basic("a", ""), basic("", "b")):
        assert refusal(path, headers, **query) == (401, "ErrUnauthorised")
    assert refusal(path, basic(REVOKED, "b"), **query) == (401, "ErrApiKeyRevoked")
    for wrong in ({"duration": "61"}, {"duration": ""}, {"since": "-1"}, {"since": "soon"}, {"since": "1" * 19}):
        assert refusal(path, basic("a", "b"), **(query | wrong)) == (400, "ErrInvalidArguments")
    assert refusal(path, basic("a", "b"), **(query | {"pair": "NOPEUSDT"})) == (400, "ErrMarketUnavailable")


def test_the_newest_hundred_trades_come_newest_first() -> None:
    rows = told("/api/1/trades", pair="XBTUSDT")["trades"]
    last = SCENE.last_ids("XBTUSDT", SECOND_NS)[1]
    assert [row["sequence"] for row in rows] == list(range(last, last - TRADES_MAX, -1))
    assert list(rows[0]) == ["sequence", "timestamp", "price", "volume", "is_buy"]
    fill = SCENE.fills_from("XBTUSDT", last, 1, SECOND_NS)[0]
    assert (rows[0]["price"], rows[0]["volume"]) == (f"{fill.price:.8f}", f"{fill.quantity:.8f}")
    assert (rows[0]["timestamp"], rows[0]["is_buy"]) == (fill.time_ns // NS_PER_MS, fill.taker_buys)


def test_since_leads_through_all_trades_of_a_day() -> None:
    since = NOW_MS - 5 * MINUTE_MS
    seen: list[int] = []
    while rows := told("/api/1/trades", pair="XBTUSDT", since=str(since))["trades"]:
        assert len(rows) <= TRADES_MAX
        assert all(row["timestamp"] > since for row in rows)
        seen += [row["sequence"] for row in reversed(rows)]
        since = rows[0]["timestamp"]
    fills = SCENE.fills("XBTUSDT", (NOW_MS - 5 * MINUTE_MS) * NS_PER_MS, SECOND_NS)
    # Trades of one millisecond that a page ends within are passed over: that is all that such paging can do.
    assert set(seen) <= {fill.id for fill in fills}
    assert len(fills) - len(seen) <= 2 * len(fills) // TRADES_MAX
    assert refusal("/api/1/trades", pair="XBTUSDT", since=str(NOW_MS - 86_500_000)) == (400, "ErrInvalidArguments")


def test_books_are_told_by_price_and_by_order_with_eighteen_decimals() -> None:
    truth = SCENE.book("XBTUSDT", LEVELS, SECOND_NS)
    top = told("/api/1/orderbook_top", pair="XBTUSDT")
    assert top["timestamp"] == SECOND_NS // NS_PER_MS
    assert top["asks"][0]["price"] == f"{truth.asks[0][0]:.18f}"
    for side, levels in (("bids", truth.bids), ("asks", truth.asks)):
        assert [(Decimal(row["price"]), Decimal(row["volume"])) for row in top[side]] == list(levels)
    full = told("/api/1/orderbook", pair="XBTUSDT")
    assert len(full["bids"]) > len(top["bids"])
    sums: dict[Decimal, Decimal] = {}
    for row in full["bids"]:
        sums[Decimal(row["price"])] = sums.get(Decimal(row["price"]), Decimal(0)) + Decimal(row["volume"])
    assert tuple(sums.items()) == truth.bids


def test_tickers_are_of_one_pair_or_of_all() -> None:
    one = told("/api/1/ticker", pair="XBTZAR")
    truth = SCENE.book("XBTZAR", 1, SECOND_NS)
    assert (Decimal(one["bid"]), Decimal(one["ask"])) == (truth.bids[0][0], truth.asks[0][0])
    last = SCENE.last_ids("XBTZAR", SECOND_NS)[1]
    assert Decimal(one["last_trade"]) == SCENE.fills_from("XBTZAR", last, 1, SECOND_NS)[0].price
    assert (one["pair"], one["status"], one["timestamp"]) == ("XBTZAR", "ACTIVE", SECOND_NS // NS_PER_MS)
    assert Decimal(one["rolling_24_hour_volume"]) > 0
    assert [row["pair"] for row in told("/api/1/tickers")["tickers"]] == list(SCENE.listings)
    assert told("/api/1/tickers", pair="XBTZAR")["tickers"] == [one]
    assert told("/api/1/tickers", pair="NOPEUSDT") == {"tickers": []}


def test_markets_tell_their_scales_and_bitcoin_is_xbt() -> None:
    rows = {row["market_id"]: row for row in told("/api/exchange/1/markets")["markets"]}
    assert set(rows) == set(SCENE.listings)
    assert set(rows["XBTZAR"]) == {
        "market_id", "trading_status", "base_currency", "counter_currency", "min_volume", "max_volume", "volume_scale",
        "min_price", "max_price", "price_scale", "fee_scale"
    }  # fmt: skip
    assert (rows["XBTZAR"]["price_scale"], rows["XBTZAR"]["volume_scale"]) == (0, 6)
    assert (rows["XBTUSDT"]["base_currency"], rows["XBTUSDT"]["counter_currency"]) == ("XBT", "USDT")
    for pair, row in rows.items():
        listing = SCENE.listings[pair]
        assert Decimal(1).scaleb(-row["price_scale"]) == listing.tick_size
        assert Decimal(1).scaleb(-row["volume_scale"]) == listing.lot_size


@pytest.mark.parametrize("path", ["/api/1/ticker", "/api/1/orderbook_top", "/api/1/orderbook", "/api/1/trades"])
def test_a_pair_that_does_not_exist_is_refused(path: str) -> None:
    assert refusal(path, pair="NOPEUSDT") == refusal(path) == (400, "ErrMarketUnavailable")


def test_there_is_nothing_elsewhere_and_no_time() -> None:
    for path in ("/api/1/nope", "/api/1/time"):
        answer = get(path)
        assert (answer.status, answer.body) == (404, b"")
        assert REST.headers(REST.quota(Ask(path)), 1, 0) == {}
    assert REST.answer(Ask("/api/1/ticker", {"pair": "XBTZAR"}, "POST"), NOW_NS).status == 404


def test_all_requests_share_three_hundred_a_minute() -> None:
    quota = REST.quota(Ask("/api/1/ticker"))
    assert quota == REST.quota(Ask("/api/exchange/1/candles"))
    assert (quota.weight_max, quota.window_s) == (300, 60)
    assert REST.headers(quota, 299, 0) == {
        "x-ratelimit-limit": "300, 300;w=60", "x-ratelimit-remaining": "1", "x-ratelimit-reset": "60"
    }  # fmt: skip
    assert REST.headers(quota, 301, 0)["x-ratelimit-remaining"] == "0"
    for refused in (REST.too_much(Ask("/api/1/ticker"), wait_s=9), REST.banned(until_ms=0, wait_s=9)):
        assert (refused.status, refused.retry_after_s, refused.weight) == (429, None, 0)
        assert json.loads(refused.body)["error_code"] == "ErrTooManyRequests"
    broken = REST.broken(503)
    assert (broken.status, json.loads(broken.body)["error_code"]) == (503, "ErrInternal")
