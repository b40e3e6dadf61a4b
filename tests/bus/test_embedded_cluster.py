import asyncio

from heliograph.bus.embedded_cluster import cluster
from heliograph.bus.endpoint import parse_url
from heliograph.bus.routes import SLOTS, Routes
from heliograph.errors import BusError


async def test_three_primaries_serve_every_slot_and_one_is_replaced() -> None:
    async with cluster() as servers:
        assert len(servers.servers) == 6
        victim = servers.first_primary_of(0)
        assert victim is servers.servers[0]
        assert servers.first_primary_of(SLOTS - 1) is servers.servers[2]
        async with Routes(parse_url(servers.url), name="test") as routes:
            assert routes.clustered
            assert {node.port for node in await routes.nodes()} == {server.port for server in servers.servers[:3]}
            for number in range(100):
                assert await routes.request(f"k{number}", "SET", f"k{number}", number) == b"OK"
            await asyncio.to_thread(victim.kill)
            key = next(f"k{n}" for n in range(100) if (place := routes.place(f"k{n}")) and place.port == victim.port)
            async with asyncio.timeout(20):
                while True:
                    try:
                        assert await routes.request(key, "GET", key) is not None
                        break
                    except BusError:
                        await asyncio.sleep(0.05)
            assert (await routes.endpoint_of(key)).port == servers.servers[3].port
            assert await routes.request("k", "PING") == b"PONG"


async def test_nothing_is_left_behind() -> None:
    async with cluster() as servers:
        folders = [server.directory for server in servers.servers]
        assert all(folder.exists() for folder in folders)
    assert not any(folder.exists() for folder in folders)
