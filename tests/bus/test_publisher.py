import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
import redis

from heliograph.bus.connection import connect
from heliograph.bus.embedded import Server
from heliograph.bus.entries import ENTRY_OVERHEAD_BYTES, Stream
from heliograph.bus.publisher import STRAIGHT_MAX, Publisher
from heliograph.bus.reader import Entry, Reader
from heliograph.clock import NS_PER_MS, ManualClock, SystemClock
from heliograph.errors import BusError, ConfigError
from tests.bus.proxy import Proxy

FEED = "feed:test:spot:0"


async def entries(url: str, key: str) -> list[Entry]:
    async with Reader(url, {}) as reader:
        return await reader.entries(key)


async def written(url: str, key: str) -> list[bytes]:
    return [entry.data for entry in await entries(url, key)]


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


@contextlib.asynccontextmanager
async def publishing(url: str) -> AsyncIterator[tuple[Publisher, Stream]]:
    async with Publisher(url, connect_timeout_s=10.0, backoff_max_s=0.05) as publisher:
        yield publisher, await publisher.open_stream("test:A:trades")


async def test_what_is_appended_is_on_its_stream_and_on_the_merged_feed(any_server: Server) -> None:
    async with Publisher(any_server.url) as publisher:
        feed = await publisher.open_stream(FEED)
        first = await publisher.open_stream("test:A:trades", merged=feed)
        second = await publisher.open_stream("test:B:trades", merged=feed)
        alone = await publisher.open_stream("test:C:trades")
        publisher.append(first, b"1")
        publisher.append(second, b"")
        publisher.append_many([alone, first], [b"\r\n$3\r\n", bytes(5000)])
        await publisher.flush()
        assert (publisher.appended, publisher.acknowledged, publisher.pending_bytes) == (4, 4, 0)
    url = any_server.url
    assert await written(url, "test:A:trades") == [b"1", bytes(5000)]
    assert await written(url, "test:B:trades") == [b""]
    assert await written(url, "test:C:trades") == [b"\r\n$3\r\n"]
    merged = await entries(url, FEED)
    assert [(entry.key, entry.data) for entry in merged] == [
        ("test:A:trades", b"1"),
        ("test:B:trades", b""),
        ("test:A:trades", bytes(5000)),
    ]
    assert [entry.id for entry in merged if entry.key == "test:A:trades"] == [
        entry.id for entry in await entries(url, "test:A:trades")
    ]


async def test_order_holds_over_many_batches_in_flight(valkey: Server) -> None:
    async with publishing(valkey.url) as (publisher, stream):
        for start in range(0, 20_000, 50):
            publisher.append_many([stream] * 50, numbered(50, start))
            if start % 1000 == 0:
                await asyncio.sleep(0)
    assert await written(valkey.url, stream.key) == numbered(20_000)


async def test_streams_keep_their_bound(valkey: Server) -> None:
    async with Publisher(valkey.url) as publisher:
        feed = await publisher.open_stream(FEED, maxlen=1000)
        streams = [await publisher.open_stream(f"test:{n}:trades", maxlen=300, merged=feed) for n in range(10)]
        for _ in range(2000):
            publisher.append_many(streams, [b"x"] * 10)
            await asyncio.sleep(0)
    async with connect(valkey.url) as client:
        # `~` trims whole nodes of 100 entries, and not at each entry.
        assert 1000 <= await client.xlen(FEED) <= 1000 + 100 + 256 + 512
        for stream in streams:
            assert 300 <= await client.xlen(stream.key) <= 300 + 100 + 32


async def test_streams_keep_their_bound_while_another_is_ahead_of_the_clock(valkey: Server) -> None:
    async with connect(valkey.url) as client, Publisher(valkey.url) as publisher:
        await client.xadd("test:A:trades", {"data": "theirs"}, id="9999999999999-0")
        await publisher.open_stream("test:A:trades")
        stream = await publisher.open_stream("test:B:trades", maxlen=300)
        for _ in range(200):
            publisher.append_many([stream] * 10, [b"x"] * 10)
            await asyncio.sleep(0)
        await publisher.flush()
        assert 300 <= await client.xlen(stream.key) <= 300 + 100 + 32


