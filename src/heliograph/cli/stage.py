"""What the demo runs: a simulated venue, its feeds, a server, a gateway, and clients of the gateway."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from typing import Any, Final

import aiohttp
import msgspec

from heliograph import app, config
from heliograph.bus import keys
from heliograph.bus.embedded import Server
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Reader
from heliograph.clock import SystemClock
from heliograph.config import ConnectorSettings
from heliograph.connect import rest
from heliograph.connect.listing import list_instruments
from heliograph.gateway.bustail import BusTail
from heliograph.marketdata.feed import MarketFeed
from heliograph.marketdata.publish import StreamSink
from heliograph.metrics import FeedCollector, FeedMetrics
from heliograph.model.instrument import Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel, Trade
from heliograph.model.wire import decode_candle, decode_trade
from heliograph.sim.audit import Verdict, audit_candles, audit_trades
from heliograph.sim.binance import SimulatedBinance
from heliograph.sim.faults import Fault, FaultKind
from heliograph.venues.contract import Market, Subscription

BINANCE: Final = VenueId("binance")
COINS: Final = 2
STREAM_MAXLEN: Final = 1_000_000
SETTLE_S: Final = 15.0
"""How long the end waits for what happened last to arrive."""
FIRST_FAULT_S: Final = 4.0
FAULT_EVERY_S: Final = 8.0
FAULTS: Final = (
    (Fault(FaultKind.DISCONNECT), "every connection to the venue is cut"),
    (Fault(FaultKind.DROP, match="aggTrade", count=20), "trades of the venue are lost on the way"),
    (Fault(FaultKind.DUPLICATE, count=50), "frames of the venue come twice"),
    (Fault(FaultKind.DROP, match="kline", count=40), "candles of the venue are lost on the way"),
)


class Stage:
    """Everything of the demo that runs, and its verdict at the end.

    Args:
        sim: the venue.
        sink: the streams, open.
        reader: reads them back.
        publisher: writes them.
        valkey_url: where the streams are.
        gateway_url: where the clients connect.

    """

    def __init__(
        self,
        sim: SimulatedBinance,
        sink: StreamSink,
        reader: Reader,
        publisher: Publisher,
        valkey_url: str,
        gateway_url: str,
    ) -> None:
        self.sim = sim
        self.valkey_url = valkey_url
        self.feeds: list[MarketFeed] = []
        self.happened: list[str] = []
        self._sink = sink
        self._reader = reader
        self._publisher = publisher
        self._gateway_url = gateway_url
        self._instruments: list[tuple[Instrument, int]] = []  # and from when on the record is whole
        self._running: list[asyncio.Task[None]] = []
        self._quotes: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=10_000)
        self._quoted = 0

    @property
    def instruments(self) -> list[Instrument]:
        """What is supplied."""
        return [instrument for instrument, _ in self._instruments]

    async def add(self, feed: MarketFeed, instruments: Sequence[Instrument]) -> None:
        """Run a feed with every channel of some instruments, and wait until it tells of the first candle."""
        feed.add([Subscription(Channel.CANDLES, i, Interval.M1) for i in instruments])
        feed.add([Subscription(c, i) for i in instruments for c in (Channel.TICKER, Channel.TRADES, Channel.BOOK)])
        self.feeds.append(feed)
        self._running.append(asyncio.create_task(feed.run()))
        async with asyncio.timeout(SETTLE_S):
            while not feed.metrics.quotes_open:  # noqa: ASYNC110 (a counter has nobody to tell)
                await asyncio.sleep(0.01)
        # The candle that is open now is the first of the record; what has to be there whole is the next one.
        whole_ns = Interval.M1.next_open(Interval.M1.open_of(self.sim.clock.now_ns()))
        self._instruments += [(instrument, whole_ns) for instrument in instruments]

    async def make_trouble(self) -> None:
        """Let one thing after another go wrong."""
        await asyncio.sleep(FIRST_FAULT_S)
        for fault, meaning in cycle(FAULTS):
            await self.sim.fault(fault)
            self.happened.append(meaning)
            await asyncio.sleep(FAULT_EVERY_S)

    async def listen(self, market: str, symbols: Sequence[str]) -> None:
        """Be a client of the gateway."""
        wish = {"exchange": BINANCE, "contract_type": market, "symbols": list(symbols), "limit": 0}
        async with aiohttp.ClientSession() as session, session.ws_connect(self._gateway_url) as socket:
            await socket.send_json(wish)
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                told = message.json()
                if told["type"] == "quote":
                    self._quoted += 1
                    if not self._quotes.full():
                        self._quotes.put_nowait(told)
                elif told["type"] == "error":
                    self.happened.append(f"the gateway says: {told['message']}")

    async def quotes(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what the gateway tells its clients, for ever."""
        while True:
            yield await self._quotes.get()

    def healing(self) -> tuple[int, int, int]:
        """Return how many holes were found, how many filled, and how many duplicates dropped."""
        metrics = [feed.metrics for feed in self.feeds]
        return (
            sum(m.gaps_found for m in metrics),
            sum(m.gaps_filled for m in metrics),
            sum(m.duplicates for m in metrics),
        )

    async def finish(self) -> dict[str, Any]:
        """Wait for what happened last, stop the feeds, and hold the streams against the truth."""
        until_ns = self.sim.clock.now_ns()
        try:
            async with asyncio.timeout(SETTLE_S):
                while not await self._arrived(until_ns):  # noqa: ASYNC110 (what we wait for is on the server)
                    await asyncio.sleep(0.1)
        except TimeoutError:
            self.happened.append("the last candles did not arrive in time")
        for task in self._running:
            task.cancel()
        await asyncio.wait(self._running)
        await self._publisher.flush()
        verdict = Verdict()
        for instrument, since_ns in self._instruments:
            verdict += await self._audit(instrument, since_ns, until_ns)
        counts: Counter[str] = Counter()
        for feed in self.feeds:
            counts.update(feed.metrics.events)
        found, filled, dropped = self.healing()
        return {
            "counts": dict(sorted(counts.items())) | {"gateway_quotes": self._quoted},
            "gaps_found": found,
            "gaps_filled": filled,
            "duplicates_dropped": dropped,
            "expected": verdict.expected,
            "lost": verdict.lost,
            "doubled": verdict.doubled,
            "wrong": verdict.wrong + verdict.invented + verdict.disordered,
        }

    async def _arrived(self, until_ns: int) -> bool:
        for instrument, since_ns in self._instruments:
            bars = self.sim.ledger.candles(instrument.market, instrument.venue_symbol, Interval.M1, since_ns, until_ns)
            closed = [bar for bar in bars if bar.end_ns <= until_ns]
            newest_ns = await self._sink.last_closed(instrument, Interval.M1)
            if closed and (newest_ns is None or newest_ns < closed[-1].open_ns):
                return False
            trades = self.sim.ledger.trades(instrument.market, instrument.venue_symbol, since_ns, until_ns)
            newest = await self._sink.last_trade(instrument)
            if trades and (newest is None or newest < trades[-1].id):
                return False
        return True

    async def _audit(self, instrument: Instrument, since_ns: int, until_ns: int) -> Verdict:
        market, symbol = instrument.market, instrument.venue_symbol
        entries = await self._reader.entries(keys.candles(instrument, Interval.M1))
        candles = [decode_candle(entry.data, instrument, 0) for entry in entries]
        bars = self.sim.ledger.candles(market, symbol, Interval.M1, since_ns, until_ns)
        verdict = audit_candles([bar for bar in bars if bar.end_ns <= until_ns], candles)
        entries = await self._reader.entries(keys.of_kind(instrument, Trade))
        trades = [decode_trade(entry.data, instrument, 0) for entry in entries]
        truth = self.sim.ledger.trades(market, symbol, since_ns, until_ns)
        begin = next((trade.sequence for trade in trades if trade.sequence is not None), 0)
        return verdict + audit_trades([trade for trade in truth if trade.id >= begin], trades)


