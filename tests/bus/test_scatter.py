"""The publisher of a cluster, against a real one: three primaries and their replicas."""

import asyncio
from collections.abc import Iterator

import pytest

from heliograph.bus.embedded import Server
from heliograph.bus.embedded_cluster import Cluster, cluster
from heliograph.bus.endpoint import parse_url
from heliograph.bus.link import open_link
from heliograph.bus.opening import open_publisher, open_reader
from heliograph.bus.reader import Entry
from heliograph.bus.routes import Routes, slot_of
from heliograph.bus.scatter import Scatter
from heliograph.errors import BusError, ConfigError

STREAMS = [f"test:S{number}:trades" for number in range(24)]
FEED = "feed:test:spot:0"


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    """A cluster that the module's tests share: use keys of your own."""
    with asyncio.Runner() as runner:
        opened = cluster()
        yield runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


async def entries(url: str, key: str) -> list[Entry]:
    async with open_reader(url, {}) as reader:
        return await reader.entries(key)


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


async def test_a_cluster_gets_a_publisher_of_its_own_and_a_server_does_not(servers: Cluster, valkey: Server) -> None:
    async with open_publisher(servers.servers[4].url) as publisher:
        assert isinstance(publisher, Scatter)
    async with open_publisher(valkey.url) as publisher:
        assert not isinstance(publisher, Scatter)


async def test_what_is_appended_is_on_every_stream_and_on_the_merged_feed(servers: Cluster) -> None:
    async with Scatter(servers.url) as publisher:
        feed = await publisher.open_stream("whole" + FEED, maxlen=100_000)
        streams = [await publisher.open_stream("whole" + key, maxlen=10_000, merged=feed) for key in STREAMS]
        assert len({servers.first_primary_of(slot_of(stream.key)) for stream in streams}) == 3, "on all nodes"
        sent = numbered(6000)
        for start in range(0, len(sent), 50):
            publisher.append_many(
                [streams[n % len(streams)] for n in range(start, start + 50)], sent[start : start + 50]
            )
            await asyncio.sleep(0)
        await publisher.flush()
        assert (publisher.appended, publisher.acknowledged, publisher.pending_bytes) == (6000, 6000, 0)
        assert publisher.resent == publisher.refused_ids == publisher.failed == 0
    merged = await entries(servers.url, "whole" + FEED)
    assert [entry.data for entry in merged] == sent
    for number, stream in enumerate(streams):
        own = await entries(servers.url, stream.key)
        assert [entry.data for entry in own] == sent[number :: len(streams)]
        assert [(e.id, e.data) for e in own] == [(e.id, e.data) for e in merged if e.key == stream.key]


async def test_a_stream_is_continued_after_what_it_holds(servers: Cluster) -> None:
    async with Routes(parse_url(servers.url), name="test") as routes:
        await routes.request("ahead", "XADD", "ahead", "9999999999999-7", "data", "first")
    async with Scatter(servers.url) as publisher:
        stream = await publisher.open_stream("ahead")
        publisher.append_many([stream] * 3, numbered(3))
        await publisher.flush()
        assert publisher.refused_ids == 0
    assert [entry.data for entry in await entries(servers.url, "ahead")] == [b"first", *numbered(3)]


async def test_a_second_writer_is_noticed_and_survived(servers: Cluster) -> None:
    async with Scatter(servers.url) as publisher, Routes(parse_url(servers.url), name="test") as routes:
        stream = await publisher.open_stream("other")
        await routes.request("other", "XADD", "other", "9999999999999-7", "data", "first")
        publisher.append_many([stream] * 3, numbered(3))
        await publisher.flush()
        assert publisher.refused_ids == 3
        assert publisher.acknowledged == 3
    assert [entry.data for entry in await entries(servers.url, "other")] == [b"first", *numbered(3)]


