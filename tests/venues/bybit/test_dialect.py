"""The shapes follow https://bybit-exchange.github.io/docs/v5/ws/connect and its public topics as of 2026-07-24."""

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim.world import World
from heliograph.venues.bybit.dialect import ARGS_CHARACTERS_MAX, Dialect, Session, Stream
from heliograph.venues.bybit.dialect_wording import INTERVALS
from heliograph.venues.bybit.layout import LAYOUT
from heliograph.venues.dialect import Ask, Reply

EPOCH_NS = 1_795_000_000 * NS_PER_S
MINUTE_NS = 60 * NS_PER_S
WORLD = World(5, 2, EPOCH_NS, listers=LAYOUT.listers)
CATEGORIES = ("spot", "linear", "inverse")
SYMBOLS = {"spot": "BTCUSDT", "linear": "BTCUSDT", "inverse": "BTCUSD"}


def bybit() -> Dialect:
    return Dialect(WORLD.markets)


def session_of(category: str, dialect: Dialect | None = None) -> Session:
    session = (dialect or bybit()).session(Ask(f"/v5/public/{category}"))
    assert session is not None
    return session


def told(reply: Reply) -> dict[str, Any]:
    (payload,) = reply.payloads
    content = json.loads(payload)
    assert isinstance(content, dict)
    assert content.pop("conn_id")
    return content


def order(op: str, *args: object, **more: object) -> str:
    return json.dumps({"op": op, "args": args, **more})


def stream_of(category: str, channel: str, symbol: str | None = None) -> Stream:
    stream = bybit().stream(category, f"{channel}.{symbol or SYMBOLS[category]}")
    assert stream is not None
    return stream


def said(stream: Stream, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in bybit().frames(stream, from_ns, to_ns)]


def opened(stream: Stream, now_ns: int = EPOCH_NS) -> dict[str, Any]:
    (frame,) = bybit().opening(stream, now_ns)
    content = json.loads(frame)
    assert isinstance(content, dict)
    return content


def test_spot_says_subscribe_and_contracts_say_nothing_but_a_request_id() -> None:
    spot, linear = session_of("spot"), session_of("linear")
    assert told(spot.received(order("subscribe", "tickers.BTCUSDT", req_id="7"))) == {
        "success": True, "ret_msg": "subscribe", "req_id": "7", "op": "subscribe"
    }  # fmt: skip
    assert told(spot.received(order("unsubscribe", "tickers.BTCUSDT"))) == {
        "success": True, "ret_msg": "unsubscribe", "op": "unsubscribe"
    }  # fmt: skip
    assert told(linear.received(order("subscribe", "tickers.BTCUSDT", "publicTrade.ETHUSDT"))) == {
        "success": True, "ret_msg": "", "req_id": "", "op": "subscribe"
    }  # fmt: skip
    assert list(linear.streams) == ["linear/tickers.BTCUSDT", "linear/publicTrade.ETHUSDT"]
    assert told(linear.received(order("unsubscribe", "tickers.BTCUSDT", req_id="8"))) == {
        "success": True, "ret_msg": "", "req_id": "8", "op": "unsubscribe"
    }  # fmt: skip
    assert (list(linear.streams), list(spot.streams)) == (["linear/publicTrade.ETHUSDT"], [])


def test_t1_data_of_contracts_comes_before_the_acknowledgement() -> None:
    late = {c: session_of(c).received(order("subscribe", f"kline.1.{SYMBOLS[c]}")).after_data for c in CATEGORIES}
    assert late == {"spot": False, "linear": True, "inverse": True}


def test_a_pong_says_that_it_answers_a_ping() -> None:
    assert told(session_of("spot").received('{"op":"ping"}')) == {"success": True, "ret_msg": "pong", "op": "ping"}
    assert told(session_of("inverse").received('{"req_id":"100001","op":"ping"}')) == {
        "success": True, "ret_msg": "pong", "req_id": "100001", "op": "ping"
    }  # fmt: skip
    assert told(session_of("spot").received('{"req_id":7,"op":"ping"}'))["req_id"] == "7"


