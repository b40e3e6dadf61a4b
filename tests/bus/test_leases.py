import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import pytest

from heliograph.bus import keys
from heliograph.bus.embedded import Server
from heliograph.bus.leases import Identity, Leases
from heliograph.clock import NS_PER_S, ManualClock, SystemClock
from heliograph.errors import ConfigError

MARKET = keys.shard_leases("binance", "spot")
LEASE_S = 0.4

Opening = Callable[..., AbstractAsyncContextManager[Leases]]


@pytest.fixture
def opening(any_server: Server) -> Opening:
    """Workers of different machines, as far as they know of each other."""

    @asynccontextmanager
    async def opened(place: str, lease_s: float = 60.0) -> AsyncIterator[Leases]:
        identity = Identity("host", place, 1, "n")
        async with Leases(any_server.url, identity, lease_s=lease_s, clock=SystemClock()) as leases:
            yield leases

    return opened


async def test_workers_see_each_other_until_they_leave(opening: Opening) -> None:
    async with opening("a") as one:
        async with opening("b") as other:
            assert await one.beat() == (one.worker,)
            assert await other.beat() == (one.worker, other.worker)
            assert await one.beat() == (one.worker, other.worker)
        assert await one.beat() == (one.worker,)


async def test_a_shard_is_one_workers_until_it_gives_it_back(opening: Opening) -> None:
    async with opening("a") as one, opening("b") as other:
        assert await one.hold(MARKET, [1, 2]) == {1: 1, 2: 1}
        assert await other.hold(MARKET, [2, 3]) == {3: 1}
        assert await one.hold(MARKET, [1, 2, 3]) == {1: 1, 2: 1}
        await one.release(MARKET, [2])
        assert await other.hold(MARKET, [2, 3]) == {2: 2, 3: 1}
        await one.release(MARKET, [2])  # which it has no longer
        assert await other.hold(MARKET, [2]) == {2: 2}


async def test_whoever_leaves_gives_everything_back(opening: Opening) -> None:
    async with opening("a") as one:
        await one.hold(MARKET, [1])
    async with opening("b") as other:
        assert await other.hold(MARKET, [1]) == {1: 2}


async def test_a_silent_worker_loses_its_presence_and_its_shards(opening: Opening) -> None:
    async with opening("a", LEASE_S) as one, opening("b") as other:
        await one.beat()
        await one.hold(MARKET, [1])
        began_s = asyncio.get_running_loop().time()
        while await other.hold(MARKET, [1]) == {}:  # noqa: ASYNC110 (the server tells nobody when a lease ends)
            await asyncio.sleep(0.005)
        assert asyncio.get_running_loop().time() - began_s > LEASE_S - one.usable_s
        assert await other.beat() == (other.worker,)
        assert await one.hold(MARKET, [1]) == {}
        await other.release(MARKET, [1])
        assert await one.hold(MARKET, [1]) == {1: 3}, "somebody has had it meanwhile"


async def test_a_lease_that_ran_out_and_that_nobody_took_has_not_changed_hands(opening: Opening) -> None:
    async with opening("a", 0.1) as one:
        assert await one.hold(MARKET, [1]) == {1: 1}
        await asyncio.sleep(0.11)  # The server's clock is what ends it.
        assert await one.hold(MARKET, [1]) == {1: 1}


async def test_of_two_who_ask_at_once_one_gets_it(opening: Opening) -> None:
    async with opening("a") as one, opening("b") as other:
        for shard in range(50):
            got = await asyncio.gather(one.hold(MARKET, [shard]), other.hold(MARKET, [shard]))
            assert sorted(map(len, got)) == [0, 1]


async def test_who_died_beside_us_is_known_to_be_dead_at_once(any_server: Server) -> None:
    own = Identity.own()
    if not own.place:
        pytest.skip("processes of this machine cannot be told from others'")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=subprocess.PIPE)
    try:
        neighbour = msgspec.structs.replace(own, pid=process.pid, nonce="n")
        async with Leases(any_server.url, neighbour, lease_s=60, clock=SystemClock()) as gone:
            await gone.beat()
            await gone.hold(MARKET, [1])
            async with Leases(any_server.url, own, lease_s=60, clock=SystemClock()) as here:
                assert len(await here.beat()) == 2
                assert await here.hold(MARKET, [1]) == {}
                process.kill()
                await process.wait()
                assert await here.beat() == (here.worker,)
                assert await here.hold(MARKET, [1]) == {1: 2}
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_nobody_elses_death_is_known() -> None:
    own = Identity("host", "here", os.getpid(), "n")
    assert not own.knows_dead(str(own))
    assert not own.knows_dead(str(msgspec.structs.replace(own, nonce="m"))), "our own process lives"
    assert not own.knows_dead("host/there/999999999/n")
    assert not own.knows_dead("what else")
    assert not msgspec.structs.replace(own, place="").knows_dead("host//999999999/n")


async def test_a_clock_that_is_off_is_refused(any_server: Server) -> None:
    clock = ManualClock(SystemClock().now_ns() + 5 * NS_PER_S)
    with pytest.raises(ConfigError, match=r"\+5\.0 s"):
        async with Leases(any_server.url, Identity.own(), lease_s=6, clock=clock):
            pass
