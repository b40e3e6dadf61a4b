"""The shapes follow the pages that `dialect` names."""

import json
from decimal import Decimal
from typing import Any

import pytest

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim.world import World
from heliograph.venues.dialect import Ask
from heliograph.venues.kraken.dialect import HEARTBEAT, INTERVALS, MESSAGES_MAX, Dialect, Session, Stream
from heliograph.venues.kraken.layout import LAYOUT

EPOCH_NS = 1_795_000_000 * NS_PER_S
SPOT = MarketId("spot")
WORLD = World(5, 12, EPOCH_NS, listers=LAYOUT.listers)
SCENE = WORLD.markets[SPOT]
DIALECT = Dialect(WORLD.markets)


def session() -> Session:
    opened = DIALECT.session(Ask("/v2"))
    assert opened is not None
    return opened


def read(payload: bytes) -> dict[str, Any]:
    told = json.loads(payload, parse_float=Decimal)
    assert isinstance(told, dict)
    return told


def said(opened: Session, method: str, **params: object) -> list[dict[str, Any]]:
    reply = opened.received(json.dumps({"method": method, "params": params, "req_id": 7}), EPOCH_NS)
    assert reply.close_code is None
    return [read(payload) for payload in reply.payloads]


def test_only_the_second_version_is_played() -> None:
    assert DIALECT.session(Ask("/")) is None
    assert DIALECT.market_of("BTC/USD") == SPOT


def test_every_connection_is_told_the_status_first() -> None:
    (greeting,) = session().greeting(EPOCH_NS)
    told = read(greeting)
    assert (told["channel"], told["type"]) == ("status", "update")
    assert told["data"][0]["system"] == "online"
    assert set(told["data"][0]) == {"version", "system", "api_version", "connection_id"}


def test_each_symbol_is_acknowledged_on_its_own() -> None:
    opened = session()
    answers = said(opened, "subscribe", channel="book", symbol=["BTC/USD", "XBT/EUR", "ETH/USD"], depth=25)
    good = {"channel": "book", "symbol": "BTC/USD", "depth": 25, "snapshot": True}
    assert answers[0] == {
        "method": "subscribe",
        "result": good,
        "success": True,
        "time_in": "2026-11-18T11:06:40.000000Z",
        "time_out": "2026-11-18T11:06:40.000000Z",
        "req_id": 7,
    }
    assert answers[1]["error"] == "Currency pair not supported XBT/EUR"
    assert (answers[1]["success"], answers[1]["symbol"], answers[1]["req_id"]) == (False, "XBT/EUR", 7)
    assert answers[2]["result"]["symbol"] == "ETH/USD"
    assert list(opened.streams) == ["heartbeat:", "book:BTC/USD", "book:ETH/USD"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"channel": "spread", "symbol": ["BTC/USD"]}, "Unsupported channel"),
        ({"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 17}, "Subscription ohlc interval not supported"),
        ({"channel": "ohlc", "symbol": ["BTC/USD"], "interval": True}, "Subscription ohlc interval not supported"),
        ({"channel": "book", "symbol": ["BTC/USD"], "depth": 20}, "Subscription depth not supported"),
        ({"channel": "ticker", "symbol": ["BTC/USD"], "event_trigger": 1}, "event_trigger not supported"),
        ({"channel": "trade", "symbol": ["BTC/USD"], "snapshot": "yes"}, "'snapshot' must be a boolean"),
        ({"channel": "trade", "symbol": []}, "'symbol' must be a list"),
        ({"channel": "trade", "symbol": "BTC/USD"}, "'symbol' must be a list"),
        ({"channel": "trade", "symbol": [5]}, "Currency pair not supported 5"),
    ],
)
def test_what_cannot_be_had_is_refused_with_words(params: dict[str, Any], words: str) -> None:
    opened = session()
    (answer,) = said(opened, "subscribe", **params)
    assert (answer["success"], answer["method"], answer["req_id"]) == (False, "subscribe", 7)
    assert words in answer["error"]
    assert opened.streams == {}


@pytest.mark.parametrize("text", ["{broken", "[]", '"x"'])
def test_what_is_no_request_is_refused(text: str) -> None:
    (payload,) = session().received(text).payloads
    assert read(payload)["success"] is False


def test_a_connection_has_one_interval_of_an_instrument_s_candles() -> None:
    opened = session()
    (first,) = said(opened, "subscribe", channel="ohlc", symbol=["BTC/USD"], interval=5)
    assert first["result"]["interval"] == 5
    (second,) = said(opened, "subscribe", channel="ohlc", symbol=["BTC/USD"], interval=1)
    assert second["error"] == "Already subscribed to one ohlc interval on this symbol"
    (wrong,) = said(opened, "unsubscribe", channel="ohlc", symbol=["BTC/USD"], interval=1)
    assert wrong["error"] == "Subscription Not Found"
    (left,) = said(opened, "unsubscribe", channel="ohlc", symbol=["BTC/USD"], interval=5)
    assert left["success"]
    assert opened.streams == {}
    (again,) = said(opened, "subscribe", channel="ohlc", symbol=["BTC/USD"])
    assert again["result"]["interval"] == 1


