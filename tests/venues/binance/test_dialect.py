import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.sim.world import World
from heliograph.venues.binance.dialect import Dialect, Session
from heliograph.venues.dialect import Ask, Reply

EPOCH_NS = 1_795_000_000 * NS_PER_S
WORLD = World(5, 2, EPOCH_NS)


def dialect_of(market: str) -> Dialect:
    return Dialect(MarketId(market), WORLD.markets[MarketId(market)])


def session_of(market: str = "spot", path: str = "/ws") -> Session:
    session = dialect_of(market).session(Ask(path))
    assert session is not None
    return session


def told(reply: Reply) -> dict[str, object]:
    (payload,) = reply.payloads
    answer = json.loads(payload)
    assert isinstance(answer, dict)
    return answer


def test_subscribe_list_unsubscribe_answer_as_documented() -> None:
    session = session_of()
    subscribe = json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade", "btcusdt@depth"], "id": 1})
    assert told(session.received(subscribe)) == {"result": None, "id": 1}
    listed = told(session.received('{"method":"LIST_SUBSCRIPTIONS","id":3}'))
    assert listed == {"result": ["btcusdt@aggTrade", "btcusdt@depth"], "id": 3}
    session.received('{"method":"UNSUBSCRIBE","params":["btcusdt@depth"],"id":312}')
    assert list(session.streams) == ["btcusdt@aggTrade"]


def test_the_combined_property_can_be_set_and_read() -> None:
    session = session_of()
    assert told(session.received('{"method":"GET_PROPERTY","params":["combined"],"id":2}')) == {
        "result": False,
        "id": 2,
    }
    session.received('{"method":"SET_PROPERTY","params":["combined",true],"id":5}')
    assert session.combined


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ('{"method":"SUBSCRIBE"', 3, "Invalid JSON"),
        ('{"params":[],"id":1}', 2, "missing field `method`"),
        ('{"method":"SUBSCRIB","params":[],"id":1}', 2, "unknown variant `SUBSCRIB`"),
        ('{"method":"SUBSCRIBE","params":["btcusdt@trade"]}', 2, "request ID must be"),
        ('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":true}', 2, "request ID must be"),
        ('{"method":"LIST_SUBSCRIPTIONS","params":["x"],"id":1}', 2, "too many parameters"),
        ('{"method":"GET_PROPERTY","params":[],"id":1}', 2, "property name must be a string"),
        ('{"method":"GET_PROPERTY","params":["x"],"id":1}', 0, "Unknown property"),
        ('{"method":"SET_PROPERTY","params":["combined","x"],"id":1}', 1, "expected Boolean"),
        ('{"method":"SUBSCRIBE","params":["@@@###"],"id":1}', 2, "invalid stream"),
    ],
)
def test_a_wrong_request_gets_the_documented_error(text: str, code: int, words: str) -> None:
    error = told(session_of().received(text))["error"]
    assert isinstance(error, dict)
    assert error["code"] == code
    assert words in error["msg"]


def test_an_unknown_symbol_is_acknowledged_and_silent() -> None:
    session = session_of()
    assert told(session.received('{"method":"SUBSCRIBE","params":["nope@trade"],"id":9}')) == {"result": None, "id": 9}
    assert dialect_of("spot").frames(session.streams["nope@trade"], EPOCH_NS, EPOCH_NS + NS_PER_S * 60) == []


def test_more_streams_than_the_limit_are_refused() -> None:
    names = [f"x{number}@trade" for number in range(1024)]
    session = session_of()
    assert session.subscribe(names)
    assert not session.subscribe(["one@trade"])


@given(st.text(max_size=60))
def test_no_text_from_a_client_makes_it_raise(text: str) -> None:
    told(session_of().received(text))


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5))
def test_no_parameters_make_it_raise(params: object) -> None:
    for method in ("SUBSCRIBE", "UNSUBSCRIBE", "SET_PROPERTY", "GET_PROPERTY", "LIST_SUBSCRIPTIONS"):
        told(session_of().received(json.dumps({"method": method, "params": params, "id": 1})))


