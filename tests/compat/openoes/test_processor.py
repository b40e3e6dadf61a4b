"""The consumer that runs until it is stopped, on a real server."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from openoes_core import (
    ConfigurationError,
    EventSubscriber,
    OpenOESError,
    StreamProcessor,
    StreamPublisher,
    create_redis_client,
    get_pending_messages,
)
from openoes_testing import MockRedisClient

from heliograph.bus.dead_letters import DeadLetters
from heliograph.bus.embedded import Server
from tests.compat.openoes.handlers import Calls, wait_until


@contextmanager
def running(processor: StreamProcessor, handler: Callable[[dict[str, str]], Any]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=processor.process_messages, args=(handler,))
    thread.start()
    try:
        yield thread
    finally:
        processor.stop()
        thread.join(10)
        assert not thread.is_alive()


def test_d03_every_shape_of_reply_is_delivered_and_acknowledged(any_client: redis.Redis) -> None:
    for number in range(25):
        any_client.xadd("s", {"n": str(number)})
    processor = StreamProcessor(any_client, "s", "g")
    calls = Calls()
    processor.process_messages(calls, run_once=True)
    assert [message["n"] for message in calls.messages] == [str(number) for number in range(25)]
    assert get_pending_messages(any_client, "s", "g") == []
    other = Calls()
    StreamProcessor(any_client, "s", "g").process_messages(other, run_once=True)
    assert other.messages == []


def test_d03_what_failed_is_delivered_again_whatever_the_shape(any_client: redis.Redis) -> None:
    any_client.xadd("s", {"n": "1"})
    processor = StreamProcessor(any_client, "s", "g", "c", retry_delay_ms=0)
    processor.process_messages(Calls(lambda _: False), run_once=True, process_pending=False)
    assert [each["times_delivered"] for each in get_pending_messages(any_client, "s", "g")] == [1]
    calls = Calls()
    processor.process_messages(calls, run_once=True)
    assert calls.messages == [{"n": "1"}]
    assert get_pending_messages(any_client, "s", "g") == []


def test_one_pass_over_an_empty_stream_returns(client: redis.Redis) -> None:
    calls = Calls()
    StreamProcessor(client, "s", "g").process_messages(calls, run_once=True)
    assert calls.messages == []


def test_a_handler_that_publishes_to_its_own_stream_does_not_keep_one_pass_for_ever(client: redis.Redis) -> None:
    client.xadd("s", {"n": "0"})
    calls = Calls(lambda _: client.xadd("s", {"n": "more"}))
    StreamProcessor(client, "s", "g").process_messages(calls, run_once=True)
    assert len(calls.messages) == 1


@pytest.mark.parametrize("mode", ["raise", "false"])
def test_d32_a_failed_entry_is_not_acknowledged_and_the_failure_is_surfaced(
    client: redis.Redis, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(message: dict[str, str]) -> bool:
        if message["n"] == "1" and mode == "raise":
            raise RuntimeError("the handler broke")
        return message["n"] != "1"

    for number in range(3):
        client.xadd("s", {"n": str(number)})
    told: list[tuple[Exception, dict[str, str]]] = []
    processor = StreamProcessor(client, "s", "g", on_error=lambda error, message: told.append((error, message)))
    calls = Calls(handler)
    processor.process_messages(calls, run_once=True)
    assert [message["n"] for message in calls.messages] == ["0", "1", "2"], "one that fails holds up no other"
    assert len(get_pending_messages(client, "s", "g")) == 1
    if mode == "raise":
        assert [(str(error), message) for error, message in told] == [("the handler broke", {"n": "1"})]
        assert [str(error) for _, error in processor.failures] == ["the handler broke"]
        assert "the handler broke" in caplog.text


def test_d33_a_poison_entry_is_tried_once_and_three_times_more_then_it_is_a_dead_letter(client: redis.Redis) -> None:
    def handler(message: dict[str, str]) -> bool:
        if message["n"] == "poison":
            raise RuntimeError("no cure")
        return True

    poison = client.xadd("s", {"n": "poison"})
    processor = StreamProcessor(client, "s", "g", "c", retry_delay_ms=20)
    calls = Calls(handler)
    with running(processor, calls):
        StreamPublisher(client, "s").publish({"n": "well"})
        wait_until(lambda: client.xlen("s:dead") and len(calls.messages) >= 5)
        assert not client.xpending_range("s", "g", "-", "+", 10)
    assert [message["n"] for message in calls.messages].count("poison") == 4
    assert [message["n"] for message in calls.messages].count("well") == 1
    poisoned = [at for at, message in zip(calls.at_s, calls.messages, strict=True) if message["n"] == "poison"]
    assert all(later - earlier >= 0.019 for earlier, later in itertools.pairwise(poisoned))
    dead: Any = client.xrange("s:dead")
    assert [fields for _, fields in dead] == [
        {
            "n": "poison",
            "dead_reason": "RuntimeError: no cure",
            "dead_id": poison,
            "dead_group": "g",
            "dead_deliveries": "4",
        }
    ]


async def test_d33_the_house_lists_and_replays_the_dead_letters(client: redis.Redis, shared_valkey: Server) -> None:
    entry = client.xadd("s", {"n": "1"})
    processor = StreamProcessor(client, "s", "g", max_retry_count=0)
    processor.process_messages(Calls(lambda _: False), run_once=True)
    async with DeadLetters(shared_valkey.url, "s") as letters:
        (letter,) = await letters.page()
        assert (letter.source_id, letter.group, letter.deliveries) == (entry, "g", 1)
        assert letter.reason == "the handler refused it"
        assert letter.fields == {b"n": b"1"}
        await letters.replay([letter.id])
    calls = Calls()
    processor.process_messages(calls, run_once=True)
    assert calls.messages == [{"n": "1"}]
    assert client.xlen("s:dead") == 0


def test_an_entry_that_was_deleted_before_its_retry_is_let_go(client: redis.Redis) -> None:
    entries = [client.xadd("s", {"n": str(n)}) for n in range(2)]
    processor = StreamProcessor(client, "s", "g", "c", retry_delay_ms=0)
    processor.process_messages(Calls(lambda _: False), run_once=True, process_pending=False)
    client.xdel("s", entries[0])
    calls = Calls()
    processor.process_messages(calls, run_once=True)
    assert calls.messages == [{"n": "1"}]
    assert not client.xpending_range("s", "g", "-", "+", 10)


def test_d33_an_entry_whose_consumers_die_of_it_is_not_given_to_a_fifth(client: redis.Redis) -> None:
    entry = client.xadd("s", {"n": "killer"})
    client.xgroup_create("s", "g", id="0")
    client.xreadgroup("g", "dead-1", {"s": ">"})
    for number in range(2, 5):
        client.xclaim("s", "g", f"dead-{number}", 0, [entry])
    calls = Calls()
    processor = StreamProcessor(client, "s", "g", "c", abandoned_ms=0)
    processor.process_messages(calls, run_once=True)
    assert calls.messages == []
    assert client.xlen("s:dead") == 1
    assert not client.xpending_range("s", "g", "-", "+", 10)


def test_d33_an_entry_of_a_dead_consumer_is_taken_over_once(client: redis.Redis) -> None:
    client.xadd("s", {"n": "1"})
    client.xgroup_create("s", "g", id="0")
    client.xreadgroup("g", "dead", {"s": ">"})
    calls = Calls()
    heirs = [StreamProcessor(client, "s", "g", f"c{number}", abandoned_ms=0) for number in range(2)]
    for heir in heirs:
        heir.process_messages(calls, run_once=True)
    assert calls.messages == [{"n": "1"}]
    assert not client.xpending_range("s", "g", "-", "+", 10)


def test_d33_a_live_consumer_is_never_robbed_however_long_its_handler_takes(client: redis.Redis) -> None:
    client.xadd("s", {"n": "1"})
    release, entered = threading.Event(), threading.Event()

    def slow(_: dict[str, str]) -> bool:
        entered.set()
        return release.wait(20)

    owner = StreamProcessor(client, "s", "g", "owner", abandoned_ms=150)
    thief = StreamProcessor(client, "s", "g", "thief", abandoned_ms=150)
    stolen = Calls()
    with running(owner, slow):
        assert entered.wait(10)
        ends_s = time.monotonic() + 0.5
        while time.monotonic() < ends_s:
            thief.process_messages(stolen, run_once=True)
        pending: Any = client.xpending_range("s", "g", "-", "+", 10)
        assert [(each["consumer"], each["times_delivered"]) for each in pending] == [("owner", 1)]
        release.set()
        wait_until(lambda: not client.xpending_range("s", "g", "-", "+", 10))
    assert stolen.messages == []


def test_d36_stop_joins_and_leaves_no_thread_and_no_consumer_behind(client: redis.Redis) -> None:
    before = threading.active_count()
    processor = StreamProcessor(client, "s", "g")
    calls = Calls()
    client.xadd("s", {"n": "1"})
    with running(processor, calls):
        calls.wait(1)
    assert not processor.running
    assert threading.active_count() == before
    assert client.xinfo_consumers("s", "g") == []
    processor.stop()


def test_d36_stop_may_be_called_by_the_handler(client: redis.Redis) -> None:
    processor = StreamProcessor(client, "s", "g", batch_size=1)
    for number in range(2):
        client.xadd("s", {"n": str(number)})
    calls = Calls(lambda _: processor.stop() is None)
    processor.process_messages(calls)
    assert calls.messages == [{"n": "0"}]


def test_d36_a_stop_before_the_thread_has_begun_is_not_lost(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    processor = StreamProcessor(client, "s", "g")
    processor.stop()
    processor.process_messages(Calls())
    assert "a stop came before the start" in caplog.text
    calls = Calls()
    client.xadd("s", {"n": "1"})
    processor.process_messages(calls, run_once=True)
    assert calls.messages == [{"n": "1"}]


def test_d36_two_threads_cannot_be_one_consumer(client: redis.Redis) -> None:
    processor = StreamProcessor(client, "s", "g")
    with running(processor, Calls()):
        wait_until(lambda: processor.running)
        with pytest.raises(ConfigurationError, match="running already"):
            processor.process_messages(Calls(), run_once=True)


def test_d37_a_stop_is_not_waited_for_as_long_as_a_read_blocks(client: redis.Redis) -> None:
    processor = StreamProcessor(client, "s", "g", block_ms=2000)
    with running(processor, Calls()):
        wait_until(lambda: client.info("clients")["blocked_clients"])
        begun_s = time.monotonic()
        processor.stop()
        assert time.monotonic() - begun_s < 1.0


def test_d37_no_read_blocks_longer_than_the_socket_waits(shared_valkey: Server, caplog: Any) -> None:
    impatient = create_redis_client("127.0.0.1", shared_valkey.port, socket_timeout=1.0)
    processor = StreamProcessor(impatient, "patient", "g", block_ms=60_000)
    calls = Calls()
    with running(processor, calls):
        begun_s = time.monotonic()
        while time.monotonic() < begun_s + 1.2:
            threading.Event().wait(0.05)
        impatient.xadd("patient", {"n": "1"})
        calls.wait(1)
        assert calls.at_s[0] - begun_s < 4
    assert "cannot be read" not in caplog.text
    impatient.close()


def test_d14_a_group_that_is_wiped_is_made_again_while_it_is_waited_for(client: redis.Redis) -> None:
    processor = StreamProcessor(client, "s", "g")
    calls = Calls()
    with running(processor, calls):
        wait_until(lambda: client.info("clients")["blocked_clients"])
        client.flushall()
        client.xadd("s", {"n": "after"})
        assert calls.wait(1) == [{"n": "after"}]


async def test_an_outage_is_waited_out(valkey: Server) -> None:
    client = create_redis_client("127.0.0.1", valkey.port)
    processor = StreamProcessor(client, "s", "g")
    calls = Calls()
    with running(processor, calls):
        client.xadd("s", {"n": "before"})
        calls.wait(1)
        await valkey.restart()
        wait_until(lambda: _added(client))
        assert calls.wait(2)[-1] == {"n": "after"}
    client.close()


def _added(client: redis.Redis) -> bool:
    try:
        client.xadd("s", {"n": "after"})
    except redis.ConnectionError:
        return False
    return True


def test_a_batch_from_the_group_or_from_the_consumers_own_pending_ones() -> None:
    for client in (MockRedisClient(),):
        processor = StreamProcessor(client, "s", "g", "c")
        client.xadd("s", {"n": "1"})
        assert processor._process_batch(Calls(lambda _: False), ">") == 0
        assert len(client.xpending("s", "g")) == 1
        assert processor._process_batch(Calls(), "0") == 1
        assert len(client.xpending("s", "g")) == 0


def test_d04_a_constructor_that_fails_leaves_no_thread() -> None:
    before = threading.active_count()
    nobody = create_redis_client("127.0.0.1", 1)
    for make in (StreamProcessor, EventSubscriber):
        with pytest.raises(OpenOESError):
            make(nobody, "s", "g")
    assert threading.active_count() == before


def test_without_a_group_or_a_stream_it_says_what_is_missing(client: redis.Redis) -> None:
    with pytest.raises(ConfigurationError, match="group"):
        StreamProcessor(client, "s")
    with pytest.raises(ConfigurationError, match="which stream"):
        StreamProcessor(client, consumer_group="g").process_messages(Calls())
