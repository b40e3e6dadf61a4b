"""Events: made, published, routed, subscribed to."""

import json
import threading
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from openoes_core import (
    ConfigurationError,
    Event,
    EventFilter,
    EventPublisher,
    EventRouter,
    EventSubscriber,
    EventType,
    KeyManager,
    ValidationError,
    create_event_publisher,
    create_event_router,
    create_event_subscriber,
    create_redis_client,
    publish_event_to_stream,
)
from openoes_testing import MockRedisClient

from heliograph.bus.embedded import Server
from tests.compat.openoes.handlers import Calls, wait_until

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
TYPES = {
    "CREDIT_REQUEST": "credit:request",
    "CREDIT_RESPONSE": "credit:response",
    "CREDIT_UPDATE": "credit:update",
    "SETTLEMENT_REPORT": "settlement:report",
    "SETTLEMENT_CONFIRMATION": "settlement:confirmation",
    "SETTLEMENT_COMPLETION": "settlement:completion",
    "SYSTEM_STARTUP": "system:startup",
    "SYSTEM_SHUTDOWN": "system:shutdown",
    "SYSTEM_ERROR": "system:error",
}


def test_the_types_are_the_seeds() -> None:
    assert {member.name: member.value for member in EventType} == TYPES
    assert EventType.from_string("credit:update") is EventType.CREDIT_UPDATE
    with pytest.raises(ValueError, match="banana"):
        EventType.from_string("banana")
    assert (EventType.is_valid("credit:update"), EventType.is_valid("my:own")) == (True, False)
    assert (EventType.get_category("my:own"), EventType.get_name(EventType.SYSTEM_ERROR)) == ("my", "error")


@given(
    st.sampled_from([*EventType, "my:own", "a_b:c_d"]),
    st.text(min_size=1),
    st.dictionaries(st.text(), JSON, max_size=4),
    st.none() | st.text(min_size=1),
    st.none() | st.integers(0, 2**53),
    st.dictionaries(st.text(), JSON, max_size=2),
)
def test_an_event_comes_back_as_it_went(
    event_type: Any, source: str, data: Any, event_id: Any, timestamp: Any, metadata: Any
) -> None:
    event = Event(event_type, source, data, event_id, timestamp, metadata)
    assert event.validate()
    assert Event.from_dict(event.to_dict()) == event
    assert Event.from_dict(json.loads(json.dumps(event.to_dict()))) == event
    message = event.to_stream_message()
    assert set(message) == {"event_id", "event_type", "source", "timestamp", "data", "metadata"}
    assert Event.from_stream_message(message) == event
    encoded = {name.encode(): value.encode("utf-8", "surrogatepass") for name, value in message.items()}
    if all(value.isascii() for value in message.values()):
        assert Event.from_stream_message(encoded) == event


def test_an_event_has_an_id_and_a_time_of_its_own() -> None:
    one, other = Event("my:own", "here", {}), Event("my:own", "here", {})
    assert one.event_id != other.event_id
    assert one.timestamp > 1_600_000_000_000
    assert (one.get_category(), one.get_name(), one.metadata) == ("my", "own", {})


@pytest.mark.parametrize(
    "values",
    [
        {"event_type": "Credit:Request"},
        {"event_type": "credit"},
        {"event_type": "credit:request:more"},
        {"event_type": 5},
        {"source": ""},
        {"data": []},
        {"data": "{"},
        {"data": '{"a": NaN}'},
        {"data": "[" * 10_000},
        {"timestamp": "today"},
        {"timestamp": -1},
        {"timestamp": True},
        {"event_id": ""},
        {"metadata": "5"},
    ],
    ids=repr,
)
def test_what_is_no_event_is_refused(values: dict[str, Any]) -> None:
    good = {"event_type": "a:b", "source": "s", "data": {}, "event_id": "i", "timestamp": 1, "metadata": {}}
    Event.from_dict(good)
    with pytest.raises(ValidationError):
        Event.from_dict({**good, **values})


@pytest.mark.parametrize("missing", ["event_type", "source", "data"])
def test_a_message_without_a_part_of_an_event_is_refused(missing: str) -> None:
    message = Event("a:b", "s", {}).to_stream_message()
    del message[missing]
    with pytest.raises(ValidationError, match=missing):
        Event.from_stream_message(message)


def _events(client: redis.Redis, stream: str) -> list[Event]:
    return [Event.from_stream_message(fields) for _, fields in client.xrange(stream)]


