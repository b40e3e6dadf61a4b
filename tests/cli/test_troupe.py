"""Venues that another process plays."""

import asyncio
import sys

import aiohttp
import pytest

from heliograph.cli.troupe import open_troupe
from heliograph.clock import NS_PER_MS
from heliograph.errors import VenueUnreachable
from heliograph.model.interval import Interval
from heliograph.sim.faults import Fault, FaultKind


async def test_the_world_over_there_is_the_world_here() -> None:
    async with open_troupe(["okx", "bybit"], seed=3, speed=10.0, symbols=1) as players:
        assert [player.venue for player in players] == ["okx", "bybit"]
        okx = players[0]
        url = okx.endpoints["spot"]["rest_url"]
        async with aiohttp.ClientSession() as http:
            path = "/api/v5/market/history-candles?instId=BTC-USDT&bar=1m&limit=1"
            async with http.get(url + path) as answer:
                ((opened, first, *_),) = (await answer.json())["data"]
            open_ns = int(opened) * NS_PER_MS
            (bar,) = okx.ledger.candles("spot", "BTC-USDT", Interval.M1, open_ns, open_ns + 1)
            assert f"{bar.open:f}" == first
            await okx.fault(Fault(FaultKind.HTTP, status=503))
            async with http.get(url + path) as answer:
                assert answer.status == 503


async def test_a_starter_that_is_killed_leaves_no_venue_behind() -> None:
    program = """
import asyncio
from heliograph.cli.troupe import open_troupe
async def main():
    async with open_troupe(["okx"], seed=3, speed=10.0, symbols=1) as (okx,):
        print(okx.endpoints["spot"]["rest_url"], flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert starter.stdout is not None
    host, port = (await starter.stdout.readline()).decode().strip().removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    starter.kill()
    await starter.wait()
    async with asyncio.timeout(10):
        assert await reader.read() == b""  # Whoever listened there has closed what it had.
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))


async def test_a_process_that_does_not_begin_is_told_of() -> None:
    with pytest.raises(VenueUnreachable, match="did not begin"):
        async with open_troupe(["mtgox"], seed=3, speed=10.0, symbols=1):
            pass
