"""What `stream` and `capture` are asked for, and the feed that supplies it."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from heliograph.app import Where, beside, feed_settings, open_streams, open_venues, rest_settings
from heliograph.clock import SystemClock
from heliograph.config import BusSettings, ConnectorSettings, RepairSettings, load
from heliograph.connect import rest
from heliograph.connect.listing import list_instruments
from heliograph.errors import ConfigError, VenueRejected
from heliograph.marketdata.fanout import FanOut
from heliograph.marketdata.feed import MarketFeed
from heliograph.marketdata.session import Capture
from heliograph.marketdata.tap import Tap
from heliograph.metrics import FeedMetrics
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues import VENUES, find_venue, markets_of
from heliograph.venues.contract import Market, Subscription, VenueError
from heliograph.venues.directory import Directory
from heliograph.venues.keys import require_key


class Wish(msgspec.Struct, frozen=True):
    """What the user asked for."""

    venue: str
    market: str | None
    symbols: Sequence[str]
    channels: Sequence[str]
    interval: str
    where: Where
    valkey_url: str | None = None
    """Where to publish as well."""


def check(wish: Wish) -> None:
    """Refuse what cannot be supplied before anything is opened or written.

    Raises:
        ConfigError: a venue, market, channel or interval that there is not.

    """
    for market, _ in markets_of(find_venue(wish.venue, VENUES), wish.market, wish.symbols):
        check_channels(market, wish.channels, wish.interval)


def check_channels(market: Market, channels: Sequence[str], interval: str, *, past: bool = False) -> None:
    """Refuse channels and lengths of candles that a market does not have, or nobody.

    Args:
        market: the market.
        channels: what is wanted.
        interval: the length of candles.
        past: whether past candles are wanted, of which there may be more lengths than a market streams.

    Raises:
        ConfigError: it says what the market has.

    """
    subscriptions_of([], channels, interval)
    for name in channels:
        if name not in market.channels:
            raise ConfigError(f"{market.venue} {market.market} has no channel {name!r}", market.channels)
    accepted = market.streamed if Channel.CANDLES in channels and not past else market.intervals
    if interval not in accepted:
        but = ", but of the past" if interval in market.intervals else ""
        raise ConfigError(f"{market.venue} {market.market} has no interval {str(interval)!r}{but}", accepted)


def subscriptions_of(instruments: Sequence[Instrument], channels: Sequence[str], interval: str) -> list[Subscription]:
    """Return every channel of every instrument.

    Raises:
        ConfigError: a channel or an interval that there is not.

    """
    wanted = []
    for name in channels:
        if name not in list(Channel):
            raise ConfigError(f"unknown channel {name!r}", tuple(Channel))
        if interval not in list(Interval):
            raise ConfigError(f"unknown interval {interval!r}", tuple(Interval))
        length = Interval(interval) if name == Channel.CANDLES else None
        wanted += [Subscription(Channel(name), instrument, length) for instrument in instruments]
    return wanted


@asynccontextmanager
async def open_wish(
    wish: Wish, settings: ConnectorSettings, tap: Tap, capture: Capture | None = None
) -> AsyncIterator[None]:
    """Run the feeds that supply a wish, one for each market that it is about, while the context lasts.

    Args:
        wish: what the user asked for.
        settings: the connector's.
        tap: receives the events; a refusal by the venue ends it.
        capture: receives the raw frames.

    Raises:
        ConfigError: something that was asked for does not exist.
        VenueUnreachable: the venue's list of instruments cannot be had.

    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        venues = await stack.enter_async_context(open_venues(wish.where, wish.venue))
        venue = find_venue(wish.venue, venues)
        client = await stack.enter_async_context(rest.Client(rest_settings(settings), random.Random()))
        wanted: list[tuple[Market, list[Subscription]]] = []
        for market, symbols in markets_of(venue, wish.market, wish.symbols):
            require_key(market)
            instruments = Directory(market, await list_instruments(client, market)).find(symbols)
            wanted.append((market, subscriptions_of(instruments, wish.channels, wish.interval)))

        def refused(_: Sequence[Subscription], error: VenueError) -> None:
            tap.fail(VenueRejected(venue.name, error.code, error.reason))

        streams = None
        if wish.valkey_url is not None:
            streams = await stack.enter_async_context(open_streams(wish.valkey_url, load(BusSettings)))
        sink = tap if streams is None else FanOut(tap, streams)
        settled = feed_settings(settings, load(RepairSettings))
        for market, subscriptions in wanted:
            metrics = FeedMetrics(market.venue, market.market)
            feed = MarketFeed(
                market, settled, sink, metrics, clock, client, resume=streams, refused=refused, capture=capture
            )
            feed.add(subscriptions)
            await stack.enter_async_context(beside(feed.run()))
        yield
