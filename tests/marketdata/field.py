"""A feed in the field: a simulated venue on real sockets, a real feed, a collecting sink, and the ledger to judge."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec

from heliograph.clock import Clock, SystemClock
from heliograph.connect import rest
from heliograph.marketdata.feed import MarketFeed
from heliograph.marketdata.session import Capture
from heliograph.marketdata.settings import FeedSettings
from heliograph.marketdata.sink import Resume, Sink
from heliograph.metrics import FeedMetrics
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap, Trade
from heliograph.sim import SimulatedBinance
from heliograph.venues import binance
from heliograph.venues.contract import Market, Subscription, VenueError

PATIENCE_S = 25.0

QUICK = FeedSettings(
    inactivity_s=0.5,
    reconnect_delay_s=0.02,
    reconnect_delay_s_max=0.2,
    stable_s=0.5,
    gap_grace_s=0.15,
    trade_grace_s=0.1,
    backfill_retry_s=0.1,
    breaker_recovery_s=0.3,
    breaker_recovery_s_max=0.6,
    stream_stale_s_max=0.5,
    overlap_s_max=3.0,
    drain_s_max=1.0,
)
"""The settings of a feed whose venue's minutes pass in a second."""


async def eventually(enough: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait for something that announces itself to nobody, such as a counter."""
    async with asyncio.timeout(patience_s):
        while not enough():  # noqa: ASYNC110 (a counter has no event)
            await asyncio.sleep(0.005)


class LeapingClock:
    """The machine's clock, which a test can put forward."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def now_ns(self) -> int:
        return time.time_ns() + self.ahead_ns


class Collector:
    """A consumer that keeps everything, and can refuse for a while."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.open = True
        self._news = asyncio.Event()
        self._wake: Callable[[], None] = lambda: None

    def ready(self) -> bool:
        return self.open

    def push(self, events: Sequence[Event]) -> None:
        assert self.open, "pushed to a consumer that is not ready"
        self.events += events
        self._news.set()

    def when_ready(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def resume(self) -> None:
        self.open = True
        self._wake()

    async def until(self, enough: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        """Wait for news until it is enough; a feed always has news, so this is not a poll of something silent."""
        async with asyncio.timeout(patience_s):
            while not enough():
                self._news.clear()
                await self._news.wait()

    def closed(self, instrument: Instrument, interval: Interval = Interval.M1) -> list[Candle]:
        return [
            e
            for e in self.events
            if isinstance(e, Candle) and e.closed and e.instrument.id == instrument.id and e.interval is interval
        ]

    def trades(self, instrument: Instrument) -> list[Trade]:
        return [e for e in self.events if isinstance(e, Trade) and e.instrument.id == instrument.id]

    def gaps(self) -> list[Gap]:
        return [e for e in self.events if isinstance(e, Gap)]


class Field:
    """What a test has at hand."""

    def __init__(self, sim: SimulatedBinance, market: Market, feed: MarketFeed, sink: Collector) -> None:
        self.sim = sim
        self.market = market
        self.feed = feed
        self.sink = sink
        self.metrics = feed.metrics
        self.refusals: list[tuple[Sequence[Subscription], VenueError]] = []

    def instrument(self, symbol: str) -> Instrument:
        return self.market.instrument(symbol)

    def candles(self, *symbols: str) -> list[Subscription]:
        return [Subscription(Channel.CANDLES, self.instrument(s), Interval.M1) for s in symbols]

    async def more_candles(self, symbol: str, count: int) -> None:
        """Wait until so many more closed candles have come."""
        instrument = self.instrument(symbol)
        before = len(self.sink.closed(instrument))
        await self.sink.until(lambda: len(self.sink.closed(instrument)) >= before + count)

    def check_candles(self, symbol: str) -> int:
        """Hold the closed candles against the ledger, field by field, and return how many there were."""
        told = self.sink.closed(self.instrument(symbol))
        assert told, f"no candle of {symbol}"
        truth = self.sim.ledger.candles(self.market.market, symbol, Interval.M1, told[0].open_ns, told[-1].open_ns + 1)
        assert [c.open_ns for c in told] == [bar.open_ns for bar in truth], "each once, in order, none missing"
        contracts = self.market.market == "coinm"
        for candle, bar in zip(told, truth, strict=True):
            assert (candle.open, candle.high, candle.low, candle.close) == (bar.open, bar.high, bar.low, bar.close)
            assert candle.close_ns == bar.end_ns
            assert (candle.contracts if contracts else candle.base_volume) == bar.volume
            assert (candle.base_volume if contracts else candle.quote_volume) == bar.counter
            assert candle.trade_count == bar.fills
        return len(told)

    def check_story(self, symbol: str) -> tuple[int, int]:
        """Closed candles and gaps together leave nothing out; return how many of each there were."""
        instrument = self.instrument(symbol)
        position: int | None = None
        candles = gaps = 0
        for event in self.sink.events:
            if isinstance(event, Gap) and event.channel is Channel.CANDLES and event.instrument.id == instrument.id:
                assert position is None or event.from_ns == position
                position = event.to_ns
                gaps += 1
            elif isinstance(event, Candle) and event.closed and event.instrument.id == instrument.id:
                assert position is None or event.open_ns == position
                position = event.close_ns
                candles += 1
        return candles, gaps

    def check_trades(self, symbol: str) -> int:
        """Hold the trades against the ledger, and return how many there were."""
        told = self.sink.trades(self.instrument(symbol))
        assert told, f"no trade of {symbol}"
        first, last = told[0], told[-1]
        assert first.event_ns is not None
        assert last.event_ns is not None
        truth = self.sim.ledger.trades(self.market.market, symbol, first.event_ns, last.event_ns + 1)
        wanted = [t for t in truth if first.sequence <= t.id <= last.sequence]  # type: ignore[operator]
        assert [t.sequence for t in told] == [t.id for t in wanted], "each once, in order, none missing"
        assert [(t.price, t.quantity) for t in told] == [(t.price, t.quantity) for t in wanted]
        return len(told)

    def check_order(self) -> None:
        """Nothing of a bar after its final; live bars only forward; no gap unless a test expects one."""
        finished: dict[object, int] = {}
        live: dict[object, tuple[int, int]] = {}
        for event in self.sink.events:
            if not isinstance(event, Candle):
                continue
            key = (event.instrument.id, event.interval)
            assert event.open_ns > finished.get(key, -1)
            if event.closed:
                finished[key] = event.open_ns
            else:
                mark = (event.open_ns, event.trade_count or 0)
                assert mark >= live.get(key, mark)
                live[key] = mark


@asynccontextmanager
async def field(
    *,
    market: str = "spot",
    settings: FeedSettings = QUICK,
    speed: float = 240,
    symbols: int = 2,
    seed: int = 7,
    resume: Resume | None = None,
    sink: Sink | None = None,
    faults_per_minute: float = 0.0,
    clock: Clock | None = None,
    capture: Capture | None = None,
    **limits: float,
) -> AsyncIterator[Field]:
    """Run a simulated venue and a feed on it; `limits` replaces some of the market's."""
    collector = Collector()
    async with (
        SimulatedBinance(seed=seed, speed=speed, symbols=symbols, faults_per_minute=faults_per_minute) as sim,
        rest.Client(rest.Settings(timeout_s=2.0), random.Random(seed)) as client,
    ):
        where = sim.endpoints[market]
        declared = binance.VENUE.markets[MarketId(market)]
        declared = msgspec.structs.replace(
            declared,
            socket_url=where["socket_url"],
            rest_url=where["rest_url"],
            limits=msgspec.structs.replace(declared.limits, **limits),
        )
        refusals: list[tuple[Sequence[Subscription], VenueError]] = []
        feed = MarketFeed(
            declared,
            settings,
            sink or collector,
            FeedMetrics("binance", market),
            clock or SystemClock(),
            client,
            resume=resume,
            refused=lambda subscriptions, error: refusals.append((subscriptions, error)),
            capture=capture,
            seed=seed,
        )
        here = Field(sim, declared, feed, collector)
        here.refusals = refusals
        running = asyncio.create_task(feed.run())
        try:
            yield here
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert feed.metrics.active_connections == 0, "the gauge does not leak"
        if not running.cancelled() and running.exception() is not None:
            raise running.exception()  # type: ignore[misc]