async def test_a_stream_that_is_ahead_of_the_clock_goes_on_after_its_last_id(any_server: Server) -> None:
    async with connect(any_server.url) as client:
        await client.xadd("test:A:trades", {"data": "old"}, id="9999999999999-5")
    async with Publisher(any_server.url) as publisher:
        feed = await publisher.open_stream(FEED)
        ahead = await publisher.open_stream("test:A:trades", merged=feed)
        level = await publisher.open_stream("test:B:trades", merged=feed)
        publisher.append_many([ahead, level, ahead], [b"1", b"2", b"3"])
        await publisher.flush()
        assert publisher.refused_ids == 0
    found = await entries(any_server.url, "test:A:trades")
    assert [(entry.id, entry.data) for entry in found[1:]] == [("9999999999999-6", b"1"), ("9999999999999-7", b"3")]
    assert [entry.data for entry in await entries(any_server.url, FEED)] == [b"1", b"2", b"3"]
    assert (await entries(any_server.url, "test:B:trades"))[0].id < "9999999999999"


async def test_a_clock_that_stands_or_runs_backwards_still_gives_ascending_ids(valkey: Server) -> None:
    class Backwards(ManualClock):
        def now_ns(self) -> int:
            self._now_ns -= NS_PER_MS
            return self._now_ns

    for clock in (ManualClock(10**18), Backwards(10**18)):
        async with Publisher(valkey.url, clock=clock) as publisher:
            stream = await publisher.open_stream(f"test:{type(clock).__name__}:trades")
            publisher.append_many([stream] * 25_000, numbered(25_000))
            await publisher.flush()
            assert publisher.refused_ids == 0
        assert await written(valkey.url, stream.key) == numbered(25_000)


async def test_another_writer_costs_new_ids_and_no_entry(any_server: Server) -> None:
    async with Publisher(any_server.url) as publisher, connect(any_server.url) as client:
        feed = await publisher.open_stream(FEED)
        stream = await publisher.open_stream("test:A:trades", merged=feed)
        await client.xadd(stream.key, {"data": "theirs"}, id="9999999999999-0")
        publisher.append_many([stream] * 3, [b"1", b"2", b"3"])
        await publisher.flush()
        assert (publisher.refused_ids, publisher.acknowledged) == (3, 3)
        publisher.append(stream, b"4")
        await publisher.flush()
        assert publisher.refused_ids == 3
    assert await written(any_server.url, stream.key) == [b"theirs", b"1", b"2", b"3", b"4"]
    assert [entry.data for entry in await entries(any_server.url, FEED)] == [b"1", b"2", b"3", b"4"]


async def test_a_lost_reply_doubles_nothing(any_server: Server) -> None:
    async with Proxy(any_server.port) as proxy, publishing(proxy.url) as (publisher, stream):
        for round_number in range(10):
            proxy.swallow = True
            publisher.append_many([stream] * 100, numbered(100, 100 * round_number))
            await proxy.swallowed.wait()  # The server has done it and said so; nobody heard it.
            proxy.cut()
            await publisher.flush()
        assert publisher.resent >= publisher.settled_by_id == 1000
        assert (publisher.reconnects, publisher.refused_ids) == (10, 0)
    assert await written(any_server.url, stream.key) == numbered(1000)


async def test_without_ids_of_our_own_the_same_lost_reply_doubles(valkey: Server) -> None:
    """The check above can fail: redis-py with ids of the server's choosing, writing again what was not answered."""
    async with Proxy(valkey.port) as proxy, connect(proxy.url) as client:
        await client.xadd("test:A:trades", {"data": "0"})
        proxy.swallow = True
        adding = asyncio.ensure_future(client.xadd("test:A:trades", {"data": "1"}))
        await proxy.swallowed.wait()
        proxy.cut()
        with pytest.raises(Exception, match=r"(?i)connection|closed"):
            await adding
        await client.xadd("test:A:trades", {"data": "1"})
    assert await written(valkey.url, "test:A:trades") == [b"0", b"1", b"1"]


async def test_a_write_refused_before_its_reply_was_lost_is_written_all_the_same(any_server: Server) -> None:
    """Refused again it looks like one that had arrived; only the stream itself tells the two apart."""
    async with Proxy(any_server.port) as proxy, publishing(proxy.url) as (publisher, stream):
        async with connect(any_server.url) as client:
            await client.xadd(stream.key, {"data": "theirs"}, id="9999999999999-0")
        proxy.swallow = True
        publisher.append_many([stream] * 3, [b"1", b"2", b"3"])
        await proxy.swallowed.wait()
        proxy.cut()
        await publisher.flush()
        assert (publisher.settled_by_id, publisher.refused_ids, publisher.acknowledged) == (0, 0, 3)
    assert await written(any_server.url, stream.key) == [b"theirs", b"1", b"2", b"3"]


