"""A feed at a simulated Coinbase, on real sockets, through what goes wrong; the ledger judges."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from heliograph.clock import SystemClock
from heliograph.connect import rest
from heliograph.marketdata.feed import MarketFeed
from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookDelta, OrderBook
from heliograph.model.instrument import SPOT, Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap, Side, Ticker
from heliograph.sim import Fault, FaultKind, SimulatedVenue
from heliograph.venues.coinbase import VENUE
from heliograph.venues.contract import Subscription, VenueError
from tests.marketdata.field import QUICK, Collector

FLOW = (Channel.TRADES, Channel.TICKER)


class Field:
    """What a test has at hand."""

    def __init__(self, sim: SimulatedVenue, instrument: Instrument, feed: MarketFeed) -> None:
        self.sim = sim
        self.instrument = instrument
        self.feed = feed
        self.sink = Collector()
        self.refusals: list[VenueError] = []

    def add(self, *channels: Channel) -> None:
        wanted = [Subscription(Channel.CANDLES, self.instrument, Interval.M5)]
        self.feed.add([*wanted, *(Subscription(channel, self.instrument) for channel in channels)])

    def closed(self) -> list[Candle]:
        return self.sink.closed(self.instrument, Interval.M5)

    async def more(self, candles: int) -> None:
        count = len(self.closed())
        await self.sink.until(lambda: len(self.closed()) >= count + candles)

    def check_candles(self) -> None:
        """Every closed one once, in order, none missing, each as it happened."""
        told, symbol = self.closed(), self.instrument.venue_symbol
        truth = self.sim.ledger.candles(SPOT, symbol, Interval.M5, told[0].open_ns, told[-1].open_ns + 1)
        assert [
            (c.open_ns, c.open, c.high, c.low, c.close, c.base_volume, c.quote_volume, c.contracts) for c in told
        ] == [(b.open_ns, b.open, b.high, b.low, b.close, b.volume, None, None) for b in truth]

    def check_trades(self) -> None:
        """Each once, in order, as it happened; what is missing was told as a gap."""
        told = self.sink.trades(self.instrument)
        numbers = [trade.sequence or 0 for trade in told]
        assert numbers == sorted(set(numbers))
        assert len(numbers) > 50
        symbol, first_ns = self.instrument.venue_symbol, min(t.event_ns or 0 for t in told)
        fills = {f.id: f for f in self.sim.ledger.fills(SPOT, symbol, first_ns)}
        for trade in told:
            fill = fills[trade.sequence or 0]
            side = Side.BUY if fill.taker_buys else Side.SELL
            assert (trade.price, trade.quantity, trade.side) == (fill.price, fill.quantity, side)
        gaps = [e for e in self.sink.events if isinstance(e, Gap) and e.channel is Channel.TRADES]
        missing = {n for gap in gaps for n in range(gap.from_sequence or 0, gap.to_sequence or 0)}
        assert set(range(numbers[0], numbers[-1])) - set(numbers) == missing

    def check_book(self) -> None:
        """Deltas alone fold to the book as it stood."""
        deltas = [e for e in self.sink.events if isinstance(e, BookDelta)]
        book = OrderBook(self.instrument)
        for delta in deltas:
            book.apply(delta)
        assert deltas[-1].event_ns is not None
        scene = self.sim.world.markets[SPOT]
        truth = scene.book(self.instrument.venue_symbol, 1000, deltas[-1].event_ns)
        assert (tuple(book.bids()), tuple(book.asks())) == (truth.bids, truth.asks)

    def gaps(self) -> set[Channel]:
        return {e.channel for e in self.sink.events if isinstance(e, Gap)}


@asynccontextmanager
async def field(speed: float = 300) -> AsyncIterator[Field]:
    async with (
        SimulatedVenue("coinbase", seed=7, speed=speed, symbols=1, history_minutes=60) as sim,
        rest.Client(rest.Settings(timeout_s=2.0), random.Random(7)) as client,
    ):
        where = sim.endpoints["spot"]
        declared = VENUE.markets[SPOT]
        market = msgspec.structs.replace(declared, socket_url=where["socket_url"], rest_url=where["rest_url"])
        listed = market.parse_instruments(await client.fetch(market, market.instruments_request()))
        assert [i.venue_symbol for i in listed] == list(sim.world.markets[SPOT].listings)
        instrument = next(i for i in listed if i.venue_symbol == "BTC-USD")
        sink = Collector()

        def refused(_subscriptions: Sequence[Subscription], error: VenueError) -> None:
            here.refusals.append(error)

        metrics = FeedMetrics("coinbase", "spot")
        feed = MarketFeed(market, QUICK, sink, metrics, SystemClock(), client, seed=7, refused=refused)
        here = Field(sim, instrument, feed)
        here.sink = sink
        running = asyncio.create_task(feed.run())
        try:
            yield here
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert sim.listeners["spot"].failure is None


async def test_every_channel_arrives() -> None:
    async with field(speed=120) as here:
        here.add(*FLOW, Channel.BOOK)
        await here.more(3)
        assert any(isinstance(e, Ticker) for e in here.sink.events)
        assert here.sim.listeners["spot"].connects == 1
    here.check_candles()
    here.check_trades()
    here.check_book()
    assert (here.gaps(), here.refusals) == (set(), [])


async def test_t10_candles_missed_while_nobody_could_connect_are_fetched() -> None:
    async with field() as here:
        here.add(*FLOW)
        await here.more(2)
        connects = here.sim.listeners["spot"].connects
        await here.sim.fault(Fault(FaultKind.REFUSE, duration_s=2.5))
        await here.sim.fault(FaultKind.DISCONNECT)
        await here.more(5)
        assert here.sim.listeners["spot"].connects > connects
    here.check_candles()
    here.check_trades()
    assert Channel.CANDLES not in here.gaps()


@pytest.mark.parametrize(
    "trouble",
    [
        Fault(FaultKind.HTTP, match="candles", status=429, count=1),
        Fault(FaultKind.HTTP, match="candles", status=500, count=2),
        Fault(FaultKind.SLOW, match="candles", count=2, delay_s=0.7),
        Fault(FaultKind.WRONG_JSON, match="candles", count=1),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
async def test_candles_are_closed_although_rest_is_in_trouble(trouble: Fault) -> None:
    async with field() as here:
        here.add()
        await here.more(2)
        happened = here.sim.listeners["spot"].faults.happened
        await here.sim.fault(trouble)
        await here.more(5)
        assert here.sim.listeners["spot"].faults.happened - happened == trouble.count
    here.check_candles()
    assert here.gaps() == set()


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.WRONG_JSON])
async def test_whatever_becomes_of_some_frames_nothing_wrong_is_told(kind: FaultKind) -> None:
    async with field(speed=120) as here:
        here.add(*FLOW, Channel.BOOK)
        await here.more(1)
        for mark in ("level2", "market_trades", "candles", "heartbeats"):
            await here.sim.fault(Fault(kind, match=mark, count=2))
        await here.more(2)
        assert here.sim.listeners["spot"].faults.happened == 8
        for _ in range(4):  # A book whose snapshot was lost is asked for again after a while.
            if not any(isinstance(event, BookDelta) for event in here.sink.events):
                await here.more(1)
    here.check_candles()
    here.check_trades()
    here.check_book()
    assert Channel.CANDLES not in here.gaps()
    assert here.refusals == []
