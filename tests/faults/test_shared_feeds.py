"""Feeds that share the instruments are killed, stopped and started, with real processes; nothing is lost or doubled.

A run prints its seed, as those of `test_kills` do.
"""

import asyncio
import random
import signal
from collections import Counter

import pytest

from heliograph.bus import keys
from heliograph.bus.endpoint import parse_url
from heliograph.bus.routes import Routes
from heliograph.marketdata.sharing import owner
from tests.faults.conftest import Say
from tests.faults.house import House
from tests.faults.processes import Process
from tests.faults.record import RECOVERY_S_MAX, recovered, standing

LEASE_S = 3.0

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


async def settled(house: House, *feeds: Process) -> Counter[int]:
    """Wait until these are the feeds that are up, and each has exactly its part; return the parts' sizes by process."""
    shards = {keys.shard_of(instrument.id) for instrument in house.instruments}
    async with Routes(parse_url(house.url), name="test") as routes, asyncio.timeout(RECOVERY_S_MAX):
        while True:
            workers = [w.decode() for w in await routes.request(keys.FEED_WORKERS, "ZRANGE", keys.FEED_WORKERS, 0, -1)]
            leases = keys.shard_leases("binance", "spot")
            reply = await routes.request(leases, "HGETALL", leases)
            records = zip(reply[::2], reply[1::2], strict=True)
            held = {int(shard): record.decode().split(" ", 2)[2] for shard, record in records}
            pids = sorted(int(worker.split("/")[2]) for worker in workers)
            if pids == sorted(feed.pid for feed in feeds) and all(
                held.get(shard) == owner(workers, "binance", "spot", shard) for shard in shards
            ):
                return Counter(int(held[shard].split("/")[2]) for shard in shards)
            await asyncio.sleep(0.05)


async def shared(house: House, say: Say, *feeds: Process) -> Process:
    """Start one feed more, such that each of them has some of the instruments, and return it."""
    while True:
        fresh = await house.join()
        parts = await settled(house, *feeds, fresh)
        if all(parts[feed.pid] for feed in (*feeds, fresh)):
            say(f"shared among {len(parts)}: {sorted(parts.values())}")
            return fresh
        assert await fresh.stop() == 0  # Few instruments may all fall to others: a feed of another name is luckier.


async def stopped(house: House, say: Say, feed: Process) -> None:
    """Let a feed sleep through its lease, and wake up."""
    feed.send(signal.SIGSTOP)
    await recovered(house, say, "one stands still")
    feed.send(signal.SIGCONT)
    await recovered(house, say, "and goes on")


async def test_feeds_take_over_from_each_other(rng: random.Random, say: Say) -> None:
    async with standing(rng, say, HELIOGRAPH_FEED_LEASE=str(LEASE_S)) as (house, record):
        first = house.feed
        second = await shared(house, say, first)
        third = await shared(house, say, first, second)
        await house.pause(0.5)
        await second.kill()
        await recovered(house, say, "one was killed")
        await settled(house, first, third)
        await stopped(house, say, third)
        fourth = await shared(house, say, first, third)
        await house.pause(0.5)
        await third.kill()
        await recovered(house, say, "one was killed")
        await settled(house, first, fourth)
        assert await fourth.stop() == 0
        await recovered(house, say, "one was stopped in order")
        await settled(house, first)
    assert record.faithful
    assert record.misread == 0


async def test_a_fixed_part_waits_for_who_has_it(rng: random.Random, say: Say) -> None:
    """The same part twice, by mistake or during a roll-out: one of the two waits, and takes over."""
    async with standing(rng, say, HELIOGRAPH_FEED_LEASE=str(LEASE_S)) as (house, record):
        twin = await house.join("--shard", "1/1")
        await stopped(house, say, house.feed)
        async with asyncio.timeout(RECOVERY_S_MAX):  # The twin alone can have supplied all before it woke.
            while "shards lost" not in house.feed.log():  # noqa: ASYNC110 (a file has no event)
                await asyncio.sleep(0.05)
        assert await twin.stop() == 0
        await recovered(house, say, "the one who took over was stopped")
    assert record.faithful
