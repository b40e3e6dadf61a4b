"""`heliograph serve`: a feed, a gateway, or both, until told to stop."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog

from heliograph import app, config
from heliograph.bus.embedded import Server
from heliograph.cli.wish import check_channels, subscriptions_of
from heliograph.clock import Clock, SystemClock
from heliograph.config import BusSettings, ConnectorSettings
from heliograph.errors import ConfigError, HeliographError
from heliograph.gateway.bustail import BusTail
from heliograph.gateway.hub import find_instruments
from heliograph.gateway.inprocess import InProcess
from heliograph.gateway.probes import Probes, open_probes
from heliograph.marketdata.demand import DemandTail, DemandTeller
from heliograph.marketdata.sharing import parse_slice
from heliograph.marketdata.worker import Worker
from heliograph.metrics import FeedCollector
from heliograph.model.event import Event
from heliograph.model.instrument import VenueId
from heliograph.venues import VENUES, find_market, find_venue, markets_of, tells_market
from heliograph.venues.contract import Subscription, Venue, VenueError

log = structlog.get_logger()

ROLES: Final = ("all", "feed", "gateway")
PARTIES: Final = ("custodian", "exchange")
"""What else `serve` runs, each by a module of its own."""
_FORMS: Final = ("VENUE:MARKET:SYMBOL, such as binance:spot:BTCUSDT", "VENUE:SYMBOL, such as okx:BTC-USDT-SWAP")


class Wanted(msgspec.Struct, frozen=True):
    """What the user asked for."""

    role: str
    symbols: Sequence[str]
    """`VENUE:MARKET:SYMBOL` each, or `VENUE:SYMBOL` where that tells the market; fed whether or not a client asks."""
    channels: Sequence[str]
    interval: str
    where: app.Where
    valkey_url: str | None
    host: str | None
    port: int | None
    probe_port: int | None
    shard: str | None = None
    """The fixed part of every market that a feed serves, such as `2/3`; None: what falls to it among all feeds."""


def serve(wanted: Wanted, settings_file: Path | None) -> int:
    """Run until SIGTERM or Ctrl-C, then drain; return the exit code.

    Raises:
        ConfigError: something that was asked for does not exist, or no server is named.
        BusError: the server is away, or refuses us.

    """
    if wanted.role not in ROLES:
        raise ConfigError(f"unknown role {wanted.role!r}", (*ROLES, *PARTIES))
    if wanted.shard is not None:
        if wanted.role != "feed":
            raise ConfigError(f"--shard is for serve feed, not for {wanted.role}")
        parse_slice(wanted.shard)
    subscriptions_of([], wanted.channels, wanted.interval)
    for name in wanted.symbols:
        for market, _ in markets_of(*_split(name, VENUES)):
            check_channels(market, wanted.channels, wanted.interval)
    connector = config.load(
        ConnectorSettings,
        settings_file,
        wss_host=wanted.host,
        wss_port=wanted.port,
        wss_health_check_port=wanted.probe_port,
    )
    bus = config.load(BusSettings, settings_file, valkey_url=wanted.valkey_url)
    if bus.valkey_url is None and wanted.role != "all":
        raise ConfigError(
            f"serve {wanted.role} needs a server", ("--valkey redis://host:port", "HELIOGRAPH_VALKEY_URL")
        )
    app.configure_logging(connector.wss_log_level)
    return app.run_loop(_serve(wanted, connector, bus))


async def _serve(wanted: Wanted, connector: ConnectorSettings, bus: BusSettings) -> int:
    stop = asyncio.Event()
    clock, collector = SystemClock(), FeedCollector()
    name = f"{socket.gethostname()}-{os.getpid()}"
    async with AsyncExitStack() as stack:
        stack.enter_context(app.terminations(stop.set))
        venues = await stack.enter_async_context(app.open_venues(wanted.where))
        url = app.server_url(bus)
        if url is None:
            server = await stack.enter_async_context(Server(binary=bus.valkey_binary))
            url = server.url
            log.info("embedded server, whose data go when it stops", url=url)
        about: dict[str, str] = {"role": wanted.role}
        feeding: InProcess | None = None
        if wanted.role in ("all", "feed"):
            part = None if wanted.shard is None else parse_slice(wanted.shard)
            opened = app.open_worker(connector, collector, clock, url, part)
            feeding, _ = supplied = await stack.enter_async_context(opened)
            await stack.enter_async_context(app.beside(supplied[0].run(Silent())))
            supply = Supply(*supplied, venues)
            await supply.fix(wanted)
            own = f"feed-{name}"
            tail = DemandTail(url, venues, clock, supply.change, own)
            for work in (supply, tail, DemandTeller(url, own, clock, supply.fixed)):
                await stack.enter_async_context(app.beside(work.run()))
        if wanted.role in ("all", "gateway"):
            source = BusTail(url, name, FeedCollector() if feeding is not None else collector, clock)
            gateway = await stack.enter_async_context(app.open_gateway(source, venues, connector, collector, clock))
            about["websocket"] = f"ws://{gateway.server.address}"
            probes = gateway.probes
        else:
            assert feeding is not None
            probes = await stack.enter_async_context(_probes(connector, feeding, collector, clock))
        if probes is not None:
            about["probes"] = f"http://{probes.address}"
        print(json.dumps(about), flush=True)
        await stop.wait()
    return 0


class Silent:
    """The upstream of feeds that nobody in this process listens to."""

    def ready(self) -> bool:
        """Always."""
        return True

    def when_ready(self, wake: Callable[[], None]) -> None:
        """Nothing to remember: always ready."""

    def push(self, events: Sequence[Event]) -> None:
        """Nobody here wants them."""

    def refused(self, subscriptions: Sequence[Subscription], error: VenueError) -> None:
        """Leave it to the feed's own log."""


