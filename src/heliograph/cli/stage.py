"""What the demo runs: simulated venues, their feeds, a server, a gateway, and clients of the gateway."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import aiohttp
import msgspec

from heliograph import app, config
from heliograph.bus.embedded import Server
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Reader
from heliograph.cli.play import Play, Record
from heliograph.cli.troupe import open_troupe
from heliograph.clock import NS_PER_S, SystemClock
from heliograph.config import ConnectorSettings
from heliograph.connect import rest
from heliograph.connect.listing import list_instruments
from heliograph.errors import ConfigError
from heliograph.gateway.bustail import BusTail
from heliograph.marketdata.feed import MarketFeed
from heliograph.marketdata.publish import StreamSink
from heliograph.metrics import FeedCollector, FeedMetrics
from heliograph.model.instrument import Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.sim.faults import Fault, FaultKind
from heliograph.sim.layouts import layout_of, played
from heliograph.venues import VENUES, find_venue
from heliograph.venues.contract import Market, Venue

COINS: Final = 2
STREAM_MAXLEN: Final = 1_000_000
SETTLE_S: Final = 15.0
"""How long the end waits for what happened last to arrive."""
FIRST_FAULT_S: Final = 4.0
FAULT_EVERY_S: Final = 3.0
FIRST_END_S: Final = 15.0
"""How long after the venues are started their longest candles end: all feeds have begun by then."""


class Stage:
    """Everything of the demo that runs, and its verdict at the end.

    Args:
        record: the streams.
        valkey_url: where they are.
        gateway_url: where the clients connect.

    """

    def __init__(self, record: Record, valkey_url: str, gateway_url: str) -> None:
        self.valkey_url = valkey_url
        self.plays: list[Play] = []
        self.happened: list[str] = []
        self._record = record
        self._gateway_url = gateway_url
        self._quotes: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=10_000)
        self._quoted = 0
        self._coin_price: Decimal | None = None

    def coin_price(self) -> Decimal | None:
        """Return the newest price of a bitcoin in dollars that the gateway told; None before the first."""
        return self._coin_price

    @property
    def feeds(self) -> list[MarketFeed]:
        """Every feed, of whatever venue."""
        return [feed for play in self.plays for feed in play.feeds]

    @property
    def instruments(self) -> list[Instrument]:
        """What is supplied."""
        return [instrument for play in self.plays for instrument in play.instruments]

    async def make_trouble(self) -> None:
        """Let one thing after another go wrong, at one venue after another."""
        await asyncio.sleep(FIRST_FAULT_S)
        for play, fault, meaning in self._troubles():
            await play.sim.fault(fault)
            self.happened.append(f"{play.venue.name}: {meaning}")
            await asyncio.sleep(FAULT_EVERY_S)

    def _troubles(self) -> Iterator[tuple[Play, Fault, str]]:
        while True:
            for play in self.plays:
                yield play, Fault(FaultKind.DISCONNECT), "every connection is cut"
            for play in self.plays:
                lossy = layout_of(play.venue.name).lossy
                yield play, Fault(FaultKind.DROP, match=lossy, count=20), "changes of books are lost on the way"
            for play in self.plays:
                yield play, Fault(FaultKind.DUPLICATE, count=50), "frames come twice"

    async def listen(self, venue: str, market: str, symbols: Sequence[str], interval: Interval) -> None:
        """Be a client of the gateway."""
        wish = {"exchange": venue, "contract_type": market, "symbols": list(symbols), "interval": interval}
        async with aiohttp.ClientSession() as session, session.ws_connect(self._gateway_url) as socket:
            await socket.send_json(wish)
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                told = message.json()
                if told["type"] == "quote":
                    self._quoted += 1
                    if is_coin(told["symbol"]):
                        self._coin_price = Decimal(str(told["close"]))
                    if not self._quotes.full():
                        self._quotes.put_nowait(told | {"market": market})
                elif told["type"] == "error":
                    self.happened.append(f"the gateway says: {told['message']}")

    async def quotes(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what the gateway tells its clients, for ever, with the `market` that was asked for."""
        while True:
            yield await self._quotes.get()

    async def finish(self) -> dict[str, Any]:
        """Wait for what happened last, stop the feeds, and hold the streams against the truth."""
        untils = {play.venue.name: play.sim.clock.now_ns() for play in self.plays}
        try:
            async with asyncio.timeout(SETTLE_S):
                for play in self.plays:
                    while not await play.arrived(self._record, untils[play.venue.name]):  # noqa: ASYNC110
                        await asyncio.sleep(0.1)  # What we wait for is on the server.
        except TimeoutError:
            self.happened.append("the last candles did not arrive in time")
        await asyncio.gather(*(play.stop() for play in self.plays))
        await self._record.publisher.flush()
        venues = {play.venue.name: await play.judged(self._record, untils[play.venue.name]) for play in self.plays}
        counts: dict[str, int] = {}
        for feed in self.feeds:
            for channel, count in feed.metrics.events.items():
                counts[channel] = counts.get(channel, 0) + count
        return {
            "counts": dict(sorted(counts.items())) | {"gateway_quotes": self._quoted},
            **{name: sum(told[name] for told in venues.values()) for name in next(iter(venues.values()))},
            "venues": venues,
        }