def test_a_ping_is_answered_and_too_many_messages_are_not() -> None:
    opened = session()
    for _ in range(MESSAGES_MAX):
        (payload,) = opened.received('{"method":"ping","req_id":101}', EPOCH_NS, 5.0).payloads
    told = read(payload)
    assert (told["method"], told["req_id"]) == ("pong", 101)
    assert set(told) == {"method", "req_id", "time_in", "time_out"}
    assert opened.received('{"method":"ping"}', EPOCH_NS, 5.5).payloads == (b'{"Error":"Exceeded msg rate"}',)
    assert b"pong" in opened.received('{"method":"ping"}', EPOCH_NS, 6.0).payloads[0]


def test_heartbeats_come_each_second() -> None:
    assert DIALECT.frames(HEARTBEAT, EPOCH_NS, EPOCH_NS + NS_PER_S) == [b'{"channel":"heartbeat"}']
    assert DIALECT.frames(HEARTBEAT, EPOCH_NS, EPOCH_NS + NS_PER_S // 2) == []


@pytest.mark.parametrize("minutes", INTERVALS)
def test_candles_are_told_with_every_trade(minutes: int) -> None:
    stream = Stream("ohlc", "BTC/USD", minutes)
    opening = read(DIALECT.opening(stream, EPOCH_NS)[0])
    assert (opening["channel"], opening["type"]) == ("ohlc", "snapshot")
    length_ns = minutes * 60 * NS_PER_S
    for frame in DIALECT.frames(stream, EPOCH_NS, EPOCH_NS + 90 * NS_PER_S):
        (row,) = read(frame)["data"]
        assert set(row) == {
            "symbol", "open", "high", "low", "close", "trades", "volume", "vwap", "interval_begin", "interval",
            "timestamp",
        }  # fmt: skip
        assert row["interval"] == minutes
        assert row["trades"] > 0
        assert row["low"] <= row["vwap"] <= row["high"]
    open_ns = (EPOCH_NS + 90 * NS_PER_S) // length_ns * length_ns
    bar = SCENE.bar("BTC/USD", open_ns, open_ns + length_ns, EPOCH_NS + 90 * NS_PER_S)
    assert (row["open"], row["high"], row["low"], row["close"]) == (bar.open, bar.high, bar.low, bar.close)
    assert (row["volume"], row["trades"]) == (bar.volume, bar.fills)


def test_a_minute_without_a_trade_is_not_told() -> None:
    (quiet,) = (s for s, listing in SCENE.listings.items() if listing.base == "TRX")
    told = [read(f)["data"][0] for f in DIALECT.frames(Stream("ohlc", quiet, 1), EPOCH_NS, EPOCH_NS + 1800 * NS_PER_S)]
    assert 0 < len({row["interval_begin"] for row in told}) < 30


def test_a_snapshot_is_left_out_on_demand() -> None:
    for kind, parameter in (("ohlc", 1), ("book", 10), ("ticker", 0), ("trade", 0)):
        assert DIALECT.opening(Stream(kind, "BTC/USD", parameter, snapshot=False), EPOCH_NS) == []
        assert read(DIALECT.opening(Stream(kind, "BTC/USD", parameter), EPOCH_NS)[0])["type"] == "snapshot"


def test_trades_are_told_once_each_after_the_last_fifty() -> None:
    stream = Stream("trade", "BTC/USD")
    frames = DIALECT.opening(stream, EPOCH_NS) + DIALECT.frames(stream, EPOCH_NS, EPOCH_NS + 60 * NS_PER_S)
    rows = [row for frame in frames for row in read(frame)["data"]]
    last = SCENE.last_ids("BTC/USD", EPOCH_NS)[1]
    assert [row["trade_id"] for row in rows] == list(range(last - 49, rows[-1]["trade_id"] + 1))
    assert set(rows[0]) == {"symbol", "side", "price", "qty", "ord_type", "trade_id", "timestamp"}
    assert len(rows) > 60


def test_tickers_follow_trades_or_the_best_prices() -> None:
    by_trades = DIALECT.frames(Stream("ticker", "BTC/USD", trigger="trades"), EPOCH_NS, EPOCH_NS + 60 * NS_PER_S)
    by_prices = DIALECT.frames(Stream("ticker", "BTC/USD", trigger="bbo"), EPOCH_NS, EPOCH_NS + 60 * NS_PER_S)
    assert by_trades
    row = read(by_prices[0])["data"][0]
    assert row["bid"] < row["ask"]
    assert row["low"] <= row["last"] <= row["high"]
    assert DIALECT.frames(Stream("ticker", "BTC/USD", trigger="trades"), EPOCH_NS, EPOCH_NS) == []
