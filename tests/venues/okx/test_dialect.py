"""The shapes follow https://www.okx.com/docs-v5/en/#order-book-trading-market-data as of 2026-06-15."""

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.model.interval import Interval
from heliograph.sim.world import World
from heliograph.venues.dialect import Ask, Reply
from heliograph.venues.okx.dialect import GRIDS, REQUESTS_MAX, Dialect, Session, Stream
from heliograph.venues.okx.layout import LAYOUT

EPOCH_NS = 1_795_000_000 * NS_PER_S
MINUTE_NS = 60 * NS_PER_S
WORLD = World(5, 2, EPOCH_NS, listers=LAYOUT.listers)
SWAP = "BTC-USDT-SWAP"
INVERSE = "BTC-USD-SWAP"
(FUTURE, _) = WORLD.markets[MarketId("futures")].listings


def okx() -> Dialect:
    return Dialect(WORLD.markets)


def session_of(endpoint: str = "public") -> Session:
    session = okx().session(Ask(f"/ws/v5/{endpoint}"))
    assert session is not None
    return session


def told(reply: Reply) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in reply.payloads]


def order(op: str, *args: object, **more: object) -> str:
    return json.dumps({"op": op, "args": args, **more})


def stream_of(channel: str, symbol: str = "BTC-USDT") -> Stream:
    business = channel.startswith("candle") or channel == "trades-all"
    stream = okx().stream("business" if business else "public", channel, symbol)
    assert stream is not None
    return stream


def said(stream: Stream, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in okx().frames(stream, from_ns, to_ns)]


def opened(stream: Stream, now_ns: int = EPOCH_NS) -> dict[str, Any]:
    (frame,) = okx().opening(stream, now_ns)
    content = json.loads(frame)
    assert isinstance(content, dict)
    return content


def test_each_argument_is_acknowledged_with_the_request_id_and_the_connection() -> None:
    session = session_of()
    args = [{"channel": "tickers", "instId": "BTC-USDT"}, {"channel": "books", "instId": SWAP}]
    answers = told(session.received(order("subscribe", *args, id="1512")))
    assert answers == [{"id": "1512", "event": "subscribe", "arg": arg, "connId": "00000001"} for arg in args]
    assert list(session.streams) == ["tickers:BTC-USDT", f"books:{SWAP}"]
    (answer,) = told(session.received(order("unsubscribe", args[0])))
    assert answer == {"event": "unsubscribe", "arg": args[0], "connId": "00000001"}
    assert list(session.streams) == [f"books:{SWAP}"]


def test_a_ping_of_text_gets_a_pong_of_text() -> None:
    assert session_of().received("ping").payloads == (b"pong",)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ('{"op": "subscribe", "argss":[]}', "60012", 'Invalid request: {"op": "subscribe", "argss":[]}'),
        ("pong", "60012", "Invalid request"),
        ("[]", "60012", "Invalid request"),
        ('{"op":"subscribe","args":[]}', "60013", "Invalid args"),
        ('{"op":"subscribe","args":["tickers"]}', "60013", "Invalid args"),
        ('{"op":"subscribe","args":[{"channel":"tickers"}]}', "60013", "Invalid args"),
        ('{"op":"suscribe","args":[{}]}', "60019", "Invalid op: suscribe"),
        ('{"op":"login","args":[{}]}', "60028", "not supported by this URL"),
        ('{"op":"subscribe","id":"a-b","args":[{}]}', "60033", "Parameter id error."),
        (order("subscribe", {"channel": "tickers", "instId": "NO-PE"}), "60018", "channel:tickers,instId:NO-PE"),
        (order("subscribe", {"channel": "candle1m", "instId": SWAP}), "60018", f"channel:candle1m,instId:{SWAP}"),
        (order("subscribe", {"channel": "books-l2-tbt", "instId": SWAP}), "60011", "Please log in"),
    ],
)
def test_a_wrong_request_gets_the_documented_error(text: str, code: str, words: str) -> None:
    (answer,) = told(session_of().received(text))
    assert (answer["event"], answer["code"], answer["connId"]) == ("error", code, "00000001")
    assert words in answer["msg"]


