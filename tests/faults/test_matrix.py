"""Every fault at every venue, all markets at once, on real sockets: what closed is told once, in order, and as it was.

One world a venue, all of whose markets suffer at once and go on to the next fault without a new start. The seed is
fixed; what the machine's scheduler makes of it is its own.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal

import msgspec
import pytest

from heliograph.app import at_simulator
from heliograph.clock import NS_PER_MS, NS_PER_S, SystemClock
from heliograph.connect import rest
from heliograph.marketdata.feed import MarketFeed
from heliograph.marketdata.settings import FeedSettings
from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookDelta, OrderBook
from heliograph.model.instrument import Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap, Side
from heliograph.sim import Fault, FaultKind, SimulatedVenue
from heliograph.sim.audit import audit_candles
from heliograph.sim.layouts import layout_of, played
from heliograph.testing.hearing import ends_step
from heliograph.venues import VENUES
from heliograph.venues.contract import Market, Subscription
from heliograph.venues.scene import Aggregate, Fill
from tests.marketdata.field import QUICK, Collector

CANDLE_S = 1.0
"""Real time from one candle to the next, of whatever length the market streams."""
PATIENCE_S = 60.0
"""How long a recovery may take on a machine that has other things to do."""
DEPTH_MIN = 10
LASTING = (FaultKind.SILENCE, FaultKind.HALF_OPEN, FaultKind.REFUSE)
LOSSY = (FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.DROP, FaultKind.WRONG_JSON)
NAMES = sorted(set(VENUES) & set(played()))
CHOSEN = {"coinbase": "ETH-BTC"}
"""Which instrument, where not the first one: one of which less is traded than REST remembers, a hundred trades there,
while nobody can connect."""

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


def faults_of(lossy: str) -> dict[FaultKind, tuple[Fault, ...]]:
    """Return what is done for each kind; what only REST suffers from is done when REST is needed.

    They are in the order in which they happen: a book that broke is asked for after ever longer waits, as long as its
    connection lasts, so that no connection loses frames in more than one of them.
    """
    cut = Fault(FaultKind.DISCONNECT)
    return {
        FaultKind.DISCONNECT: (cut,),
        FaultKind.SILENCE: (Fault(FaultKind.SILENCE, duration_s=1.5),),
        FaultKind.DUPLICATE: (Fault(FaultKind.DUPLICATE, count=200),),
        FaultKind.REORDER: (Fault(FaultKind.REORDER, match=lossy, count=20),),
        FaultKind.HTTP: (Fault(FaultKind.HTTP, count=3), Fault(FaultKind.REFUSE, duration_s=1.2), cut),
        FaultKind.DROP: (Fault(FaultKind.DROP, match=lossy, count=40),),
        FaultKind.SLOW: (Fault(FaultKind.SLOW, count=3, delay_s=0.4), Fault(FaultKind.REFUSE, duration_s=1.2), cut),
        FaultKind.WRONG_JSON: (Fault(FaultKind.WRONG_JSON, count=20),),
        FaultKind.REFUSE: (Fault(FaultKind.REFUSE, duration_s=1.5), cut),
        FaultKind.HALF_OPEN: (Fault(FaultKind.HALF_OPEN, duration_s=1.5),),
        FaultKind.SHUTDOWN: (Fault(FaultKind.SHUTDOWN, delay_s=0.5),),
    }


def interval_of(market: Market) -> Interval:
    assert market.default_interval is not None
    return market.default_interval


def speed_of(name: str) -> float:
    """Return how fast a venue's time has to go so that the longest candles of its markets take `CANDLE_S`."""
    lengths = [interval_of(market).length_ns or 0 for market in VENUES[VenueId(name)].markets.values()]
    return max(lengths) / NS_PER_S / CANDLE_S


