"""The shapes follow https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint."""

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim.world import World
from heliograph.venues.dialect import Answer, Ask
from heliograph.venues.hyperliquid.dialect import INTERVALS, Dialect, tid
from heliograph.venues.hyperliquid.dialect_rest import CANDLES_MAX, Rest
from heliograph.venues.hyperliquid.layout import LAYOUT

NOW_NS = 1_795_000_000 * NS_PER_S + 7 * NS_PER_S
NOW_MS = NOW_NS // NS_PER_MS
MINUTE_MS = 60_000
LIVE_MS = NOW_MS // MINUTE_MS * MINUTE_MS
WORLD = World(5, 2, NOW_NS, 5_100, LAYOUT.listers)
REST = Rest(Dialect(WORLD.markets))
JSON = {"content-type": "application/json"}


def post(content: object, now_ns: int = NOW_NS) -> Answer:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return REST.answer(Ask("/info", {}, "POST", JSON, body), now_ns)


def ask(kind: str, now_ns: int = NOW_NS, **fields: object) -> Any:
    answer = post({"type": kind, **fields}, now_ns)
    assert answer.status == 200
    return json.loads(answer.body)


def candles(coin: str, start: int, end: int | None = None, interval: str = "1m", now_ns: int = NOW_NS) -> list[Any]:
    req = {"coin": coin, "interval": interval, "startTime": start} | ({} if end is None else {"endTime": end})
    found = ask("candleSnapshot", now_ns, req=req)
    assert isinstance(found, list)
    return found


def test_candles_come_oldest_first_with_the_one_that_holds_the_start_and_the_live_one() -> None:
    rows = candles("BTC", LIVE_MS - 3 * MINUTE_MS + 1)
    assert [row["t"] for row in rows] == [LIVE_MS - n * MINUTE_MS for n in (3, 2, 1, 0)]
    assert set(rows[0]) == {"t", "T", "s", "i", "o", "c", "h", "l", "v", "n"}
    scene = WORLD.markets[MarketId("usdm")]
    for row in rows:
        bar = scene.bar("BTC", row["t"] * NS_PER_MS, (row["T"] + 1) * NS_PER_MS, NOW_NS)
        assert [Decimal(row[name]) for name in "ohlcv"] == [bar.open, bar.high, bar.low, bar.close, bar.volume]
        assert (row["n"], row["s"], row["i"]) == (bar.fills, "BTC", "1m")


def test_the_end_is_included_where_a_candle_opens_then() -> None:
    start, end = LIVE_MS - 10 * MINUTE_MS, LIVE_MS - 8 * MINUTE_MS
    assert [row["t"] for row in candles("@142", start, end)] == [start, start + MINUTE_MS, end]
    assert [row["t"] for row in candles("@142", start, end - 1)] == [start, start + MINUTE_MS]
    assert candles("@142", end, start) == []
    assert [row["t"] for row in candles("@142", start, start)] == [start]


def test_five_thousand_candles_are_all_there_are() -> None:
    rows = candles("BTC", 0)
    assert len(rows) == CANDLES_MAX
    assert (rows[0]["t"], rows[-1]["t"]) == (LIVE_MS - 4_999 * MINUTE_MS, LIVE_MS)
    assert [row["t"] for row in rows] == [rows[0]["t"] + n * MINUTE_MS for n in range(CANDLES_MAX)]
    assert candles("BTC", 0, LIVE_MS - 5_050 * MINUTE_MS) == []


@pytest.mark.parametrize("name", INTERVALS)
def test_each_interval_lies_on_its_own_grid(name: str) -> None:
    interval = INTERVALS[name]
    for row in candles("BTC", LIVE_MS - 4_000 * MINUTE_MS, interval=name):
        open_ns = row["t"] * NS_PER_MS
        assert interval.open_of(open_ns) == open_ns
        assert interval.next_open(open_ns) == (row["T"] + 1) * NS_PER_MS