def test_the_business_endpoint_has_candles_and_single_trades_and_nothing_else() -> None:
    session = session_of("business")
    good = [{"channel": channel, "instId": "BTC-USDT"} for channel in ("candle1m", "candle1Dutc", "trades-all")]
    bad = [{"channel": channel, "instId": "BTC-USDT"} for channel in ("candle7m", "candle", "tickers", "books")]
    answers = told(session.received(order("subscribe", *good, *bad)))
    assert [answer["event"] for answer in answers] == ["subscribe"] * 3 + ["error"] * 4
    assert {answer.get("code") for answer in answers} == {None, "60018"}


def test_there_is_no_other_place() -> None:
    for path in ("/", "/ws/v5/private", "/ws/v5", "/ws/v5/public/x", "public"):
        assert okx().session(Ask(path)) is None


def test_more_requests_than_an_hour_allows_are_refused_until_it_has_passed() -> None:
    session = session_of()
    text = order("subscribe", {"channel": "tickers", "instId": "BTC-USDT"})
    for number in range(REQUESTS_MAX):
        assert told(session.received(text, now_s=float(number)))[0]["event"] == "subscribe"
    assert told(session.received(text, now_s=3599.0))[0]["code"] == "60014"
    assert session.received("ping", now_s=3599.0).payloads == (b"pong",)
    assert told(session.received(text, now_s=3600.0))[0]["event"] == "subscribe"


@given(st.text(max_size=60))
def test_no_text_from_a_client_makes_it_raise(text: str) -> None:
    session_of().received(text)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5))
def test_no_arguments_make_it_raise(args: object) -> None:
    for op in ("subscribe", "unsubscribe", "login"):
        told(session_of().received(json.dumps({"op": op, "args": args})))
        told(session_of().received(json.dumps({"op": op, "args": [{"channel": args, "instId": args}], "id": args})))


def test_an_upgrade_is_announced_on_public_connections_only() -> None:
    farewell = session_of().farewell(EPOCH_NS)
    assert farewell is not None
    assert json.loads(farewell) == {
        "event": "notice",
        "code": "64008",
        "msg": "The connection will soon be closed for a service upgrade. Please reconnect.",
        "connId": "00000001",
    }
    assert session_of("business").farewell(EPOCH_NS) is None