async def test_cuts_at_random_moments_lose_and_double_nothing(any_server: Server) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    async with Proxy(any_server.port) as proxy, Publisher(proxy.url, backoff_max_s=0.02) as publisher:
        feed = await publisher.open_stream(FEED)
        streams = [await publisher.open_stream(f"test:{n}:trades", merged=feed) for n in range(5)]
        count = 0
        for _ in range(40):
            for _ in range(dice.randrange(1, 30)):
                size = dice.randrange(1, 200)
                publisher.append_many(dice.choices(streams, k=size), numbered(size, count))
                count += size
                await asyncio.sleep(0)
            proxy.swallow = dice.random() < 0.5
            if proxy.swallow:
                await proxy.swallowed.wait()
            proxy.cut()
            await publisher.flush()
    merged = await entries(any_server.url, FEED)
    assert [entry.data for entry in merged] == numbered(count)
    for stream in streams:
        own = await written(any_server.url, stream.key)
        assert own == [entry.data for entry in merged if entry.key == stream.key]


@pytest.mark.parametrize("appendfsync", ["everysec", "always"])
async def test_kill_9_of_the_server_under_load_loses_and_doubles_nothing(any_binary: Path, appendfsync: str) -> None:
    kills = 4
    with Server(binary=any_binary, appendfsync=appendfsync) as server:  # type: ignore[arg-type]
        async with Publisher(server.url, backoff_max_s=0.05) as publisher:
            feed = await publisher.open_stream(FEED)
            stream = await publisher.open_stream("test:A:trades", merged=feed)
            count = 0
            ended = False

            async def append() -> None:
                nonlocal count
                while not ended:
                    if publisher.writable:
                        publisher.append_many([stream] * 20, numbered(20, count))
                        count += 20
                    await asyncio.sleep(0.0005)

            appending = asyncio.create_task(append())
            for _ in range(kills):
                goal = publisher.acknowledged + random.randrange(500, 3000)
                await until(lambda goal=goal: publisher.acknowledged >= goal)  # type: ignore[misc]
                await asyncio.to_thread(server.kill)
                await server.restart()
            ended = True
            await appending
            await publisher.flush(20)
            assert publisher.reconnects >= kills
            assert publisher.unretained == 0
        merged = await written(server.url, FEED)
        own = await written(server.url, stream.key)
    tally = Counter(own)
    lost = [n for n in numbered(count) if n not in tally]
    doubled = [n for n, times in tally.items() if times > 1]
    print(f"kills {kills} entries {count} lost {len(lost)} doubled {len(doubled)} resent {publisher.resent}")
    assert (lost, doubled) == ([], [])
    assert own == merged == numbered(count)