def test_d02_every_publication_returns_its_entrys_id(any_client: redis.Redis) -> None:
    publisher = create_event_publisher(any_client, "s", source="me")
    assert isinstance(publisher, EventPublisher)
    ids = [
        publisher.publish(Event("my:own", "you", {"a": 1})),
        publisher.publish_event(EventType.CREDIT_UPDATE, {"a": 2}, metadata={"b": 1}),
        publisher.publish_credit_request("c", "u", "BTC", 10.0, "10.0", chain="Bitcoin", address="bc1"),
        publisher.publish_credit_response("c", "u", "BTC", "-1", 9, "req-1", "rejected", "no"),
        publisher.publish_settlement_report("r", "c", 5, {"BTC": {"net": "+1"}}),
        publisher.publish_system_event("startup", "core", {"version": 1}),
        publish_event_to_stream(any_client, "s", "my:other", {"a": 3}, source="them"),
    ]
    entries: Any = any_client.xrange("s")
    decoded = [i.decode() if isinstance(i, bytes) else i for i, _ in entries]
    assert decoded == ids
    events = _events(any_client, "s")
    assert [(e.event_type, e.source) for e in events] == [
        ("my:own", "you"),
        ("credit:update", "me"),
        ("credit:request", "me"),
        ("credit:response", "me"),
        ("settlement:report", "me"),
        ("system:startup", "me"),
        ("my:other", "them"),
    ]
    request = dict(events[2].data)
    assert request.pop("request_id").startswith("req-")
    assert request == {
        "custodian": "c",
        "uid": "u",
        "asset": "BTC",
        "c_change": "+10.0",
        "ci": "10.0",
        "chain": "Bitcoin",
        "address": "bc1",
    }
    assert events[3].data == {
        "custodian": "c",
        "uid": "u",
        "asset": "BTC",
        "c_change": "-1",
        "ci": "9",
        "request_id": "req-1",
        "status": "rejected",
        "reject_reason": "no",
    }
    assert events[5].data == {"component": "core", "details": {"version": 1}}


def test_d26_ids_of_one_moment_differ() -> None:
    client = MockRedisClient()
    publisher = EventPublisher(client, "s")
    for _ in range(200):
        publisher.publish_credit_request("c", "u", "BTC", 1, 1)
    events = _events(client, "s")
    assert len({event.event_id for event in events}) == 200
    assert len({event.data["request_id"] for event in events}) == 200


def test_a_filter_asks_for_what_it_is_given() -> None:
    event = Event("credit:request", "me", {"uid": "u", "n": 1}, event_id="abc-1")
    assert EventFilter().matches(event)
    assert EventFilter(["credit:request"], ["me"], "abc", {"uid": "u"}).matches(event)
    assert EventFilter(event_types=[EventType.CREDIT_REQUEST]).matches(event)
    for other in (
        EventFilter(event_types=["a:b"]),
        EventFilter(sources=["you"]),
        EventFilter(event_id_pattern="xyz"),
        EventFilter(data_filter={"uid": "v"}),
        EventFilter(data_filter={"absent": None}),
        EventFilter(event_types=[]),
    ):
        assert not other.matches(event)
    with pytest.raises(ValidationError, match="regular expression"):
        EventFilter(event_id_pattern="(")


def test_a_router_gives_an_event_to_the_first_that_matches() -> None:
    router = create_event_router()
    assert isinstance(router, EventRouter)
    event = Event("credit:request", "me", {})
    assert router.route(event) is False, "nobody takes it"
    got: list[str] = []
    router.set_default_handler(lambda _: got.append("default"))
    assert router.route(event) is True
    router.add_route_for_source("me", lambda _: got.append("source"))
    router.add_route_for_event_type(EventType.CREDIT_REQUEST, lambda _: got.append("type"))
    router.add_route(EventFilter(), lambda _: got.append("all"))
    router.register_handler("my:own", lambda _: False)
    assert router.route(event) is True
    assert router.route(Event("credit:request", "you", {})) is True
    assert router.route(Event("not:known", "you", {})) is True
    assert got == ["default", "source", "type", "all"]
    refusing = EventRouter()
    refusing.register_handler("my:own", lambda _: False)
    assert refusing.route(Event("my:own", "me", {})) is False


def _raise(_: Event) -> None:
    raise RuntimeError("broken")


def test_d32_what_a_routes_handler_raises_is_not_swallowed() -> None:
    router = EventRouter()
    router.set_default_handler(_raise)
    with pytest.raises(RuntimeError, match="broken"):
        router.route(Event("my:own", "me", {}))


@pytest.fixture
def subscriber(client: redis.Redis) -> Any:
    made = create_event_subscriber(client, "s", "g", retry_delay_ms=20)
    assert isinstance(made, EventSubscriber)
    yield made
    made.stop()


def test_a_group_starts_at_the_beginning_and_every_subscription_gets_what_it_asks_for(
    client: redis.Redis, subscriber: EventSubscriber
) -> None:
    EventPublisher(client, "s", source="me").publish_event("my:own", {"n": 1})
    everything, typed, sourced = Calls(lambda _: None), Calls(lambda _: None), Calls(lambda _: None)
    subscriber.subscribe(everything)
    subscriber.subscribe_to_event_type("my:own", typed)
    subscriber.subscribe_to_source("you", sourced)
    subscriber.start()
    EventPublisher(client, "s", source="you").publish_event("my:other", {"n": 2})
    everything.wait(2)
    sourced.wait(1)
    wait_until(lambda: not client.xpending_range("s", "g", "-", "+", 10))
    assert [event.data["n"] for event in everything.messages] == [1, 2]
    assert [event.data["n"] for event in typed.messages] == [1]
    assert [event.data["n"] for event in sourced.messages] == [2]


