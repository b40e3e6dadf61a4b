"""What runs, put together: the one place where settings become objects."""

import asyncio
import logging
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import msgspec
import structlog

from heliograph.bus.endpoint import Tls
from heliograph.bus.leases import Identity, Leases
from heliograph.bus.opening import open_publisher, open_reader
from heliograph.clock import Clock, SystemClock
from heliograph.config import BusSettings, ConnectorSettings, RepairSettings, load, load_key
from heliograph.connect import rest
from heliograph.errors import ConfigError
from heliograph.gateway.connection import Limits
from heliograph.gateway.hub import Hub, Source, Upstream
from heliograph.gateway.inprocess import InProcess
from heliograph.gateway.probes import Probes, open_probes
from heliograph.gateway.server import Server, open_server
from heliograph.marketdata.fanout import FanOut
from heliograph.marketdata.feed import MarketFeed
from heliograph.marketdata.publish import StreamSink
from heliograph.marketdata.settings import FeedSettings
from heliograph.marketdata.sharing import Slice
from heliograph.marketdata.worker import Worker
from heliograph.metrics import FeedCollector, FeedMetrics, WorkerMetrics
from heliograph.model.instrument import MarketId, VenueId
from heliograph.venues import VENUES, find_venue
from heliograph.venues.contract import Credentials, Market, Venue
from heliograph.venues.keys import with_keys

if TYPE_CHECKING:
    from heliograph.sim.venue import SimulatedVenue

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Gateway(msgspec.Struct, frozen=True):
    """A running gateway."""

    hub: Hub
    server: Server
    probes: Probes | None
    """None where the settings switch them off."""