def _forget(directory: Path, *, keep: float) -> None:
    parts = list(directory.rglob("*.incr.aof")) or [directory / "appendonly.aof"]  # One file until Redis 7.
    for path in parts:
        os.truncate(path, int(path.stat().st_size * keep))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what only counters tell."""
    while not condition():  # noqa: ASYNC110 (a publisher's counters make no event)
        await asyncio.sleep(0.002)


async def test_what_a_killed_server_forgot_is_written_again(any_binary: Path, tmp_path: Path) -> None:
    """An everysec server that loses acknowledged writes, made certain: its append-only file is put back in time."""
    with Server(binary=any_binary, directory=tmp_path) as server:
        async with Publisher(server.url, backoff_max_s=0.05) as publisher:
            stream = await publisher.open_stream("test:A:trades")
            publisher.append_many([stream] * 100, numbered(100))
            await publisher.flush()
            assert await written(server.url, stream.key) == numbered(100)
            await asyncio.to_thread(server.kill)
            _forget(tmp_path, keep=0.5)
            await server.restart()
            publisher.append_many([stream] * 100, numbered(100, 100))
            await publisher.flush()
            assert publisher.acknowledged == 200
        assert await written(server.url, stream.key) == numbered(200)


async def test_what_is_written_again_has_the_ids_that_it_had(any_binary: Path, tmp_path: Path) -> None:
    """Who has read it already knows it by them; some of it was written straight, some behind others, some packed."""
    with Server(binary=any_binary, directory=tmp_path) as server:
        async with Publisher(server.url, backoff_max_s=0.05, reply_timeout_s=60.0) as publisher:
            feed = await publisher.open_stream(FEED)
            stream = await publisher.open_stream("test:A:trades", merged=feed)
            count = 0
            os.kill(server.pid, signal.SIGSTOP)
            for size in (1, 1, 1, 700, 1, *[100] * 120):
                publisher.append_many([stream] * size, numbered(size, count))
                count += size
                await asyncio.sleep(0)
            os.kill(server.pid, signal.SIGCONT)
            await publisher.flush()
            before = [(entry.id, entry.data) for entry in await entries(server.url, stream.key)]
            await asyncio.to_thread(server.kill)
            _forget(tmp_path, keep=0)
            await server.restart()
            publisher.append(stream, b"%d" % count)
            await publisher.flush()
            assert publisher.resent == count
        after = [(entry.id, entry.data) for entry in await entries(server.url, stream.key)]
        assert [data for _, data in after] == numbered(count + 1)
        assert after[:-1] == before
        assert [(entry.id, entry.data) for entry in await entries(server.url, FEED)] == after


@pytest.mark.parametrize("lose_reply", [False, True])
async def test_what_got_a_new_id_is_written_again_under_that_alone(
    any_binary: Path, tmp_path: Path, *, lose_reply: bool
) -> None:
    """Another writer's entries are lost with ours: the ids that they once made the server refuse are free again."""
    with Server(binary=any_binary, directory=tmp_path) as server:
        async with Proxy(server.port) as proxy, publishing(proxy.url) as (publisher, stream):
            publisher.append(stream, b"0")
            await publisher.flush()
            async with connect(server.url) as client:
                await client.xadd(stream.key, {"data": "theirs"}, id="9999999999999-0")
            proxy.swallow = lose_reply
            publisher.append_many([stream] * 3, [b"1", b"2", b"3"])
            if lose_reply:
                await proxy.swallowed.wait()
                proxy.cut()
            await publisher.flush()
            assert await written(server.url, stream.key) == [b"0", b"theirs", b"1", b"2", b"3"]
            await asyncio.to_thread(server.kill)
            _forget(tmp_path, keep=0)
            await server.restart()
            publisher.append(stream, b"4")
            await publisher.flush()
        assert await written(server.url, stream.key) == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_server_that_lost_everything_is_written_to_on(valkey: Server) -> None:
    async with publishing(valkey.url) as (publisher, stream), connect(valkey.url) as client:
        publisher.append(stream, b"1")
        await publisher.flush()
        await client.flushall()
        publisher.append(stream, b"2")
        await publisher.flush()
        assert await written(valkey.url, stream.key) == [b"2"]


async def test_a_stopped_server_holds_memory_bounded_and_loses_nothing(any_binary: Path) -> None:
    with Server(binary=any_binary) as server:
        async with Publisher(server.url, pending_bytes_max=200_000, reply_timeout_s=60.0) as publisher:
            stream = await publisher.open_stream("test:A:trades")
            woken = asyncio.Event()
            publisher.when_writable(woken.set)
            os.kill(server.pid, signal.SIGSTOP)
            count = 0
            while publisher.writable:
                publisher.append(stream, b"%d" % count)
                count += 1
                if count % 64 == 0:
                    await asyncio.sleep(0)
            assert 200_000 <= publisher.pending_bytes <= 400_000
            assert not woken.is_set()
            with pytest.raises(BusError, match="bytes are pending"):  # noqa: PT012
                for _ in range(100_000):
                    publisher.append(stream, b"%d" % count)
                    count += 1
            assert publisher.pending_bytes <= 4 * 200_000 + 2 * 512 * 200
            with pytest.raises(BusError, match="were not acknowledged"):
                await publisher.flush(0.01)
            os.kill(server.pid, signal.SIGCONT)
            await woken.wait()
            assert publisher.writable
            await publisher.flush()
        assert await written(server.url, stream.key) == numbered(count)