@pytest.mark.parametrize(
    ("category", "text", "words"),
    [
        ("linear", order("subscribe", "tickers.NOPEUSDT"), "error:handler not found,topic:tickers.NOPEUSDT"),
        ("linear", order("subscribe", "orderbook.500.BTCUSDT"), "error:handler not found,topic:orderbook.500.BTCUSDT"),
        ("linear", order("subscribe", "orderbook.50.btcusdt"), "error:handler not found,topic:orderbook.50.btcusdt"),
        ("linear", order("subscribe", "orderbook.050.BTCUSDT"), "error:handler not found,topic:orderbook.050.BTCUSDT"),
        ("linear", order("subscribe", "kline.7.BTCUSDT"), "error:handler not found,topic:kline.7.BTCUSDT"),
        ("inverse", order("subscribe", "tickers.BTCUSDT"), "error:handler not found,topic:tickers.BTCUSDT"),
        ("spot", order("subscribe", "tickers.BTCPERP"), "Invalid symbol :[tickers.BTCPERP]"),
        ("spot", order("subscribe", "kline.1.NOPEUSDC"), "Invalid symbol :[kline.1.NOPEUSDC]"),
        ("spot", order("subscribe", "kline.7.BTCUSDT"), "Invalid kline type :[kline.7.BTCUSDT]"),
        ("spot", order("subscribe", "nothing"), "Invalid topic :[nothing]"),
        ("linear", order("nope"), "error:invalid op"),
        ("linear", order("subscribe"), "error:args is empty"),
        ("linear", "hello", "Failed to decode incoming data:readObjectStart: expect { or n, but found h"),
        ("linear", '{"op":"subscribe","args":[{}]}', "Failed to decode incoming data:"),
        ("linear", '{"op":"ping","req_id":[5]}', "Failed to decode incoming data:"),
    ],
)
def test_a_wrong_request_is_refused_in_the_venue_s_words(category: str, text: str, words: str) -> None:
    answer = told(session_of(category).received(text))
    assert answer["success"] is False
    assert answer["ret_msg"].startswith(words)


@pytest.mark.parametrize("category", CATEGORIES)
def test_one_bad_topic_fails_its_whole_request(category: str) -> None:
    session = session_of(category)
    answer = told(session.received(order("subscribe", f"tickers.{SYMBOLS[category]}", "tickers.NOPE", req_id="x")))
    assert (answer["success"], answer["req_id"], session.streams) == (False, "x", {})


def test_a_topic_that_is_held_fails_the_request_at_contracts_and_is_passed_over_at_spot() -> None:
    spot, linear = session_of("spot"), session_of("linear")
    for session in (spot, linear):
        told(session.received(order("subscribe", "tickers.BTCUSDT")))
    answer = told(linear.received(order("subscribe", "tickers.ETHUSDT", "tickers.BTCUSDT")))
    assert answer["ret_msg"] == "error:already subscribed,topic:tickers.BTCUSDT"
    assert list(linear.streams) == ["linear/tickers.BTCUSDT"]
    twice = told(session_of("inverse").received(order("subscribe", *["tickers.BTCUSD"] * 2)))
    assert twice["ret_msg"] == "error:already subscribed,topic:tickers.BTCUSD"
    assert spot.received(order("subscribe", "tickers.BTCUSDT")) == Reply(())
    assert told(spot.received(order("subscribe", "tickers.BTCUSDT", "tickers.ETHUSDT")))["success"]
    assert len(spot.streams) == 2


