"""Feeds of several instruments of one played venue at once, on real sockets; the ledger judges what they told.

Markets run side by side, since what a test waits for is the venue's time and not the machine's.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from heliograph.clock import NS_PER_MS, SystemClock
from heliograph.connect import rest
from heliograph.marketdata.feed import MarketFeed
from heliograph.marketdata.settings import FeedSettings
from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookDelta, BookSnapshot, OrderBook
from heliograph.model.instrument import Instrument, MarketId, VenueId
from heliograph.model.market import Candle, Channel, Gap, Ticker, Trade
from heliograph.sim import Fault, SimulatedVenue
from heliograph.sim.audit import audit_candles
from heliograph.sim.server import Listener
from heliograph.venues import VENUES
from heliograph.venues.contract import Market, Subscription, VenueError
from heliograph.venues.scene import Aggregate, Bar, Fill, Listing
from tests.marketdata.field import QUICK, Collector

SPEED = 200
EVERY = (Channel.TRADES, Channel.TICKER, Channel.BOOK)


class Place:
    """One instrument of one market, its feed, and what that told."""

    def __init__(
        self, sim: SimulatedVenue, market: Market, instrument: Instrument, client: rest.Client, settings: FeedSettings
    ) -> None:
        self.sim = sim
        self.market = market
        self.instrument = instrument
        assert market.default_interval is not None
        self.interval = market.default_interval
        self.client = client
        self.sink = Collector()
        self.refusals: list[tuple[Sequence[Subscription], VenueError]] = []
        metrics = FeedMetrics(market.venue, market.market)
        self.feed = MarketFeed(
            market, settings, self.sink, metrics, SystemClock(), client,
            seed=7, refused=lambda subscriptions, error: self.refusals.append((subscriptions, error)),
        )  # fmt: skip

    @property
    def listener(self) -> Listener:
        """The market's half of the venue, where its faults happen."""
        return self.sim.listeners[self.market.market]

    @property
    def listing(self) -> Listing:
        """What truly is listed."""
        return self.sim.world.markets[self.market.market].listings[self.instrument.venue_symbol]

    def add(self, *channels: Channel) -> None:
        """Want candles, and these besides."""
        self.feed.add([Subscription(Channel.CANDLES, self.instrument, self.interval)])
        self.feed.add([Subscription(channel, self.instrument) for channel in channels])

    def closed(self) -> list[Candle]:
        """Return the closed candles that were told."""
        return self.sink.closed(self.instrument, self.interval)

    async def more(self, candles: int) -> None:
        """Wait until so many more closed candles have come."""
        count = len(self.closed())
        await self.sink.until(lambda: len(self.closed()) >= count + candles)

    def gaps(self, channel: Channel) -> list[Gap]:
        """Return the gaps of a channel that were told."""
        return [gap for gap in self.sink.gaps() if gap.channel is channel]

    def check_candles(self, volume: Callable[[Candle, Bar, Listing], None] | None = None) -> None:
        """Every closed one once, in order, none missing, each as it happened."""
        told, symbol = self.closed(), self.instrument.venue_symbol
        span = told[0].open_ns, told[-1].open_ns + 1
        truth = self.sim.ledger.candles(self.market.market, symbol, self.interval, *span)
        verdict = audit_candles(truth, told)
        assert verdict.faithful, verdict
        for candle, bar in zip(told, truth, strict=True):
            (volume or _volumes)(candle, bar, self.listing)
        assert not self.gaps(Channel.CANDLES)

    def check_trades(
        self,
        told_as: Callable[[Trade], Hashable],
        happened_as: Callable[[Fill | Aggregate], Hashable],
        *,
        whole: bool,
        aggregates: bool = False,
        least: int = 50,
    ) -> None:
        """Each once, in order and as it happened; what is missing lies in a gap, and where `whole`, nothing is."""
        told = self.sink.trades(self.instrument)
        first_ns, last_ns = told[0].event_ns, told[-1].event_ns
        assert first_ns is not None
        assert last_ns is not None
        happened = self.sim.ledger.trades if aggregates else self.sim.ledger.fills
        truth = list(happened(self.market.market, self.instrument.venue_symbol, first_ns, last_ns + NS_PER_MS))
        places = {happened_as(item): place for place, item in enumerate(truth)}
        found = [places[told_as(trade)] for trade in told]
        assert found == sorted(set(found)), "each once, in order"
        assert len(found) >= least
        for trade, place in zip(told, found, strict=True):
            assert (trade.price, trade.quantity) == (truth[place].price, truth[place].quantity)
        gaps = self.gaps(Channel.TRADES)
        missing = [truth[place] for place in sorted(set(range(found[0], found[-1])) - set(found))]
        for item in missing:
            assert any(_within(item, gap) for gap in gaps), (item, gaps)
        numbers = {trade.sequence for trade in told}
        assert not [n for gap in gaps for n in range(gap.from_sequence or 0, gap.to_sequence or 0) if n in numbers]
        assert not (whole and (missing or gaps))

    def check_book(self, depth: int) -> None:
        """Deltas alone fold to the book as it stood, at the end and at a few moments before it."""
        deltas = [event for event in self.sink.events if isinstance(event, BookDelta)]
        assert deltas[-1].event_ns is not None
        book = OrderBook(self.instrument)
        scene = self.sim.world.markets[self.market.market]
        for number, delta in enumerate(deltas):
            book.apply(delta)
            seldom = number % max(1, len(deltas) // 5) == 0
            if delta.event_ns is not None and (seldom or delta is deltas[-1]):  # A snapshot may have no time.
                truth = scene.book(self.instrument.venue_symbol, depth, delta.event_ns)
                assert (tuple(book.bids()), tuple(book.asks())) == (truth.bids, truth.asks)

    def check_instrument(self) -> None:
        """What the venue's list says of it is so."""
        instrument, listing = self.instrument, self.listing
        assert (instrument.base, instrument.quote, instrument.settle) == (listing.base, listing.quote, listing.settle)
        assert (instrument.kind, instrument.expiry_ns) == (listing.kind, listing.expiry_ns)
        assert (instrument.tick_size, instrument.lot_size) == (listing.tick_size, listing.lot_size)
        assert instrument.contract_size == listing.contract_size

    async def arrived(self) -> None:
        """Wait until there was news of every channel."""
        kinds = (Ticker, Trade, BookDelta, BookSnapshot)
        await self.sink.until(lambda: set(kinds) <= set(map(type, self.sink.events)))


def _within(item: Fill | Aggregate, gap: Gap) -> bool:
    """Tell whether a trade lies in a gap, which is told by numbers where the venue has them, and else by times."""
    if gap.from_sequence is not None and gap.to_sequence is not None:
        return gap.from_sequence <= item.id < gap.to_sequence
    return (gap.from_ns or 0) <= item.time_ns <= (gap.to_ns or 0) + NS_PER_MS


def _volumes(candle: Candle, bar: Bar, listing: Listing) -> None:
    assert (candle.base_volume, candle.quote_volume, candle.contracts) == listing.volumes(bar)


@asynccontextmanager
async def playing(
    venue: str,
    *wanted: tuple[str, str],
    speed: float = SPEED,
    settings: FeedSettings = QUICK,
    symbols: int = 1,
    changed: Callable[[Market], Market] = lambda market: market,
) -> AsyncIterator[list[Place]]:
    """Run a venue and a feed for each wanted market and beginning of a symbol; a feed wants nothing at first.

    Args:
        venue: the venue.
        wanted: markets and beginnings of symbols.
        speed: simulated seconds a real second.
        settings: of the feeds.
        symbols: how many coins each market lists.
        changed: makes of a market the one that the feed is given, for limits that such a speed would make absurd.

    """
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(
            SimulatedVenue(venue, seed=7, speed=speed, symbols=symbols, history_minutes=60)
        )
        client = await stack.enter_async_context(rest.Client(rest.Settings(timeout_s=2.0), random.Random(7)))
        places = []
        for name, prefix in wanted:
            where, declared = sim.endpoints[name], VENUES[VenueId(venue)].markets[MarketId(name)]
            here = msgspec.structs.replace(declared, socket_url=where["socket_url"], rest_url=where["rest_url"])
            market = changed(here)
            listed = market.parse_instruments(await client.fetch(market, market.instruments_request()))
            assert {i.venue_symbol for i in listed} == set(sim.world.markets[market.market].listings)
            instrument = next(i for i in listed if i.venue_symbol.startswith(prefix))
            place = Place(sim, market, instrument, client, settings)
            stack.push_async_callback(_cancelled, asyncio.create_task(place.feed.run()))
            places.append(place)
        yield places
        assert all(listener.failure is None for listener in sim.listeners.values())


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def all_more(places: Sequence[Place], candles: int) -> None:
    """Wait until each has told so many more closed candles."""
    await asyncio.gather(*(place.more(candles) for place in places))


async def all_suffer(places: Sequence[Place], *faults: Fault) -> None:
    """Let these go wrong at each market."""
    for listener in {id(place.listener): place.listener for place in places}.values():
        for fault in faults:
            await listener.fault(fault)