@pytest.mark.parametrize(
    ("path", "stream", "heard"),
    [
        ("/market/ws", "btcusdt@kline_1m", True),
        ("/market/ws", "btcusdt@aggTrade", True),
        ("/market/ws", "btcusdt@bookTicker", False),
        ("/public/ws", "btcusdt@bookTicker", True),
        ("/public/stream", "btcusdt@depth@100ms", True),
        ("/public/ws", "btcusdt@kline_1m", False),
        ("/ws", "btcusdt@kline_1m", False),
        ("/ws", "btcusdt@markPrice", False),
        ("/stream", "btcusdt@depth", True),
        ("/private/ws/key", "btcusdt@kline_1m", False),
    ],
)
def test_usdm_paths_carry_their_own_streams_only(path: str, stream: str, heard: bool) -> None:
    session = session_of("usdm", path)
    reply = session.received(json.dumps({"method": "SUBSCRIBE", "params": [stream], "id": 1}))
    assert told(reply) == {"result": None, "id": 1}
    assert session.hears(session.streams[stream]) is heard


def test_coinm_and_spot_have_no_split_paths() -> None:
    for market in ("spot", "coinm"):
        assert dialect_of(market).session(Ask("/market/ws")) is None
        assert session_of(market).subscribe(["btcusd_perp@kline_1m"])


def test_a_closed_bar_is_said_once_before_the_live_one() -> None:
    dialect = dialect_of("usdm")
    stream = dialect.stream("btcusdt@kline_1m", micros=False)
    assert stream is not None
    minute_ns = 60 * NS_PER_S
    start_ns = EPOCH_NS // minute_ns * minute_ns
    frames = [json.loads(frame) for frame in dialect.frames(stream, start_ns + 1, start_ns + 3 * minute_ns + NS_PER_S)]
    assert [frame["k"]["x"] for frame in frames] == [True, True, True, True, False]
    assert [frame["k"]["t"] for frame in frames] == [start_ns // NS_PER_MS + 60_000 * n for n in range(-1, 4)]
    assert frames[0]["k"]["T"] == frames[1]["k"]["t"] - 1


@pytest.mark.parametrize(("market", "late_ms"), [("spot", 0), ("usdm", 1000)])
def test_bars_are_said_to_be_closed_exactly_once_however_the_time_is_cut(market: str, late_ms: int) -> None:
    """USD-M says so a second after the end, and is silent about the next bar until then."""
    dialect = dialect_of(market)
    stream = dialect.stream("btcusdt@kline_1m", micros=False)
    assert stream is not None
    at_ns = EPOCH_NS
    said: list[tuple[int, bool, int]] = []
    for step_ms in [100, 250, 700, 1300, 2000, 61_000] * 12:
        until_ns = at_ns + step_ms * NS_PER_MS
        for frame in dialect.frames(stream, at_ns, until_ns):
            event = json.loads(frame)
            said.append((event["k"]["t"], event["k"]["x"], event["E"]))
        at_ns = until_ns
    assert [opened for opened, _, _ in said] == sorted(opened for opened, _, _ in said)
    closed = [opened for opened, is_closed, _ in said if is_closed]
    assert closed == list(range(closed[0], closed[-1] + 1, 60_000))
    assert len(closed) >= 12
    for opened, is_closed, said_ms in said:
        assert said_ms >= opened + 60_000 + late_ms if is_closed else said_ms < opened + 60_000


def test_microseconds_are_asked_for_in_the_url() -> None:
    dialect = dialect_of("spot")
    session = dialect.session(Ask("/stream", {"streams": "btcusdt@aggTrade", "timeUnit": "MICROSECOND"}))
    assert session is not None
    (stream,) = session.streams.values()
    frame = json.loads(dialect.frames(stream, EPOCH_NS, EPOCH_NS + 60 * NS_PER_S)[0])
    assert len(str(frame["T"])) == 16


def test_spot_says_eight_decimals_and_no_time_on_the_top_of_book() -> None:
    dialect = dialect_of("spot")
    stream = dialect.stream("ethusdt@bookTicker", micros=False)
    assert stream is not None
    frame = json.loads(dialect.frames(stream, EPOCH_NS, EPOCH_NS + 60 * NS_PER_S)[0])
    assert set(frame) == {"u", "s", "b", "B", "a", "A"}
    assert all(len(frame[field].partition(".")[2]) == 8 for field in "bBaA")