def test_a_minute_without_a_trade_is_flat_and_told_only_after_the_next_trade() -> None:
    """The trap: the newest candles are missing although their time is over."""
    scene = WORLD.markets[MarketId("spot")]
    fills = scene.fills("PURR/USDC", NOW_NS - 3600 * NS_PER_S, NOW_NS)
    later, earlier = next(
        (later, earlier) for earlier, later in pairwise(fills) if later.time_ns - earlier.time_ns > 200 * NS_PER_S
    )
    start = earlier.time_ns // NS_PER_MS
    before = candles("PURR/USDC", start, now_ns=later.time_ns - 1)
    assert [row["t"] for row in before] == [start // MINUTE_MS * MINUTE_MS]
    after = candles("PURR/USDC", start, now_ns=later.time_ns)
    assert after[-1]["t"] == later.time_ns // NS_PER_MS // MINUTE_MS * MINUTE_MS
    assert len(after) >= 4
    for row in after[1:-1]:
        assert (row["v"], row["n"]) == ("0.0", 0)
        assert {Decimal(row[name]) for name in "ohlc"} == {earlier.price}


def test_instruments_of_each_exchange_are_asked_for_by_its_name() -> None:
    meta = ask("meta")
    assert [row["name"] for row in meta["universe"]] == ["BTC", "ETH", "kPEPE"]
    assert [row["szDecimals"] for row in meta["universe"]] == [5, 4, 0]
    assert set(meta) == {"universe", "marginTables", "collateralToken"}
    tables = {number for number, _ in meta["marginTables"]}
    assert {row["marginTableId"] for row in meta["universe"]} <= tables
    assert ask("meta", dex="") == meta
    other = ask("meta", dex="xyz")
    assert [row["name"] for row in other["universe"]] == ["xyz:XYZ100"]
    assert ask("allPerpMetas") == [meta, other]
    first, second = ask("perpDexs")
    assert (first, second["name"]) == (None, "xyz")


def test_pairs_name_their_tokens_by_place_and_indices_have_holes() -> None:
    meta = ask("spotMeta")
    tokens = meta["tokens"]
    assert [token["index"] for token in tokens] == list(range(len(tokens)))
    assert tokens[0]["name"] == "USDC"
    pairs = {row["name"]: (tokens[row["tokens"][0]]["name"], row["index"]) for row in meta["universe"]}
    assert pairs == {
        "PURR/USDC": ("PURR", 0),
        "@26": ("CATNIP", 26),
        "@107": ("HYPE", 107),
        "@142": ("UBTC", 142),
        "@151": ("UETH", 151),
    }
    assert {row["tokens"][1] for row in meta["universe"]} == {0}
    decimals = {token["name"]: token["szDecimals"] for token in tokens}
    assert decimals == {"USDC": 8, "PURR": 0, "CATNIP": 2, "HYPE": 2, "UBTC": 5, "UETH": 4}


def test_contexts_stand_at_the_place_of_their_instrument_or_at_its_index() -> None:
    meta, contexts = ask("metaAndAssetCtxs")
    assert meta == ask("meta")
    assert len(contexts) == len(meta["universe"])
    mids = ask("allMids")
    assert [context["midPx"] for context in contexts] == [mids[row["name"]] for row in meta["universe"]]
    (_, (other,)) = ask("metaAndAssetCtxs", dex="xyz")
    assert other["midPx"] == ask("allMids", dex="xyz")["xyz:XYZ100"]
    meta, contexts = ask("spotMetaAndAssetCtxs")
    assert meta == ask("spotMeta")
    for row in meta["universe"]:
        context = contexts[row["index"]]
        assert (context["coin"], context["midPx"]) == (row["name"], mids[row["name"]])
    assert (contexts[1]["coin"], contexts[1]["midPx"]) == ("@1", None)


def test_a_book_and_the_newest_trades_and_the_time() -> None:
    book = ask("l2Book", coin="kPEPE")
    truth = WORLD.markets[MarketId("usdm")].book("kPEPE", 20, NOW_NS)
    assert [Decimal(level["px"]) for level in book["levels"][0]] == [price for price, _ in truth.bids]
    assert ask("l2Book", coin="BTC", nSigFigs=2)["spread"]
    trades = ask("recentTrades", coin="BTC")
    last = WORLD.markets[MarketId("usdm")].last_ids("BTC", NOW_NS)[1]
    assert [trade["tid"] for trade in trades] == [tid("BTC", number) for number in range(last, last - 30, -1)]
    assert ask("exchangeStatus") == {"time": NOW_MS, "specialStatuses": None}


@pytest.mark.parametrize(
    ("content", "weight"),
    [
        ({"type": "meta"}, 20),
        ({"type": "allMids"}, 2),
        ({"type": "l2Book", "coin": "BTC"}, 2),
        ({"type": "exchangeStatus"}, 2),
        ({"type": "recentTrades", "coin": "BTC"}, 21),
        (
            {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": LIVE_MS - 58 * MINUTE_MS}},
            20,
        ),
        (
            {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": LIVE_MS - 59 * MINUTE_MS}},
            21,
        ),
        ({"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": 0}}, 103),
    ],
)
def test_an_answer_costs_what_is_documented(content: object, weight: int) -> None:
    assert post(content).weight == weight
    quota = REST.quota(Ask("/info"))
    assert (quota.weight_max, quota.window_s) == (1_200, 60)


SHAPE = b"Failed to deserialize the JSON body into the target type"


@pytest.mark.parametrize(
    "content",
    [
        [],
        None,
        {},
        {"type": "candles"},
        {"type": ["meta"]},
        {"type": "meta", "dex": 1},
        {"type": "l2Book"},
        {"type": "l2Book", "coin": "BTC", "nSigFigs": 9},
        {"type": "l2Book", "coin": "BTC", "nSigFigs": "5"},
        {"type": "recentTrades"},
        {"type": "candleSnapshot"},
        {"type": "candleSnapshot", "coin": "BTC", "interval": "1m", "startTime": 0},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "6h", "startTime": 0}},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": ["1m"], "startTime": 0}},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m"}},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": -1}},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": "0"}},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": 0, "endTime": 1.5}},
    ],
)
def test_a_body_of_another_shape_is_refused_in_plain_text(content: object) -> None:
    answer = post(content)
    assert (answer.status, answer.body) == (422, SHAPE)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"type": "l2Book", "coin": "btc"}, 200),
        ({"type": "recentTrades", "coin": "btc"}, 500),
        ({"type": "candleSnapshot", "req": {"coin": "btc", "interval": "1m", "startTime": 0}}, 500),
        ({"type": "meta", "dex": "abc"}, 500),
        ({"type": "metaAndAssetCtxs", "dex": "abc"}, 500),
        ({"type": "allMids", "dex": "abc"}, 500),
    ],
)
def test_what_is_not_there_is_null(content: object, status: int) -> None:
    answer = post(content)
    assert (answer.status, answer.body) == (status, b"null")


