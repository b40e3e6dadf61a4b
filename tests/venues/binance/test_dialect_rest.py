import json

import pytest

from heliograph.clock import NS_PER_MS
from heliograph.model.instrument import MarketId
from heliograph.sim.world import World
from heliograph.venues.binance.dialect import Dialect
from heliograph.venues.binance.dialect_rest import Rest
from heliograph.venues.dialect import Ask

MINUTE_MS = 60_000
NOW_MS = 1_795_000_023_456
WORLD = World(5, 2, NOW_MS * NS_PER_MS, history_minutes=3000)
ROOTS = {"spot": "/api/v3/", "usdm": "/fapi/v1/", "coinm": "/dapi/v1/"}
SYMBOLS = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}
LIVE_MS = NOW_MS // MINUTE_MS * MINUTE_MS
MARKETS = ("spot", "usdm", "coinm")


def ask(market: str, path: str, now_ms: int = NOW_MS, **query: object) -> tuple[int, object, int]:
    rest = Rest(Dialect(MarketId(market), WORLD.markets[MarketId(market)]))
    text = {name: str(value) for name, value in query.items()}
    answer = rest.answer(Ask(ROOTS[market] + path, text), now_ms * NS_PER_MS)
    return answer.status, json.loads(answer.body) if answer.body else None, answer.weight


def klines(market: str = "spot", **query: object) -> list[list[object]]:
    asked = {"symbol": SYMBOLS[market], "interval": "1m"} | query
    status, body, _ = ask(market, "klines", **asked)
    assert status == 200, body
    assert isinstance(body, list)
    return body


@pytest.mark.parametrize("market", MARKETS)
def test_klines_without_bounds_are_the_latest_with_the_live_bar(market: str) -> None:
    rows = klines(market, limit=3)
    assert [row[0] for row in rows] == [LIVE_MS - 2 * MINUTE_MS, LIVE_MS - MINUTE_MS, LIVE_MS]
    assert rows[-1][6] == LIVE_MS + MINUTE_MS - 1
    assert rows[-1][6] > NOW_MS
    assert len(rows[0]) == 12
    assert len(klines(market)) == 500


@pytest.mark.parametrize(("market", "most"), [("spot", 1000), ("usdm", 1500), ("coinm", 1500)])
def test_start_alone_gives_the_oldest_from_there_up_to_the_limit(market: str, most: int) -> None:
    start_ms = LIVE_MS - 2500 * MINUTE_MS
    rows = klines(market, startTime=start_ms, limit=most)
    assert [row[0] for row in rows] == [start_ms + n * MINUTE_MS for n in range(most)]
    assert klines(market, startTime=start_ms + 1, limit=1)[0][0] == start_ms + MINUTE_MS


def test_end_alone_gives_the_latest_that_open_by_then() -> None:
    end_ms = LIVE_MS - 100 * MINUTE_MS
    assert [row[0] for row in klines(endTime=end_ms, limit=2)] == [end_ms - MINUTE_MS, end_ms]
    assert klines(endTime=end_ms - 1, limit=1)[0][0] == end_ms - MINUTE_MS


def test_both_bounds_are_inclusive_by_open_time() -> None:
    first_ms, last_ms = LIVE_MS - 10 * MINUTE_MS, LIVE_MS - 7 * MINUTE_MS
    assert [row[0] for row in klines(startTime=first_ms, endTime=last_ms)] == [
        first_ms + n * MINUTE_MS for n in range(4)
    ]
    assert klines(startTime=last_ms, endTime=first_ms) == []
    assert klines(startTime=NOW_MS + 10 * MINUTE_MS) == []


def test_pages_by_start_meet_without_a_hole() -> None:
    opens: list[object] = []
    start_ms = LIVE_MS - 2500 * MINUTE_MS
    while rows := klines(startTime=start_ms, limit=1000):
        opens += [row[0] for row in rows]
        last = rows[-1][0]
        assert isinstance(last, int)
        start_ms = last + 1
    assert opens == [LIVE_MS + n * MINUTE_MS for n in range(-2500, 1)]


def test_a_closed_row_stays_and_the_live_one_becomes_it() -> None:
    live = klines(limit=1)[0]
    _, later, _ = ask("spot", "klines", NOW_MS + MINUTE_MS, symbol="BTCUSDT", interval="1m", startTime=LIVE_MS)
    assert isinstance(later, list)
    assert later[0][0] == live[0]
    assert later[0][8] > live[8]
    _, again, _ = ask("spot", "klines", NOW_MS + 9 * MINUTE_MS, symbol="BTCUSDT", interval="1m", startTime=LIVE_MS)
    assert isinstance(again, list)
    assert again[0] == later[0]