async def test_a_stream_that_is_closed_behind_a_stopped_server_leaves_the_others_whole(any_binary: Path) -> None:
    with Server(binary=any_binary) as server:
        async with Publisher(server.url, reply_timeout_s=60.0) as publisher:
            kept, gone = [await publisher.open_stream(f"test:{name}:trades") for name in "AB"]
            os.kill(server.pid, signal.SIGSTOP)
            for number in range(20_000):
                publisher.append_many([kept, gone], [b"%d" % number, b"x" * 50])
                if number % 50 == 0:
                    await asyncio.sleep(0)
            publisher.close_streams([gone.key])
            pending_bytes = publisher.pending_bytes
            publisher.append(kept, b"20000")
            assert publisher.pending_bytes == pending_bytes + 5 + ENTRY_OVERHEAD_BYTES
            os.kill(server.pid, signal.SIGCONT)
            await publisher.flush()
            assert publisher.pending_bytes == 0
            assert publisher.acknowledged + publisher.dropped == publisher.appended == 40_001
        own = await written(server.url, kept.key)
        assert own == numbered(20_001)
        assert len(await written(server.url, gone.key)) == 20_000 - publisher.dropped


async def test_a_silent_server_is_left_and_found_again(any_binary: Path) -> None:
    with Server(binary=any_binary) as server:
        async with Publisher(server.url, reply_timeout_s=0.5, connect_timeout_s=0.5, backoff_max_s=0.05) as publisher:
            stream = await publisher.open_stream("test:A:trades")
            os.kill(server.pid, signal.SIGSTOP)
            publisher.append_many([stream] * 100, numbered(100))
            await until(lambda: not publisher.connected)
            publisher.append_many([stream] * 100, numbered(100, 100))
            os.kill(server.pid, signal.SIGCONT)
            await publisher.flush()
        assert await written(server.url, stream.key) == numbered(200)


@pytest.mark.parametrize(
    ("spoil", "mend", "code"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "OOM"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "READONLY"),
        (("ACL", "SETUSER", "default", "-xadd"), ("ACL", "SETUSER", "default", "+xadd"), "NOPERM"),
    ],
)
async def test_a_server_that_refuses_for_a_while_gets_all_of_it_in_order(
    any_server: Server, spoil: tuple[str, ...], mend: tuple[str, ...], code: str
) -> None:
    async with publishing(any_server.url) as (publisher, stream), connect(any_server.url) as client:
        publisher.append_many([stream] * 10, numbered(10))
        await publisher.flush()
        await client.execute_command(*spoil)
        for start in range(10, 1000, 10):
            publisher.append_many([stream] * 10, numbered(10, start))
            await asyncio.sleep(0)
        await until(lambda: code in (publisher.last_error or ""))
        assert publisher.acknowledged == 10
        await client.execute_command(*mend)
        await publisher.flush()
        assert await written(any_server.url, stream.key) == numbered(1000)


async def test_a_key_that_turned_into_something_else_fails_alone(any_server: Server) -> None:
    async with Publisher(any_server.url) as publisher, connect(any_server.url) as client:
        feed = await publisher.open_stream(FEED)
        spoilt = await publisher.open_stream("test:A:trades", merged=feed)
        sound = await publisher.open_stream("test:B:trades", merged=feed)
        await client.set(spoilt.key, "not a stream")
        publisher.append_many([sound, spoilt, sound], [b"1", b"2", b"3"])
        await publisher.flush()
        assert publisher.failed == 1
        assert "test:A:trades" in (publisher.last_error or "")
        assert "rename or delete" in (publisher.last_error or "")
        with pytest.raises(BusError, match="WRONGTYPE"):
            async with Publisher(any_server.url) as other:
                await other.open_stream(spoilt.key)
    assert await written(any_server.url, sound.key) == [b"1", b"3"]


async def test_a_wrong_password_is_said_at_once_and_never_shown(valkey: Server) -> None:
    async with connect(valkey.url) as client:
        await client.execute_command("ACL", "SETUSER", "bus", "on", ">secret-1", "+@all", "~*")
    url = valkey.url.replace("redis://", "redis://bus:secret-2@")
    with pytest.raises(BusError, match="the user or password is wrong") as caught:
        async with Publisher(url):
            pass
    assert "secret" not in str(caught.value)
    async with Publisher(valkey.url, username="bus", password="secret-1") as publisher:
        publisher.append(await publisher.open_stream("test:A:trades"), b"1")


