"""Market data from feeds in this process: no server needed."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from heliograph.connect import rest
from heliograph.connect.listing import list_instruments
from heliograph.errors import ConfigError, DecodeError, VenueUnreachable
from heliograph.gateway.hub import Upstream
from heliograph.marketdata.feed import MarketFeed
from heliograph.metrics import FeedCollector, FeedMetrics
from heliograph.model.instrument import Instrument, MarketId, VenueId
from heliograph.venues.contract import Market, Subscription
from heliograph.venues.directory import Directory
from heliograph.venues.keys import require_key

log = structlog.get_logger()

LIST_LIFE_S: Final = 3600.0
"""How old a venue's list of instruments may be."""
LIST_LIFE_S_MIN: Final = 60.0
"""How old it must be before an unknown symbol makes us read it again."""

FeedFactory = Callable[[Market, Upstream, FeedMetrics], MarketFeed]
MarketKey = tuple[VenueId, MarketId]


class _List:
    """A market's instruments, and when they were read."""

    def __init__(self, market: Market) -> None:
        self.directory = Directory(market)
        self.read_s: float | None = None
        self.reading = asyncio.Lock()


class InProcess:
    """Feeds of our own: one for each market, made when it is first wanted.

    Args:
        markets: the markets that may be asked for.
        make_feed: makes a market's feed, which tells what it receives to the upstream.
        client: for the venues' lists of instruments.
        collector: where each feed's counters are shown.

    """

    def __init__(self, make_feed: FeedFactory, client: rest.Client, collector: FeedCollector) -> None:
        self._make_feed = make_feed
        self._client = client
        self._collector = collector
        self._lists: dict[MarketKey, _List] = {}
        self._markets: dict[MarketKey, Market] = {}
        self._feeds: dict[MarketKey, MarketFeed] = {}
        self._metrics: dict[MarketKey, FeedMetrics] = {}
        self._wanted: dict[MarketKey, dict[Subscription, None]] = {}
        self._running: tuple[asyncio.TaskGroup, Upstream] | None = None

    async def instruments(self, market: Market, symbols: Sequence[str]) -> list[Instrument]:
        """Return the instruments that the symbols mean, by the venue's own list.

        Where the venue's list cannot be had, well-formed symbols are taken at their word: the stream may work though
        the list does not.

        Raises:
            ConfigError: a symbol is not there, or the market needs a key.
            VenueRejected: the venue refuses to be asked.

        """
        require_key(market)
        key = (market.venue, market.market)
        self._markets[key] = market
        listed = self._lists.setdefault(key, _List(market))
        await self._read(market, listed, LIST_LIFE_S)
        try:
            return listed.directory.find(symbols)
        except ConfigError:
            await self._read(market, listed, LIST_LIFE_S_MIN)
            return listed.directory.find(symbols)

    async def _read(self, market: Market, listed: _List, life_s: float) -> None:
        now_s = asyncio.get_running_loop().time
        async with listed.reading:
            if listed.read_s is not None and now_s() - listed.read_s < life_s:
                return
            try:
                listed.directory = Directory(market, await list_instruments(self._client, market))
            except (VenueUnreachable, DecodeError) as e:
                log.warning("list of instruments not read", venue=market.venue, market=market.market, error=str(e))
                return
            listed.read_s = now_s()

    def add(self, subscriptions: Sequence[Subscription]) -> None:
        """Begin to supply these, as soon as `run` runs."""
        for key, part in _by_market(subscriptions).items():
            self._wanted.setdefault(key, {}).update(dict.fromkeys(part))
            if self._running is not None:
                self._feed(key, *self._running).add(part)

    def remove(self, subscriptions: Sequence[Subscription]) -> None:
        """Supply these no longer."""
        for key, part in _by_market(subscriptions).items():
            for subscription in part:
                self._wanted.get(key, {}).pop(subscription, None)
            if key in self._feeds:
                self._feeds[key].remove(part)

    def hand_over(self, subscriptions: Sequence[Subscription]) -> None:
        """Supply these no longer, since another process does: see `MarketFeed.hand_over`."""
        self.remove(subscriptions)
        for key, part in _by_market(subscriptions).items():
            if key in self._feeds:
                self._feeds[key].hand_over(part)

    def feeds(self) -> Sequence[FeedMetrics]:
        """Return the counters of every market of which something is wanted."""
        return [self._metrics[key] for key, wanted in self._wanted.items() if wanted and key in self._metrics]

    async def run(self, upstream: Upstream) -> None:
        """Run the feeds until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._running = (tasks, upstream)
                for key, wanted in self._wanted.items():
                    self._feed(key, tasks, upstream).add(tuple(wanted))
                await asyncio.Event().wait()
        finally:
            self._running = None
            self._feeds.clear()

    def _feed(self, key: MarketKey, tasks: asyncio.TaskGroup, upstream: Upstream) -> MarketFeed:
        feed = self._feeds.get(key)
        if feed is None:
            metrics = self._metrics.get(key)
            if metrics is None:
                metrics = self._metrics[key] = FeedMetrics(*key)
                self._collector.add(metrics)
            feed = self._feeds[key] = self._make_feed(self._markets[key], upstream, metrics)
            tasks.create_task(feed.run())
        return feed


def _by_market(subscriptions: Sequence[Subscription]) -> dict[MarketKey, tuple[Subscription, ...]]:
    parts: dict[MarketKey, list[Subscription]] = {}
    for subscription in subscriptions:
        parts.setdefault((subscription.instrument.venue, subscription.instrument.market), []).append(subscription)
    return {key: tuple(part) for key, part in parts.items()}
