"""The mock is what a server is: the same calls, the same replies."""

import threading
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openoes_testing import MockRedisClient

from tests.compat.openoes.handlers import Calls

Call = tuple[str, tuple[Any, ...], dict[str, Any]]

KEYS = st.sampled_from(["a", "b"])
STREAMS = st.sampled_from(["s", "t"])
GROUPS = st.sampled_from(["g", "h"])
CONSUMERS = st.sampled_from(["c", "d"])
FIELDS = st.dictionaries(st.sampled_from(["f", "g"]), st.sampled_from(["x", "10", "-3", "1.5"]), min_size=1)
IDS = st.builds("{}-{}".format, st.sampled_from([1, 2, 9, 10, 11, 100]), st.sampled_from([0, 1, 2]))
AFTER = st.sampled_from(["0", "0-0", "1-0", "9-1", "10", "$"])
COUNTS = st.sampled_from([None, 1, 2, 10])


def call(name: str, *arguments: Any, **named: Any) -> st.SearchStrategy[Call]:
    return st.tuples(st.just(name), st.tuples(*arguments), st.fixed_dictionaries(named))


PLAIN_CALLS = st.one_of(
    call("set", KEYS, st.sampled_from(["x", "5", 7, 1.5])),
    call("get", KEYS),
    call("delete", KEYS),
    call("exists", KEYS, KEYS),
    call("keys", st.sampled_from(["*", "a", "[ab]", "s*"])),
    call("expire", KEYS, st.just(1000)),
    call("ttl", KEYS),
    call("type", KEYS | STREAMS),
    call("hset", KEYS, st.sampled_from("fg"), st.sampled_from(["x", "5", "1.5"])),
    call("hget", KEYS, st.sampled_from("fgh")),
    call("hgetall", KEYS),
    call("hdel", KEYS, st.sampled_from("fgh")),
    call("hexists", KEYS, st.sampled_from("fgh")),
    call("hkeys", KEYS),
    call("hvals", KEYS),
    call("hincrby", KEYS, st.sampled_from("fg"), st.sampled_from([1, -2])),
    call("hincrbyfloat", KEYS, st.sampled_from("fg"), st.sampled_from([0.5, -2.25])),
    call("publish", KEYS, st.just("hello")),
)
STREAM_CALLS = st.one_of(
    call("xadd", STREAMS, FIELDS, IDS),
    call("xadd", STREAMS, FIELDS, IDS),
    call("xadd", STREAMS, FIELDS, IDS, maxlen=st.sampled_from([0, 1, 2]), approximate=st.just(False)),
    call("xlen", STREAMS),
    call("xrange", STREAMS, st.sampled_from(["-", "2", "9-1", "10-0"]), st.sampled_from(["+", "10", "9-1"]), COUNTS),
    call("xrevrange", STREAMS, st.just("+"), st.sampled_from(["-", "9-1"]), COUNTS),
    call("xdel", STREAMS, IDS),
    call("xtrim", STREAMS, maxlen=st.sampled_from([0, 1, 3]), approximate=st.just(False)),
    call("xtrim", STREAMS, minid=IDS, approximate=st.just(False)),
    call("xread", st.dictionaries(STREAMS, AFTER, min_size=1), COUNTS),
    call("xgroup_create", STREAMS, GROUPS, st.sampled_from(["0", "$", "9-1"]), st.booleans()),
    call("xgroup_create", STREAMS, GROUPS, id=st.just("0"), mkstream=st.just(True)),
    call("xgroup_destroy", STREAMS, GROUPS),
    call("xgroup_delconsumer", STREAMS, GROUPS, CONSUMERS),
    call("xreadgroup", GROUPS, CONSUMERS, st.dictionaries(STREAMS, st.sampled_from([">", "0"]), min_size=1), COUNTS),
    call("xreadgroup", GROUPS, CONSUMERS, st.fixed_dictionaries({"s": st.just(">")}), noack=st.just(True)),
    call("xack", STREAMS, GROUPS, IDS),
    call("xpending", STREAMS, GROUPS),
    call("xpending_range", STREAMS, GROUPS, st.just("-"), st.just("+"), st.sampled_from([1, 10])),
    call("xclaim", STREAMS, GROUPS, CONSUMERS, st.just(0), st.lists(IDS, min_size=1, max_size=3)),
    call("xinfo_groups", STREAMS),
)


