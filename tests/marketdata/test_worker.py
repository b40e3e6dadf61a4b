"""Workers that share a market, each with leases and a sink of its own on one real server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from heliograph.bus import keys
from heliograph.bus.embedded import Server
from heliograph.bus.leases import Identity, Leases
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Reader
from heliograph.clock import SystemClock
from heliograph.errors import BusError
from heliograph.marketdata.publish import StreamSink
from heliograph.marketdata.sharing import Slice, owner
from heliograph.marketdata.worker import Worker
from heliograph.metrics import WorkerMetrics
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel
from heliograph.venues.contract import Subscription
from tests.marketdata.field import eventually

LEASE_S = 1.0
WANTED = [
    Subscription(Channel.CANDLES, Instrument(VenueId("binance"), SPOT, f"S{n}USDT"), Interval.M1) for n in range(24)
]


class Hand:
    """One worker, and what it was told to supply."""

    def __init__(self, leases: Leases, sink: StreamSink, part: Slice | None) -> None:
        self.metrics = WorkerMetrics()
        self.sink = sink
        self.supplies: set[Subscription] = set()
        self.worker = Worker(
            leases, sink, lease_s=LEASE_S, part=part, metrics=self.metrics, begin=self._begin, end=self._end
        )
        self.task = asyncio.create_task(self.worker.run())
        self.worker.want(WANTED)

    def _begin(self, subscriptions: Sequence[Subscription]) -> None:
        assert self.supplies.isdisjoint(subscriptions)
        self.supplies.update(subscriptions)

    def _end(self, subscriptions: Sequence[Subscription]) -> None:
        self.supplies.difference_update(subscriptions)

    async def die(self) -> None:
        """Stop without a word."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def hand(url: str, name: str, part: Slice | None = None) -> AsyncIterator[Hand]:
    async with (
        Leases(url, Identity(name, name, 1, name), lease_s=LEASE_S, clock=SystemClock()) as leases,
        Publisher(url, leased=True, close_timeout_s=0.1) as publisher,
        Reader(url, {}) as reader,
    ):
        here = Hand(leases, StreamSink(publisher, reader, stream_maxlen=1000, feed_maxlen=1000, leased=True), part)
        try:
            yield here
        finally:
            await here.die()


def shared(*hands: Hand) -> bool:
    """Whether every instrument is supplied, each by one of them."""
    supplied = [subscription for one in hands for subscription in one.supplies]
    return len(supplied) == len(WANTED) == len(set(supplied))


async def test_workers_share_what_is_wanted_and_take_over_from_each_other(valkey: Server) -> None:
    async with hand(valkey.url, "a") as one:
        await eventually(lambda: shared(one))
        async with hand(valkey.url, "b") as other:
            await eventually(lambda: shared(one, other) and bool(other.supplies))
            assert (one.metrics.workers, other.metrics.workers) == (2, 2)
            assert one.metrics.moves["given_back"] == other.metrics.moves["taken"] > 0
            assert sum(other.metrics.shards.values()) == other.metrics.moves["taken"]
            kept = one.supplies.copy()
        await eventually(lambda: shared(one))
        assert one.supplies > kept
        assert one.metrics.moves["lost"] == 0
        assert one.metrics.workers == 1


async def test_a_workers_death_moves_its_shards_within_the_lease(valkey: Server) -> None:
    async with hand(valkey.url, "a") as one, hand(valkey.url, "b") as other:
        await eventually(lambda: shared(one, other))
        await other.die()
        died_s = asyncio.get_running_loop().time()
        await eventually(lambda: len(one.supplies) == len(WANTED))
        assert asyncio.get_running_loop().time() - died_s < 2 * LEASE_S


