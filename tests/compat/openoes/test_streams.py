"""Streams, one function a command, and the publisher, on a real server."""

import json
import threading
import time
from decimal import Decimal
from typing import Any

import openoes_core
import pytest
import redis
from openoes_core import (
    KeyManager,
    StreamError,
    StreamPublisher,
    ValidationError,
    acknowledge_message,
    add_message_to_stream,
    claim_pending_messages,
    create_consumer_group,
    create_redis_client,
    delete_message,
    get_consumer_group_info,
    get_pending_messages,
    get_stream_info,
    publish_event,
    read_messages,
    read_messages_from_group,
    trim_stream,
)
from openoes_testing import MockRedisClient

from heliograph.bus.embedded import Server


def test_what_is_appended_is_read_whatever_the_shape(any_client: redis.Redis) -> None:
    first = add_message_to_stream(any_client, "s", {"n": 1})
    second = add_message_to_stream(any_client, "s", {"n": 2})
    assert read_messages(any_client, "s", last_id="0") == [(first, {"n": "1"}), (second, {"n": "2"})]
    assert read_messages(any_client, "s", count=1, last_id="0") == [(first, {"n": "1"})]
    assert read_messages(any_client, "s", last_id=first) == [(second, {"n": "2"})]
    assert read_messages(any_client, "s") == []
    assert read_messages(any_client, "absent", last_id="0") == []


def test_a_groups_life(any_client: redis.Redis) -> None:
    assert create_consumer_group(any_client, "s", "g") is True
    assert create_consumer_group(any_client, "s", "g") is True, "one that is there already is no failure"
    first = add_message_to_stream(any_client, "s", {"n": 1})
    second = add_message_to_stream(any_client, "s", {"n": 2})
    assert [i for i, _ in read_messages_from_group(any_client, "s", "g", "c", count=None)] == [first, second]
    pending = get_pending_messages(any_client, "s", "g")
    assert [(each["message_id"], each["consumer"], each["times_delivered"]) for each in pending] == [
        (first, "c", 1),
        (second, "c", 1),
    ]
    assert get_pending_messages(any_client, "s", "g", consumer="nobody") == []
    assert get_pending_messages(any_client, "s", "g", min_idle_time=60_000) == []
    assert [e["message_id"] for e in get_pending_messages(any_client, "s", "g", start=second)] == [second]
    assert acknowledge_message(any_client, "s", "g", first) is True
    assert acknowledge_message(any_client, "s", "g", first) is False
    assert claim_pending_messages(any_client, "s", "g", "d", 0, [second]) == [(second, {"n": "2"})]
    assert claim_pending_messages(any_client, "s", "g", "d", 0, []) == []
    assert read_messages_from_group(any_client, "s", "g", "d", last_id="0") == [(second, {"n": "2"})]
    assert delete_message(any_client, "s", second) is True
    assert delete_message(any_client, "s", second) is False
    assert claim_pending_messages(any_client, "s", "g", "c", 0, [second]) == [], "it is gone"


def test_noack_leaves_nothing_pending(client: redis.Redis) -> None:
    create_consumer_group(client, "s", "g")
    add_message_to_stream(client, "s", {"n": 1})
    assert len(read_messages_from_group(client, "s", "g", "c", noack=True)) == 1
    assert get_pending_messages(client, "s", "g") == []


def test_d38_a_group_and_a_stream_are_described(any_client: redis.Redis) -> None:
    create_consumer_group(any_client, "s", "g")
    add_message_to_stream(any_client, "s", {"n": 1})
    read_messages_from_group(any_client, "s", "g", "c")
    info = get_consumer_group_info(any_client, "s", "g")
    assert (info["name"], info["consumers"], info["pending"]) == ("g", 1, 1)
    assert get_stream_info(any_client, "s")["length"] == 1
    assert get_consumer_group_info(any_client, "s", "absent") == {}
    assert get_consumer_group_info(any_client, "absent", "g") == {}
    assert get_stream_info(any_client, "absent") == {}