def test_t30_spot_takes_ten_topics_a_request_and_contracts_any_number() -> None:
    topics = [f"kline.{interval}.{symbol}" for interval in INTERVALS for symbol in ("BTCUSDT", "ETHUSDT")]
    spot = session_of("spot")
    assert told(spot.received(order("subscribe", *topics[:10])))["success"]
    refused = told(spot.received(order("subscribe", *topics[10:21])))
    assert (refused["success"], refused["ret_msg"]) == (False, "args size >10")
    assert len(spot.streams) == 10
    assert told(spot.received(order("unsubscribe", *topics[:11])))["ret_msg"] == "args size >10"
    assert told(session_of("linear").received(order("subscribe", *topics)))["success"]


def test_t30_the_topics_of_a_connection_are_bounded_as_text() -> None:
    dialect = Dialect(World(5, 450, EPOCH_NS, listers=LAYOUT.listers).markets)
    symbols = dialect.markets[MarketId("inverse")].listings
    topics = [f"{channel}.{symbol}" for channel in ("publicTrade", "orderbook.1000") for symbol in symbols]
    lengths = [len(json.dumps(topics[:count], separators=(",", ":"))) for count in range(len(topics))]
    most = max(count for count, length in enumerate(lengths) if length <= ARGS_CHARACTERS_MAX)
    session = session_of("inverse", dialect)
    assert told(session.received(order("subscribe", *topics[: most - 1])))["success"]
    refused = told(session.received(order("subscribe", *topics[most - 1 : most + 1])))
    assert (refused["success"], len(session.streams)) == (False, most - 1)
    assert told(session.received(order("subscribe", topics[most - 1])))["success"]


def test_there_is_no_other_place() -> None:
    for path in ("/", "/v5/public", "/v5/public/option", "/v5/private", "/v5/public/spot/x", "spot"):
        assert bybit().session(Ask(path)) is None
    dialect = bybit()
    ids = {json.loads(session_of("spot", dialect).received('{"op":"ping"}').payloads[0])["conn_id"] for _ in "abc"}
    assert len(ids) == 3


def test_t17_a_symbol_of_two_categories_is_two_instruments() -> None:
    dialect, spot, linear = bybit(), stream_of("spot", "kline.1"), stream_of("linear", "kline.1")
    assert (spot.topic, spot == linear, spot.name == linear.name) == (linear.topic, False, False)
    assert dialect.frames(spot, EPOCH_NS, EPOCH_NS + MINUTE_NS) != dialect.frames(
        linear, EPOCH_NS, EPOCH_NS + MINUTE_NS
    )
    markets = [dialect.market_of(name) for name in (spot.symbol, linear.symbol, "BTCUSDT", "BTCUSD", "?", "spot/?")]
    assert markets == ["spot", "linear", "spot", "inverse", "spot", "spot"]


@settings(deadline=None)  # What is looked at first, a world has to draw.
@given(st.sampled_from(CATEGORIES), st.text(max_size=60))
def test_no_text_from_a_client_makes_it_raise(category: str, text: str) -> None:
    session = session_of(category)
    told(session.received(text))
    told(session.received(order("subscribe", text, req_id=text)))


