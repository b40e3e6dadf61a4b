"""Our codec and the simulator's dialect are two readings of one documentation. Here they meet; the ledger judges."""

import asyncio
import random
from collections.abc import Callable, Sequence

import msgspec
import pytest

from heliograph.clock import SystemClock
from heliograph.connect import rest
from heliograph.marketdata.feed import MarketFeed
from heliograph.marketdata.settings import FeedSettings
from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookDelta, BookSnapshot, OrderBook
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap, Ticker, Trade
from heliograph.sim import Fault, FaultKind, SimulatedVenue
from heliograph.sim.audit import audit_candles, audit_trades
from heliograph.venues import binance, okx
from heliograph.venues.contract import Subscription, Venue

VENUES: dict[str, Venue] = {"binance": binance.VENUE, "okx": okx.VENUE}
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
)
SINGLE = ("okx",)
"""Venues whose single trades are told, and not the aggregates of what one taker traded at one price."""
PLAYED = [
    ("binance", "spot", "BTCUSDT", None),
    ("okx", "spot", "BTC-USDT", None),
    ("okx", "swap", "BTC-USDT-SWAP", None),
    ("okx", "swap", "BTC-USD-SWAP", None),
    ("okx", "futures", "BTC-USD-", None),
    ("okx", "spot", "BTC-USDT", FaultKind.DISCONNECT),
    ("okx", "swap", "BTC-USDT-SWAP", FaultKind.DROP),
    ("okx", "swap", "BTC-USD-SWAP", FaultKind.DUPLICATE),
    ("binance", "spot", "BTCUSDT", FaultKind.DROP),
]


class Collector:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()

    def ready(self) -> bool:
        return True

    def push(self, events: Sequence[Event]) -> None:
        self.events += events
        self._news.set()

    def when_ready(self, wake: Callable[[], None]) -> None:
        """Remember nothing: it is always ready."""

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(25):
            while not enough():
                self._news.clear()
                await self._news.wait()


@pytest.mark.parametrize(("venue", "market", "prefix", "trouble"), PLAYED)
async def test_a_feed_at_the_simulator_tells_what_happened(
    venue: str, market: str, prefix: str, trouble: FaultKind | None
) -> None:
    sink = Collector()
    async with (
        SimulatedVenue(venue, seed=7, speed=120, symbols=1) as sim,
        rest.Client(rest.Settings(timeout_s=2.0), random.Random(7)) as client,
    ):
        where = sim.endpoints[market]
        declared = msgspec.structs.replace(
            VENUES[venue].markets[MarketId(market)], socket_url=where["socket_url"], rest_url=where["rest_url"]
        )
        listed = declared.parse_instruments(await client.fetch(declared, declared.instruments_request()))
        assert {i.venue_symbol for i in listed} == set(sim.world.markets[MarketId(market)].listings)
        for instrument in listed:
            check_instrument(sim, market, instrument)
        instrument = next(i for i in listed if i.venue_symbol.startswith(prefix))
        feed = MarketFeed(declared, QUICK, sink, FeedMetrics(venue, market), SystemClock(), client, seed=7)
        feed.add([Subscription(Channel.CANDLES, instrument, Interval.M1)])
        feed.add([Subscription(c, instrument) for c in (Channel.TICKER, Channel.TRADES, Channel.BOOK)])
        running = asyncio.create_task(feed.run())

        def closed() -> list[Candle]:
            return [e for e in sink.events if isinstance(e, Candle) and e.closed]

        try:
            await sink.until(lambda: len(closed()) >= 2)
            if trouble is not None:
                await sim.fault(Fault(trouble, count=15))
            count = len(closed())
            await sink.until(lambda: len(closed()) >= count + 4)
            assert any(isinstance(e, Ticker) for e in sink.events)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        told = closed()
        symbol = instrument.venue_symbol
        truth = sim.ledger.candles(market, symbol, Interval.M1, told[0].open_ns, told[-1].open_ns + 1)
        assert audit_candles(truth, told).faithful, audit_candles(truth, told)
        listing = sim.world.markets[MarketId(market)].listings[symbol]
        for candle, bar in zip(told, truth, strict=True):
            base, quote, contracts = listing.volumes(bar)
            assert (candle.base_volume, candle.quote_volume) == (base, quote)
            assert candle.contracts == contracts
        trades = [e for e in sink.events if isinstance(e, Trade)]
        first_ns, last_ns = trades[0].event_ns, trades[-1].event_ns
        assert first_ns is not None
        assert last_ns is not None
        happened = sim.ledger.fills if venue in SINGLE else sim.ledger.trades
        numbers = range(trades[0].sequence or 0, (trades[-1].sequence or 0) + 1)
        true_trades = [item for item in happened(market, symbol, first_ns, last_ns + 1) if item.id in numbers]
        assert len(true_trades) > 50
        assert audit_trades(true_trades, trades).faithful, audit_trades(true_trades, trades)
        check_book(sim, market, [e for e in sink.events if isinstance(e, BookDelta | BookSnapshot)])
        if trouble in (FaultKind.DROP, FaultKind.DUPLICATE):
            assert sim.listeners[market].faults.happened == 15
        # What a lost change of a book has said cannot be had again; all else can.
        assert {e.channel for e in sink.events if isinstance(e, Gap)} <= {Channel.BOOK}


def check_instrument(sim: SimulatedVenue, market: str, instrument: Instrument) -> None:
    listing = sim.world.markets[MarketId(market)].listings[instrument.venue_symbol]
    assert (instrument.base, instrument.quote, instrument.settle) == (listing.base, listing.quote, listing.settle)
    assert (instrument.kind, instrument.expiry_ns) == (listing.kind, listing.expiry_ns)
    assert (instrument.tick_size, instrument.lot_size) == (listing.tick_size, listing.lot_size)
    assert instrument.contract_size == listing.contract_size


def check_book(sim: SimulatedVenue, market: str, told: list[BookDelta | BookSnapshot]) -> None:
    """Deltas alone fold to the book as it stands."""
    deltas = [event for event in told if isinstance(event, BookDelta)]
    last = deltas[-1]
    book = OrderBook(last.instrument)
    for delta in deltas:
        book.apply(delta)
    assert last.event_ns is not None
    truth = sim.world.markets[MarketId(market)].book(last.instrument.venue_symbol, 100, last.event_ns)
    assert last.sequence == truth.update_id
    assert (tuple(book.bids()), tuple(book.asks())) == (truth.bids, truth.asks)
