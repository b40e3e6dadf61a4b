"""Heliograph's side of each pair: the feed as users run it, every safety feature on."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import msgspec

from bench.frames import SYMBOLS, events
from bench.stamps import Stamps
from heliograph.bus.entries import Batch
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Reader
from heliograph.clock import SystemClock
from heliograph.connect import rest
from heliograph.marketdata.feed import MarketFeed
from heliograph.marketdata.publish import StreamSink
from heliograph.marketdata.settings import FeedSettings
from heliograph.metrics import FeedMetrics
from heliograph.model.event import Event
from heliograph.model.instrument import SPOT
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues import VENUES
from heliograph.venues.contract import Subscription

CHANNELS: Final = {"candle": Channel.CANDLES, "trade": Channel.TRADES, "book_top": Channel.TICKER}


PENDING_BYTES_MAX: Final = 1 << 30


class CountingSink:
    """A user's callback: keeps what it is given, as the baseline's does, and knows when it has had everything."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._taken: list[Event] = []
        self.done: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def ready(self) -> bool:
        """Always."""
        return True

    def when_ready(self, wake: Callable[[], None]) -> None:
        """Nothing to remember: always ready."""

    def push(self, batch: Sequence[Event]) -> None:
        """Take a batch."""
        self._taken += batch
        self._left -= len(batch)
        if len(self._taken) >= 1000:
            self._taken.clear()
        if self._left <= 0 and not self.done.done():
            self.done.set_result(time.perf_counter())


def _market(port: int) -> Any:
    market = VENUES["binance"].markets[SPOT]  # type: ignore[index]  # a plain string names a venue well enough here
    return msgspec.structs.replace(market, socket_url=f"ws://127.0.0.1:{port}", rest_url="http://127.0.0.1:9")


@asynccontextmanager
async def _running(feed: MarketFeed, market: Any, kind: str) -> Any:
    interval = Interval.M1 if kind == "candle" else None
    feed.add([Subscription(CHANNELS[kind], market.instrument(symbol), interval) for symbol in SYMBOLS])
    task = asyncio.create_task(feed.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _settings() -> FeedSettings:
    return FeedSettings(symbols_per_socket_max=len(SYMBOLS))


async def objects(kind: str, port: int, count: int) -> float:
    """Return when the last object was in user code."""
    market = _market(port)
    metrics = FeedMetrics("binance", "spot")
    async with rest.Client(rest.Settings(), random.Random(1)) as client:
        sink = CountingSink(events(kind, count))
        feed = MarketFeed(market, _settings(), sink, metrics, SystemClock(), client)
        async with _running(feed, market, kind):
            return await sink.done


class CountedSink:
    """The streams, and when the last frame's entry was handed to them."""

    def __init__(self, sink: StreamSink, count: int) -> None:
        self._sink = sink
        self._left = count
        self.handed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready = sink.ready
        self.when_ready = sink.when_ready

    def push(self, batch: Sequence[Event]) -> None:
        """Pass a batch on."""
        self._sink.push(batch)
        self._left -= len(batch)
        if self._left <= 0 and not self.handed.done():
            self.handed.set_result(None)


async def entries(kind: str, port: int, count: int, valkey_port: int) -> float:
    """Return when the last entry was acknowledged.

    The venue sends faster than a server appends, and with the usual bound the feed would conflate open candles and
    tickers, and write fewer entries than the baseline. So the bound is one that this run does not reach; the baseline
    has none at all.
    """
    market = _market(port)
    metrics = FeedMetrics("binance", "spot")
    url = f"redis://127.0.0.1:{valkey_port}"
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(rest.Client(rest.Settings(), random.Random(1)))
        publisher = await stack.enter_async_context(Publisher(url, pending_bytes_max=PENDING_BYTES_MAX))
        reader = await stack.enter_async_context(Reader(url, {}))
        streams = StreamSink(publisher, reader, stream_maxlen=10_000, feed_maxlen=100_000)
        sink = CountedSink(streams, events(kind, count))
        feed = MarketFeed(market, _settings(), sink, metrics, SystemClock(), client, resume=streams)
        async with _running(feed, market, kind):
            await sink.handed
            await publisher.flush()
            return time.perf_counter()


class StampedPublisher(Publisher):
    """The publisher, which also notes when entries are acknowledged."""

    def __init__(self, url: str, stamps: Stamps) -> None:
        super().__init__(url)
        self._stamps = stamps

    def _acknowledge(self, batch: Batch, entries: int, size: int) -> None:
        super()._acknowledge(batch, entries, size)
        self._stamps.note(self.acknowledged)


async def paced(kind: str, port: int, count: int, valkey_port: int) -> dict[str, Any]:
    """Return when each entry was acknowledged; every bound is as users have it."""
    market = _market(port)
    metrics = FeedMetrics("binance", "spot")
    url = f"redis://127.0.0.1:{valkey_port}"
    stamps = Stamps(events(kind, count))
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(rest.Client(rest.Settings(), random.Random(1)))
        publisher = await stack.enter_async_context(StampedPublisher(url, stamps))
        reader = await stack.enter_async_context(Reader(url, {}))
        streams = StreamSink(publisher, reader, stream_maxlen=10_000, feed_maxlen=100_000)
        feed = MarketFeed(market, _settings(), streams, metrics, SystemClock(), client, resume=streams)
        async with _running(feed, market, kind):
            await stamps.done
    return stamps.told()
