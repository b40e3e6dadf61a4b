"""The shapes follow https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/list-public-products
and its neighbours."""

import json
from decimal import Decimal
from typing import Any

import pytest

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import SPOT
from heliograph.model.interval import Interval
from heliograph.sim.world import World
from heliograph.venues.coinbase.dialect import Dialect, text
from heliograph.venues.coinbase.dialect_rest import Rest
from heliograph.venues.coinbase.layout import LAYOUT
from heliograph.venues.dialect import Ask

EPOCH_NS = 1_795_000_000 * NS_PER_S
WORLD = World(5, 12, EPOCH_NS, history_minutes=3000, listers=LAYOUT.listers)
SCENE = WORLD.markets[SPOT]
REST = Rest(Dialect(WORLD.markets))
BTC = "BTC-USD"


def get(path: str, status: int = 200, **query: object) -> Any:
    answer = REST.answer(Ask(f"/api/v3/brokerage{path}", {name: str(v) for name, v in query.items()}), EPOCH_NS)
    assert answer.status == status, answer.body
    return json.loads(answer.body)


def candles(product: str, name: str, start_ns: int, end_ns: int, **more: object) -> list[dict[str, str]]:
    query = {"start": start_ns // NS_PER_S, "end": end_ns // NS_PER_S, "granularity": name, **more}
    told: list[dict[str, str]] = get(f"/market/products/{product}/candles", **query)["candles"]
    return told


def test_the_time_is_told_in_three_ways() -> None:
    told = get("/time")
    assert told == {"iso": "2026-11-18T11:06:40Z", "epochSeconds": "1795000000", "epochMillis": "1795000000000"}


def test_products_are_listed_and_those_in_usdc_are_other_names() -> None:
    told = get("/market/products", product_type="SPOT")
    assert told["num_products"] == len(told["products"]) == 14 + 12
    assert told["pagination"] is None
    by_id = {product["product_id"]: product for product in told["products"]}
    assert by_id["BTC-USDC"]["alias"] == "BTC-USD"
    assert by_id["BTC-USD"]["alias"] == by_id["USDT-USDC"]["alias"] == ""
    assert by_id["ETH-BTC"]["alias_to"] == []
    assert {name for name, product in by_id.items() if not product["alias"]} == set(SCENE.listings)
    assert by_id[BTC]["price_increment"] == text(SCENE.listings[BTC].tick_size)
    assert [p["product_id"] for p in get("/market/products", limit=2, offset=1)["products"]] == ["BTC-USDC", "ETH-USD"]
    assert get("/market/products", product_type="FUTURE")["products"] == []
    assert get(f"/market/products/{BTC}")["product_id"] == BTC


def test_candles_come_newest_first_with_both_ends_and_the_live_one() -> None:
    open_ns = Interval.M1.open_of(EPOCH_NS)
    told = candles(BTC, "ONE_MINUTE", open_ns - 3 * 60 * NS_PER_S, open_ns)
    assert [int(row["start"]) for row in told] == [open_ns // NS_PER_S - 60 * i for i in range(4)]
    bar = SCENE.bar(BTC, open_ns, open_ns + 60 * NS_PER_S, EPOCH_NS)
    assert (Decimal(told[0]["close"]), Decimal(told[0]["volume"])) == (bar.close, bar.volume)
    assert len(candles(BTC, "ONE_MINUTE", open_ns - 349 * 60 * NS_PER_S, open_ns)) == 350
    assert len(candles("BTC-USDC", "FIVE_MINUTE", open_ns - 3000 * NS_PER_S, open_ns, limit=3)) == 3


def test_there_is_no_candle_where_nothing_was_traded() -> None:
    open_ns = Interval.M1.open_of(EPOCH_NS)
    from_ns = open_ns - 200 * 60 * NS_PER_S
    bars = SCENE.bars("TRX-USD", Interval.M1, from_ns, 200, EPOCH_NS)
    told = candles("TRX-USD", "ONE_MINUTE", from_ns, open_ns - 60 * NS_PER_S)
    assert 0 < len(told) < 200
    assert [int(row["start"]) * NS_PER_S for row in reversed(told)] == [bar.open_ns for bar in bars if bar.fills]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"start": 0, "end": 350 * 60, "granularity": "ONE_MINUTE"}, "less than 350"),
        ({"start": 60, "end": 0, "granularity": "ONE_MINUTE"}, "start and end"),
        ({"start": 0, "end": 60, "granularity": "THREE_MINUTE"}, "granularity"),
        ({"start": "x", "end": 60, "granularity": "ONE_MINUTE"}, "start"),
    ],
)
def test_candles_that_cannot_be_are_refused(query: dict[str, object], reason: str) -> None:
    told = get(f"/market/products/{BTC}/candles", 400, **query)
    assert told["error"] == "INVALID_ARGUMENT"
    assert reason in told["message"]