class Supply:
    """What a feed process supplies: what its command line names, and for a while what gateways ask for.

    Args:
        feeding: knows the venues' instruments.
        worker: supplies them, or leaves them to another one.
        venues: what there is to supply.

    """

    def __init__(self, feeding: InProcess, worker: Worker, venues: Mapping[VenueId, Venue]) -> None:
        self._feeding = feeding
        self._worker = worker
        self._venues = venues
        self.fixed: dict[Subscription, None] = {}
        """What the command line names."""
        self._asked: dict[Subscription, Subscription] = {}
        self._changes: asyncio.Queue[tuple[Sequence[Subscription], Sequence[Subscription]]] = asyncio.Queue()

    async def fix(self, wanted: Wanted) -> None:
        """Supply what the command line names, for good."""
        for name in wanted.symbols:
            instruments = await find_instruments(self._feeding, *_split(name, self._venues))
            subscriptions = subscriptions_of(instruments, wanted.channels, wanted.interval)
            self.fixed.update(dict.fromkeys(subscriptions))
            self._worker.want(subscriptions)

    def change(self, begun: Sequence[Subscription], ended: Sequence[Subscription]) -> None:
        """Take note of what gateways have begun and ceased to ask for; `run` sees to it."""
        self._changes.put_nowait((tuple(begun), tuple(ended)))

    async def run(self) -> None:
        """See to what gateways ask for, until cancelled."""
        while True:
            begun, ended = await self._changes.get()
            for asked in begun:
                await self._begin(asked)
            known = [self._asked.pop(asked) for asked in ended if asked in self._asked]
            self._worker.unwant([s for s in known if s not in self.fixed and s not in self._asked.values()])

    async def _begin(self, asked: Subscription) -> None:
        """Supply what a gateway asks for, under the name that the venue's own list gives it."""
        named = asked.instrument
        try:
            market = find_market(find_venue(named.venue, self._venues), named.market)
            (instrument,) = await self._feeding.instruments(market, [named.venue_symbol])
        except HeliographError as e:
            log.warning("demand not met", instrument=named.id, error=str(e))
            return
        subscription = msgspec.structs.replace(asked, instrument=instrument)
        self._asked[asked] = subscription
        self._worker.want([subscription])


def _split(name: str, venues: Mapping[VenueId, Venue]) -> tuple[Venue, str | None, tuple[str]]:
    """Return the venue, the market if one is named, and the symbol, which may have colons of its own."""
    exchange, _, whole = name.partition(":")
    market, colon, symbol = whole.partition(":")
    if not exchange or not whole or (colon and not (market and symbol)):
        raise ConfigError(f"not a symbol to serve: {name!r}", _FORMS)
    venue = find_venue(exchange, venues)
    if colon:
        try:
            markets_of(venue, market, (symbol,))
        except ConfigError:
            if not tells_market(venue, whole):
                raise
        else:
            return venue, market, (symbol,)
    elif venue.default_market is None and not tells_market(venue, whole):
        raise ConfigError(f"not a symbol to serve: {name!r}", _FORMS)
    return venue, None, (whole,)


@asynccontextmanager
async def _probes(
    connector: ConnectorSettings, feeding: InProcess, collector: FeedCollector, clock: Clock
) -> AsyncIterator[Probes | None]:
    if not connector.wss_health_check_enabled:
        yield None
        return
    async with open_probes(
        feeding.feeds, collector, clock, connector.wss_host, connector.wss_health_check_port
    ) as probes:
        yield probes
        probes.lower()
