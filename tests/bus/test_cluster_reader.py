"""The reader of a cluster; `test_scatter` holds that it goes on when a primary is killed."""

import asyncio
from collections.abc import Iterator

import pytest

from heliograph.bus.cluster_reader import ClusterReader
from heliograph.bus.embedded_cluster import Cluster, cluster
from heliograph.bus.endpoint import parse_url
from heliograph.bus.routes import Routes
from heliograph.errors import BusError, ConfigError


@pytest.fixture(scope="module")
def servers() -> Iterator[Cluster]:
    """A cluster that the module's tests share: use keys of your own."""
    with asyncio.Runner() as runner:
        opened = cluster()
        yield runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


async def add(routes: Routes, key: str, *numbers: int) -> None:
    for number in numbers:
        await routes.request(key, "XADD", key, f"{number}-0", "data", number)


async def test_streams_of_all_nodes_are_read_from_where_each_stands(servers: Cluster) -> None:
    keys = [f"read{n}" for n in range(12)]
    async with Routes(parse_url(servers.url), name="test") as routes:
        for key in keys:
            await add(routes, key, 1, 2, 3)
        positions = dict.fromkeys(keys[:6], "1") | dict.fromkeys(keys[6:], "$")
        async with ClusterReader(servers.url, positions) as reader:
            assert set(reader.positions.values()) == {"1-0", "3-0"}
            for key in keys:
                await add(routes, key, 4)
            read: dict[str, list[bytes]] = {}
            async with asyncio.timeout(10):
                async for entry in reader:
                    read.setdefault(entry.stream, []).append(entry.data)
                    if sum(map(len, read.values())) == 24:
                        break
            assert all(read[key] == [b"2", b"3", b"4"] for key in keys[:6])
            assert all(read[key] == [b"4"] for key in keys[6:])
            assert set(reader.positions.values()) == {"4-0"}
            assert (reader.gaps, reader.reconnects) == (0, 0)


async def test_a_streams_entries_can_be_asked_for(servers: Cluster) -> None:
    async with Routes(parse_url(servers.url), name="test") as routes, ClusterReader(servers.url, {}) as reader:
        await add(routes, "asked", 1, 2, 3)
        assert [entry.id for entry in await reader.last_entries("asked", 2)] == ["2-0", "3-0"]
        assert [entry.id for entry in await reader.entries("asked", "2")] == ["2-0", "3-0"]
        assert [entry.id for entry in await reader.entries("asked", count=1)] == ["1-0"]
        with pytest.raises(ConfigError):
            async for _ in reader.batches():
                pass


async def test_what_is_no_stream_is_said(servers: Cluster) -> None:
    async with Routes(parse_url(servers.url), name="test") as routes:
        await routes.request("text", "SET", "text", "x")
        await add(routes, "fine", 1)
        async with ClusterReader(servers.url, {"text": "0", "fine": "1"}) as reader:
            with pytest.raises(BusError, match="WRONGTYPE"):
                await anext(reader.batches())