class Place:
    """One instrument of one market, and what its feed told of it."""

    def __init__(self, sim: SimulatedVenue, market: Market, instrument: Instrument, sink: Collector) -> None:
        self.sim = sim
        self.market = market
        self.instrument = instrument
        self.interval = interval_of(market)
        self.sink = sink

    def closed(self) -> list[Candle]:
        return self.sink.closed(self.instrument, self.interval)

    def deltas(self) -> list[BookDelta]:
        """Return the changes of the book, up to the last after which it stands as it does at the venue."""
        told = [event for event in self.sink.events if isinstance(event, BookDelta)]
        step_ns = layout_of(self.market.venue).book_step_ns
        if step_ns is None:
            return told
        whole = (n for n in range(len(told) - 1, 0, -1) if ends_step(told[n - 1], told[n], step_ns))
        return told[: next(whole, 0)]

    def told(self, since_ns: int) -> bool:
        """Whether a bar that opened since then has closed, and the book has changed."""
        closed, deltas = self.closed(), self.deltas()
        news = bool(closed) and closed[-1].open_ns >= since_ns
        return news and bool(deltas) and (deltas[-1].event_ns or 0) > since_ns

    def check(self) -> list[str]:
        """Return what is wrong, as far as it has been told."""
        wrong = [*self._candles(), *self._trades(), *self._book()]
        return [f"{self.market.venue} {self.market.market}: {what}" for what in wrong]

    def _candles(self) -> list[str]:
        told = self.closed()
        symbol, span = self.instrument.venue_symbol, (told[0].open_ns, told[-1].open_ns + 1)
        verdict = audit_candles(self.sim.ledger.candles(self.market.market, symbol, self.interval, *span), told)
        gaps = [e for e in self.sink.gaps() if e.channel is not Channel.BOOK and self._promised(e)]
        return [str(verdict)] * (not verdict.faithful) + [f"a gap of {gap.channel}: {gap.reason}" for gap in gaps]

    def _promised(self, gap: Gap) -> bool:
        return gap.channel is Channel.CANDLES or self.market.trade_request is not None

    def _trades(self) -> list[str]:
        told = self.sink.trades(self.instrument)
        twice = [key for key, count in Counter(t.trade_id for t in told).items() if count > 1 and key is not None]
        if twice:
            return [f"trades told twice: {twice[:5]}"]
        if len(told) < 2:
            return ["no trades"]
        figures = Counter((t.price, t.quantity, t.side, t.event_ns) for t in told)
        times = sorted(t.event_ns or 0 for t in told)
        # The first and the last may be some of several of their millisecond.
        inner = (times[0], times[-1] - NS_PER_MS)
        scene, symbol = self.sim.world.markets[self.market.market], self.instrument.venue_symbol
        around = (times[0] - NS_PER_MS, times[-1] + NS_PER_MS)
        for truth in (scene.aggregates, scene.fills):
            happened = _figures(truth(symbol, *around))
            if not figures - happened:
                sure = _figures(truth(symbol, *inner)) if self.market.trade_request is not None else Counter()
                lost = {key: n for key, n in (sure - figures).items() if inner[0] < key[3] <= inner[1]}
                return [f"trades lost: {len(lost)} of {len(happened)}"] if lost else []
        return ["trades that never happened"]

    def _book(self) -> list[str]:
        book = OrderBook(self.instrument)
        deltas = self.deltas()
        for delta in deltas:
            book.apply(delta)
        assert deltas[-1].event_ns is not None
        symbol = self.instrument.venue_symbol
        truth = self.sim.world.markets[self.market.market].book(symbol, 10_000, deltas[-1].event_ns)
        same = all(
            len(mine) >= DEPTH_MIN and tuple(mine) == levels[: len(mine)]
            for mine, levels in ((book.bids(), truth.bids), (book.asks(), truth.asks))
        )
        return [] if same else ["the book is not the venue's"]