def configure_logging(level: str) -> None:
    """Send the logs to stderr, one event a line.

    Args:
        level: one of `LOG_LEVELS`, in any case.

    Raises:
        ConfigError: there is no such level.

    """
    if level.upper() not in LOG_LEVELS:
        raise ConfigError(f"unknown log level {level}", LOG_LEVELS)
    number: int = getattr(logging, level.upper())
    logging.basicConfig(
        stream=sys.stderr, level=max(number, logging.WARNING), format="%(levelname)s %(name)s: %(message)s"
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def feed_settings(connector: ConnectorSettings, repair: RepairSettings) -> FeedSettings:
    """Return what the settings mean to a feed."""
    return FeedSettings(
        inactivity_s=connector.inactivity_timeout,
        reconnect_delay_s=connector.reconnect_delay,
        ping_interval_s=connector.ws_ping_interval,
        ping_timeout_s=connector.ws_ping_timeout,
        symbols_per_socket_max=connector.max_symbol_per_ws,
        breaker_failures_max=connector.circuit_breaker_failure_threshold,
        breaker_recovery_s=connector.circuit_breaker_recovery_timeout,
        breaker_half_open_calls=connector.circuit_breaker_half_open_calls,
        keep_max=connector.closed_queue_maxsize,
        slots_max=connector.open_queue_maxsize,
        dedupe_window_s=connector.deduplication_window_seconds,
        dedupe_entries_max=connector.deduplication_max_entries,
        gap_grace_s=repair.gap_grace,
        dedupe=repair.dedupe,
        backfill=repair.backfill,
    )


def rest_settings(connector: ConnectorSettings) -> rest.Settings:
    """Return what the connector's settings mean to REST."""
    return rest.Settings(
        connections_per_host_max=connector.rest_pool_connections,
        connections_max=connector.rest_pool_maxsize,
        timeout_s=connector.rest_timeout,
    )


def client_limits(connector: ConnectorSettings) -> Limits:
    """Return what the connector's settings mean to the WebSocket port's clients."""
    return Limits(
        kept_max=connector.closed_queue_maxsize,
        subscribe_timeout_s=connector.wss_subscribe_timeout,
        idle_timeout_s=connector.stream_idle_timeout,
        ping_interval_s=connector.ws_ping_interval,
        ping_timeout_s=connector.ws_ping_timeout,
    )


def at_endpoint(endpoint: str, venues: Mapping[VenueId, Venue] = VENUES) -> Mapping[VenueId, Venue]:
    """Return the venues with every market at one address instead of its own.

    Args:
        endpoint: `http://host:port` or `https://host:port`; sockets are opened at the same address.
        venues: the venues as they are.

    Raises:
        ConfigError: it is no such address.

    """
    scheme, _, rest_of = endpoint.rstrip("/").partition("://")
    if scheme not in ("http", "https") or not rest_of or not rest_of.isprintable() or " " in rest_of:
        raise ConfigError(f"not an endpoint: {endpoint[:100]}", ("http://host:port", "https://host:port"))
    address = Address(f"ws{scheme[4:]}://{rest_of}", f"{scheme}://{rest_of}")
    return {name: _moved(venue, dict.fromkeys(venue.markets, address)) for name, venue in venues.items()}


class Address(msgspec.Struct, frozen=True):
    """Where a market is."""

    socket_url: str
    rest_url: str


def _moved(venue: Venue, addresses: Mapping[MarketId, Address]) -> Venue:
    markets = {
        name: msgspec.structs.replace(market, socket_url=addresses[name].socket_url, rest_url=addresses[name].rest_url)
        for name, market in venue.markets.items()
    }
    return msgspec.structs.replace(venue, markets=markets)


def at_simulator(simulated: "SimulatedVenue") -> Mapping[VenueId, Venue]:
    """Return the venue that a running simulator plays, at its addresses, with those of its markets that it plays.

    Raises:
        ConfigError: the simulator plays a venue that Heliograph does not know.

    """
    return at_addresses(simulated.venue, simulated.endpoints)


def at_addresses(venue: str, endpoints: Mapping[str, Mapping[str, str]]) -> Mapping[VenueId, Venue]:
    """Return a venue at the addresses that its simulator tells, with those of its markets that are there.

    Args:
        venue: its name.
        endpoints: `socket_url` and `rest_url` of each market, as `heliograph simulate` prints them.

    Raises:
        ConfigError: Heliograph does not know the venue.

    """
    name = VenueId(venue)
    if name not in VENUES:
        raise ConfigError(f"Exchange {name} is simulated, but not known", tuple(VENUES))
    addresses = {
        MarketId(market): Address(where["socket_url"], where["rest_url"]) for market, where in endpoints.items()
    }
    markets = {market: VENUES[name].markets[market] for market in addresses}
    here = {name: _moved(msgspec.structs.replace(VENUES[name], markets=markets), addresses)}
    # A simulator takes any key, so that nobody has to have one.
    return with_keys(here, lambda _name: Credentials("simulated", "simulated"))


def key_to(venue: VenueId) -> Credentials | None:
    """Return the key to a venue that the settings hold; None where they hold none.

    Raises:
        ConfigError: they hold half of one, or cannot be read.

    """
    held = load_key(venue)
    return None if held is None else Credentials(*held)


@asynccontextmanager
async def open_simulated(
    speed: float = 1.0, seed: int = 1, only: str | None = None
) -> AsyncIterator[Mapping[VenueId, Venue]]:
    """Run simulated venues in this process, and yield the venues at the simulators' addresses.

    Args:
        speed: simulated seconds per real second.
        seed: of the simulated world.
        only: the name of the one venue that is needed; None: all that can be simulated.

    Raises:
        ConfigError: the venue is not known, or has no simulator; it says which have one.

    """
    from heliograph.sim.layouts import played
    from heliograph.sim.venue import SimulatedVenue  # A production feed shall not carry the simulator, 4 MB of it.

    playable = {name: VENUES[name] for name in VENUES if name in played()}
    names = tuple(playable) if only is None else (find_venue(only, playable).name,)
    async with AsyncExitStack() as stack:
        venues: dict[VenueId, Venue] = {}
        for name in names:
            simulated = await stack.enter_async_context(SimulatedVenue(name, seed=seed, speed=speed))
            venues |= at_simulator(simulated)
        yield venues


class Where(msgspec.Struct, frozen=True):
    """Where a command finds its venues."""

    simulated: bool = False
    """At simulators that are started for it."""
    endpoint: str | None = None
    """At this address, `http://host:port`; None: where they really are."""
    speed: float = 1.0
    """Simulated seconds per real second."""


@asynccontextmanager
async def open_venues(where: Where, only: str | None = None) -> AsyncIterator[Mapping[VenueId, Venue]]:
    """Yield the venues where the user wants them.

    Args:
        where: at simulators, at an address, or where they really are.
        only: the name of the one venue that is needed, so that no simulator of another is started; None: all.

    Raises:
        ConfigError: the address cannot be used, or contradicts the rest, or the venue cannot be simulated.

    """
    if where.simulated and where.endpoint is not None:
        raise ConfigError("both --simulated and --endpoint", ("one of them",))
    if where.speed != 1.0 and not where.simulated:
        raise ConfigError("--speed without --simulated", ("both, or neither",))
    if where.simulated:
        async with open_simulated(where.speed, only=only) as venues:
            yield venues
    else:
        yield with_keys(VENUES if where.endpoint is None else at_endpoint(where.endpoint, VENUES), key_to)


@asynccontextmanager
async def open_streams(url: str, bus: BusSettings, *, leased: bool = False) -> AsyncIterator[StreamSink]:
    """Open the streams of a server, to append to.

    Args:
        url: the server.
        bus: how much the streams keep.
        leased: append only while leases allow it.

    Raises:
        ConfigError: the URL cannot be used.
        BusError: the server is away, or refuses us.

    """
    url = server_url(bus, url) or url
    async with open_publisher(url, leased=leased) as publisher, open_reader(url, {}) as reader:
        yield StreamSink(publisher, reader, stream_maxlen=bus.stream_maxlen, feed_maxlen=bus.feed_maxlen, leased=leased)


def server_url(bus: BusSettings, given: str | None = None) -> str | None:
    """Return the server's URL, with the TLS files of the settings where it names none itself; None where there is none.

    Args:
        bus: the settings.
        given: a URL that stands in place of the settings'.

    Raises:
        ConfigError: there are TLS files, and the URL is not one of TLS.

    """
    url = given or bus.valkey_url
    files = [None if path is None else str(path) for path in (bus.valkey_ca, bus.valkey_cert, bus.valkey_key)]
    if not any(files):
        return url
    if url is None or not url.startswith(("rediss", "valkeys")):
        raise ConfigError("there are files for TLS, but the server's URL is not one of TLS", ("rediss://…",))
    return Tls(ca_file=files[0], certificate_file=files[1], key_file=files[2]).url(url)


@asynccontextmanager
async def open_source(
    connector: ConnectorSettings, collector: FeedCollector, clock: Clock, valkey_url: str | None = None
) -> AsyncIterator[InProcess]:
    """Open feeds in this process: their source, which runs when its hub does.

    Args:
        connector: the connector's settings.
        collector: where the feeds' counters are shown.
        clock: the time of day.
        valkey_url: the server that everything is published to as well; None: nowhere.

    Raises:
        ConfigError: the URL cannot be used.
        BusError: the server is away, or refuses us.

    """
    async with AsyncExitStack() as stack:
        streams: StreamSink | None = None
        if valkey_url is not None:
            streams = await stack.enter_async_context(open_streams(valkey_url, load(BusSettings)))
        yield await stack.enter_async_context(_open_feeds(connector, collector, clock, streams))


@asynccontextmanager
async def open_worker(
    connector: ConnectorSettings, collector: FeedCollector, clock: Clock, url: str, part: Slice | None
) -> AsyncIterator[tuple[InProcess, Worker]]:
    """Open feeds in this process that write to a server only what is this worker's part of it.

    Args:
        connector: the connector's settings.
        collector: where the feeds' counters, and the worker's, are shown.
        clock: the time of day.
        url: the server.
        part: the fixed part that is this worker's; None: what falls to it among the workers that are up.

    Raises:
        ConfigError: the URL cannot be used, or the clock differs from the server's.
        BusError: the server is away, or refuses us.

    """
    bus = load(BusSettings)
    collector.worker = WorkerMetrics()
    async with AsyncExitStack() as stack:
        # Opened before the publisher, and so left after it: what is ours is given back when all of it is written.
        leases = await stack.enter_async_context(Leases(url, Identity.own(), lease_s=bus.feed_lease, clock=clock))
        streams = await stack.enter_async_context(open_streams(url, bus, leased=True))
        feeds = await stack.enter_async_context(_open_feeds(connector, collector, clock, streams))
        worker = Worker(
            leases, streams, lease_s=bus.feed_lease, part=part, metrics=collector.worker,
            begin=feeds.add, end=feeds.hand_over,
        )  # fmt: skip
        async with beside(worker.run()):
            yield feeds, worker


@asynccontextmanager
async def _open_feeds(
    connector: ConnectorSettings, collector: FeedCollector, clock: Clock, streams: StreamSink | None
) -> AsyncIterator[InProcess]:
    settings = feed_settings(connector, load(RepairSettings))
    async with rest.Client(rest_settings(connector), random.Random()) as client:

        def make_feed(market: Market, upstream: Upstream, metrics: FeedMetrics) -> MarketFeed:
            sink = upstream if streams is None else FanOut(upstream, streams)
            return MarketFeed(market, settings, sink, metrics, clock, client, resume=streams, refused=upstream.refused)

        yield InProcess(make_feed, client, collector)


@asynccontextmanager
async def open_hub(source: Source, clock: Clock) -> AsyncIterator[Hub]:
    """Run a hub while the context lasts."""
    hub = Hub(source, clock)
    async with beside(hub.run()):
        yield hub


@asynccontextmanager
async def open_gateway(
    source: Source,
    venues: Mapping[VenueId, Venue],
    connector: ConnectorSettings,
    collector: FeedCollector,
    clock: Clock | None = None,
) -> AsyncIterator[Gateway]:
    """Serve the WebSocket port and the probes while the context lasts; then lower readiness, and drain.

    Raises:
        ConfigError: a port cannot be listened on.

    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(open_hub(source, clock))
        probes = None
        if connector.wss_health_check_enabled:
            probes = await stack.enter_async_context(
                open_probes(source.feeds, collector, clock, connector.wss_host, connector.wss_health_check_port)
            )
        server = await stack.enter_async_context(
            open_server(hub, venues, connector.wss_host, connector.wss_port, client_limits(connector))
        )
        if probes is not None:
            stack.callback(probes.lower)
        yield Gateway(hub, server, probes)


@asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run work beside the context's body, and cancel it at the body's end; if the work fails, so does the body.

    What either raises is raised as it is, not in a group.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(work)
            yield
            task.cancel()
    except BaseExceptionGroup as group:
        only: BaseException = group
        while isinstance(only, BaseExceptionGroup) and len(only.exceptions) == 1:
            only = only.exceptions[0]
        raise only from only.__cause__


@contextmanager
def terminations(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGTERM, instead of dying of it; Ctrl-C stays the runner's own."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def run_loop(work: Coroutine[None, None, int]) -> int:
    """Run a command's work in an event loop of its own (uvloop where it is installed), and return its exit code."""
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)