@asynccontextmanager
async def open_stage(speed: float, seed: int) -> AsyncIterator[Stage]:
    """Start everything; at the end nothing is left.

    Args:
        speed: simulated seconds per real second.
        seed: of the simulated world.

    """
    clock, collector = SystemClock(), FeedCollector()
    settings = config.load(ConnectorSettings, wss_host="127.0.0.1", wss_port=0, wss_health_check_port=0)
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(SimulatedBinance(seed=seed, speed=speed, symbols=COINS))
        venues = app.at_simulator(sim)
        server = await stack.enter_async_context(Server())
        publisher = await stack.enter_async_context(Publisher(server.url))
        reader = await stack.enter_async_context(Reader(server.url, {}))
        sink = StreamSink(publisher, reader, stream_maxlen=STREAM_MAXLEN, feed_maxlen=100_000)
        tail = BusTail(server.url, "demo", collector, clock)
        gateway = await stack.enter_async_context(app.open_gateway(tail, venues, settings, collector, clock))
        stage = Stage(sim, sink, reader, publisher, server.url, f"ws://{gateway.server.address}")
        client = await stack.enter_async_context(rest.Client(app.rest_settings(settings), random.Random(seed)))
        repair = config.load(config.RepairSettings, gap_grace=0.5)
        feed_settings = msgspec.structs.replace(app.feed_settings(settings, repair), reconnect_delay_s=0.5)
        for market in venues[BINANCE].markets.values():
            metrics = FeedMetrics(BINANCE, market.market)
            collector.add(metrics)
            instruments = await _listed(client, market)
            feed = MarketFeed(market, feed_settings, sink, metrics, clock, client, resume=sink)
            await stage.add(feed, instruments)
            listener = stage.listen(market.market, [i.venue_symbol for i in instruments])
            await stack.enter_async_context(app.beside(listener))
        yield stage


async def _listed(client: rest.Client, market: Market) -> list[Instrument]:
    listed = await list_instruments(client, market)
    return [i for i in listed if i.expiry_ns is None][:COINS]