@pytest.mark.parametrize("failure", [lambda _: False, _raise], ids=["false", "raises"])
def test_d32_who_failed_gets_the_event_again_and_nobody_else(
    client: redis.Redis, subscriber: EventSubscriber, failure: Any
) -> None:
    fails = [failure, lambda _: None]
    flaky = Calls(lambda event: fails.pop(0)(event))
    steady = Calls(lambda _: None)
    subscriber.subscribe(flaky)
    subscriber.subscribe(steady)
    subscriber.start()
    EventPublisher(client, "s").publish_event("my:own", {"n": 1})
    flaky.wait(2)
    wait_until(lambda: not client.xpending_range("s", "g", "-", "+", 10))
    assert len(steady.messages) == 1
    assert client.xlen("s:dead") == 0


def test_a_handler_may_publish_to_the_stream_that_it_reads(client: redis.Redis, subscriber: EventSubscriber) -> None:
    def answer(event: Event) -> None:
        if event.data["n"] < 5:
            EventPublisher(client, "s").publish_event("my:own", {"n": event.data["n"] + 1})

    calls = Calls(answer)
    subscriber.subscribe(calls)
    subscriber.start()
    EventPublisher(client, "s").publish_event("my:own", {"n": 1})
    assert [event.data["n"] for event in calls.wait(5)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("group", [None, "g"])
def test_d34_what_is_no_event_becomes_a_dead_letter_and_the_next_one_is_read(
    client: redis.Redis, group: str | None
) -> None:
    subscriber = EventSubscriber(client, "s", group, max_retry_count=1, retry_delay_ms=10)
    calls = Calls()
    subscriber.subscribe(calls)
    subscriber.start()
    client.xadd("s", {"poison": "yes"})
    EventPublisher(client, "s").publish_event("my:own", {"n": 1})
    calls.wait(1)
    wait_until(lambda: client.xlen("s:dead") == 1)
    before = client.info("commandstats")
    subscriber.stop()
    ((_, letter),) = client.xrange("s:dead")
    assert letter["poison"] == "yes"
    assert "event_type" in letter["dead_reason"]
    read = "cmdstat_xread" if group is None else "cmdstat_xreadgroup"
    assert before[read]["calls"] < 500, "a poison event makes nobody spin"


def test_d34_without_a_group_each_event_comes_once_over_stops_and_starts(client: redis.Redis) -> None:
    publisher = EventPublisher(client, "s")
    publisher.publish_event("my:own", {"n": "history"})
    subscriber = EventSubscriber(client, "s")
    calls = Calls()
    subscriber.subscribe(calls)
    for n in range(3):
        subscriber.start()
        publisher.publish_event("my:own", {"n": n})
        calls.wait(n + 1)
        subscriber.stop()
    assert [event.data["n"] for event in calls.messages] == [0, 1, 2]


@pytest.mark.parametrize("group", [None, "g"])
def test_d36_stop_joins_its_thread_and_a_second_start_is_refused(client: redis.Redis, group: str | None) -> None:
    before = threading.active_count()
    subscriber = EventSubscriber(client, "s", group)
    subscriber.stop()
    subscriber.start()
    with pytest.raises(ConfigurationError, match="running"):
        subscriber.start()
    subscriber.stop()
    subscriber.stop()
    assert threading.active_count() == before


def test_what_ends_the_thread_is_kept(shared_valkey: Server, client: redis.Redis) -> None:
    rules = ("on", ">pw", "resetkeys", "~s", "-@all", "+xrevrange", "+ping", "+hello")
    client.execute_command("ACL", "SETUSER", "deaf", *rules)
    try:
        deaf = create_redis_client("127.0.0.1", shared_valkey.port, "pw", username="deaf")
        subscriber = EventSubscriber(deaf, "s")
        subscriber.start()
        wait_until(lambda: subscriber.error)
        assert "NoPermission" in str(subscriber.error)
        subscriber.stop()
        client.execute_command("ACL", "SETUSER", "deaf", "+xread", "+client|id")
        calls = Calls()
        subscriber.subscribe(calls)
        subscriber.start()
        EventPublisher(client, "s").publish_event("my:own", {"n": 1})
        assert calls.wait(1)[0].data == {"n": 1}, "a stop after its end does not end the next start"
        subscriber.stop()
        deaf.close()
    finally:
        client.execute_command("ACL", "DELUSER", "deaf")


def test_the_sdks_streams_and_the_mock_go_together() -> None:
    client = MockRedisClient()
    subscriber = EventSubscriber(client, KeyManager.credit_request_stream(), "g")
    calls = Calls()
    subscriber.subscribe(calls)
    subscriber.start()
    EventPublisher(client, KeyManager.credit_request_stream()).publish_credit_request("c", "u", "BTC", 1, 1)
    assert calls.wait(1)[0].data["uid"] == "u"
    subscriber.stop()