@settings(deadline=None)  # What is looked at first, a world has to draw.
@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5))
def test_no_arguments_make_it_raise(args: object) -> None:
    for op in ("subscribe", "unsubscribe", "auth"):
        told(session_of("spot").received(json.dumps({"op": op, "args": args, "req_id": args})))


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_closed_candle_is_the_fold_of_the_trades(category: str) -> None:
    start_ns = EPOCH_NS // MINUTE_NS * MINUTE_NS
    frames = said(stream_of(category, "kline.1"), start_ns + NS_PER_S, start_ns + MINUTE_NS + NS_PER_S)
    frame = next(frame for frame in frames if frame["data"][0]["confirm"])
    (candle,) = frame["data"]
    assert (frame["topic"], frame["type"]) == (f"kline.1.{SYMBOLS[category]}", "snapshot")
    assert frame["ts"] == candle["timestamp"] == (start_ns + MINUTE_NS + NS_PER_S) // NS_PER_MS
    assert (candle["start"], candle["end"]) == (start_ns // NS_PER_MS, start_ns // NS_PER_MS + 59_999)
    assert set(candle) == {
        "start", "end", "interval", "open", "close", "high", "low", "volume", "turnover", "confirm", "timestamp"
    }  # fmt: skip
    trades = [
        trade
        for frame in said(stream_of(category, "publicTrade"), start_ns - 1, start_ns + MINUTE_NS - 1)
        for trade in frame["data"]
    ]
    prices = [Decimal(trade["p"]) for trade in trades]
    sizes = [Decimal(trade["v"]) for trade in trades]
    assert [Decimal(candle[name]) for name in ("open", "high", "low", "close")] == [
        prices[0], max(prices), min(prices), prices[-1]
    ]  # fmt: skip
    assert Decimal(candle["volume"]) == sum(sizes)
    worth = sum(
        size / price if category == "inverse" else size * price for price, size in zip(prices, sizes, strict=True)
    )
    assert abs(Decimal(candle["turnover"]) - worth) < Decimal("1e-8") * len(trades)


@pytest.mark.parametrize("name", ["1", "3", "60"])
def test_candles_are_closed_exactly_once_in_order_however_the_time_is_cut(name: str) -> None:
    length_ns = INTERVALS[name].length_ns
    assert length_ns is not None
    at_ns, closed = EPOCH_NS, []
    for step in [1, 3, 10, 7] * 5:
        until_ns = at_ns + length_ns * step // 4
        candles = [frame["data"][0] for frame in said(stream_of("linear", f"kline.{name}"), at_ns, until_ns)]
        assert [candle["confirm"] for candle in candles] in ([], [False], *([True] * n + [False] for n in range(1, 4)))
        assert all(candle["end"] * NS_PER_MS < until_ns for candle in candles if candle["confirm"])
        closed += [candle["start"] * NS_PER_MS for candle in candles if candle["confirm"]]
        at_ns = until_ns
    assert len(closed) > 20
    assert {later - earlier for earlier, later in pairwise(closed)} == {length_ns}


def test_t8_a_close_is_told_after_its_end_and_not_before_what_follows() -> None:
    start_ns = EPOCH_NS // MINUTE_NS * MINUTE_NS
    at_end = said(stream_of("spot", "kline.1"), start_ns + MINUTE_NS - NS_PER_S, start_ns + MINUTE_NS)
    assert all((c["start"], c["confirm"]) == (start_ns // NS_PER_MS, False) for f in at_end for c in f["data"])
    after = said(stream_of("spot", "kline.1"), start_ns + MINUTE_NS, start_ns + MINUTE_NS + NS_PER_S)
    assert [frame["data"][0]["confirm"] for frame in after] == [True, False]


@pytest.mark.parametrize("interval", INTERVALS)
def test_every_interval_has_a_live_candle(interval: str) -> None:
    (candle,) = opened(stream_of("inverse", f"kline.{interval}"))["data"]
    assert (candle["interval"], candle["confirm"]) == (interval, False)
    assert candle["start"] <= EPOCH_NS // NS_PER_MS <= candle["end"]


def test_spot_tickers_are_whole_and_have_no_best_prices() -> None:
    stream = stream_of("spot", "tickers")
    frames = [opened(stream), *said(stream, EPOCH_NS, EPOCH_NS + 5 * NS_PER_S)]
    assert {(frame["type"], tuple(frame), tuple(frame["data"])) for frame in frames} == {
        (
            "snapshot",
            ("topic", "ts", "type", "cs", "data"),
            (
                "symbol", "lastPrice", "highPrice24h", "lowPrice24h", "prevPrice24h", "volume24h", "turnover24h",
                "price24hPcnt", "usdIndexPrice",
            ),
        )
    }  # fmt: skip
    last = said(stream_of("spot", "publicTrade"), EPOCH_NS - MINUTE_NS, EPOCH_NS)[-1]["data"][-1]
    assert Decimal(frames[0]["data"]["lastPrice"]) == Decimal(last["p"])


@pytest.mark.parametrize(("category", "symbol"), [("linear", "BTCUSDT"), ("inverse", "BTCUSD"), ("linear", "")])
def test_t19_deltas_of_a_ticker_fold_to_the_whole(category: str, symbol: str) -> None:
    symbol = symbol or next(name for name in WORLD.markets[MarketId("linear")].listings if "-" in name)
    stream = stream_of(category, "tickers", symbol)
    first = opened(stream)
    assert (first["type"], set(first)) == ("snapshot", {"topic", "type", "data", "cs", "ts"})
    state, at_ns, partial = dict(first["data"]), EPOCH_NS, 0
    for _ in range(40):
        until_ns = at_ns + 100 * NS_PER_MS
        for frame in said(stream, at_ns, until_ns):
            assert (frame["type"], frame["data"]["symbol"]) == ("delta", symbol)
            assert ("bid1Price" in frame["data"]) == ("bid1Size" in frame["data"])
            partial += len(frame["data"]) < len(state)
            state |= frame["data"]
        at_ns = until_ns
        assert state == opened(stream, at_ns)["data"]
    assert partial > 3
    assert ("deliveryTime" in state) == ("-" in symbol)
    best = opened(stream_of(category, "orderbook.1", symbol), at_ns)["data"]
    assert ([state["bid1Price"], state["bid1Size"]], [state["ask1Price"], state["ask1Size"]]) == (
        best["b"][0], best["a"][0]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("category", "fields"),
    [
        ("spot", ["i", "T", "p", "v", "S", "seq", "s", "BT", "RPI"]),
        ("linear", ["T", "s", "S", "v", "p", "L", "i", "BT", "RPI", "seq"]),
        ("inverse", ["T", "s", "S", "v", "p", "L", "i", "BT", "RPI", "seq"]),
    ],
)
def test_trades_are_told_once_each_and_those_of_an_instant_together(category: str, fields: list[str]) -> None:
    stream = stream_of(category, "publicTrade")
    assert bybit().opening(stream, EPOCH_NS) == []
    until_ns = EPOCH_NS + MINUTE_NS
    frames = said(stream, EPOCH_NS, until_ns)
    trades = [trade for frame in frames for trade in frame["data"]]
    fills = WORLD.markets[MarketId(category)].fills(SYMBOLS[category], EPOCH_NS, until_ns)
    assert [(Decimal(t["p"]), Decimal(t["v"]), t["S"], t["T"]) for t in trades] == [
        (f.price, f.quantity, "Buy" if f.taker_buys else "Sell", f.time_ns // NS_PER_MS) for f in fills
    ]
    assert all(list(trade) == fields for trade in trades)
    assert max(len(frame["data"]) for frame in frames) > 1
    assert {trade["T"] for frame in frames for trade in frame["data"]} == {frame["ts"] for frame in frames}
    assert len({trade["i"] for trade in trades}) == len(trades)
    halves = said(stream, EPOCH_NS, EPOCH_NS + 17 * NS_PER_S) + said(stream, EPOCH_NS + 17 * NS_PER_S, until_ns)
    assert halves == frames


def test_two_dialects_of_one_world_say_the_same_bytes() -> None:
    other = Dialect(World(5, 2, EPOCH_NS, listers=LAYOUT.listers).markets)
    for channel in ("kline.1", "tickers", "publicTrade", "orderbook.1", "orderbook.50", "orderbook.1000"):
        stream = stream_of("linear", channel)
        until_ns = EPOCH_NS + 10 * NS_PER_S
        assert other.opening(stream, EPOCH_NS) == bybit().opening(stream, EPOCH_NS)
        assert other.frames(stream, EPOCH_NS, until_ns) == bybit().frames(stream, EPOCH_NS, until_ns)
