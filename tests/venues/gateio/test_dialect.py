"""The shapes follow https://www.gate.com/docs/developers/apiv4/ws/en/ and https://www.gate.com/docs/developers/futures/ws/en/."""

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import SPOT, MarketId
from heliograph.sim.world import World
from heliograph.venues.dialect import Ask, Reply
from heliograph.venues.gateio.dialect import Dialect, Session, Stream
from heliograph.venues.gateio.layout import LAYOUT
from heliograph.venues.scene import Book, BookChange, Scene

EPOCH_NS = 1_795_000_000 * NS_PER_S
MINUTE_NS = 60 * NS_PER_S
WORLD = World(5, 2, EPOCH_NS, listers=LAYOUT.listers)
SPOT_PATH, LINEAR_PATH, INVERSE_PATH = "/ws/v4/", "/v4/ws/usdt", "/v4/ws/btc"
SYMBOLS = {SPOT_PATH: "BTC_USDT", LINEAR_PATH: "ETH_USDT", INVERSE_PATH: "BTC_USD"}


def gate(path: str = SPOT_PATH) -> Dialect:
    return Dialect(
        {market: scene for market, scene in WORLD.markets.items() if (market == SPOT) is (path == SPOT_PATH)}
    )


def session_of(path: str = SPOT_PATH, *, exact: bool = True, dialect: Dialect | None = None) -> Session:
    session = (dialect or gate(path)).session(Ask(path, headers={"x-gate-size-decimal": "1"} if exact else {}))
    assert session is not None
    return session


def order(channel: str, *payload: object, event: str = "subscribe", **more: object) -> str:
    return json.dumps({"time": 1, "channel": channel, "event": event, "payload": payload, **more})


def told(reply: Reply) -> dict[str, Any]:
    (payload,) = reply.payloads
    content = json.loads(payload)
    assert isinstance(content, dict)
    return content


def app_of(path: str) -> str:
    return "spot" if path == SPOT_PATH else "futures"


def stream_of(path: str, topic: str, *payload: str, exact: bool = True) -> Stream:
    session = session_of(path, exact=exact)
    assert told(session.received(order(f"{app_of(path)}.{topic}", *payload)))["result"] == {"status": "success"}
    (stream,) = session.streams.values()
    return stream


def said(path: str, stream: Stream, from_ns: int, to_ns: int) -> list[Any]:
    return [json.loads(frame)["result"] for frame in gate(path).frames(stream, from_ns, to_ns)]


def test_an_acknowledgement_has_the_request_id_its_payload_and_the_connection() -> None:
    session = session_of()
    answer = told(session.received(order("spot.tickers", "BTC_USDT", id=8578128440611119318), EPOCH_NS))
    conn_id, trace_id = f"{1:016x}", f"{1:016x}{1:016x}"
    assert answer == {
        "time": EPOCH_NS // NS_PER_S,
        "time_ms": EPOCH_NS // NS_PER_MS,
        "id": 8578128440611119318,
        "conn_id": conn_id,
        "trace_id": trace_id,
        "channel": "spot.tickers",
        "event": "subscribe",
        "payload": ["BTC_USDT"],
        "result": {"status": "success"},
        "requestId": trace_id,
    }
    futures = told(session_of(LINEAR_PATH).received(order("futures.tickers", "BTC_USDT")))
    assert futures.keys() == answer.keys() - {"id", "requestId"}