def is_coin(symbol: str) -> bool:
    """Whether a symbol, of whichever venue, is of bitcoin in dollars."""
    return symbol.upper().replace("-", "").replace("/", "").replace("_", "") in ("BTCUSDT", "BTCUSD")


@asynccontextmanager
async def open_stage(speed: float, seed: int, venues: Sequence[str] = ()) -> AsyncIterator[Stage]:
    """Start everything; at the end nothing is left.

    Args:
        speed: simulated seconds per real second.
        seed: of the simulated world, which all venues share.
        venues: which venues; none: all that can be played.

    Raises:
        ConfigError: there is no such venue, or it cannot be played.

    """
    playable = {name: venue for name, venue in VENUES.items() if name in played()}
    chosen = list(dict.fromkeys(find_venue(name, playable).name for name in venues)) or list(playable)
    clock, collector = SystemClock(), FeedCollector()
    settings = config.load(ConnectorSettings, wss_host="127.0.0.1", wss_port=0, wss_health_check_port=0)
    async with AsyncExitStack() as stack:
        epoch_ns = epoch_before(_longest([playable[name] for name in chosen]), speed, time.time_ns())
        players = await stack.enter_async_context(open_troupe(chosen, seed, speed, COINS, epoch_ns))
        found: dict[VenueId, Venue] = {}
        for player in players:
            found |= app.at_addresses(player.venue, player.endpoints)
        server = await stack.enter_async_context(Server())
        publisher = await stack.enter_async_context(Publisher(server.url))
        reader = await stack.enter_async_context(Reader(server.url, {}))
        sink = StreamSink(publisher, reader, stream_maxlen=STREAM_MAXLEN, feed_maxlen=100_000)
        tail = BusTail(server.url, "demo", collector, clock)
        gateway = await stack.enter_async_context(app.open_gateway(tail, found, settings, collector, clock))
        stage = Stage(Record(sink, reader, publisher), server.url, f"ws://{gateway.server.address}")
        client = await stack.enter_async_context(rest.Client(app.rest_settings(settings), random.Random(seed)))
        repair = config.load(config.RepairSettings, gap_grace=0.5)
        feed_settings = msgspec.structs.replace(app.feed_settings(settings, repair), reconnect_delay_s=0.5)
        stage.plays = [Play(player, found[name]) for player, name in zip(players, chosen, strict=True)]
        for play in stage.plays:
            stack.push_async_callback(play.stop)

        async def begin(play: Play, market: Market) -> None:
            metrics = FeedMetrics(market.venue, market.market)
            collector.add(metrics)
            feed = MarketFeed(market, feed_settings, sink, metrics, clock, client, resume=sink)
            assert market.default_interval is not None  # `_longest` has looked at every market.
            await play.add(feed, market, await _listed(client, market), market.default_interval)

        async with asyncio.TaskGroup() as tasks:
            for play in stage.plays:
                for market in play.venue.markets.values():
                    tasks.create_task(begin(play, market))
        for play in stage.plays:
            for (name, interval), symbols in play.symbols.items():
                await stack.enter_async_context(app.beside(stage.listen(play.venue.name, name, symbols, interval)))
        yield stage


async def _listed(client: rest.Client, market: Market) -> list[Instrument]:
    listed = await list_instruments(client, market)
    return ([i for i in listed if i.expiry_ns is None] or listed)[:COINS]


def epoch_before(length_ns: int, speed: float, now_ns: int) -> int:
    """Return the epoch of a world in which candles of this length end `FIRST_END_S` from now.

    The longest are begun and over within a short demo, which at that speed may take less time than one of them lasts.
    Below twice real time the epoch would lie far back, and no candle would end in a short demo anyway: it is now.
    """
    if speed < 2:
        return now_ns
    late_ns = (now_ns + int(FIRST_END_S * speed * NS_PER_S)) % length_ns
    # The world gains on real time from its epoch on: the farther back that is, the later it is there.
    return now_ns - int((length_ns - late_ns) / (speed - 1))


def _longest(venues: Sequence[Venue]) -> int:
    """Return the longest length of candles that the demo shows.

    Raises:
        ConfigError: a market streams none.

    """
    lengths = []
    for market in (market for venue in venues for market in venue.markets.values()):
        if market.default_interval is None or market.default_interval.length_ns is None:
            raise ConfigError(f"{market.venue} {market.market} streams no candles that could be shown")
        lengths.append(market.default_interval.length_ns)
    return max(lengths)