async def test_the_documented_rights_are_enough(any_server: Server) -> None:
    rights = "+hello +client|setname +ping +multi +exec +xadd +xtrim +xlen +xrange +xinfo|stream ~test:* ~feed:*"
    async with connect(any_server.url) as client:
        await client.execute_command("ACL", "SETUSER", "bus", "on", ">p", "resetkeys", "-@all", *rights.split())
    async with (
        Proxy(any_server.port) as proxy,
        Publisher(proxy.url, username="bus", password="p", backoff_max_s=0.02) as publisher,
    ):
        feed = await publisher.open_stream(FEED, maxlen=5000)
        stream = await publisher.open_stream("test:A:trades", maxlen=5000, merged=feed)
        for round_number in range(3):
            publisher.append_many([stream] * 300, numbered(300, 300 * round_number))
            proxy.swallow = True
            await proxy.swallowed.wait()
            proxy.cut()
            await publisher.flush()
        assert publisher.settled_by_id > 900  # What had been acknowledged was written again as well.
        assert publisher.acknowledged == 900
    assert await written(any_server.url, stream.key) == await written(any_server.url, FEED) == numbered(900)


async def test_no_server_is_an_error_within_the_time_given() -> None:
    with pytest.raises(BusError, match=r"127\.0\.0\.1:1"):
        async with Publisher("redis://127.0.0.1:1", connect_timeout_s=0.1):
            pass


async def test_closing_with_entries_left_says_so() -> None:
    with Server() as server, pytest.raises(BusError, match="3 entries were not acknowledged"):  # noqa: PT012
        async with Publisher(server.url, close_timeout_s=0.05) as publisher:
            stream = await publisher.open_stream("test:A:trades")
            await asyncio.to_thread(server.kill)
            publisher.append_many([stream] * 3, numbered(3))


async def test_a_stream_has_one_set_of_settings(valkey: Server) -> None:
    async with Publisher(valkey.url) as publisher:
        stream = await publisher.open_stream("test:A:trades", maxlen=10)
        assert await publisher.open_stream("test:A:trades", maxlen=10) is stream
        with pytest.raises(ConfigError, match="another maxlen"):
            await publisher.open_stream("test:A:trades")


async def test_a_used_up_stream_is_refused(valkey: Server) -> None:
    async with connect(valkey.url) as client, Publisher(valkey.url) as publisher:
        await client.xadd("test:A:trades", {"data": "x"}, id=f"{2**64 - 1}-{2**64 - 1}")
        with pytest.raises(BusError, match="last possible id"):
            await publisher.open_stream("test:A:trades")


async def test_while_nothing_is_on_its_way_a_batch_leaves_before_the_turn_ends(valkey: Server) -> None:
    """What the rest of the turn has to do comes on top of an entry's latency otherwise."""
    async with publishing(valkey.url) as (publisher, stream):
        with redis.Redis.from_url(valkey.url) as asker:
            publisher.append_many([stream], [b"first"])
            until_s = time.monotonic() + 10
            while not asker.xlen(stream.key):  # The loop is held up all the while.
                assert time.monotonic() < until_s


