"""A feed of ours at the simulated Gate.io, on real sockets and while things go wrong; the ledger judges."""

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
from heliograph.model.book import BookDelta, OrderBook
from heliograph.model.event import Event
from heliograph.model.instrument import MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap, Side, Source, Ticker, Trade
from heliograph.sim import Fault, FaultKind, SimulatedVenue
from heliograph.sim.audit import audit_candles
from heliograph.venues.contract import Subscription
from heliograph.venues.gateio import VENUE

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
CUT = Fault(FaultKind.DISCONNECT)
TROUBLE = {
    "nothing": (),
    "cuts": (CUT,),
    "losses": (Fault(FaultKind.DROP, match="book", count=5), Fault(FaultKind.DROP, match="candlesticks", count=9)),
    "lost trades": (CUT, Fault(FaultKind.DROP, match="trades", count=30)),
    "doubles": (Fault(FaultKind.DUPLICATE, count=60),),
    "disorder": (Fault(FaultKind.REORDER, count=30),),
    "errors": (CUT, Fault(FaultKind.HTTP, count=3, status=500), Fault(FaultKind.HTTP, count=2, status=429)),
    "delays": (CUT, Fault(FaultKind.SLOW, count=4, delay_s=0.4), Fault(FaultKind.WRONG_JSON, count=4)),
}
PLAYED = [
    ("spot", "BTC_USDT", "nothing"),
    ("usdm", "ETH_USDT", "nothing"),
    ("coinm", "BTC_USD", "nothing"),
    ("spot", "BTC_USDT", "cuts"),
    ("spot", "BTC_USDT", "lost trades"),
    ("usdm", "ETH_USDT", "losses"),
    ("coinm", "BTC_USD", "doubles"),
    ("spot", "ETH_USDT", "disorder"),
    ("usdm", "BTC_USDT", "errors"),
    ("coinm", "BTC_USD", "delays"),
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

    def closed(self) -> list[Candle]:
        return [event for event in self.events if isinstance(event, Candle) and event.closed]

    async def closes(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.closed()) < count:
                self._news.clear()
                await self._news.wait()


@pytest.mark.parametrize(("market", "symbol", "trouble"), PLAYED)
async def test_a_feed_tells_what_happened(market: str, symbol: str, trouble: str) -> None:
    sink = Collector()
    async with (
        SimulatedVenue("gateio", seed=7, speed=120, symbols=2) as sim,
        rest.Client(rest.Settings(timeout_s=2.0), random.Random(7)) as client,
    ):
        where = sim.endpoints[market]
        declared = msgspec.structs.replace(
            VENUE.markets[MarketId(market)], socket_url=where["socket_url"], rest_url=where["rest_url"]
        )
        listed = declared.parse_instruments(await client.fetch(declared, declared.instruments_request()))
        instrument = next(instrument for instrument in listed if instrument.venue_symbol == symbol)
        feed = MarketFeed(declared, QUICK, sink, FeedMetrics("gateio", market), SystemClock(), client, seed=7)
        feed.add([Subscription(Channel.CANDLES, instrument, Interval.M1)])
        feed.add([Subscription(channel, instrument) for channel in (Channel.TICKER, Channel.TRADES, Channel.BOOK)])
        running = asyncio.create_task(feed.run())
        try:
            await sink.closes(2)
            for fault in TROUBLE[trouble]:
                await sim.fault(fault)
            # Ten more, so that at least one came without its mark, and ten minutes ended.
            await sink.closes(len(sink.closed()) + 10)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        check_candles(sim, market, sink.closed())
        complete = market == "spot" or trouble in ("nothing", "losses", "doubles")
        check_trades(sim, market, symbol, sink.events, complete=complete)
        check_book(sim, market, sink.events)
        assert any(isinstance(event, Ticker) for event in sink.events)
        # What a lost change of a book has said cannot be had again; all else can.
        assert {event.channel for event in sink.events if isinstance(event, Gap)} <= {Channel.BOOK}
        wanted = sum(fault.count for fault in TROUBLE[trouble] if fault.kind is not FaultKind.DISCONNECT)
        assert (sim.listeners[market].faults.happened > 0) is (wanted > 0)


def check_candles(sim: SimulatedVenue, market: str, told: list[Candle]) -> None:
    symbol = told[0].instrument.venue_symbol
    truth = sim.ledger.candles(market, symbol, Interval.M1, told[0].open_ns, told[-1].open_ns + 1)
    verdict = audit_candles(truth, told)
    assert verdict.faithful, verdict
    listing = sim.world.markets[MarketId(market)].listings[symbol]
    for candle, bar in zip(told, truth, strict=True):
        base, quote, contracts = listing.volumes(bar)
        assert (candle.quote_volume, candle.contracts) == (quote, contracts)
        # What `sum` counts where bitcoin settles is not certain, so that the codec leaves it out.
        unsaid = market == "coinm" and candle.source is Source.REST
        assert candle.base_volume == (None if unsaid else base)
    assert {candle.source for candle in told} == {Source.STREAM, Source.REST}


def check_trades(sim: SimulatedVenue, market: str, symbol: str, events: Sequence[Event], *, complete: bool) -> None:
    """Each once and as it happened; what a cut has lost of contracts' trades stays lost, as they are not numbered."""
    trades = [event for event in events if isinstance(event, Trade)]
    told = {int(trade.trade_id or 0): trade for trade in trades}
    assert len(told) == len(trades) > 50
    if market == "spot":
        assert list(told) == sorted(told)
    first, last = min(told), max(told)
    scene = sim.world.markets[MarketId(market)]
    fills = {fill.id: fill for fill in scene.fills_from(symbol, first, last - first + 1, sim.clock.now_ns())}
    for number, trade in told.items():
        fill = fills[number]
        side = Side.BUY if fill.taker_buys else Side.SELL
        assert (trade.price, trade.quantity, trade.side, trade.event_ns) == (
            fill.price, fill.quantity, side, fill.time_ns
        )  # fmt: skip
    if complete:
        assert set(told) == set(fills)


def check_book(sim: SimulatedVenue, market: str, events: Sequence[Event]) -> None:
    """Deltas alone fold to the book as it stands, whenever one has been told."""
    deltas = [event for event in events if isinstance(event, BookDelta)]
    book = OrderBook(deltas[0].instrument)
    scene = sim.world.markets[MarketId(market)]
    for number, delta in enumerate(deltas):
        book.apply(delta)
        if number % 10 == 0 or delta is deltas[-1]:
            assert delta.event_ns is not None
            truth = scene.book(delta.instrument.venue_symbol, 100, delta.event_ns)
            assert delta.sequence == truth.update_id
            assert (tuple(book.bids()), tuple(book.asks())) == (truth.bids, truth.asks)