@pytest.mark.parametrize("path", SYMBOLS)
def test_a_ping_gets_a_pong_without_a_trace(path: str) -> None:
    app = app_of(path)
    pong = told(session_of(path).received(json.dumps({"time": 1, "channel": f"{app}.ping"}), EPOCH_NS))
    assert (pong["channel"], pong["event"], pong["result"]) == (f"{app}.pong", "", None)
    assert (pong["time"], pong["time_ms"]) == (EPOCH_NS // NS_PER_S, EPOCH_NS // NS_PER_MS)
    assert {"trace_id", "payload", "error"}.isdisjoint(pong)


@pytest.mark.parametrize(
    ("path", "text", "code", "words"),
    [
        (LINEAR_PATH, "nope", 1, "request message need json scheme"),
        (LINEAR_PATH, "[]", 1, "invalid argument struct"),
        (SPOT_PATH, "{}", 1, "Invalid request body format"),
        (SPOT_PATH, order("spot.tickers", "BTC_USDT", id="x"), 1, "Invalid request body format"),
        (SPOT_PATH, order("spot.nope", "BTC_USDT"), 2, "Unknown channel spot.nope"),
        (SPOT_PATH, order("futures.tickers", "BTC_USDT"), 2, "Unknown channel futures.tickers"),
        (LINEAR_PATH, order("futures.trades_v2", "BTC_USDT"), 2, "Unknown channel futures.trades_v2"),
        (SPOT_PATH, order("spot.tickers", "BTC_USDT", event="all"), 2, "Invalid argument provided"),
        (SPOT_PATH, order("spot.tickers", "BTC_USDT", "NO_PE"), 2, "unknown currency pair: NO_PE"),
        (SPOT_PATH, order("spot.tickers"), 1, "request payload does not follow json schema"),
        (SPOT_PATH, order("spot.order_book_update", "NO_PE", "100ms"), 2, "unknown currency pair: NO_PE"),
        (LINEAR_PATH, order("futures.order_book_update", "NO_PE", "100ms"), 2, "unknown currency pair NO_PE"),
        (LINEAR_PATH, order("futures.tickers", "BTC_USD"), 2, "unknown currency pair: BTC_USD"),
        (
            SPOT_PATH,
            order("spot.order_book_update", "BTC_USDT", "20ms"),
            2,
            "incorrect update interval specified: 20ms",
        ),
        (LINEAR_PATH, order("futures.order_book_update", "BTC_USDT", "100ms", "30"), 2, "level not supported: 30"),
        (LINEAR_PATH, order("futures.order_book_update", "BTC_USDT", "20ms", "50"), 2, "level not supported: 50"),
        (SPOT_PATH, order("spot.order_book", "BTC_USDT", "30", "100ms"), 2, "provided level not supported: 30"),
        (LINEAR_PATH, order("futures.candlesticks", "1m_BTC_USDT"), 1, "request payload does not follow json schema"),
        (SPOT_PATH, order("spot.candlesticks", "3m", "BTC_USDT"), 2, "incorrect update interval specified: 3m"),
        (SPOT_PATH, order("spot.orders", "BTC_USDT"), 4, "Authentication fail"),
        (LINEAR_PATH, order("futures.orders", "1", "BTC_USDT"), 4, "authentication fail"),
    ],
)
def test_a_wrong_request_is_refused_with_the_code_and_the_words(path: str, text: str, code: int, words: str) -> None:
    session = session_of(path)
    reply = session.received(text)
    answer = told(reply)
    assert (answer["error"]["code"], answer["result"]) == (code, {"status": "fail"})
    assert words in answer["error"]["message"]
    assert reply.close_code is None
    assert not session.streams


def test_spot_does_not_answer_what_is_no_json() -> None:
    assert session_of().received("nope") == Reply(())


def test_one_unknown_instrument_costs_the_others_their_subscription() -> None:
    session = session_of()
    assert told(session.received(order("spot.trades", "BTC_USDT", "NO_PE", "ETH_USDT")))["error"]["code"] == 2
    assert not session.streams
    told(session.received(order("spot.trades", "BTC_USDT", "ETH_USDT")))
    assert list(session.streams) == ["spot.trades:BTC_USDT", "spot.trades:ETH_USDT"]
    told(session.received(order("spot.trades", "BTC_USDT", event="unsubscribe")))
    assert list(session.streams) == ["spot.trades:ETH_USDT"]


def test_the_second_subscription_of_a_stream_of_obu_is_refused_and_of_others_it_is_not() -> None:
    session = session_of()
    for channel, *payload in (("spot.obu", "ob.BTC_USDT.50"), ("spot.order_book_update", "BTC_USDT", "100ms")):
        assert "error" not in told(session.received(order(channel, *payload)))
    again = told(session.received(order("spot.obu", "ob.BTC_USDT.50")))
    assert again["error"] == {"code": 2, "message": "Alert sub ob.BTC_USDT.50"}
    assert "error" not in told(session.received(order("spot.order_book_update", "BTC_USDT", "100ms")))
    assert len(session.streams) == 2


@pytest.mark.parametrize("name", ["ob.NO_PE.50", "ob.BTC_USDT.20", "BTC_USDT", "ob.BTC_USD.50", ""])
def test_a_stream_of_obu_that_there_is_not_is_acknowledged_and_silent(name: str) -> None:
    session = session_of(LINEAR_PATH)
    assert told(session.received(order("futures.obu", name)))["result"] == {"status": "success"}
    assert not session.streams


def test_there_are_three_paths_and_an_old_one() -> None:
    assert gate().session(Ask("/ws/v4")) is None
    assert gate().session(Ask(LINEAR_PATH)) is None
    futures = gate(LINEAR_PATH)
    for path in ("/", SPOT_PATH, "/v4/ws/usd1", "/v4/ws/usdt/sbe"):
        assert futures.session(Ask(path)) is None
    assert "error" not in told(session_of("/v4/ws", dialect=futures).received(order("futures.tickers", "BTC_USD")))
    assert futures.market_of("BTC_USD") == MarketId("coinm")
    assert futures.market_of("nothing") == MarketId("usdm")


@given(st.text(max_size=60))
def test_no_text_from_a_client_makes_it_raise(text: str) -> None:
    session_of().received(text)
    session_of(LINEAR_PATH).received(text)


@given(st.recursive(st.none() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner), max_leaves=5))
def test_no_message_makes_it_raise(item: object) -> None:
    for path in (SPOT_PATH, LINEAR_PATH):
        for topic in ("tickers", "candlesticks", "order_book_update", "obu", "order_book"):
            message = {"channel": f"{app_of(path)}.{topic}", "event": "subscribe", "payload": item, "id": item}
            session_of(path).received(json.dumps(message))
            session_of(path).received(json.dumps({**message, "id": 1, "event": item}))