def _shaped(name: str, reply: Any) -> Any:
    """Return a server's reply in the shape of the seeds' mock, and nothing of what has no order or depends on time."""
    if name in ("xread", "xreadgroup"):
        return dict(reply) if isinstance(reply, list) and reply else reply or None
    if name in ("xpending", "xpending_range") and isinstance(reply, list):
        return [{k: v for k, v in each.items() if k != "time_since_delivered"} for each in reply]
    if name in ("keys", "hkeys", "hvals") and isinstance(reply, list):
        return sorted(reply)
    if name == "xinfo_groups":
        known = [{k: v for k, v in each.items() if k not in ("lag", "entries-read")} for each in reply]
        return sorted(known, key=lambda group: str(group["name"]))
    return reply


def _pending(client: redis.Redis, stream: str, group: str) -> Any:
    summary: Any = client.xpending(stream, group)
    count = summary["pending"]
    return client.xpending_range(stream, group, "-", "+", count) if count else []


def _said(client: redis.Redis, one: Call) -> Any:
    name, arguments, named = one
    try:
        if name == "xpending" and not isinstance(client, MockRedisClient):
            return _shaped(name, _pending(client, *arguments))
        return _shaped(name, getattr(client, name)(*arguments, **named))
    except redis.RedisError as e:
        code = str(e).split(" ", 1)[0]
        return type(e), code if code.isupper() else "some words"


def _same(client: redis.Redis, calls: list[Call]) -> None:
    client.flushall()
    mock = MockRedisClient()
    for number, one in enumerate(calls):
        expected, found = _said(client, one), _said(mock, one)
        assert found == expected, f"call {number}, {one}: the mock says {found}, the server {expected}"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(PLAIN_CALLS, max_size=25))
def test_d40_keys_and_hashes_are_a_servers(client: redis.Redis, calls: list[Call]) -> None:
    _same(client, calls)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(STREAM_CALLS, max_size=40))
def test_d40_streams_and_groups_are_a_servers(client: redis.Redis, calls: list[Call]) -> None:
    _same(client, calls)


TRACES: dict[str, list[Call]] = {
    "ids compare as numbers": [
        ("xadd", ("s", {"a": "1"}, "9-0"), {}),
        ("xadd", ("s", {"a": "2"}, "10-0"), {}),
        ("xadd", ("s", {"a": "3"}, "9-5"), {}),
        ("xadd", ("s", {"a": "4"}, "10-0"), {}),
        ("xread", ({"s": "9-0"},), {}),
        ("xrange", ("s", "9", "10"), {}),
    ],
    "a count loses nothing": [
        *[("xadd", ("s", {"n": str(n)}, f"{n}-0"), {}) for n in range(1, 6)],
        ("xgroup_create", ("s", "g", "0"), {}),
        ("xreadgroup", ("g", "c", {"s": ">"}, 2), {}),
        ("xreadgroup", ("g", "c", {"s": ">"}), {"count": None}),
        ("xreadgroup", ("g", "c", {"s": "0"}, 1), {}),
        ("xpending", ("s", "g"), {}),
        ("xack", ("s", "g", "1-0", "2-0"), {}),
        ("xpending", ("s", "g"), {}),
    ],
    "a dollar is what comes later": [
        ("xadd", ("s", {"a": "1"}, "1-0"), {}),
        ("xread", ({"s": "$"},), {}),
        ("xgroup_create", ("s", "g", "$"), {}),
        ("xreadgroup", ("g", "c", {"s": ">"}), {}),
        ("xadd", ("s", {"a": "2"}, "2-0"), {}),
        ("xreadgroup", ("g", "c", {"s": ">"}), {}),
    ],
    "what no server takes": [
        ("xadd", ("s", {}), {}),
        ("set", ("a", None), {}),
        ("set", ("a", True), {}),
        ("xadd", ("s", {"a": True}), {}),
        ("set", ("a", "1"), {}),
        ("xadd", ("a", {"x": "1"}), {}),
        ("hset", ("a", "f", "1"), {}),
        ("xreadgroup", ("absent", "c", {"s": ">"}), {}),
        ("xadd", ("s", {"a": "1"}, "not-an-id"), {}),
        ("xadd", ("s", {"a": "1"}, "0-0"), {}),
    ],
    "a stream that only seems empty": [
        ("xadd", ("s", {"a": "1"}, "5-0"), {}),
        ("xdel", ("s", "5-0"), {}),
        ("xlen", ("s",), {}),
        ("exists", ("s",), {}),
        ("xadd", ("s", {"a": "1"}, "4-0"), {}),
        ("xgroup_create", ("t", "g", "0"), {}),
        ("xgroup_create", ("t", "g", "0", True), {}),
        ("xgroup_create", ("t", "g", "0", True), {}),
    ],
}


