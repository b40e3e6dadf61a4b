"""The shapes follow https://www.okx.com/docs-v5/en/#order-book-trading-market-data as of 2026-06-15."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.sim.world import World
from heliograph.venues.dialect import Ask
from heliograph.venues.okx.dialect import Dialect
from heliograph.venues.okx.dialect_rest import Rest
from heliograph.venues.okx.layout import LAYOUT

NOW_NS = 1_795_000_000 * NS_PER_S + 7 * NS_PER_S
MINUTE_MS = 60_000
LIVE_MS = NOW_NS // NS_PER_MS // MINUTE_MS * MINUTE_MS
REST = Rest(Dialect(World(5, 2, NOW_NS, listers=LAYOUT.listers).markets))


def ask(path: str, **query: object) -> list[Any]:
    answer = REST.answer(Ask(f"/api/v5/{path}", {name: str(value) for name, value in query.items()}), NOW_NS)
    content = json.loads(answer.body)
    assert (answer.status, content["code"], content["msg"]) == (200, "0", "")
    data = content["data"]
    assert isinstance(data, list)
    return data


def opens(path: str = "market/candles", **query: object) -> list[int]:
    return [int(row[0]) for row in ask(path, instId="BTC-USDT", **query)]


def test_candles_come_newest_first_with_the_live_one_unconfirmed() -> None:
    rows = ask("market/candles", instId="BTC-USDT-SWAP")
    assert [int(row[0]) for row in rows] == [LIVE_MS - n * MINUTE_MS for n in range(100)]
    assert [row[8] for row in rows] == ["0"] + ["1"] * 99
    assert {len(row) for row in rows} == {9}


def test_history_has_only_what_is_complete() -> None:
    rows = ask("market/history-candles", instId="BTC-USDT", limit=3)
    assert [(int(row[0]), row[8]) for row in rows] == [(LIVE_MS - n * MINUTE_MS, "1") for n in (1, 2, 3)]


@pytest.mark.parametrize("path", ["market/candles", "market/history-candles"])
def test_after_means_earlier_and_before_means_newer_both_without_the_named_one(path: str) -> None:
    middle = LIVE_MS - 10 * MINUTE_MS
    assert opens(path, after=middle, limit=2) == [middle - MINUTE_MS, middle - 2 * MINUTE_MS]
    newer = opens(path, before=middle, limit=300)
    assert (newer[0], newer[-1]) == (LIVE_MS - (0 if path == "market/candles" else MINUTE_MS), middle + MINUTE_MS)
    between = opens(path, after=middle + 5 * MINUTE_MS, before=middle)
    assert between == [middle + n * MINUTE_MS for n in (4, 3, 2, 1)]
    assert opens(path, after=middle, before=middle) == []


def test_before_alone_gives_the_newest_and_not_those_next_to_it() -> None:
    """The trap: paging forwards with `before` alone loses what lies between."""
    assert opens(before=LIVE_MS - 50 * MINUTE_MS, limit=3) == [LIVE_MS - n * MINUTE_MS for n in (0, 1, 2)]


def test_pages_meet_without_a_hole_down_to_the_listing() -> None:
    found: list[int] = []
    after = LIVE_MS + MINUTE_MS
    while page := opens(after=after, limit=300):
        found += page
        after = page[-1]
    assert found == [LIVE_MS - n * MINUTE_MS for n in range(len(found))]
    assert len(found) == 361


def test_a_limit_beyond_the_most_is_cut_to_it() -> None:
    assert len(opens(limit=1000)) == 300
    assert len(ask("market/history-trades", instId="BTC-USDT", limit=500)) == 100


def test_one_second_candles_are_in_history_only() -> None:
    assert len(opens("market/history-candles", bar="1s", limit=5)) == 5
    assert refusal("market/candles", instId="BTC-USDT", bar="1s") == (400, "51000", "Parameter bar error")


def test_days_open_in_hong_kong_unless_utc_is_asked_for() -> None:
    assert opens(bar="1D")[0] % 86_400_000 == 16 * 3_600_000
    assert opens(bar="1Dutc")[0] % 86_400_000 == 0


def refusal(path: str, **query: str) -> tuple[int, str, str]:
    answer = REST.answer(Ask(f"/api/v5/{path}", query), NOW_NS)
    content = json.loads(answer.body)
    assert content["data"] == []
    return answer.status, content["code"], content["msg"]


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("market/candles", {}, 400, "50014"),
        ("market/candles", {"instId": "BTCUSDT"}, 200, "51001"),
        ("market/candles", {"instId": "BTC-USDT", "bar": "1h"}, 400, "51000"),
        ("market/candles", {"instId": "BTC-USDT", "limit": "0"}, 400, "51000"),
        ("market/candles", {"instId": "BTC-USDT", "after": "x"}, 400, "51000"),
        ("market/history-trades", {"instId": "BTC-USDT", "type": "2", "before": "1"}, 200, "50039"),
        ("market/history-trades", {"instId": "BTC-USDT", "type": "3"}, 400, "51000"),
        ("public/instruments", {}, 400, "50014"),
        ("public/instruments", {"instType": "spot"}, 400, "51000"),
        ("market/nothing", {}, 404, "404"),
    ],
)
def test_a_wrong_request_gets_the_documented_code_and_status(
    path: str, query: dict[str, str], status: int, code: str
) -> None:
    assert refusal(path, **query)[:2] == (status, code)


def test_trades_come_newest_first_and_pages_by_id_meet() -> None:
    recent = ask("market/trades", instId="BTC-USDT-SWAP", limit=250)
    ids = [int(trade["tradeId"]) for trade in recent]
    assert ids == list(range(ids[0], ids[0] - 250, -1))
    assert set(recent[0]) == {"instId", "side", "sz", "source", "px", "tradeId", "ts"}
    first = ask("market/history-trades", instId="BTC-USDT-SWAP")
    second = ask("market/history-trades", instId="BTC-USDT-SWAP", after=first[-1]["tradeId"])
    assert first + second == recent[:200]
    newer = ask("market/history-trades", instId="BTC-USDT-SWAP", before=ids[4])
    assert newer == recent[:4]
    assert ask("market/history-trades", instId="BTC-USDT-SWAP", before=ids[0]) == []


def test_trades_before_a_time_are_older_than_it() -> None:
    recent = ask("market/trades", instId="BTC-USDT", limit=100)
    middle = recent[50]["ts"]
    older = ask("market/history-trades", instId="BTC-USDT", type=2, after=middle)
    assert older[0] == next(trade for trade in recent if int(trade["ts"]) < int(middle))


def test_a_book_has_as_many_levels_as_asked_for_and_one_by_default() -> None:
    (book,) = ask("market/books", instId="BTC-USDT", sz=20)
    assert (len(book["asks"]), len(book["bids"]), len(book["asks"][0])) == (20, 20, 4)
    assert isinstance(book["seqId"], int)
    (top,) = ask("market/books", instId="BTC-USDT")
    assert (top["asks"], top["bids"]) == (book["asks"][:1], book["bids"][:1])


def test_instruments_say_what_a_contract_is_worth() -> None:
    linear, _, inverse, _ = ask("public/instruments", instType="SWAP")
    assert [linear[field] for field in ("instId", "ctVal", "ctMult", "ctType", "ctValCcy", "settleCcy")] == [
        "BTC-USDT-SWAP", "0.01", "1", "linear", "BTC", "USDT"
    ]  # fmt: skip
    assert [inverse[field] for field in ("instId", "ctVal", "ctMult", "ctType", "ctValCcy", "settleCcy")] == [
        "BTC-USD-SWAP", "100", "1", "inverse", "USD", "BTC"
    ]  # fmt: skip
    assert (linear["baseCcy"], linear["quoteCcy"], linear["uly"], linear["instFamily"]) == ("", "", *["BTC-USDT"] * 2)
    spot = ask("public/instruments", instType="SPOT")[0]
    assert (spot["instId"], spot["baseCcy"], spot["quoteCcy"], spot["ctVal"]) == ("BTC-USDT", "BTC", "USDT", "")
    futures = ask("public/instruments", instType="FUTURES", instFamily="BTC-USD")
    assert [(future["instId"][:8], int(future["expTime"]) > LIVE_MS) for future in futures] == [("BTC-USD-", True)]
    assert ask("public/instruments", instType="OPTION", instFamily="ETH-USD") == []
    assert ask("public/instruments", instType="SPOT", instId="ETH-USDT")[0]["instId"] == "ETH-USDT"


def test_tickers_are_of_one_sort_of_instruments() -> None:
    tickers = ask("market/tickers", instType="SWAP", instFamily="BTC-USDT")
    assert tickers == ask("market/ticker", instId="BTC-USDT-SWAP")
    assert len(ask("market/tickers", instType="SPOT")) == 2


def test_the_time_is_text() -> None:
    assert ask("public/time") == [{"ts": str(NOW_NS // NS_PER_MS)}]


def test_each_endpoint_has_its_own_quota_and_lists_of_instruments_one_for_each_sort() -> None:
    candles = REST.quota(Ask("/api/v5/market/candles", {"instId": "BTC-USDT"}))
    assert (candles.weight_max, candles.window_s) == (40, 2)
    assert REST.quota(Ask("/api/v5/market/history-candles")).weight_max == 20
    names = {REST.quota(Ask("/api/v5/public/instruments", {"instType": sort})).name for sort in ("SPOT", "SWAP")}
    assert len(names) == 2
    # Whatever clients make up shares one quota, or the counters would grow without bound.
    assert REST.quota(Ask("/x")).name == REST.quota(Ask("/y")).name


def test_refusals_and_trouble_have_the_documented_codes() -> None:
    refused = REST.too_much("/api/v5/market/candles", wait_s=1)
    assert (refused.status, json.loads(refused.body)["code"], refused.retry_after_s) == (429, "50011", None)
    broken = REST.broken(503)
    assert (broken.status, json.loads(broken.body)["code"]) == (503, "50001")
    assert (REST.broken(502).status, json.loads(REST.broken(502).body)["code"]) == (502, "50026")


@given(
    st.sampled_from(["market/candles", "market/history-trades", "market/books", "public/instruments"]),
    st.dictionaries(
        st.sampled_from(["bar", "after", "before", "limit", "sz", "type", "instType"]), st.text(max_size=9)
    ),
)
def test_no_query_makes_it_raise(path: str, query: dict[str, str]) -> None:
    REST.answer(Ask(f"/api/v5/{path}", {"instId": "BTC-USDT"} | query), NOW_NS)


def test_options_are_listed_for_one_underlying_only() -> None:
    answer = REST.answer(Ask("/api/v5/public/instruments", {"instType": "OPTION"}), NOW_NS)
    assert json.loads(answer.body)["code"] == "50014"
    query = {"instType": "OPTION", "instFamily": "BTC-USD"}
    rows = json.loads(REST.answer(Ask("/api/v5/public/instruments", query), NOW_NS).body)["data"]
    assert [(row["optType"], row["stk"], row["ctType"], row["ctVal"]) for row in rows] == [
        ("C", "64000", "", "0.01"),
        ("P", "64000", "", "0.01"),
    ]