def test_there_is_one_place_and_one_way_to_ask() -> None:
    assert post(b"{").status == 400
    assert REST.answer(Ask("/info", {}, "GET", JSON), NOW_NS).status == 405
    assert REST.answer(Ask("/info", {}, "POST", {}, b"{}"), NOW_NS).status == 415
    assert REST.answer(Ask("/exchange", {}, "POST", JSON, b"{}"), NOW_NS).status == 404


def test_too_much_and_a_server_in_trouble_say_null_and_nothing_of_how_long() -> None:
    for answer, status in (
        (REST.too_much(Ask("/info"), wait_s=9), 429),
        (REST.banned(until_ms=1, wait_s=9), 429),
        (REST.broken(502), 502),
    ):
        assert (answer.status, answer.body, answer.retry_after_s) == (status, b"null", None)
    assert REST.headers(REST.quota(Ask("/info")), 3, 4) == {}
    assert not REST.bans


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), lambda x: st.dictionaries(st.text(), x)))
def test_no_body_makes_it_raise(content: object) -> None:
    post(content)
    for kind in ("meta", "allMids", "l2Book", "recentTrades", "candleSnapshot"):
        if not isinstance(content, bytes):
            fields = {"dex": content, "coin": content, "nSigFigs": content}
            post({"type": kind, "req": {"coin": "BTC", "interval": "1d", "startTime": content, "endTime": 0}, **fields})