@pytest.mark.parametrize("name", sorted(TRACES))
def test_d40_the_defects_of_the_published_mock(client: redis.Redis, name: str) -> None:
    client.flushall()
    _same(client, TRACES[name])


def test_d40_a_wait_ends_when_something_comes(client: redis.Redis) -> None:
    for some in (client, MockRedisClient()):
        timer = threading.Timer(0.1, lambda some=some: some.xadd("s", {"n": "late"}, id="1-0"))
        timer.start()
        assert _shaped("xread", some.xread({"s": "0"}, block=3000)) == {"s": [("1-0", {"n": "late"})]}
        timer.join()
        assert _shaped("xread", some.xread({"s": "1-0"}, block=20)) is None


def test_d40_commands_of_no_list_work_too(client: redis.Redis) -> None:
    def play(some: redis.Redis) -> Any:
        pipeline = some.pipeline(transaction=True)
        pipeline.sadd("set", "x")
        pipeline.zadd("zset", {"x": 1})
        pipeline.incr("n")
        pipeline.rpush("list", "x")
        return [
            pipeline.execute(),
            some.zrange("zset", 0, -1, withscores=True),
            sorted(some.scan_iter("*")),
            some.ping(),
        ]

    assert play(MockRedisClient()) == play(client)


def test_the_acl_calls_of_a_test_suite_are_taken(client: redis.Redis) -> None:
    for some in (client, MockRedisClient()):
        assert some.acl_setuser("mallory", enabled=True, passwords=["+pw"], commands=["+get"], keys=["a:*"])
        assert any("mallory" in line for line in some.acl_list())
        assert "on" in some.acl_getuser("mallory")["flags"]
        assert some.acl_deluser("mallory") == 1
        assert some.acl_getuser("mallory") is None


def test_a_handler_hears_what_is_published_until_it_unsubscribes() -> None:
    mock = MockRedisClient()
    one, other = Calls(), Calls()
    mock.subscribe("channel", one)
    mock.subscribe("channel", other)
    assert mock.publish("channel", "hello") == 2
    mock.unsubscribe("channel", one)
    assert mock.publish("channel", "again") == 1
    assert mock.publish("nobody", "hears") == 0
    assert (one.messages, other.messages) == (["hello"], ["hello", "again"])
    mock.reset()
    assert mock.publish("channel", "gone") == 0


def test_a_mock_has_data_of_its_own_until_it_is_reset() -> None:
    one, other = MockRedisClient(), MockRedisClient()
    one.set("k", "v")
    assert other.get("k") is None
    one.reset()
    assert one.get("k") is None


def test_what_the_documents_callers_do_with_it() -> None:
    mock = MockRedisClient()
    mock.xgroup_create("s", "g", "0", mkstream=True)
    mock.xgroup_create("s", "h", id="0", mkstream=True)
    entry = mock.xadd("s", {"field": "value"})
    replies = mock.xreadgroup("g", "c", {"s": ">"}, count=None)
    assert replies is not None
    assert replies["s"] == [(entry, {"field": "value"})]
    assert len(mock.xpending("s", "g")) == 1
    mock.xack("s", "g", entry)
    assert len(mock.xpending("s", "g")) == 0
    assert mock.xreadgroup("g", "c", {"s": ">"}) is None
