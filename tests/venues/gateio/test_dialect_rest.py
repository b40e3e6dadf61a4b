"""The shapes follow https://www.gate.com/docs/developers/apiv4/en/ and answers that others recorded in 2026."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import SPOT, MarketId
from heliograph.sim.world import World
from heliograph.venues.dialect import Ask
from heliograph.venues.gateio.dialect_rest import Rest
from heliograph.venues.gateio.layout import LAYOUT

NOW_NS = 1_795_000_000 * NS_PER_S + 7 * NS_PER_S
NOW_S = NOW_NS // NS_PER_S
LIVE_S = NOW_S // 60 * 60
WORLD = World(5, 2, NOW_NS, history_minutes=3000, listers=LAYOUT.listers)
REST = Rest(WORLD.markets)
DECIMAL = {"x-gate-size-decimal": "1"}
PLACES = {"spot": "currency_pair=BTC_USDT", "futures/usdt": "contract=ETH_USDT", "futures/btc": "contract=BTC_USD"}


def asked(path: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, Any]:
    name, _, text = path.partition("?")
    query = dict(part.split("=") for part in text.split("&") if part)
    answer = REST.answer(Ask(f"/api/v4/{name}", query, method, headers or {}), NOW_NS)
    return answer.status, json.loads(answer.body)


def got(path: str, headers: dict[str, str] | None = None) -> Any:
    status, content = asked(path, headers)
    assert status == 200, content
    return content


def opens(place: str, more: str = "") -> list[int]:
    rows = got(f"{place}/candlesticks?{PLACES[place]}&interval=1m{more}")
    return [int(row[0]) if place == "spot" else row["t"] for row in rows]


@pytest.mark.parametrize("place", PLACES)
def test_candles_come_oldest_first_and_the_live_one_is_among_them(place: str) -> None:
    assert opens(place) == [LIVE_S - 60 * n for n in range(99, -1, -1)]
    assert opens(place, "&limit=3") == [LIVE_S - 120, LIVE_S - 60, LIVE_S]


@pytest.mark.parametrize("place", PLACES)
def test_both_ends_of_a_window_are_inclusive(place: str) -> None:
    middle = LIVE_S - 600
    assert opens(place, f"&from={middle}&to={middle + 120}") == [middle, middle + 60, middle + 120]
    assert opens(place, f"&from={middle + 1}&to={middle + 119}") == [middle + 60]
    assert opens(place, f"&from={LIVE_S - 60}") == [LIVE_S - 60, LIVE_S]
    assert opens(place, f"&from={NOW_S + 60}") == []
    assert len(opens(place, f"&to={middle}")) == 101  # A hundred intervals back, as documented.


def test_only_spot_says_whether_a_candle_is_closed() -> None:
    rows = got("spot/candlesticks?currency_pair=BTC_USDT&interval=1m&limit=2")
    assert [(len(row), row[7]) for row in rows] == [(8, "true"), (8, "false")]
    rows = got("futures/usdt/candlesticks?contract=BTC_USDT&interval=1m&limit=1")
    assert set(rows[0]) == {"t", "o", "h", "l", "c", "v", "sum"}


@pytest.mark.parametrize("place", PLACES)
def test_a_limit_beside_a_window_is_refused(place: str) -> None:
    for window in (f"&from={LIVE_S}", f"&to={LIVE_S}"):
        status, content = asked(f"{place}/candlesticks?{PLACES[place]}&interval=1m&limit=5{window}")
        assert (status, content["label"]) == (400, "INVALID_PARAM_VALUE")


def test_spot_refuses_a_window_that_is_too_wide_and_futures_cut_it_without_a_word() -> None:
    wide = f"&from={LIVE_S - 60 * 1000}&to={LIVE_S}"
    status, content = asked(f"spot/candlesticks?currency_pair=BTC_USDT&interval=1m{wide}")
    assert (status, content["label"]) == (400, "INVALID_PARAM_VALUE")
    assert content["message"] == "Candlestick range too broad. Maximum 1000 data points are allowed per request"
    assert len(opens("spot", f"&from={LIVE_S - 60 * 999}&to={LIVE_S}")) == 1000
    rows = opens("futures/usdt", f"&from={LIVE_S - 60 * 2500}&to={LIVE_S}")
    assert rows == [LIVE_S - 60 * n for n in range(2000, -1, -1)]
    assert asked("futures/usdt/candlesticks?contract=ETH_USDT&interval=1m&limit=2001")[0] == 400


@pytest.mark.parametrize(("place", "word"), [("spot", "ago"), ("futures/btc", "recently")])
def test_what_lies_ten_thousand_bars_back_is_gone(place: str, word: str) -> None:
    status, content = asked(f"{place}/candlesticks?{PLACES[place]}&interval=1m&from={LIVE_S - 60 * 10_001}&to={LIVE_S}")
    assert status == 400
    assert content["message"] == f"Candlestick too long ago. Maximum 10000 points {word} are allowed"
    # Before the listing there is nothing, which is no error.
    assert opens(place, f"&from={LIVE_S - 60 * 9_000}&to={LIVE_S - 60 * 8_990}") == []


def test_pages_meet_down_to_the_listing() -> None:
    found: list[int] = []
    to_s = LIVE_S
    while page := opens("spot", f"&from={to_s - 60 * 999}&to={to_s}"):
        found = page + found
        to_s = page[0] - 60
    assert found == [LIVE_S - 60 * n for n in range(3000, -1, -1)]


def test_a_week_of_futures_is_not_seven_days() -> None:
    (week,) = got("futures/usdt/candlesticks?contract=BTC_USDT&interval=1w&limit=1")
    (seven,) = got("futures/usdt/candlesticks?contract=BTC_USDT&interval=7d&limit=1")
    assert (week["t"] % 604_800, seven["t"] % 604_800) == (345_600, 0)
    assert asked("spot/candlesticks?currency_pair=BTC_USDT&interval=1w")[0] == 400
    assert len(got("spot/candlesticks?currency_pair=BTC_USDT&interval=30d")) == 1


@pytest.mark.parametrize(
    ("path", "status", "label", "message"),
    [
        ("spot/candlesticks", 400, "MISSING_REQUIRED_PARAM", "Missing required parameter: currency_pair"),
        ("futures/usdt/trades", 400, "MISSING_REQUIRED_PARAM", "Missing required parameter: contract"),
        ("spot/order_book?currency_pair=NOPE_USDT", 400, "INVALID_CURRENCY", "Invalid currency NOPE"),
        ("spot/currency_pairs/BTC_NOPE", 400, "INVALID_CURRENCY", "Invalid currency NOPE"),
        ("spot/tickers?currency_pair=BTCUSDT", 400, "INVALID_CURRENCY_PAIR", "Invalid currency pair BTCUSDT"),
        ("spot/tickers?currency_pair=ETH_BTC", 400, "INVALID_CURRENCY_PAIR", "Invalid currency pair ETH_BTC"),
        ("futures/usdt/contracts/NOPE_USDT", 400, "CONTRACT_NOT_FOUND", None),
        ("futures/usdt/tickers?contract=BTC_USD", 400, "CONTRACT_NOT_FOUND", None),
        ("futures/usd1/contracts", 404, "NOT_FOUND", "Resource not found"),
        ("nothing", 404, "NOT_FOUND", "Resource not found"),
        ("spot/nope", 400, "MISSING_REQUIRED_HEADER", "Missing required header: Timestamp"),
        ("spot/time/x", 400, "MISSING_REQUIRED_HEADER", "Missing required header: Timestamp"),
        (
            "spot/order_book?currency_pair=BTC_USDT&limit=0", 400, "INVALID_PARAM_VALUE",
            "Invalid request parameter `limit` value: 0",
        ),
        (
            "spot/candlesticks?currency_pair=BTC_USDT&interval=7m", 400, "INVALID_PARAM_VALUE",
            "Invalid request parameter `interval` value: 7m",
        ),
        (
            "spot/trades?currency_pair=BTC_USDT&from=x", 400, "INVALID_PARAM_VALUE",
            "Invalid request parameter `from` value: x",
        ),
    ],
)  # fmt: skip
def test_a_wrong_request_gets_its_label(path: str, status: int, label: str, message: str | None) -> None:
    content = {"label": label} | ({} if message is None else {"message": message})
    assert asked(path) == (status, content)


def test_only_gets_are_played() -> None:
    assert asked("spot/time", method="POST") == (
        405,
        {"label": "METHOD_NOT_ALLOWED", "message": "Method POST not allowed"},
    )


@pytest.mark.parametrize("place", PLACES)
def test_trades_come_newest_first_and_are_paged_by_time_by_number_and_by_page(place: str) -> None:
    def ids(more: str = "") -> list[int]:
        return [int(row["id"]) for row in got(f"{place}/trades?{PLACES[place]}{more}")]

    recent = ids("&limit=300")
    assert recent == list(range(recent[0], recent[0] - 300, -1))
    older = "&reverse=true" if place == "spot" else ""
    assert ids(f"&limit=50&last_id={recent[99]}{older}") == recent[100:150]
    second = "&page=2&limit=100" if place == "spot" else "&offset=100&limit=100"
    assert ids(second) == recent[100:200]
    rows = got(f"{place}/trades?{PLACES[place]}&from={LIVE_S - 60}&to={LIVE_S - 1}&limit=1000")
    times = [int(float(row["create_time"])) for row in rows]
    assert times == sorted(times, reverse=True)
    market = {"spot": SPOT, "futures/usdt": MarketId("usdm"), "futures/btc": MarketId("coinm")}[place]
    fills = WORLD.markets[market].fills(
        PLACES[place].partition("=")[2], (LIVE_S - 60) * NS_PER_S - 1, LIVE_S * NS_PER_S - 1
    )
    assert [int(row["id"]) for row in rows] == [fill.id for fill in reversed(fills)]
    seconds = {fill.time_ns // NS_PER_S for fill in fills}
    middle_s = sorted(seconds)[len(seconds) // 2]
    within = [fill.id for fill in reversed(fills) if fill.time_ns // NS_PER_S == middle_s]
    assert ids(f"&from={middle_s}&to={middle_s}") == within
    assert ids(f"&from={LIVE_S - 60}&to={LIVE_S - 1}&limit=5") == [int(row["id"]) for row in rows[:5]]


def test_spot_tells_the_latest_of_what_follows_a_number() -> None:
    last = int(got("spot/trades?currency_pair=BTC_USDT&limit=1")[0]["id"])
    rows = got(f"spot/trades?currency_pair=BTC_USDT&last_id={last - 10}&limit=3")
    assert [int(row["id"]) for row in rows] == [last, last - 1, last - 2]
    assert len(got(f"spot/trades?currency_pair=BTC_USDT&last_id={last - 10}")) == 10
    assert got(f"spot/trades?currency_pair=BTC_USDT&last_id={last}") == []


@pytest.mark.parametrize("place", PLACES)
def test_a_book_has_ten_levels_unless_asked_and_its_id_only_if_asked(place: str) -> None:
    short = got(f"{place}/order_book?{PLACES[place]}")
    assert (len(short["bids"]), len(short["asks"]), "id" in short) == (10, 10, False)
    long = got(f"{place}/order_book?{PLACES[place]}&limit=100&with_id=true")
    assert (len(long["bids"]), isinstance(long["id"], int)) == (100, True)
    assert long["bids"][:10] == short["bids"]
    assert (long["current"] > 10**12) is (place == "spot")


def test_sizes_of_futures_are_decimal_text_where_a_header_asks_for_it() -> None:
    for path in ("order_book?contract=ETH_USDT", "trades?contract=ETH_USDT", "candlesticks?contract=ETH_USDT"):
        exact, cut = got(f"futures/usdt/{path}", DECIMAL), got(f"futures/usdt/{path}")
        if path.startswith("order_book"):
            sizes = [[level["s"] for level in answer["bids"]] for answer in (exact, cut)]
        else:
            sizes = [[row.get("size", row.get("v")) for row in answer] for answer in (exact, cut)]
        assert any("." in size for size in sizes[0])
        assert [int(float(size)) for size in sizes[0]] == sizes[1]
    assert got("futures/usdt/contracts/ETH_USDT", DECIMAL)["order_size_min"] == "0.1"
    assert got("spot/tickers", DECIMAL) == got("spot/tickers")


def test_instruments_are_listed_paged_and_named_one_by_one() -> None:
    contracts = got("futures/usdt/contracts")
    assert [row["name"] for row in contracts] == ["BTC_USDT", "ETH_USDT"]
    assert got("futures/usdt/contracts?limit=1&offset=1") == contracts[1:]
    assert got("futures/usdt/contracts?offset=2&limit=1") == []
    assert got("futures/usdt/contracts/ETH_USDT") == contracts[1]
    pairs = got("spot/currency_pairs")
    assert got("spot/currency_pairs/ETH_USDT") == pairs[1]
    assert [row["currency"] for row in got("spot/currencies")] == ["BTC", "ETH"]
    assert got("spot/currencies/BTC")["currency"] == "BTC"
    assert asked("spot/currencies/NOPE")[1]["label"] == "INVALID_CURRENCY"
    for path in ("delivery/usdt/contracts", "margin/currency_pairs", "options/underlyings"):
        assert got(path) == []


@pytest.mark.parametrize("place", PLACES)
def test_tickers_are_a_list_of_all_or_of_one(place: str) -> None:
    every = got(f"{place}/tickers")
    (one,) = got(f"{place}/tickers?{PLACES[place]}")
    assert one in every


def test_the_time_is_in_milliseconds() -> None:
    assert got("spot/time") == {"server_time": NOW_NS // NS_PER_MS}


def test_each_endpoint_has_its_own_quota_and_says_what_remains() -> None:
    candles = REST.quota(Ask("/api/v4/spot/candlesticks"))
    assert (candles.weight_max, candles.window_s) == (200, 10)
    names = {
        REST.quota(Ask(f"/api/v4/{path}")).name
        for path in ("spot/candlesticks", "spot/trades", "futures/usdt/trades", "futures/usdt/contracts")
    }
    assert len(names) == 4
    one, other = (REST.quota(Ask(f"/api/v4/futures/usdt/contracts/{name}")).name for name in ("A_USDT", "B_USDT"))
    assert one == other
    # Whatever clients make up shares one quota, or the counters would grow without bound.
    assert REST.quota(Ask("/x")).name == REST.quota(Ask("/api/v4/spot/made_up")).name
    assert REST.headers(candles, 3, 20_000) == {
        "X-Gate-RateLimit-Requests-Remain": "197",
        "X-Gate-RateLimit-Limit": "200",
        "X-Gate-RateLimit-Reset-Timestamp": "10",
    }
    spent = REST.headers(candles, 205, 20_000)
    assert (spent["X-Gate-RateLimit-Requests-Remain"], spent["X-Gate-RateLimit-Reset-Timestamp"]) == ("0", "20")


def test_refusals_and_trouble_have_labels() -> None:
    refused = REST.too_much(Ask("/api/v4/spot/time"), wait_s=1)
    assert (refused.status, json.loads(refused.body)["label"], refused.weight) == (429, "TOO_MANY_REQUESTS", 0)
    assert REST.banned(until_ms=1, wait_s=1) == refused
    assert (REST.broken(500).status, json.loads(REST.broken(500).body)["label"]) == (500, "SERVER_ERROR")
    assert (REST.broken(503).status, json.loads(REST.broken(503).body)["label"]) == (503, "TOO_BUSY")


def test_a_host_knows_its_own_markets_only() -> None:
    futures = Rest({MarketId("coinm"): WORLD.markets[MarketId("coinm")]})
    assert futures.answer(Ask("/api/v4/spot/time"), NOW_NS).status == 404
    assert futures.answer(Ask("/api/v4/futures/usdt/contracts"), NOW_NS).status == 404
    assert futures.answer(Ask("/api/v4/futures/btc/contracts"), NOW_NS).status == 200
    assert Rest({SPOT: WORLD.markets[SPOT]}).answer(Ask("/api/v4/spot/time"), NOW_NS).status == 200


@given(
    st.sampled_from(["spot/candlesticks", "spot/trades", "spot/order_book", "futures/usdt/contracts", "futures/btc/x"]),
    st.dictionaries(
        st.sampled_from(["interval", "from", "to", "limit", "last_id", "page", "offset", "reverse", "with_id"]),
        st.text(max_size=6) | st.integers(0, 10**10).map(str),
    ),
)
def test_no_query_makes_it_raise(path: str, query: dict[str, str]) -> None:
    REST.answer(Ask(f"/api/v4/{path}", {"currency_pair": "BTC_USDT", "contract": "BTC_USDT"} | query), NOW_NS)