def test_d38_exact_is_exact(client: redis.Redis) -> None:
    for _ in range(250):
        client.xadd("s", {"n": "1"})
    assert trim_stream(client, "s", 7, approximate=False) is True
    assert client.xlen("s") == 7
    for _ in range(250):
        client.xadd("s", {"n": "1"})
    assert StreamPublisher(client, "s", 5, approximate_trimming=False).trim() is True
    assert client.xlen("s") == 5
    assert trim_stream(client, "s", 1, approximate=True) is True
    assert client.xlen("s") == 5, "approximately means whole nodes of the server's"


def test_d02_every_publish_returns_its_id_or_raises(any_client: redis.Redis) -> None:
    publisher = StreamPublisher(any_client, "s")
    ids = [
        publisher.publish({"a": 1, "b": Decimal("1.10"), "c": None, "d": {"e": [1]}, "f": True, "g": b"x"}),
        publisher.publish_event("credit:request", {"uid": "u"}),
        publish_event(any_client, "s", "any text at all", {"timestamp": "mine"}),
        add_message_to_stream(any_client, "s", {"n": 1}, max_len=None),
        publisher.publish({"n": 1}, id="9999999999999-1"),
    ]
    found = read_messages(any_client, "s", last_id="0")
    assert [entry_id for entry_id, _ in found] == ids
    assert found[0][1] == {"a": "1", "b": "1.10", "d": '{"e":[1]}', "f": "true", "g": "x"}
    event = found[1][1]
    assert (event["event_type"], event["uid"]) == ("credit:request", "u")
    assert abs(int(event["timestamp"]) - time.time() * 1000) < 60_000
    assert found[2][1] == {"timestamp": "mine", "event_type": "any text at all"}
    assert publisher.trim() is True
    with pytest.raises(StreamError, match="equal or smaller"):
        publisher.publish({"n": 1}, id="1-1")