async def test_what_can_never_succeed_is_given_up(servers: Cluster) -> None:
    async with Scatter(servers.url) as publisher, Routes(parse_url(servers.url), name="test") as routes:
        stream = await publisher.open_stream("typed")
        await routes.request("typed", "SET", "typed", "x")
        publisher.append(stream, b"1")
        await publisher.flush()
        assert publisher.failed == 1
        assert "WRONGTYPE" in str(publisher.last_error)
        with pytest.raises(ConfigError):
            await publisher.open_stream("typed", maxlen=5)


async def test_a_leased_publisher_writes_only_while_it_may_and_drops_what_is_closed(servers: Cluster) -> None:
    now_s = asyncio.get_running_loop().time
    async with Scatter(servers.url, leased=True) as publisher:
        kept, gone = await publisher.open_stream("kept"), await publisher.open_stream("gone")
        publisher.append_many([kept, gone, kept], numbered(3))
        with pytest.raises(BusError):
            await publisher.flush(0.2)
        publisher.close_streams(["gone"])
        assert publisher.dropped == 1
        publisher.hold.when_linked(lambda: publisher.hold.until(now_s() + 60, now_s()))
        publisher.hold.until(now_s() + 60, now_s())
        await publisher.flush()
    assert [entry.data for entry in await entries(servers.url, "kept")] == [b"0", b"2"]
    assert await entries(servers.url, "gone") == []


async def _lose_replica(primary: Server) -> None:
    """Make a primary's replica lose its link for good, so that what is acknowledged from now on is on nobody else."""
    link = await open_link(parse_url(primary.url), name="test", timeout_s=5)
    await link.request("CONFIG", "SET", "requirepass", "hush")  # which the replica does not know
    await link.request("CLIENT", "KILL", "TYPE", "replica")
    link.abort("done")


async def test_a_primary_is_killed_under_load_and_nothing_is_lost_or_doubled() -> None:
    """Not even what it had acknowledged and its replica has not; and the streams' reader goes on as well.

    The publisher and the reader are told of one node only, which stays.
    """
    async with cluster() as servers:
        victim = servers.first_primary_of(slot_of(STREAMS[0]))
        url = next(server.url for server in servers.servers if server is not victim)
        async with Scatter(url) as publisher, open_reader(url, dict.fromkeys([FEED, *STREAMS], "0")) as reader:
            feed = await publisher.open_stream(FEED)
            streams = [await publisher.open_stream(key, merged=feed) for key in STREAMS]
            read: dict[str, list[bytes]] = {}
            sent = 0
            done = asyncio.Event()

            async def follow() -> None:
                async for batch in reader.batches():
                    for entry in batch:
                        read.setdefault(entry.stream, []).append(entry.data)
                    if done.is_set() and len(read.get(FEED, ())) >= sent and sum(map(len, read.values())) >= 2 * sent:
                        return

            following = asyncio.create_task(follow())
            behind = killed = False
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            while publisher.moves == 0 or publisher.pending_bytes > 100_000:
                publisher.append_many([streams[n % len(streams)] for n in range(sent, sent + 24)], numbered(24, sent))
                sent += 24
                if not behind and loop.time() - began_s > 0.3:
                    behind = True
                    await _lose_replica(victim)
                if not killed and loop.time() - began_s > 0.6:
                    killed = True
                    await asyncio.to_thread(victim.kill)
                await asyncio.sleep(0.005)
                assert loop.time() - began_s < 30
            done.set()
            publisher.append_many(streams, numbered(24, sent))
            sent += 24
            await publisher.flush(30)
            assert publisher.moves > 0
            assert publisher.acknowledged == sent
            async with asyncio.timeout(20):
                await following
        everything = numbered(sent)
        for number, key in enumerate(STREAMS):
            assert [entry.data for entry in await entries(url, key)] == everything[number :: len(STREAMS)]
            assert read[key] == everything[number :: len(STREAMS)]
        assert [entry.data for entry in await entries(url, FEED)] == everything
        assert read[FEED] == everything
