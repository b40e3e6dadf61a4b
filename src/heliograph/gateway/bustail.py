"""Market data from the bus: the merged feeds are tailed, and what is wanted is asked for on `feed:demand`."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from heliograph.bus import keys
from heliograph.bus.endpoint import Endpoint, parse_url
from heliograph.bus.opening import open_reader
from heliograph.bus.reader import Entry
from heliograph.bus.routes import Routes
from heliograph.clock import NS_PER_MS, NS_PER_S, Clock
from heliograph.connect.backoff import Backoff
from heliograph.connect.limits import loop_clock_ns
from heliograph.errors import BusError, DecodeError
from heliograph.gateway.hub import Upstream
from heliograph.gateway.mailbox import Key, key_of
from heliograph.metrics import FeedCollector, FeedMetrics
from heliograph.model import demand
from heliograph.model.demand import Demand
from heliograph.model.instrument import Instrument, MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap
from heliograph.model.wire import decode_candle, decode_gap
from heliograph.venues.contract import Market, Subscription
from heliograph.venues.directory import Directory

log = structlog.get_logger()

LEASE_S: Final = 30.0
"""How long a demand lasts; a gateway that dies is forgotten after it."""
RENEW_S: Final = 10.0
RETRY_S: Final = 0.5
RETRY_S_MAX: Final = 5.0
REPLY_S_MAX: Final = 5.0
DEMAND_MAXLEN: Final = 10_000
CATCH_UP_MAX: Final = 1000
"""Candles of one instrument that are read again after trimming overtook us."""

_FATAL_CODES: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "WRONGTYPE"})

MarketKey = tuple[VenueId, MarketId]
DemandKey = tuple[VenueId, MarketId, Interval]


class BusTail:
    """Feeds of other processes, over the bus.

    What nobody supplies stays silent: it is for the client's own time-out to say so. While the server is away, nothing
    comes, the markets count as unhealthy, and the tail goes on by itself from where it was.

    Args:
        url: the server.
        gateway: this gateway's own name, unique among those alive.
        collector: where each market's counters are shown.
        clock: the time of day, for the leases.
        shards: merged feeds of each market.

    """

    def __init__(
        self, url: str | Endpoint, gateway: str, collector: FeedCollector, clock: Clock, *, shards: int = keys.SHARDS
    ) -> None:
        self._endpoint = parse_url(url) if isinstance(url, str) else url
        self._gateway = gateway
        self._collector = collector
        self._clock = clock
        self._shards = shards
        self._wanted: dict[str, Subscription] = {}  # by the name of its stream
        self._gaps: dict[str, list[Subscription]] = {}  # by the name of the gaps' stream
        self._markets: dict[MarketKey, FeedMetrics] = {}
        self._closed: dict[Key, int] = {}  # the newest closed candle's open time
        self._live: dict[Key, tuple[int, int]] = {}  # the newest open candle's open time and event time
        self._fresh: list[Subscription] = []  # whose streams are to be looked up
        self._tailed: set[MarketKey] = set()  # what happens there from now on is sure to come
        self._given_up: set[DemandKey] = set()
        self._changed = asyncio.Event()
        self._told = False  # whether the bus knows what is wanted now
        self._connected = False
        self._running: tuple[asyncio.TaskGroup, Upstream] | None = None

    async def instruments(self, market: Market, symbols: Sequence[str]) -> list[Instrument]:
        """Return the instruments that the symbols mean, taken at their word: the bus has no list of them.

        Raises:
            ConfigError: a symbol is not well-formed, or there twice.

        """
        return Directory(market).find(symbols)

    def add(self, subscriptions: Sequence[Subscription]) -> None:
        """Ask for these, and pass on what comes."""
        for subscription in subscriptions:
            instrument, interval = subscription.instrument, subscription.interval
            if subscription.channel is not Channel.CANDLES or interval is None:
                continue
            self._wanted[keys.candles(instrument, interval)] = subscription
            self._gaps.setdefault(_gaps_key(subscription), []).append(subscription)
            self._fresh.append(subscription)
            self._market((instrument.venue, instrument.market))
        self._told = False
        self._changed.set()

    def remove(self, subscriptions: Sequence[Subscription]) -> None:
        """Ask for these no longer."""
        for subscription in subscriptions:
            instrument, interval = subscription.instrument, subscription.interval
            if interval is None or self._wanted.pop(keys.candles(instrument, interval), None) is None:
                continue
            self._gaps[_gaps_key(subscription)].remove(subscription)
            self._live.pop(key_of(subscription), None)
            self._closed.pop(key_of(subscription), None)
            self._given_up.add((instrument.venue, instrument.market, interval))
        self._told = False
        self._changed.set()

    def feeds(self) -> Sequence[FeedMetrics]:
        """Return the counters of every market of which something is wanted."""
        wanted = {(s.instrument.venue, s.instrument.market) for s in self._wanted.values()}
        return [metrics for key, metrics in self._markets.items() if key in wanted]

    async def run(self, upstream: Upstream) -> None:
        """Tail and ask until cancelled.

        Raises:
            BusError: the server refuses us for good.

        """
        try:
            async with asyncio.TaskGroup() as tasks:
                self._running = (tasks, upstream)
                for key in self._markets:
                    tasks.create_task(self._tail(key, upstream))
                tasks.create_task(self._ask(upstream))
        finally:
            self._running = None

    def _market(self, key: MarketKey) -> FeedMetrics:
        metrics = self._markets.get(key)
        if metrics is None:
            metrics = self._markets[key] = FeedMetrics(*key)
            metrics.active_connections = int(self._connected)
            self._collector.add(metrics)
            if self._running is not None:
                tasks, upstream = self._running
                tasks.create_task(self._tail(key, upstream))
        return metrics

    async def _tail(self, key: MarketKey, upstream: Upstream) -> None:
        positions = {keys.merged_feed(*key, shard): "$" for shard in range(self._shards)}
        metrics = self._markets[key]
        backoff = _patience()
        while True:
            try:
                async with open_reader(self._endpoint, positions, name=f"heliograph-{self._gateway}") as reader:
                    backoff.succeeded(loop_clock_ns())
                    self._tailed.add(key)
                    self._changed.set()
                    async for batch in reader.batches():
                        await self._take(key, batch, upstream)
            except BusError as e:
                if e.code in _FATAL_CODES:
                    raise
                metrics.connection_errors["bus"] += 1
                await _wait(backoff, e, market=":".join(key))

    async def _take(self, key: MarketKey, batch: list[Entry], upstream: Upstream) -> None:
        if any(entry.after_gap for entry in batch):
            # Before anything newer: what the feed has lost is still on the instruments' own streams.
            await self._catch_up(key, upstream)
        now_ns = self._clock.now_ns()
        metrics = self._markets[key]
        events: list[Candle | Gap] = []
        for entry in batch:
            try:
                events += self._events(entry, now_ns)
            except DecodeError as e:
                metrics.frames_refused += 1
                log.warning("entry refused", key=entry.key, id=entry.id, error=str(e))
        metrics.last_message_ns = now_ns
        sent_ns = int(batch[-1].id.partition("-")[0]) * NS_PER_MS
        self._push(events, metrics, upstream, max(now_ns - sent_ns, 0))

    async def _catch_up(self, key: MarketKey, upstream: Upstream) -> None:
        wanted = [s for s in self._wanted.values() if (s.instrument.venue, s.instrument.market) == key]
        backoff = _patience()
        while True:
            try:
                async with self._linked("catch-up") as routes:
                    for subscription in wanted:
                        await self._look_up(routes, subscription, upstream)
            except BusError as e:
                await _wait(backoff, e, market=":".join(key))
            else:
                return

    def _events(self, entry: Entry, now_ns: int) -> list[Candle | Gap]:
        name = entry.key
        subscription = self._wanted.get(name)
        if subscription is not None:
            return [decode_candle(entry.data, subscription.instrument, now_ns)]
        holed = self._gaps.get(name)
        if not holed:
            return []
        gap = decode_gap(entry.data, holed[0].instrument)
        return [gap for s in holed if gap.channel is s.channel and gap.interval is s.interval]

    def _push(self, events: list[Candle | Gap], metrics: FeedMetrics, upstream: Upstream, age_ns: int) -> None:
        fresh: list[Candle | Gap] = []
        for event in events:
            if type(event) is Candle and not self._news(event):
                metrics.duplicates += 1
                continue
            fresh.append(event)
        if not fresh:
            return
        closed = sum(type(e) is Candle and e.closed for e in fresh)
        metrics.quotes_closed += closed
        metrics.quotes_open += sum(type(e) is Candle for e in fresh) - closed
        metrics.events["candles"] += len(fresh)
        metrics.observe_latency(age_ns / NS_PER_S, len(fresh))
        upstream.push(fresh)

    def _news(self, candle: Candle) -> bool:
        """Tell whether a candle says anything new: what the tail brings and what the streams hold overlap."""
        key = (candle.instrument.id, candle.interval)
        if candle.open_ns <= self._closed.get(key, -1):
            return False
        if candle.closed:
            self._closed[key] = candle.open_ns
            return True
        moment = (candle.open_ns, candle.event_ns or 0)
        if moment < self._live.get(key, moment):
            return False
        self._live[key] = moment
        return True

    async def _ask(self, upstream: Upstream) -> None:
        """Keep our demands alive, and read what the streams already hold of what is newly wanted."""
        backoff = _patience()
        while True:
            try:
                async with self._linked("demand") as routes:
                    backoff.succeeded(loop_clock_ns())
                    self._reached(connected=True)
                    self._told = False
                    while routes.lost is None:
                        self._changed.clear()
                        if not self._told:
                            self._told = True
                            await self._demand(routes)
                        await self._look_up_fresh(routes, upstream)
                        await self._change_or_renewal()
                    raise BusError(routes.lost)
            except BusError as e:
                self._reached(connected=False)
                if e.code in _FATAL_CODES:
                    raise
                await _wait(backoff, e)

    @asynccontextmanager
    async def _linked(self, purpose: str) -> AsyncIterator[Routes]:
        name = f"heliograph-{self._gateway}-{purpose}"
        # Not the client library: it was measured to lose one cancellation in twenty-five, and then never ends.
        async with Routes(self._endpoint, name=name, timeout_s=REPLY_S_MAX, ended=self._changed.set) as routes:
            yield routes

    def _reached(self, *, connected: bool) -> None:
        self._connected = connected
        for metrics in self._markets.values():
            metrics.active_connections = int(connected)
            metrics.consecutive_failures = 0 if connected else metrics.consecutive_failures + 1

    async def _change_or_renewal(self) -> None:
        try:
            async with asyncio.timeout(RENEW_S):
                await self._changed.wait()
        except TimeoutError:
            self._told = False

    async def _demand(self, routes: Routes) -> None:
        parts: dict[DemandKey, list[str]] = {key: [] for key in self._given_up}
        self._given_up = set()
        for subscription in self._wanted.values():
            instrument, interval = subscription.instrument, subscription.interval
            assert interval is not None
            parts.setdefault((instrument.venue, instrument.market, interval), []).append(instrument.venue_symbol)
        until_ms = (self._clock.now_ns() + int(LEASE_S * NS_PER_S)) // NS_PER_MS
        for (venue, market, interval), symbols in parts.items():
            for part, start in enumerate(range(0, max(len(symbols), 1), demand.SYMBOLS_MAX)):
                some = tuple(symbols[start : start + demand.SYMBOLS_MAX])
                entry = Demand(self._gateway, venue, market, some, Channel.CANDLES, interval, until_ms, part)
                data = demand.encode(entry)
                await routes.request(
                    keys.FEED_DEMAND, "XADD", keys.FEED_DEMAND, "MAXLEN", "~", DEMAND_MAXLEN, "*", "data", data
                )

    async def _look_up_fresh(self, routes: Routes, upstream: Upstream) -> None:
        fresh, self._fresh = self._fresh, []
        while fresh:
            subscription = fresh[-1]
            if (subscription.instrument.venue, subscription.instrument.market) in self._tailed:
                try:
                    await self._look_up(routes, subscription, upstream)
                except BusError:
                    self._fresh += fresh
                    raise
            else:
                # Looked up before the tail has begun, what comes between the two would be lost.
                self._fresh.append(subscription)
            fresh.pop()

    async def _look_up(self, routes: Routes, subscription: Subscription, upstream: Upstream) -> None:
        """Pass on what a stream holds: its last value, or all since the last closed candle that was passed on."""
        instrument, interval = subscription.instrument, subscription.interval
        assert interval is not None
        name = keys.candles(instrument, interval)
        last_ns = self._closed.get(key_of(subscription))
        count = 1 if last_ns is None else CATCH_UP_MAX
        rows = await routes.request(name, "XREVRANGE", name, "+", "-", "COUNT", count)
        if self._wanted.get(name) is not subscription:
            return
        metrics = self._markets[instrument.venue, instrument.market]
        now_ns = self._clock.now_ns()
        try:
            candles = [decode_candle(fields[fields.index(b"data") + 1], instrument, now_ns) for _, fields in rows[::-1]]
        except (DecodeError, ValueError) as e:
            metrics.frames_refused += 1
            log.warning("entry refused", key=name, error=str(e))
            return
        self._push(_with_holes(last_ns, candles), metrics, upstream, 0)


def _with_holes(last_ns: int | None, candles: list[Candle]) -> list[Candle | Gap]:
    """Return the candles with a gap wherever closed ones are missing since the last one that was passed on.

    The feed tells its gaps on a stream of their own, of which trimming took the same entries.
    """
    told: list[Candle | Gap] = []
    expected_ns = None if last_ns is None or not candles else candles[0].interval.next_open(last_ns)
    for index, candle in enumerate(candles):
        if expected_ns is not None and candle.open_ns > expected_ns and (candle.closed or index == 0):
            reason = "trimmed from the bus before it was read"
            told.append(
                Gap(
                    candle.instrument,
                    Channel.CANDLES,
                    candle.interval,
                    expected_ns,
                    candle.open_ns,
                    None,
                    None,
                    reason,
                    candle.received_ns,
                )
            )
            expected_ns = candle.open_ns
        if candle.closed and expected_ns is not None and candle.open_ns >= expected_ns:
            expected_ns = candle.interval.next_open(candle.open_ns)
        told.append(candle)
    return told


def _gaps_key(subscription: Subscription) -> str:
    instrument = subscription.instrument
    return f"{instrument.exchange}:{instrument.pair}:gaps"


def _patience() -> Backoff:
    return Backoff(random.Random(), base_s=RETRY_S, cap_s=RETRY_S_MAX, stable_s=RETRY_S_MAX)


async def _wait(backoff: Backoff, error: BusError, **about: str) -> None:
    """Wait before the server is tried again; say so the first time, not each half second of an outage."""
    wait_ns = backoff.failed(loop_clock_ns())
    if backoff.failures == 1:
        log.warning("bus away", error=str(error), **about)
    await asyncio.sleep(wait_ns / NS_PER_S)