def test_a_hundred_trades_at_most_are_told_the_newest_first() -> None:
    last = SCENE.last_ids(BTC, EPOCH_NS)[1]
    told = get(f"/market/products/{BTC}/ticker", limit=1000)
    assert [int(trade["trade_id"]) for trade in told["trades"]] == list(range(last, last - 100, -1))
    assert told["best_bid"] == text(SCENE.book(BTC, 1, EPOCH_NS).bids[0][0])
    since = get(f"/market/products/{BTC}/ticker", limit=100, start=EPOCH_NS // NS_PER_S - 5)["trades"]
    assert [int(trade["trade_id"]) for trade in reversed(since)] == [
        fill.id for fill in SCENE.fills(BTC, EPOCH_NS - 5 * NS_PER_S - 1, EPOCH_NS)
    ]
    before = get(f"/market/products/{BTC}/ticker", limit=3, end=EPOCH_NS // NS_PER_S - 60)["trades"]
    assert int(before[0]["trade_id"]) == SCENE.last_ids(BTC, EPOCH_NS - 60 * NS_PER_S)[1]
    assert get(f"/market/products/{BTC}/ticker", 500, limit=1001)["error"] == "INTERNAL"
    assert get(f"/market/products/{BTC}/ticker", 400)["error"] == "INVALID_ARGUMENT"
    assert get("/market/products/BTC-USDC/ticker", limit=1)["trades"][0]["product_id"] == "BTC-USDC"


def test_a_book_has_as_many_levels_as_are_asked_for() -> None:
    told = get("/market/product_book", product_id=BTC, limit=3)
    book = SCENE.book(BTC, 3, EPOCH_NS)
    assert [(Decimal(level["price"]), Decimal(level["size"])) for level in told["pricebook"]["bids"]] == [*book.bids]
    assert [(Decimal(level["price"]), Decimal(level["size"])) for level in told["pricebook"]["asks"]] == [*book.asks]
    assert told["spread_absolute"] == text(book.asks[0][0] - book.bids[0][0])


@pytest.mark.parametrize("path", ["/market/products/NOPE-USD", "/market/products/NOPE-USD/candles"])
def test_products_that_do_not_exist_are_not_found(path: str) -> None:
    assert get(path, 404) == {
        "error": "NOT_FOUND",
        "error_details": "Product NOPE-USD not supported",
        "message": "Product NOPE-USD not supported",
    }


def test_other_places_and_other_methods_are_refused() -> None:
    assert REST.answer(Ask("/api/v3/brokerage/accounts"), EPOCH_NS).status == 404
    assert REST.answer(Ask("/api/v3/brokerage/market/products/BTC-USD/x"), EPOCH_NS).status == 404
    assert REST.answer(Ask("/products"), EPOCH_NS).status == 404
    assert REST.answer(Ask("/api/v3/brokerage/time", method="POST"), EPOCH_NS).status == 405


def test_ten_requests_a_second_are_allowed_and_headers_do_not_tell() -> None:
    quota = REST.quota(Ask("/api/v3/brokerage/time"))
    assert (quota.weight_max, quota.window_s) == (10, 1)
    assert REST.headers(quota, 3, 0) == {}
    assert (REST.too_much(Ask("/"), wait_s=1).status, REST.banned(until_ms=0, wait_s=1).status) == (429, 429)
    assert REST.broken(503).status == 503