async def test_who_slept_through_its_lease_stops_and_drops_what_is_pending(
    valkey: Server, candle: Callable[..., Candle]
) -> None:
    async with hand(valkey.url, "a") as one, hand(valkey.url, "b") as other:
        await eventually(lambda: shared(one, other) and bool(other.supplies))
        sleeper = other
        mine = next(iter(sleeper.supplies))
        await sleeper.sink.open([mine])
        await sleeper.die()
        await eventually(lambda: len(one.supplies) == len(WANTED))
        sleeper.sink.push([candle(1, closed=True, instrument=mine.instrument)])  # as a socket's read that waited
        sleeper.task = asyncio.create_task(sleeper.worker.run())
        await eventually(lambda: sleeper.metrics.moves["lost"] > 0)
        await eventually(lambda: shared(one, sleeper))
        assert sleeper.sink._publisher.dropped == 1
        async with Reader(valkey.url, {}) as reader:
            assert await reader.entries(keys.candles(mine.instrument, Interval.M1)) == []


async def test_what_was_lost_asleep_is_lost_even_if_it_is_a_third_ones_part_by_now(
    valkey: Server, candle: Callable[..., Candle]
) -> None:
    """Whom a shard falls to says nothing of who has it, and the lease of the rest must not let it be written."""
    async with hand(valkey.url, "a") as one, hand(valkey.url, "b") as sleeper:
        await eventually(lambda: shared(one, sleeper) and bool(sleeper.supplies))
        before = set(sleeper.supplies)
        await sleeper.sink.open(sorted(before, key=str))
        await sleeper.die()
        await eventually(lambda: len(one.supplies) == len(WANTED))
        async with hand(valkey.url, "c") as third:
            await eventually(lambda: shared(one, third) and bool(third.supplies))
            names = [str(Identity(name, name, 1, name)) for name in "abc"]
            mine = next(
                subscription
                for subscription in third.supplies & before
                if owner(names, "binance", SPOT, keys.shard_of(subscription.instrument.id)) == names[2]
            )
            sleeper.sink.push([candle(1, closed=True, instrument=mine.instrument)])
            sleeper.task = asyncio.create_task(sleeper.worker.run())
            await eventually(lambda: mine not in sleeper.supplies and shared(one, sleeper, third))
            assert sleeper.sink._publisher.dropped == 1
            async with Reader(valkey.url, {}) as reader:
                assert await reader.entries(keys.candles(mine.instrument, Interval.M1)) == []


async def test_fixed_parts_wait_for_nobody_but_for_who_has_the_same(valkey: Server) -> None:
    async with hand(valkey.url, "a", Slice(1, 2)) as one, hand(valkey.url, "b", Slice(2, 2)) as other:
        await eventually(lambda: shared(one, other))
        async with hand(valkey.url, "c", Slice(2, 2)) as same:
            await other.die()
            await eventually(lambda: shared(one, same))


async def test_what_is_no_longer_wanted_ends_and_its_shard_is_given_back(valkey: Server) -> None:
    async with hand(valkey.url, "a") as one:
        await eventually(lambda: shared(one))
        one.worker.unwant(WANTED[1:])
        assert one.supplies == {WANTED[0]}
        await eventually(lambda: sum(one.metrics.shards.values()) == 1)


async def test_a_server_that_is_away_and_back_costs_nobody_a_shard(valkey: Server) -> None:
    async with hand(valkey.url, "a") as one:
        await eventually(lambda: shared(one))
        await valkey.restart()
        one.worker.want([])
        await eventually(
            lambda: not one.worker._away and not one.sink._publisher.hold.lapsed(asyncio.get_running_loop().time())
        )
        assert one.metrics.moves["lost"] == 0
        assert shared(one)


async def test_a_streams_owner_alone_opens_it(valkey: Server) -> None:
    async with hand(valkey.url, "a") as one, hand(valkey.url, "b") as other:
        await eventually(lambda: shared(one, other) and bool(one.supplies))
        with pytest.raises(BusError, match="another worker's"):
            await other.sink.open(list(one.supplies)[:1])