def _figures(items: Sequence[Aggregate | Fill]) -> Counter[tuple[Decimal, Decimal, Side, int]]:
    sides = {True: Side.BUY, False: Side.SELL}
    return Counter((i.price, i.quantity, sides[i.taker_buys], i.time_ns // NS_PER_MS * NS_PER_MS) for i in items)


@asynccontextmanager
async def standing(name: str, settings: FeedSettings = QUICK) -> AsyncIterator[tuple[SimulatedVenue, list[Place]]]:
    """Run a venue, and a feed of the first instrument of each of its markets."""
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(
            SimulatedVenue(name, seed=7, speed=speed_of(name), symbols=1, history_minutes=30)
        )
        client = await stack.enter_async_context(rest.Client(rest.Settings(timeout_s=2.0), random.Random(7)))
        places = []
        for market_name, market in at_simulator(sim)[VenueId(name)].markets.items():
            listed = market.parse_instruments(await client.fetch(market, market.instruments_request()))
            instrument = next(i for i in listed if i.venue_symbol == CHOSEN.get(name, i.venue_symbol))
            sink = Collector()
            metrics = FeedMetrics(name, market_name)
            feed = MarketFeed(market, settings, sink, metrics, SystemClock(), client, seed=7)
            feed.add([Subscription(Channel.CANDLES, instrument, interval_of(market))])
            feed.add([Subscription(channel, instrument) for channel in (Channel.TRADES, Channel.BOOK)])
            running = asyncio.create_task(feed.run())
            stack.push_async_callback(_cancelled, running)
            places.append(Place(sim, market, instrument, sink))
        yield sim, places


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _suffered(sim: SimulatedVenue, places: Sequence[Place], kind: FaultKind) -> None:
    """Wait until all frames have been met that a fault is for."""
    if kind in LOSSY:
        for place in places:
            faults = sim.listeners[place.market.market].faults
            await place.sink.until(lambda faults=faults: not faults.left(kind), PATIENCE_S)  # type: ignore[misc]


async def _recovered(sim: SimulatedVenue, places: Sequence[Place]) -> list[str]:
    """Wait until every place tells of what happened after this moment; return where it does not."""
    since_ns = sim.clock.now_ns()
    late = []
    for place in places:
        try:
            await place.sink.until(lambda place=place: place.told(since_ns), PATIENCE_S)  # type: ignore[misc]
        except TimeoutError:
            late.append(f"{place.market.venue} {place.market.market}: nothing new in {PATIENCE_S:g} s")
    return late


async def _suffer(
    name: str, settings: FeedSettings = QUICK, kinds: Sequence[FaultKind] = tuple(faults_of(""))
) -> list[str]:
    """Let each fault happen at a venue, one after the other; return what is wrong after the first that does harm."""
    async with standing(name, settings) as (sim, places):
        assert not await _recovered(sim, places)
        for kind in kinds:
            faults = faults_of(layout_of(name).lossy)[kind]
            for fault in faults:
                await sim.fault(fault)
            # Of the time after a fault something is to be told, and not of the time before it took effect.
            await asyncio.sleep(max((fault.duration_s for fault in faults if fault.kind in LASTING), default=0))
            await _suffered(sim, places, kind)
            late = await _recovered(sim, places)
            if wrong := late or [what for place in places for what in place.check()]:
                return [f"after {kind}: {what}" for what in wrong]
        assert all(listener.failure is None for listener in sim.listeners.values())
    return []


def test_every_kind_of_fault_is_in_the_matrix() -> None:
    assert set(faults_of("")) == set(FaultKind)


@pytest.mark.parametrize("name", NAMES)
async def test_t10_m7_after_every_fault_nothing_is_lost_or_doubled_and_books_are_whole(name: str) -> None:
    assert await _suffer(name) == []


@pytest.mark.parametrize("name", ["binance", "okx", "coinbase"])
@pytest.mark.parametrize(
    ("missing", "kind", "sign"),
    [("backfill", FaultKind.REFUSE, "lost"), ("dedupe", FaultKind.DUPLICATE, "twice|doubled=")],
)
async def test_m1_the_matrix_shows_what_is_switched_off(name: str, missing: str, kind: FaultKind, sign: str) -> None:
    settings = msgspec.structs.replace(QUICK, **{missing: False})
    wrong = await _suffer(name, settings, [kind])
    assert any(word in what for what in wrong for word in sign.split("|")), wrong