@pytest.mark.parametrize(
    "message",
    [{}, {"a": None}, {"a": float("nan")}, {"a": object()}, {"a": {"b": float("inf")}}, {"a": b"\xff"}],
    ids=["nothing", "none", "nan", "object", "infinity inside", "bytes"],
)
def test_d02_what_no_entry_can_hold_is_refused_before_anything_is_sent(
    client: redis.Redis, message: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        StreamPublisher(client, "s").publish(message)
    assert client.exists("s") == 0


def test_d02_a_server_that_is_away_is_an_error_of_the_sdk() -> None:
    nobody = create_redis_client("127.0.0.1", 1)
    for call in (
        lambda: StreamPublisher(nobody, "s").publish({"a": 1}),
        lambda: read_messages(nobody, "s"),
        lambda: create_consumer_group(nobody, "s", "g"),
        lambda: trim_stream(nobody, "s", 1),
    ):
        with pytest.raises(openoes_core.ConnectionError):
            call()


def _fill(client: redis.Redis, stream: str, count: int) -> None:
    pipeline = client.pipeline(transaction=False)
    for number in range(count):
        pipeline.xadd(stream, {"n": str(number)})
    pipeline.execute()


@pytest.mark.parametrize("mock", [False, True], ids=["server", "mock"])
def test_d35_money_that_nobody_has_read_is_not_trimmed(
    client: redis.Redis, mock: bool, caplog: pytest.LogCaptureFixture
) -> None:
    some = MockRedisClient() if mock else client
    stream = KeyManager.credit_request_stream()
    _fill(some, stream, 3000)
    for exact in (True, False):
        StreamPublisher(some, stream, approximate_trimming=not exact).publish({"n": "last"})
    assert some.xlen(stream) == 3002
    some.xgroup_create(stream, "late", id="0")
    assert len(read_messages_from_group(some, stream, "late", "c", count=None)) == 3002
    _fill(some, stream, 62)
    publish_event(some, stream, "credit:request", {"n": 1})
    assert some.xlen(stream) == 3065, "delivered is not acknowledged"
    assert "unread" in caplog.text


def test_d35_what_every_group_has_acknowledged_is_trimmed_and_nothing_else(client: redis.Redis) -> None:
    create_consumer_group(client, "s", "fast")
    create_consumer_group(client, "s", "slow")
    _fill(client, "s", 200)
    entries = read_messages_from_group(client, "s", "fast", "c", count=None)
    client.xack("s", "fast", *(entry_id for entry_id, _ in entries))
    publisher = StreamPublisher(client, "s", 50, approximate_trimming=False)
    publisher.publish({"n": "a"})
    assert client.xlen("s") == 201, "the slow group has read nothing"
    read_messages_from_group(client, "s", "slow", "c", count=100)
    client.xack("s", "slow", *(entry_id for entry_id, _ in entries[:90]))
    publisher.publish({"n": "b"})
    assert client.xlen("s") == 202 - 90, "the 91st is delivered and not acknowledged"
    read_messages_from_group(client, "s", "slow", "c", count=None)
    client.xack("s", "slow", *(entry_id for entry_id, _ in read_messages(client, "s", None, last_id="0")))
    client.xack("s", "fast", *(entry_id for entry_id, _ in read_messages(client, "s", None, last_id="0")))
    read_messages_from_group(client, "s", "fast", "c", count=None, noack=True)
    publisher.publish({"n": "c"})
    assert client.xlen("s") == 50


def test_d35_a_stream_without_money_and_without_groups_keeps_its_bound(client: redis.Redis) -> None:
    _fill(client, "telemetry", 1063)
    StreamPublisher(client, "telemetry").publish({"n": 1})
    assert client.xlen("telemetry") == 1000
    StreamPublisher(client, "telemetry", 10, approximate_trimming=False).publish({"n": 1})
    StreamPublisher(client, "telemetry", 10, approximate_trimming=False).publish({"n": 1})
    assert client.xlen("telemetry") <= 11


def test_d35_an_event_of_money_is_kept_on_any_stream(client: redis.Redis) -> None:
    for _ in range(20):
        publish_event(client, "mine", "settlement:report", {"n": 1}, max_len=10)
    publisher = StreamPublisher(client, "mine", 10, approximate_trimming=False)
    publisher.publish({"event_type": "credit:update"})
    assert client.xlen("mine") == 21


def test_d10_who_may_append_and_not_look_appends(shared_valkey: Server, client: redis.Redis) -> None:
    client.execute_command(
        "ACL", "SETUSER", "writer", "on", ">pw", "resetkeys", "~s", "-@all", "+xadd", "+ping", "+hello"
    )
    try:
        writer = create_redis_client("127.0.0.1", shared_valkey.port, "pw", username="writer")
        for _ in range(3):
            assert StreamPublisher(writer, "s", 1, approximate_trimming=False).publish({"n": 1})
        with pytest.raises(openoes_core.ACLError):
            read_messages(writer, "s", last_id="0")
        writer.close()
    finally:
        client.execute_command("ACL", "DELUSER", "writer")


def test_d37_a_wait_longer_than_the_socket_is_several_reads(shared_valkey: Server, client: redis.Redis) -> None:
    impatient = create_redis_client("127.0.0.1", shared_valkey.port, socket_timeout=0.8)
    begun_s = time.monotonic()
    assert read_messages(impatient, "s", block=900) == []
    assert 0.85 < time.monotonic() - begun_s < 5
    timer = threading.Timer(0.4, lambda: client.xadd("s", {"n": "late"}))
    timer.start()
    assert [fields for _, fields in read_messages(impatient, "s", block=0)] == [{"n": "late"}]
    timer.join()
    create_consumer_group(impatient, "s", "g", start_id="$")
    assert read_messages_from_group(impatient, "s", "g", "c", block=300) == []
    impatient.close()


def test_d42_nothing_of_a_message_is_logged(client: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    StreamPublisher(client, KeyManager.credit_request_stream()).publish({"address": "bc1-private", "c_change": "+10"})
    assert "bc1-private" not in caplog.text


def test_json_within_an_entry_is_json(client: redis.Redis) -> None:
    add_message_to_stream(client, "s", {"data": {"amount": Decimal("0.10"), "n": 1.5}})
    ((_, fields),) = read_messages(client, "s", last_id="0")
    assert json.loads(fields["data"]) == {"amount": "0.10", "n": 1.5}