async def test_order_holds_whichever_way_a_batch_leaves(any_server: Server) -> None:
    """Straight, at the turn's end, after a lease has lapsed, or once more over the next connection."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    now_s = asyncio.get_running_loop().time
    async with Proxy(any_server.port) as proxy, Publisher(proxy.url, leased=True, backoff_max_s=0.02) as publisher:
        publisher.hold.when_linked(lambda: publisher.hold.until(now_s() + 60, now_s()))
        publisher.hold.until(now_s() + 60, now_s())
        feed = await publisher.open_stream(FEED)
        streams = [await publisher.open_stream(f"test:{n}:trades", merged=feed) for n in range(3)]
        count = 0
        for _ in range(120):
            for _ in range(dice.choice([1, 1, 2, 5])):
                size = dice.choice([1, 1, 1, 3, 40, 600])
                publisher.append_many(dice.choices(streams, k=size), numbered(size, count))
                count += size
            what = dice.random()
            if what < 0.05:
                publisher.hold.until(0, now_s())
            elif what < 0.2:
                publisher.hold.until(now_s() + 60, now_s())
            elif what < 0.25:
                proxy.cut()
            elif what < 0.3:
                publisher.hold.until(now_s() + 60, now_s())
                await publisher.flush()
            else:
                await asyncio.sleep(0)
        publisher.hold.until(now_s() + 60, now_s())
        await publisher.flush()
        assert publisher.refused_ids == 0
    merged = await entries(any_server.url, FEED)
    assert [entry.data for entry in merged] == numbered(count)
    for stream in streams:
        assert await written(any_server.url, stream.key) == [e.data for e in merged if e.key == stream.key]


async def test_what_is_appended_behind_others_is_one_transaction_a_turn(valkey: Server) -> None:
    async with publishing(valkey.url) as (publisher, stream), connect(valkey.url) as client:
        calls = partial(client.info, "commandstats")
        before = (await calls()).get("cmdstat_exec", {}).get("calls", 0)
        for number in range(100):
            publisher.append(stream, b"%d" % number)
        await publisher.flush()
        assert (await calls())["cmdstat_exec"]["calls"] == before + STRAIGHT_MAX + 1


async def _late(url: str, *, leased: bool) -> list[bytes]:
    """What stands on a stream after a writer's bytes were on their way for as long as it took another to take over."""
    now_s = asyncio.get_running_loop().time
    async with (
        Proxy(int(url.rsplit(":", 1)[1].partition("/")[0])) as proxy,
        Publisher(proxy.url, leased=leased) as loser,
        Publisher(url, leased=leased) as taker,
    ):
        loser.hold.until(now_s() + 60, now_s())
        own = await loser.open_stream("test:A:trades")
        loser.append(own, b"1")
        await loser.flush()
        proxy.delay()
        loser.append(own, b"2")
        await proxy.delayed.wait()
        loser.hold.until(0, now_s())  # Its lease is over; what it has written is still on its way.
        taker.hold.until(now_s() + 60, now_s())
        stream = await taker.open_stream("test:A:trades")
        assert await written(url, "test:A:trades") == [b"1"]
        proxy.deliver()
        while loser.refused_ids == 0 and loser.acknowledged < 2:  # noqa: ASYNC110 (a counter has no event)
            await asyncio.sleep(0.001)
        taker.append(stream, b"2")  # as it comes from the venue again, the stream having ended before it
        await taker.flush()
        loser.close_streams(["test:A:trades"])
    return await written(url, "test:A:trades")


async def test_what_a_loser_had_written_comes_too_late_for_a_leased_stream(any_server: Server) -> None:
    assert await _late(any_server.url, leased=True) == [b"1", b"2"]


async def test_without_the_floor_it_would_be_doubled(any_server: Server) -> None:
    assert await _late(any_server.url, leased=False) == [b"1", b"2", b"2"]


async def test_a_leased_publisher_writes_only_while_it_may(any_server: Server) -> None:
    now_s = asyncio.get_running_loop().time
    url = any_server.url
    async with Publisher(url, leased=True) as publisher:
        stream = await publisher.open_stream("test:A:trades")
        publisher.append(stream, b"1")
        with pytest.raises(BusError):
            await publisher.flush(0.05)
        assert await written(url, "test:A:trades") == []
        publisher.hold.until(now_s() + 60, now_s())
        await publisher.flush()
        publisher.hold.until(0, now_s())
        publisher.append_many([stream, stream], [b"2", b"3"])
        publisher.close_streams(["test:A:trades"])
        await publisher.flush()
        assert publisher.dropped == 2
        assert publisher.pending_bytes == 0
    assert await written(url, "test:A:trades") == [b"1"]


async def test_a_lease_that_was_asked_for_before_a_reconnect_is_worth_nothing(any_server: Server) -> None:
    """The server may have forgotten whom it gave it to."""
    now_s = asyncio.get_running_loop().time
    linked = asyncio.Event()
    async with Publisher(any_server.url, leased=True, backoff_max_s=0.05) as publisher:
        asked_s = now_s()
        publisher.hold.until(asked_s + 60, asked_s)
        stream = await publisher.open_stream("test:A:trades")
        publisher.hold.when_linked(linked.set)
        await any_server.restart()
        await linked.wait()
        publisher.append(stream, b"1")
        publisher.hold.until(asked_s + 60, asked_s)
        with pytest.raises(BusError):
            await publisher.flush(0.05)
        publisher.hold.until(now_s() + 60, now_s())
        await publisher.flush()
    assert await written(any_server.url, "test:A:trades") == [b"1"]


async def test_a_stream_that_is_opened_leased_is_there_and_empty(any_server: Server) -> None:
    async with Publisher(any_server.url, leased=True) as publisher, Reader(any_server.url, {}) as reader:
        await publisher.open_stream("test:A:trades")
        assert await reader.entries("test:A:trades") == []


