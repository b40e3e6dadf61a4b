"""One of the processes that share what is wanted of the venues: it serves the shards that are its own."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog

from heliograph.bus import keys
from heliograph.bus.leases import Leases
from heliograph.errors import BusError
from heliograph.marketdata.publish import StreamSink
from heliograph.marketdata.sharing import Slice, share
from heliograph.metrics import WorkerMetrics
from heliograph.model.instrument import MarketId, VenueId
from heliograph.venues.contract import Subscription

log = structlog.get_logger()

BEAT_S_MAX: Final = 1.0
BEATS_PER_LEASE: Final = 6
HAND_OVER_S_MAX: Final = 1.0
"""How long a shard that is given back waits for its last entries to be acknowledged."""

MarketKey = tuple[VenueId, MarketId]
Change = Callable[[Sequence[Subscription]], None]


class Worker:
    """Begins and ends subscriptions as their shards become ours and cease to be.

    Args:
        leases: which worker we are, and what is ours; open.
        sink: where the events are written; leased.
        lease_s: how long a lease lasts, in seconds.
        part: the fixed part of every market that is ours; None: what falls to us among the workers that are up.
        metrics: counts what moves.
        begin: called with subscriptions to supply from now on.
        end: called with subscriptions that somebody else is to supply.

    """

    def __init__(
        self,
        leases: Leases,
        sink: StreamSink,
        *,
        lease_s: float,
        part: Slice | None,
        metrics: WorkerMetrics,
        begin: Change,
        end: Change,
    ) -> None:
        self._leases = leases
        self._sink = sink
        self._beat_s = min(BEAT_S_MAX, lease_s / BEATS_PER_LEASE)
        self._part = part
        self._metrics = metrics
        self._begin = begin
        self._end = end
        self._wanted: dict[MarketKey, dict[int, dict[Subscription, None]]] = {}
        self._held: dict[MarketKey, dict[int, int]] = {}  # the epoch of every shard that is ours
        self._workers: tuple[str, ...] = ()
        self._wake = asyncio.Event()
        self._away = False

    def want(self, subscriptions: Sequence[Subscription]) -> None:
        """Let these be supplied: by us if they are ours, else by whose they are."""
        begun = []
        for subscription in subscriptions:
            market, shard = _place(subscription)
            self._wanted.setdefault(market, {}).setdefault(shard, {})[subscription] = None
            if shard in self._held.get(market, {}):
                begun.append(subscription)
        if begun:
            self._begin(begun)
        self._wake.set()

    def unwant(self, subscriptions: Sequence[Subscription]) -> None:
        """Let these be supplied no longer."""
        ended = []
        for subscription in subscriptions:
            market, shard = _place(subscription)
            shards = self._wanted.get(market, {})
            if shards.get(shard, {}).pop(subscription, subscription) is None and shard in self._held.get(market, {}):
                ended.append(subscription)
            if shard in shards and not shards[shard]:
                del shards[shard]
        if ended:
            self._end(ended)
        self._wake.set()

    async def run(self) -> None:
        """Keep what is ours, take what becomes so, and give back what ceases to be, until cancelled.

        What is ours when this ends is given back by `leases`, once everything is written.

        Raises:
            BusError: the server refuses us for good.

        """
        self._sink.when_linked(self._wake.set)
        while True:
            self._wake.clear()
            try:
                await self._beat()
                self._away = False
            except BusError as e:
                if e.code in ("NOPERM", "NOAUTH", "WRONGPASS", "WRONGTYPE"):
                    raise
                if not self._away:
                    log.warning("leases not renewed", error=str(e))
                self._away = True
            try:
                async with asyncio.timeout(self._beat_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _beat(self) -> None:
        asked_s = asyncio.get_running_loop().time()
        if self._part is None:
            self._note(await self._leases.beat())
        surplus: list[tuple[MarketKey, set[int]]] = []
        for market in {*self._wanted, *self._held}:
            own = self._own(market, self._wanted.get(market, {}))
            held = self._held.setdefault(market, {})
            # Also for what falls to another by now: it may be lost as well, and then its writer is somebody else.
            granted = await self._leases.hold(keys.shard_leases(*market), own | held.keys())
            lost = {shard for shard, epoch in held.items() if granted.get(shard) != epoch}
            if lost:
                self._lose(market, lost)
            if left := held.keys() - own:
                surplus.append((market, left))
            self._take(market, {shard: granted[shard] for shard in granted.keys() & own - held.keys()})
            await self._leases.release(keys.shard_leases(*market), granted.keys() - held.keys())
        self._sink.hold_until(asked_s + self._leases.usable_s, asked_s)
        for market, left in surplus:
            await self._give_back(market, left)
        self._metrics.shards = {market: len(held) for market, held in self._held.items()}

    def _own(self, market: MarketKey, wanted: Collection[int]) -> set[int]:
        if self._part is not None:
            return self._part.shards(wanted)
        return share(self._workers, self._leases.worker, *market, wanted)

    def _note(self, workers: tuple[str, ...]) -> None:
        if workers != self._workers:
            came, gone = set(workers) - set(self._workers), set(self._workers) - set(workers)
            log.info("feed workers", up=len(workers), came=sorted(came), gone=sorted(gone))
            self._workers = workers
            self._metrics.workers = len(workers)

    def _take(self, market: MarketKey, fresh: dict[int, int]) -> None:
        if not fresh:
            return
        for shard, epoch in fresh.items():
            self._held[market][shard] = epoch
            self._sink.take(*market, shard)
        self._metrics.moves["taken"] += len(fresh)
        log.info("shards taken", market=":".join(market), shards=sorted(fresh))
        self._begin(self._subscriptions(market, fresh))

    def _lose(self, market: MarketKey, lost: Collection[int]) -> None:
        """Stop at once: somebody else has these."""
        self._forget(market, lost)
        for shard in lost:
            self._sink.give_up(*market, shard)
        self._metrics.moves["lost"] += len(lost)
        log.warning("shards lost", market=":".join(market), shards=sorted(lost))

    async def _give_back(self, market: MarketKey, surplus: Collection[int]) -> None:
        """Let somebody else have these, once what we took of them is written."""
        self._forget(market, surplus)
        written = await self._sink.hand_over(*market, surplus, HAND_OVER_S_MAX)
        self._metrics.moves["given_back"] += len(surplus)
        log.info("shards given back", market=":".join(market), shards=sorted(surplus), at_once=written)
        await self._leases.release(keys.shard_leases(*market), surplus if written else ())

    def _forget(self, market: MarketKey, shards: Collection[int]) -> None:
        for shard in shards:
            del self._held[market][shard]
        self._end(self._subscriptions(market, shards))

    def _subscriptions(self, market: MarketKey, shards: Collection[int]) -> list[Subscription]:
        wanted = self._wanted.get(market, {})
        return [subscription for shard in shards for subscription in wanted.get(shard, ())]


def _place(subscription: Subscription) -> tuple[MarketKey, int]:
    instrument = subscription.instrument
    return (instrument.venue, instrument.market), keys.shard_of(instrument.id)