@pytest.mark.parametrize(
    ("market", "path", "query", "code"),
    [
        ("spot", "klines", {"interval": "1m"}, -1102),
        ("spot", "klines", {"symbol": "BTCUSDT"}, -1102),
        ("spot", "klines", {"symbol": "NOPE", "interval": "1m"}, -1121),
        ("spot", "klines", {"symbol": "btcusdt", "interval": "1m"}, -1100),
        ("spot", "klines", {"symbol": "BTCUSDT", "interval": "2m"}, -1120),
        ("usdm", "klines", {"symbol": "BTCUSDT", "interval": "1s"}, -1120),
        ("spot", "klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "ten"}, -1100),
        ("spot", "klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": ""}, -1105),
        ("usdm", "klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "1501"}, -1130),
        ("spot", "klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "0"}, -1130),
        ("coinm", "klines", {"symbol": "BTCUSD_PERP", "interval": "1d", "startTime": 0, "endTime": NOW_MS}, -4088),
        ("usdm", "depth", {"symbol": "BTCUSDT", "limit": "7"}, -4021),
        ("spot", "aggTrades", {"symbol": "BTCUSDT", "fromId": "1", "startTime": "1"}, -1128),
        ("spot", "ticker/24hr", {"symbols": '["BTCUSDT","NOPE"]'}, -1121),
    ],
)
def test_a_wrong_request_is_400_with_the_documented_code(
    market: str, path: str, query: dict[str, object], code: int
) -> None:
    status, body, _ = ask(market, path, **query)
    assert isinstance(body, dict)
    assert (status, body["code"]) == (400, code)
    assert isinstance(body["msg"], str)


def test_spot_cuts_a_limit_that_is_too_large() -> None:
    assert len(klines(limit=5000)) == 1000


def test_another_markets_path_is_not_found() -> None:
    rest = Rest(Dialect(MarketId("spot"), WORLD.markets[MarketId("spot")]))
    assert rest.answer(Ask("/fapi/v1/klines"), NOW_MS * NS_PER_MS).status == 404


@pytest.mark.parametrize("market", MARKETS)
def test_aggregate_trades_page_by_id_and_by_time(market: str) -> None:
    symbol = SYMBOLS[market]
    _, latest, _ = ask(market, "aggTrades", symbol=symbol, limit=5)
    assert isinstance(latest, list)
    first = latest[0]["a"]
    assert [row["a"] for row in latest] == list(range(first, first + 5))
    assert all(row["T"] <= NOW_MS for row in latest)
    _, page, _ = ask(market, "aggTrades", symbol=symbol, fromId=first - 1000, limit=1000)
    assert isinstance(page, list)
    assert [row["a"] for row in page] == list(range(first - 1000, first))
    from_ms, to_ms = page[10]["T"], page[20]["T"]
    _, timed, _ = ask(market, "aggTrades", symbol=symbol, startTime=from_ms, endTime=to_ms)
    assert timed == [row for row in page if from_ms <= row["T"] <= to_ms]


@pytest.mark.parametrize("market", MARKETS)
def test_trades_page_by_id_and_are_the_parts_of_the_aggregates(market: str) -> None:
    symbol = SYMBOLS[market]
    _, aggregates, _ = ask(market, "aggTrades", symbol=symbol, fromId=100, limit=50)
    assert isinstance(aggregates, list)
    first, last = aggregates[0]["f"], aggregates[-1]["l"]
    _, trades, _ = ask(market, "historicalTrades", symbol=symbol, fromId=first, limit=last - first + 1)
    assert isinstance(trades, list)
    assert [row["id"] for row in trades] == list(range(first, last + 1))
    assert trades[0]["price"] == aggregates[0]["p"]
    _, recent, _ = ask(market, "trades", symbol=symbol, limit=10)
    assert isinstance(recent, list)
    assert len(recent) == 10


@pytest.mark.parametrize("market", MARKETS)
def test_the_day_is_the_fold_of_its_trades_and_the_top_is_the_books(market: str) -> None:
    symbol = SYMBOLS[market]
    _, day, _ = ask(market, "ticker/24hr", symbol=symbol)
    _, top, _ = ask(market, "ticker/bookTicker", symbol=symbol)
    _, book, _ = ask(market, "depth", symbol=symbol, limit=5)
    if market == "coinm":
        assert isinstance(day, list)
        assert isinstance(top, list)
        day, top = day[0], top[0]
    assert isinstance(day, dict)
    assert isinstance(top, dict)
    assert isinstance(book, dict)
    assert day["count"] == day["lastId"] - day["firstId"] + 1
    assert day["closeTime"] - day["openTime"] == 86_400_000
    assert [top["bidPrice"], top["bidQty"]] == book["bids"][0]
    assert [top["askPrice"], top["askQty"]] == book["asks"][0]
    _, minutes, _ = ask(market, "klines", symbol=symbol, interval="1m", startTime=day["openTime"], limit=1000)
    assert isinstance(minutes, list)
    assert float(day["highPrice"]) >= max(float(row[2]) for row in minutes)


@pytest.mark.parametrize("market", MARKETS)
def test_exchange_info_lists_every_symbol_with_its_steps(market: str) -> None:
    _, info, _ = ask(market, "exchangeInfo")
    assert isinstance(info, dict)
    rows = {row["symbol"]: row for row in info["symbols"]}
    listings = WORLD.markets[MarketId(market)].listings
    assert set(rows) == set(listings)
    for symbol, listing in listings.items():
        filters = {entry["filterType"]: entry for entry in rows[symbol]["filters"]}
        assert float(filters["PRICE_FILTER"]["tickSize"]) == float(listing.tick_size)
        assert float(filters["LOT_SIZE"]["stepSize"]) == float(listing.lot_size)


@pytest.mark.parametrize(
    ("market", "path", "query", "weight"),
    [
        ("spot", "klines", {"symbol": "BTCUSDT", "interval": "1m"}, 2),
        ("usdm", "klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 99}, 1),
        ("usdm", "klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 100}, 2),
        ("usdm", "klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1000}, 5),
        ("usdm", "klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1001}, 10),
        ("spot", "depth", {"symbol": "BTCUSDT", "limit": 100}, 5),
        ("spot", "depth", {"symbol": "BTCUSDT", "limit": 101}, 25),
        ("spot", "depth", {"symbol": "BTCUSDT", "limit": 5000}, 250),
        ("usdm", "depth", {"symbol": "BTCUSDT", "limit": 1000}, 20),
        ("spot", "exchangeInfo", {}, 20),
    ],
)
def test_a_request_costs_what_the_documentation_says(
    market: str, path: str, query: dict[str, object], weight: int
) -> None:
    assert ask(market, path, **query)[2] == weight


def test_time_is_the_simulated_time() -> None:
    assert ask("spot", "time")[1] == {"serverTime": NOW_MS}