def test_an_upgrade_is_announced_on_futures_only() -> None:
    farewell = session_of(LINEAR_PATH).farewell(EPOCH_NS)
    assert farewell is not None
    notice = json.loads(farewell)
    assert (notice["channel"], notice["event"], notice["result"]["type"]) == ("futures.system", "update", "upgrade")
    assert session_of().farewell(EPOCH_NS) is None


@pytest.mark.parametrize("path", SYMBOLS)
def test_candles_are_told_once_in_order_however_the_time_is_cut_and_some_without_their_mark(path: str) -> None:
    stream = stream_of(path, "candlesticks", "10s", SYMBOLS[path])
    at_ns, last = EPOCH_NS, {}
    marked: list[int] = []
    for step_s in [1, 9, 20, 7, 33] * 6:
        for result in said(path, stream, at_ns, at_ns + step_s * NS_PER_S):
            for candle in [result] if path == SPOT_PATH else result:
                open_s = int(candle["t"])
                assert open_s >= max(last, default=0)
                assert isinstance(candle["t"], str) is (path == SPOT_PATH)
                last[open_s] = candle
                if candle["w"]:
                    marked.append(open_s)
        at_ns += step_s * NS_PER_S
    assert len(set(marked)) == len(marked)
    missing = set(last) - set(marked) - {max(last)}
    assert {later - earlier for earlier, later in pairwise(last)} == {10}
    assert {open_s // 10 % 8 for open_s in missing} == {5}
    scene = gate(path).boards[stream.market].scene
    for open_s, candle in last.items():
        if open_s != max(last):
            bar = scene.bar(stream.symbol, open_s * NS_PER_S, (open_s + 10) * NS_PER_S, at_ns)
            assert [Decimal(candle[name]) for name in "ohlc"] == [bar.open, bar.high, bar.low, bar.close]
            assert Decimal(candle["a"]) == (bar.volume if path == SPOT_PATH else bar.counter)


@pytest.mark.parametrize("path", SYMBOLS)
def test_trades_account_for_every_fill(path: str) -> None:
    stream = stream_of(path, "trades", SYMBOLS[path])
    results = said(path, stream, EPOCH_NS, EPOCH_NS + 30 * NS_PER_S)
    rows = results if path == SPOT_PATH else [row for result in results for row in result]
    fills = gate(path).boards[stream.market].scene.fills(stream.symbol, EPOCH_NS, EPOCH_NS + 30 * NS_PER_S)
    assert [row["id"] for row in rows] == [fill.id for fill in fills]
    assert len(rows) > 5


def levels_of(result: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Take both forms of a level, and name the sides as changes do."""
    sides = {"b": result.get("b", result.get("bids", [])), "a": result.get("a", result.get("asks", []))}
    return {
        side: {
            level["p"] if isinstance(level, dict) else level[0]: str(
                level["s"] if isinstance(level, dict) else level[1]
            )
            for level in levels
        }
        for side, levels in sides.items()
    }


def apply(book: dict[str, dict[str, str]], result: dict[str, Any]) -> None:
    if result.get("full"):
        book |= {"b": {}, "a": {}}
    for side, levels in levels_of(result).items():
        for price, size in levels.items():
            if size == "0":
                book[side].pop(price, None)
            else:
                book[side][price] = size


@pytest.mark.parametrize(
    ("path", "payload", "levels"),
    [
        (SPOT_PATH, ("100ms",), 100),
        (LINEAR_PATH, ("100ms",), 100),
        (LINEAR_PATH, ("100ms", "50"), 50),
        (INVERSE_PATH, ("20ms",), 20),
    ],
)
def test_changes_chain_and_join_a_book_of_any_instant(path: str, payload: tuple[str, ...], levels: int) -> None:
    """As the documentation tells to: the first whose ids enclose the snapshot's next one, then without a hole."""
    stream = stream_of(path, "order_book_update", SYMBOLS[path], *payload)
    board = gate(path).boards[stream.market]
    at_ns, changes = EPOCH_NS, []
    # Ten minutes end in the last but one stretch, which is why there is a whole book amid the changes.
    for step_ms in [100, 100, 500, 6000, 100, 6000, 1300, 6000, 187_000, 300]:
        changes += said(path, stream, at_ns, at_ns + step_ms * NS_PER_MS)
        at_ns += step_ms * NS_PER_MS
    for before, after in pairwise(changes):
        assert after["U"] == before["u"] + 1
    truth = board.scene.book(stream.symbol, levels, at_ns)
    assert changes[-1]["u"] == truth.update_id
    expected = levels_of(json.loads(json.dumps(board.whole(stream.symbol, truth, levels, exact=True))))
    assert ["full" in change for change in changes] == [False] * 8 + [True, False]
    for joined_ms in [*range(0, 20_000, 300), 100_000, 207_000]:
        base = board.scene.book(stream.symbol, levels, EPOCH_NS + joined_ms * NS_PER_MS)
        book = levels_of(json.loads(json.dumps(board.whole(stream.symbol, base, levels, exact=True))))
        waiting = [change for change in changes if change["u"] >= base.update_id + 1]
        assert waiting[0]["U"] <= base.update_id + 1
        for change in waiting:
            apply(book, change)
        assert book == expected, joined_ms
    if path != SPOT_PATH:
        assert {change["l"] for change in changes} == {str(levels)}


@pytest.mark.parametrize("path", SYMBOLS)
@pytest.mark.parametrize("level", ["50", "400"])
def test_obu_begins_with_the_whole_book_and_tells_it_again_amid_the_changes(path: str, level: str) -> None:
    symbol = SYMBOLS[path]
    stream = stream_of(path, "obu", f"ob.{symbol}.{level}")
    (first,) = gate(path).opening(stream, EPOCH_NS)
    frames = [json.loads(first)["result"]]
    at_ns = EPOCH_NS
    for step_ms in [20, 80, 100, 500, 6000, 40_000, 100, 300, 20_000, 100]:
        frames += said(path, stream, at_ns, at_ns + step_ms * NS_PER_MS)
        at_ns += step_ms * NS_PER_MS
    assert [frame["s"] for frame in frames] == [f"ob.{symbol}.{level}"] * len(frames)
    assert frames[0]["full"] is True
    assert sum("full" in frame for frame in frames) == 2
    book, number = levels_of(frames[0]), frames[0]["u"]
    for frame in frames[1:]:
        if "full" in frame:
            book = levels_of(frame)
            assert "U" not in frame
        else:
            assert frame["U"] == number + 1
            apply(book, frame)
        number = frame["u"]
    truth = gate(path).boards[stream.market].scene.book(symbol, int(level), at_ns)
    assert number == truth.update_id
    for side, expected in (("b", truth.bids), ("a", truth.asks)):
        assert {Decimal(price): Decimal(size) for price, size in book[side].items()} == dict(expected)


class Still:
    """A scene whose book gets new numbers and never another price or size."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.listings = scene.listings

    def book(self, symbol: str, depth: int, now_ns: int) -> Book:
        book = self._scene.book(symbol, depth, EPOCH_NS)
        return msgspec.structs.replace(book, update_id=self._scene.book(symbol, 1, now_ns).update_id)

    def book_change(self, symbol: str, from_ns: int, to_ns: int) -> BookChange | None:
        change = self._scene.book_change(symbol, from_ns, to_ns)
        assert change is not None
        return msgspec.structs.replace(change, bids=(), asks=())


def test_where_nothing_changed_the_ids_go_on_alone() -> None:
    still: Any = Still(WORLD.markets[MarketId("usdm")])
    dialect = Dialect({MarketId("usdm"): still})
    until_ns = EPOCH_NS + NS_PER_S
    session = session_of(LINEAR_PATH, dialect=dialect)
    for channel, payload in (
        ("futures.obu", ("ob.BTC_USDT.50",)),
        ("futures.order_book_update", ("BTC_USDT", "100ms", "20")),
    ):
        told(session.received(order(channel, *payload)))
    obu, updates = (
        json.loads(dialect.frames(stream, EPOCH_NS, until_ns)[0])["result"] for stream in session.streams.values()
    )
    assert set(obu) == {"t", "s", "U", "u"}
    assert (updates["a"], updates["b"], updates["U"], updates["u"]) == ([], [], obu["U"], obu["u"])


@pytest.mark.parametrize(("path", "payload"), [(SPOT_PATH, ("5", "100ms")), (LINEAR_PATH, ("5", "0"))])
def test_a_whole_top_is_told_at_once_and_when_it_changes(path: str, payload: tuple[str, ...]) -> None:
    stream = stream_of(path, "order_book", SYMBOLS[path], *payload)
    (frame,) = gate(path).opening(stream, EPOCH_NS)
    content = json.loads(frame)
    assert content["event"] == ("update" if path == SPOT_PATH else "all")
    assert (len(content["result"]["bids"]), content["result"]["l"]) == (5, "5")
    assert said(path, stream, EPOCH_NS, EPOCH_NS) == []
    assert len(said(path, stream, EPOCH_NS, EPOCH_NS + 10 * NS_PER_S)) == 1


@pytest.mark.parametrize("path", SYMBOLS)
@pytest.mark.parametrize("topic", ["tickers", "book_ticker"])
def test_tickers_are_told_when_something_moved(path: str, topic: str) -> None:
    stream = stream_of(path, topic, SYMBOLS[path])
    assert gate(path).opening(stream, EPOCH_NS) == []
    assert said(path, stream, EPOCH_NS, EPOCH_NS) == []
    assert len(said(path, stream, EPOCH_NS, EPOCH_NS + 10 * NS_PER_S)) == 1


def test_connections_that_want_decimals_and_those_that_do_not_hear_different_streams() -> None:
    exact, cut = (stream_of(LINEAR_PATH, "trades", "ETH_USDT", exact=exact) for exact in (True, False))
    assert exact != cut
    assert exact.name == cut.name
    sizes = [
        [row["size"] for result in said(LINEAR_PATH, stream, EPOCH_NS, EPOCH_NS + MINUTE_NS) for row in result]
        for stream in (exact, cut)
    ]
    assert [int(Decimal(size)) for size in sizes[0]] == sizes[1]
    assert any("." in size for size in sizes[0])
    # Spot has no contracts, so that it does not matter there.
    assert stream_of(SPOT_PATH, "trades", "BTC_USDT", exact=True) == stream_of(
        SPOT_PATH, "trades", "BTC_USDT", exact=False
    )


@pytest.mark.parametrize("path", SYMBOLS)
def test_two_dialects_of_one_world_say_the_same_bytes(path: str) -> None:
    other = Dialect(
        {
            market: scene
            for market, scene in World(5, 2, EPOCH_NS, listers=LAYOUT.listers).markets.items()
            if (market == SPOT) is (path == SPOT_PATH)
        }
    )
    symbol = SYMBOLS[path]
    book = ("5", "100ms") if path == SPOT_PATH else ("5", "0")
    for topic, *payload in (
        ("tickers", symbol), ("trades", symbol), ("book_ticker", symbol), ("candlesticks", "1m", symbol),
        ("order_book_update", symbol, "100ms"), ("order_book", symbol, *book), ("obu", f"ob.{symbol}.50"),
    ):  # fmt: skip
        stream = stream_of(path, topic, *payload)
        for frames in (
            [dialect.frames(stream, EPOCH_NS, EPOCH_NS + MINUTE_NS) for dialect in (other, gate(path))],
            [dialect.opening(stream, EPOCH_NS) for dialect in (other, gate(path))],
        ):
            assert frames[0] == frames[1]
