"""A feed at a simulated Bybit, on real sockets, through what goes wrong; the ledger judges."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from uuid import UUID

import aiohttp
import msgspec
import pytest

from heliograph.clock import NS_PER_S, SystemClock
from heliograph.connect import rest
from heliograph.marketdata.feed import MarketFeed
from heliograph.marketdata.settings import FeedSettings
from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookDelta, BookSnapshot, OrderBook
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap, Ticker, Trade
from heliograph.sim import Fault, FaultKind, SimulatedVenue
from heliograph.venues.bybit import VENUE
from heliograph.venues.bybit.dialect import Dialect
from heliograph.venues.contract import Market, Subscription, VenueError
from tests.marketdata.field import QUICK, Collector

MARKETS = [("spot", "BTCUSDT"), ("linear", "BTCUSDT"), ("linear", "BTCPERP"), ("inverse", "BTCUSD")]
FLOW = (Channel.TRADES, Channel.TICKER)


class Field:
    """What a test has at hand."""

    def __init__(self, sim: SimulatedVenue, market: Market, instrument: Instrument, feed: MarketFeed) -> None:
        self.sim = sim
        self.market = market
        self.instrument = instrument
        self.feed = feed
        self.sink = Collector()
        self.refusals: list[VenueError] = []
        self.client: rest.Client

    @property
    def dialect(self) -> Dialect:
        dialect = self.sim.listeners[self.market.market]._dialect
        assert isinstance(dialect, Dialect)
        return dialect

    def add(self, *channels: Channel) -> None:
        wanted = [Subscription(Channel.CANDLES, self.instrument, Interval.M1)]
        self.feed.add([*wanted, *(Subscription(channel, self.instrument) for channel in channels)])

    def closed(self) -> list[Candle]:
        return self.sink.closed(self.instrument)

    async def more(self, candles: int) -> None:
        count = len(self.closed())
        await self.sink.until(lambda: len(self.closed()) >= count + candles)

    def check_candles(self) -> None:
        """Every closed one once, in order, none missing, each as it happened."""
        told, symbol = self.closed(), self.instrument.venue_symbol
        truth = self.sim.ledger.candles(self.market.market, symbol, Interval.M1, told[0].open_ns, told[-1].open_ns + 1)
        assert [c.open_ns for c in told] == [bar.open_ns for bar in truth]
        listing = self.sim.world.markets[self.market.market].listings[symbol]
        for candle, bar in zip(told, truth, strict=True):
            assert (candle.open, candle.high, candle.low, candle.close) == (bar.open, bar.high, bar.low, bar.close)
            assert (candle.base_volume, candle.quote_volume, candle.contracts) == listing.volumes(bar)

    def check_trades(self, *, whole: bool) -> None:
        """Each once, as it happened; none missing where none can have been missed."""
        told = self.sink.trades(self.instrument)
        numbers = [_number(trade) for trade in told]
        assert len(set(numbers)) == len(numbers)
        assert len(numbers) > 50
        symbol, first_ns = self.instrument.venue_symbol, min(t.event_ns or 0 for t in told)
        fills = {f.id: f for f in self.sim.ledger.fills(self.market.market, symbol, first_ns)}
        for number, trade in zip(numbers, told, strict=True):
            assert (trade.price, trade.quantity) == (fills[number].price, fills[number].quantity)
        if whole:
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))

    def check_book(self) -> None:
        """Deltas alone fold to the book as it stood."""
        deltas = [e for e in self.sink.events if isinstance(e, BookDelta)]
        book = OrderBook(self.instrument)
        for delta in deltas:
            book.apply(delta)
        assert deltas[-1].event_ns is not None
        scene = self.sim.world.markets[self.market.market]
        truth = scene.book(self.instrument.venue_symbol, 200, deltas[-1].event_ns)
        assert (tuple(book.bids()), tuple(book.asks())) == (truth.bids, truth.asks)

    def gaps(self) -> set[Channel]:
        return {e.channel for e in self.sink.events if isinstance(e, Gap)}


def _number(trade: Trade) -> int:
    assert trade.trade_id is not None
    return UUID(trade.trade_id).node if "-" in trade.trade_id else int(trade.trade_id) - 2_290_000_000_000_000_000


@asynccontextmanager
async def field(category: str, symbol: str, speed: float = 120, settings: FeedSettings = QUICK) -> AsyncIterator[Field]:
    async with (
        SimulatedVenue("bybit", seed=7, speed=speed, symbols=1, history_minutes=60) as sim,
        rest.Client(rest.Settings(timeout_s=2.0), random.Random(7)) as client,
    ):
        where = sim.endpoints[category]
        declared = VENUE.markets[MarketId(category)]
        market = msgspec.structs.replace(declared, socket_url=where["socket_url"], rest_url=where["rest_url"])
        listed = market.parse_instruments(await client.fetch(market, market.instruments_request()))
        assert [i.venue_symbol for i in listed] == list(sim.world.markets[market.market].listings)
        instrument = next(i for i in listed if i.venue_symbol == symbol)
        sink = Collector()

        def refused(_subscriptions: Sequence[Subscription], error: VenueError) -> None:
            here.refusals.append(error)

        feed = MarketFeed(
            market, settings, sink, FeedMetrics("bybit", category), SystemClock(), client, seed=7, refused=refused
        )
        here = Field(sim, market, instrument, feed)
        here.sink = sink
        here.client = client
        running = asyncio.create_task(feed.run())
        try:
            yield here
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert sim.listeners[market.market].failure is None


@pytest.mark.parametrize(("category", "symbol"), MARKETS)
async def test_every_channel_of_a_market_arrives(category: str, symbol: str) -> None:
    async with field(category, symbol, speed=60) as here:
        here.add(*FLOW, Channel.BOOK)
        await here.more(3)
        assert any(isinstance(e, Ticker) for e in here.sink.events)
    here.check_candles()
    here.check_trades(whole=True)
    here.check_book()
    assert (here.gaps(), here.refusals, here.feed.metrics.gaps_found) == (set(), [], 0)


@pytest.mark.parametrize(("category", "symbol"), MARKETS)
async def test_t10_bars_missed_while_nobody_could_connect_are_fetched(category: str, symbol: str) -> None:
    async with field(category, symbol) as here:
        here.add(*FLOW)
        await here.more(2)
        connects = here.sim.listeners[category].connects
        await here.sim.fault(Fault(FaultKind.REFUSE, duration_s=1.5))
        await here.sim.fault(FaultKind.DISCONNECT)
        await here.more(6)
        assert here.sim.listeners[category].connects > connects
    here.check_candles()
    here.check_trades(whole=False)
    assert Channel.CANDLES not in here.gaps()


TROUBLE = [
    Fault(FaultKind.HTTP, match="kline", status=200, count=2),
    Fault(FaultKind.HTTP, match="kline", status=500, count=2),
    Fault(FaultKind.SLOW, match="kline", count=2, delay_s=0.7),
    Fault(FaultKind.WRONG_JSON, match="/v5/market/kline", count=1),
]


@pytest.mark.parametrize(("category", "symbol", "trouble"), [(*m, t) for m, t in zip(MARKETS, TROUBLE, strict=True)])
async def test_bars_are_fetched_although_rest_is_in_trouble(category: str, symbol: str, trouble: Fault) -> None:
    async with field(category, symbol) as here:
        here.add()
        await here.more(2)
        happened = here.sim.listeners[category].faults.happened
        await here.sim.fault(trouble)
        await here.sim.fault(Fault(FaultKind.REFUSE, duration_s=1.2))
        await here.sim.fault(FaultKind.DISCONNECT)
        await here.more(6)
        assert here.sim.listeners[category].faults.happened - happened == trouble.count
    here.check_candles()
    assert here.gaps() == set()


async def test_who_is_turned_away_asks_no_more_and_goes_on_listening() -> None:
    async with field("spot", "BTCUSDT") as here:
        here.add()
        await here.more(2)
        await here.sim.fault(Fault(FaultKind.HTTP, match="kline", status=429))
        await here.sim.fault(Fault(FaultKind.REFUSE, duration_s=1.2))
        await here.sim.fault(FaultKind.DISCONNECT)
        answered = here.sim.listeners["spot"].answered
        await here.sink.until(lambda: answered[403] == 1)
        count = len(here.sink.events)
        await here.sink.until(lambda: len(here.sink.events) >= count + 40)
        assert answered == {200: 1, 403: 1}
    here.check_candles()


async def test_ten_minutes_without_rest_cost_a_gap_in_time_and_nothing_after_it() -> None:
    """Whoever is turned away by a 403 is to stay away for ten minutes; what waits is told before that, and on time."""
    outage_s = 2.0
    settings = msgspec.structs.replace(QUICK, backfill_outage_s_max=outage_s, held_s_max=0.5)
    async with field("spot", "BTCUSDT", settings=settings) as here:
        here.add()
        await here.more(2)
        assert here.feed.health().healthy
        await here.sim.fault(Fault(FaultKind.HTTP, match="kline", status=429))
        await here.sim.fault(Fault(FaultKind.REFUSE, duration_s=1.2))
        await here.sim.fault(FaultKind.DISCONNECT)
        await here.sink.until(lambda: here.feed.metrics.candles_held > 0)
        since_s = time.monotonic()
        await here.sink.until(lambda: not here.feed.health().healthy)
        assert here.feed.health().active_connections == 1, "the socket is well, and the market waits for REST"
        assert not here.gaps()
        await here.sink.until(lambda: bool(here.gaps()))
        assert time.monotonic() - since_s < outage_s + 1.5
        await here.more(4)
        assert here.feed.health().healthy
        assert here.sim.listeners["spot"].answered[403] == 1
        assert here.client.pools.held_s(here.market) > 500
    gap = next(e for e in here.sink.events if isinstance(e, Gap))
    assert gap.from_ns is not None
    told = here.closed()
    missing = (gap.to_ns or 0) - gap.from_ns
    assert missing > 0
    steps = [after.open_ns - before.open_ns for before, after in pairwise(told)]
    assert sorted(steps)[:-1] == [60 * NS_PER_S] * (len(steps) - 1)
    assert max(steps) == missing + 60 * NS_PER_S


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.WRONG_JSON])
@pytest.mark.parametrize(("category", "symbol"), [("spot", "BTCUSDT"), ("linear", "BTCUSDT"), ("inverse", "BTCUSD")])
async def test_a_book_survives_what_happens_to_its_frames(category: str, symbol: str, kind: FaultKind) -> None:
    async with field(category, symbol, speed=20) as here:
        here.add(Channel.TRADES, Channel.BOOK)
        await here.sink.until(lambda: any(isinstance(e, BookDelta) for e in here.sink.events))
        await here.sim.fault(Fault(kind, match="orderbook", count=15))
        await here.sink.until(lambda: here.sim.listeners[category].faults.happened == 15)
        await here.more(2)
    here.check_candles()
    here.check_trades(whole=True)
    here.check_book()
    assert here.gaps() <= {Channel.BOOK}
    assert (Channel.BOOK in here.gaps()) == (kind is not FaultKind.DUPLICATE)


@pytest.mark.parametrize(("category", "symbol"), [("spot", "BTCUSDT"), ("linear", "BTCUSDT"), ("inverse", "BTCUSD")])
async def test_candles_and_trades_that_come_twice_are_told_once(category: str, symbol: str) -> None:
    async with field(category, symbol) as here:
        here.add(*FLOW)
        await here.more(1)
        await here.sim.fault(Fault(FaultKind.DUPLICATE, count=200))
        await here.sink.until(lambda: here.sim.listeners[category].faults.happened == 200)
        await here.more(1)
    here.check_candles()
    here.check_trades(whole=True)
    assert here.gaps() == set()


@pytest.mark.parametrize(
    ("category", "symbol", "kind"),
    [
        ("spot", "BTCUSDT", FaultKind.DROP),
        ("linear", "BTCUSDT", FaultKind.REORDER),
        ("inverse", "BTCUSD", FaultKind.SILENCE),
        ("inverse", "BTCUSD", FaultKind.DROP),
    ],
)
async def test_no_candle_is_lost_with_its_frames(category: str, symbol: str, kind: FaultKind) -> None:
    async with field(category, symbol) as here:
        here.add()
        await here.more(2)
        await here.sim.fault(Fault(kind, match="kline", count=60, duration_s=1.5))
        await here.more(6)
    here.check_candles()
    assert here.gaps() == set()


@pytest.mark.parametrize(("category", "symbol"), [("spot", "BTCUSDT"), ("linear", "BTCUSDT")])
async def test_t3_t5_a_restart_and_a_book_said_again_are_no_gap(category: str, symbol: str) -> None:
    async with field(category, symbol, speed=20) as here:
        now_ns = here.sim.clock.now_ns()
        here.dialect.repeats_ns.append(now_ns + 20 * NS_PER_S)
        here.dialect.restarts_ns.append(now_ns + 40 * NS_PER_S)
        here.add(Channel.BOOK)
        await here.sink.until(lambda: any(isinstance(e, BookDelta) and e.sequence == 5 for e in here.sink.events))
        await here.more(1)
    here.check_book()
    assert here.gaps() == set()
    snapshots = [e for e in here.sink.events if isinstance(e, BookSnapshot)]
    assert snapshots


async def test_a_topic_that_nobody_has_is_refused_and_the_others_go_on() -> None:
    async with field("linear", "BTCUSDT") as here:
        here.feed.add([Subscription(Channel.TRADES, here.market.instrument("NOPEUSDT"))])
        here.add(*FLOW)
        await here.more(2)
        assert [error.reason for error in here.refusals] == ["error:handler not found,topic:publicTrade.NOPEUSDT"]
    here.check_candles()
    here.check_trades(whole=True)


async def talk(
    sim: SimulatedVenue, category: str, *messages: str, until: Callable[[list[dict[str, object]]], bool]
) -> list[dict[str, object]]:
    heard: list[dict[str, object]] = []
    url = f"{sim.endpoints[category]['socket_url']}/v5/public/{category}"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as ws:
        for message in messages:
            await ws.send_str(message)
        while not until(heard):
            heard.append(json.loads((await ws.receive(timeout=10)).data))
    return heard


async def test_t1_data_of_contracts_arrives_before_the_acknowledgement_and_of_spot_after_it() -> None:
    async with SimulatedVenue("bybit", seed=7, symbols=1, history_minutes=30) as sim:
        for category, symbol, first in (("linear", "BTCUSDT", "topic"), ("spot", "BTCUSDT", "op")):
            order = json.dumps({"op": "subscribe", "args": [f"kline.1.{symbol}", f"orderbook.50.{symbol}"]})
            heard = await talk(sim, category, order, until=lambda heard: len(heard) >= 3)
            kinds = ["op" if "op" in frame else "topic" for frame in heard]
            assert kinds == ([first, "topic", "topic"] if first == "op" else ["topic", "topic", "op"])


async def test_an_address_that_asks_too_often_is_turned_away() -> None:
    async with SimulatedVenue("bybit", seed=7, symbols=1, history_minutes=30) as sim:
        url = f"{sim.endpoints['spot']['rest_url']}/v5/market/time"
        async with aiohttp.ClientSession() as http:
            answers = []
            for _ in range(1400):  # More than two windows can hold, whenever the first of them began.
                async with http.get(url) as answer:
                    answers.append((answer.status, answer.headers["X-Bapi-Limit-Status"], await answer.text()))
                if answers[-1][0] != 200:
                    break
        assert answers[0][0] == 200
        assert answers[-1] == (403, "0", "access too frequent")