@contextlib.asynccontextmanager
async def _fenced(server: Server) -> AsyncIterator[tuple[Proxy, Publisher, Stream]]:
    """A leased publisher whose one entry of two was written too late: its next request waits for `proxy.deliver`."""
    now_s = asyncio.get_running_loop().time
    async with (
        Proxy(server.port) as proxy,
        Publisher(proxy.url, leased=True, retain_s=0) as loser,  # Nothing retained: no PING that would be delayed.
        Publisher(server.url, leased=True) as taker,
    ):
        loser.hold.until(now_s() + 60, now_s())
        stream = await loser.open_stream("test:A:trades")
        loser.append(stream, b"1")
        await loser.flush()
        proxy.delay()
        loser.append(stream, b"2")
        await proxy.delayed.wait()
        loser.hold.until(0, now_s())
        await taker.open_stream(stream.key)
        proxy.deliver()
        proxy.delay()
        await proxy.delayed.wait()  # Refused, it asks what the stream holds.
        assert loser.refused_ids == 1
        yield proxy, loser, stream


async def test_a_stream_that_is_closed_while_the_server_is_asked_about_it_gets_nothing(any_server: Server) -> None:
    """Its owner by then would tell the same, and the lease is renewed for other streams."""
    now_s = asyncio.get_running_loop().time
    async with _fenced(any_server) as (proxy, loser, stream):
        loser.close_streams([stream.key])
        loser.hold.until(now_s() + 60, now_s())
        other = asyncio.create_task(loser.open_stream("test:B:trades"))
        proxy.deliver()
        loser.append(await other, b"3")
        await loser.flush()
        assert (loser.appended, loser.acknowledged, loser.dropped, loser.pending_bytes) == (3, 2, 1, 0)
    assert await written(any_server.url, stream.key) == [b"1"]
    assert await written(any_server.url, "test:B:trades") == [b"3"]


async def test_a_question_that_nobody_answered_is_asked_again_and_counted_once(any_server: Server) -> None:
    """Of two entries that were refused one is given up while the answers about both are lost, again and again."""
    async with (
        Proxy(any_server.port) as proxy,
        Publisher(proxy.url, retain_s=0, backoff_max_s=0.02) as publisher,
        connect(any_server.url) as client,
    ):
        gone, kept = [await publisher.open_stream(f"test:{name}:trades") for name in "AB"]
        for stream in (gone, kept):
            await client.xadd(stream.key, {"data": "theirs"}, id="9999999999999-0")
        proxy.delay()
        publisher.append_many([gone, kept], [b"1", b"2"])
        await proxy.delayed.wait()
        proxy.deliver()
        publisher.hold.when_linked(lambda: proxy.delay() if proxy.connections <= 3 else None)
        proxy.delay()
        for _ in range(3):
            await proxy.delayed.wait()
            proxy.delayed.clear()
            proxy.cut()
            proxy.deliver()
            publisher.close_streams([gone.key])
        await publisher.flush()
        assert publisher.refused_ids == 2
        assert (publisher.acknowledged, publisher.dropped, publisher.pending_bytes) == (1, 1, 0)
    assert await written(any_server.url, gone.key) == [b"theirs"]
    assert await written(any_server.url, kept.key) == [b"theirs", b"2"]


class Pausing(SystemClock):
    """A clock in whose reading the process may stand still, as it may anywhere."""

    pause_s = 0.0

    def now_ns(self) -> int:
        time.sleep(self.pause_s)
        return super().now_ns()


async def test_a_process_that_stood_still_gives_out_no_id_of_afterwards(valkey: Server) -> None:
    """Such an id would be above the floor of whoever has taken the stream over meanwhile."""
    clock = Pausing()
    now_s = asyncio.get_running_loop().time
    async with Publisher(valkey.url, clock=clock, leased=True) as publisher:
        stream = await publisher.open_stream("test:A:trades")
        publisher.hold.until(now_s() + 0.05, now_s())
        clock.pause_s = 0.1
        publisher.append(stream, b"1")
        clock.pause_s = 0.0
        assert await written(valkey.url, stream.key) == []
        publisher.hold.until(now_s() + 60, now_s())
        await publisher.flush()
    assert await written(valkey.url, stream.key) == [b"1"]