@pytest.mark.parametrize("symbol", ["BTC-USDT", SWAP, INVERSE, FUTURE])
def test_a_closed_candle_is_the_fold_of_the_single_trades(symbol: str) -> None:
    start_ns = EPOCH_NS // MINUTE_NS * MINUTE_NS
    frames = said(stream_of("candle1m", symbol), start_ns, start_ns + MINUTE_NS)
    assert frames[0]["arg"] == {"channel": "candle1m", "instId": symbol}
    (row,) = frames[0]["data"]
    assert (len(row), row[0], row[8]) == (9, str(start_ns // NS_PER_MS), "1")
    assert all(isinstance(field, str) for field in row)
    trades = [
        frame["data"][0] for frame in said(stream_of("trades-all", symbol), start_ns - 1, start_ns + MINUTE_NS - 1)
    ]
    prices = [Decimal(trade["px"]) for trade in trades]
    sizes = [Decimal(trade["sz"]) for trade in trades]
    assert [Decimal(field) for field in row[1:5]] == [prices[0], max(prices), min(prices), prices[-1]]
    worth = sum(price * size for price, size in zip(prices, sizes, strict=True))
    vol, vol_ccy, vol_ccy_quote = (Decimal(field) for field in row[5:8])
    assert vol == sum(sizes)
    if symbol == "BTC-USDT":
        assert (vol_ccy, vol_ccy_quote) == (worth, worth)
    elif symbol == INVERSE:
        assert vol_ccy_quote == 100 * vol
        shares = sum(100 * size / price for price, size in zip(prices, sizes, strict=True))
        assert abs(vol_ccy - shares) < Decimal("1e-8") * len(trades)
    else:
        assert (vol_ccy, vol_ccy_quote) == (vol / 100, worth / 100)


@pytest.mark.parametrize("channel", ["candle1m", "candle1s", "candle6H", "candle6Hutc"])
def test_candles_are_closed_exactly_once_in_order_however_the_time_is_cut(channel: str) -> None:
    grid = GRIDS[channel.removeprefix("candle")]
    length_ns = grid.interval.length_ns
    assert length_ns is not None
    at_ns, closed = EPOCH_NS, []
    for step in [1, 3, 10, 7] * 5:
        until_ns = at_ns + length_ns * step // 4
        rows = [frame["data"][0] for frame in said(stream_of(channel), at_ns, until_ns)]
        assert [row[8] for row in rows] in ([], ["0"], *(["1"] * n + ["0"] for n in range(1, 4)))
        assert all(int(row[0]) * NS_PER_MS + length_ns <= until_ns for row in rows if row[8] == "1")
        closed += [int(row[0]) * NS_PER_MS for row in rows if row[8] == "1"]
        at_ns = until_ns
    assert len(closed) > 20
    assert {later - earlier for earlier, later in pairwise(closed)} == {length_ns}


def test_long_candles_open_at_midnight_in_hong_kong_unless_utc_is_asked_for() -> None:
    day_ns = 24 * 60 * MINUTE_NS
    assert GRIDS["1D"].open_of(EPOCH_NS) % day_ns == 16 * 60 * MINUTE_NS
    assert GRIDS["1Dutc"].open_of(EPOCH_NS) % day_ns == 0
    assert GRIDS["4H"].open_of(EPOCH_NS) == Interval.H4.open_of(EPOCH_NS)
    for name, grid in GRIDS.items():
        open_ns = grid.open_of(EPOCH_NS)
        assert open_ns <= EPOCH_NS < grid.next_open(open_ns), name
        assert grid.open_of(grid.next_open(open_ns) - 1) == open_ns, name


def test_trades_are_aggregated_and_account_for_every_single_one() -> None:
    until_ns = EPOCH_NS + 20 * NS_PER_S
    trades = [frame["data"][0] for frame in said(stream_of("trades", SWAP), EPOCH_NS, until_ns)]
    single = {
        frame["data"][0]["tradeId"]: frame["data"][0]
        for frame in said(stream_of("trades-all", SWAP), EPOCH_NS, until_ns)
    }
    assert set(trades[0]) == {"instId", "tradeId", "px", "sz", "side", "ts", "count", "source", "seqId"}
    for before, trade in pairwise(trades):
        assert int(trade["tradeId"]) - int(trade["count"]) == int(before["tradeId"])
    for trade in trades:
        parts = [single.pop(str(int(trade["tradeId"]) - n)) for n in range(int(trade["count"]))]
        assert {(part["px"], part["side"], part["ts"]) for part in parts} == {(trade["px"], trade["side"], trade["ts"])}
        assert sum(Decimal(part["sz"]) for part in parts) == Decimal(trade["sz"])
    assert not single


@pytest.mark.parametrize("symbol", ["ETH-USDT", SWAP, INVERSE])
def test_a_book_is_a_chain_from_its_snapshot(symbol: str) -> None:
    stream, dialect = stream_of("books", symbol), okx()
    snapshot = opened(stream)
    assert snapshot["action"] == "snapshot"
    (whole,) = snapshot["data"]
    assert (whole["prevSeqId"], whole["checksum"]) == (-1, 0)
    sides = {side: {level[0]: level[1] for level in whole[side]} for side in ("bids", "asks")}
    seq_id, at_ns, still = whole["seqId"], EPOCH_NS, 0
    for step_ms in [100, 100, 300, 1000, 100, 5000, 70_000, 100] * 2:
        until_ns = at_ns + step_ms * NS_PER_MS
        for frame in said(stream, at_ns, until_ns):
            (change,) = frame["data"]
            assert (frame["action"], change["checksum"], change["prevSeqId"]) == ("update", 0, seq_id)
            if change["seqId"] == seq_id:
                still += 1
                assert change["bids"] == change["asks"] == []
            assert change["seqId"] >= seq_id
            seq_id = change["seqId"]
            for side, levels in sides.items():
                for price, size, zero, _orders in change[side]:
                    assert zero == "0"
                    if size == "0":
                        levels.pop(price, None)
                    else:
                        levels[price] = size
        at_ns = until_ns
    assert still >= 2
    (truth,) = json.loads(dialect.opening(stream, at_ns)[0])["data"]
    assert truth["seqId"] == seq_id
    assert {side: {level[0]: level[1] for level in truth[side]} for side in sides} == sides


def test_tops_are_whole_and_have_the_ids_of_the_book() -> None:
    five, best = opened(stream_of("books5", SWAP)), opened(stream_of("bbo-tbt", SWAP))
    assert "action" not in five
    assert set(five["data"][0]) == {"asks", "bids", "instId", "ts", "seqId"}
    assert set(best["data"][0]) == {"asks", "bids", "ts", "seqId"}
    (whole,) = opened(stream_of("books", SWAP))["data"]
    assert five["data"][0]["asks"] == whole["asks"][:5]
    assert best["data"][0]["bids"] == whole["bids"][:1]
    assert five["data"][0]["seqId"] == best["data"][0]["seqId"] == whole["seqId"]
    assert said(stream_of("bbo-tbt", SWAP), EPOCH_NS, EPOCH_NS + 1) == []


@pytest.mark.parametrize(("symbol", "sort"), [("BTC-USDT", "SPOT"), (SWAP, "SWAP"), (FUTURE, "FUTURES")])
def test_a_ticker_tells_the_last_trade_the_best_prices_and_the_day(symbol: str, sort: str) -> None:
    frame = opened(stream_of("tickers", symbol))
    (ticker,) = frame["data"]
    assert (ticker["instType"], ticker["instId"], ticker["ts"]) == (sort, symbol, str(EPOCH_NS // NS_PER_MS))
    assert all(isinstance(field, str) for field in ticker.values())
    (last,) = said(stream_of("trades-all", symbol), EPOCH_NS - MINUTE_NS, EPOCH_NS)[-1]["data"]
    assert (ticker["last"], ticker["lastSz"]) == (last["px"], last["sz"])
    (best,) = opened(stream_of("bbo-tbt", symbol))["data"]
    assert (ticker["bidPx"], ticker["askPx"]) == (best["bids"][0][0], best["asks"][0][0])
    assert Decimal(ticker["low24h"]) <= Decimal(ticker["sodUtc0"]) <= Decimal(ticker["high24h"])
    ratio = Decimal(ticker["volCcy24h"]) / Decimal(ticker["vol24h"])
    assert (
        ratio == Decimal("0.01") if sort != "SPOT" else Decimal(ticker["low24h"]) < ratio < Decimal(ticker["high24h"])
    )
    assert said(stream_of("tickers", symbol), EPOCH_NS, EPOCH_NS + 1) == []


def test_two_dialects_of_one_world_say_the_same_bytes() -> None:
    other = Dialect(World(5, 2, EPOCH_NS, listers=LAYOUT.listers).markets)
    for channel in ("candle1m", "trades", "trades-all", "books", "books5", "bbo-tbt", "tickers"):
        stream = stream_of(channel, SWAP)
        assert other.frames(stream, EPOCH_NS, EPOCH_NS + MINUTE_NS) == okx().frames(
            stream, EPOCH_NS, EPOCH_NS + MINUTE_NS
        )
        assert other.opening(stream, EPOCH_NS) == okx().opening(stream, EPOCH_NS)
