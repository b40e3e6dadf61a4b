"""The probes' port: liveness, readiness, metrics."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from heliograph.clock import NS_PER_S, Clock, iso_ms
from heliograph.errors import ConfigError
from heliograph.metrics import FeedMetrics

HEALTHY_MESSAGE_S_MAX: Final = 60.0
"""How old a feed's last message may be, in seconds."""

_CIRCUIT_STATES: Final = ("closed", "open", "half_open")


class Health(msgspec.Struct, frozen=True):
    """One feed, as `/ready` shows it."""

    exchange: str
    contract_type: str
    active_connections: int
    last_message_time: str | None
    total_quotes: int
    total_errors: int
    consecutive_failures: int
    circuit_state: str
    healthy: bool


class Readiness(msgspec.Struct, frozen=True):
    """The answer of `/ready`."""

    status: str
    timestamp: str
    exchanges: tuple[Health, ...]


def health(feed: FeedMetrics, now_ns: int) -> Health:
    """Return what a feed's counters say of it.

    Healthy is connected, heard of in the last 60 s, and without a wanted stream that is silent for too long.
    """
    last_ns = feed.last_message_ns
    fresh = last_ns is not None and now_ns - last_ns < HEALTHY_MESSAGE_S_MAX * NS_PER_S
    return Health(
        exchange=feed.exchange,
        contract_type=feed.contract_type,
        active_connections=feed.active_connections,
        last_message_time=None if last_ns is None else iso_ms(last_ns),
        total_quotes=feed.quotes_closed + feed.quotes_open,
        total_errors=feed.connection_errors.total() + feed.venue_errors + feed.frames_refused,
        consecutive_failures=feed.consecutive_failures,
        circuit_state=_CIRCUIT_STATES[feed.circuit_state],
        healthy=feed.active_connections > 0 and fresh and not feed.streams_stale,
    )


def readiness(feeds: Sequence[FeedMetrics], now_ns: int, *, draining: bool) -> Readiness:
    """Return whether traffic may come: every wanted feed is healthy, and we are not about to stop."""
    exchanges = tuple(health(feed, now_ns) for feed in feeds)
    ready = not draining and all(e.healthy for e in exchanges)
    return Readiness("ready" if ready else "not_ready", iso_ms(now_ns), exchanges)


class Probes:
    """What the probes' port answers. Make it with `open_probes`.

    Args:
        feeds: tells which feeds are wanted at present.
        collector: what `/metrics` renders.
        clock: the time of day.
        sound: tells whether all else is well that a service needs to be ready.

    """

    def __init__(
        self,
        feeds: Callable[[], Sequence[FeedMetrics]],
        collector: Collector,
        clock: Clock,
        sound: Callable[[], bool] = lambda: True,
    ) -> None:
        self.host = ""
        self.port = 0
        self._sound = sound
        self._feeds = feeds
        self._clock = clock
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector)
        self._draining = False

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def lower(self) -> None:
        """Be not ready from now on: the service is about to stop."""
        self._draining = True

    async def answer(self, request: web.Request) -> web.Response:
        """Answer any request."""
        match request.path if request.method in ("GET", "HEAD") else "":
            case "/health":
                now = iso_ms(self._clock.now_ns())
                return _json(200, msgspec.json.encode({"status": "healthy", "timestamp": now}))
            case "/ready":
                state = readiness(self._feeds(), self._clock.now_ns(), draining=self._draining or not self._sound())
                return _json(200 if state.status == "ready" else 503, msgspec.json.encode(state))
            case "/metrics":
                kind = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
                return web.Response(body=generate_latest(self._registry), headers=kind)
        return web.Response(status=404, text="Not Found\n")


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell a fault of ours from a request that is no HTTP, which is answered, and a port scan is full of them."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


@asynccontextmanager
async def open_probes(
    feeds: Callable[[], Sequence[FeedMetrics]],
    collector: Collector,
    clock: Clock,
    host: str,
    port: int,
    sound: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Probes]:
    """Serve the probes' port while the context lasts.

    Args:
        feeds: tells which feeds are wanted at present.
        collector: what `/metrics` renders.
        clock: the time of day.
        host: the address to listen on.
        port: the port to listen on; 0: a free one, which the probes' `port` tells.
        sound: tells whether all else is well that the service needs to be ready.

    Raises:
        ConfigError: the address cannot be listened on.

    """
    probes = Probes(feeds, collector, clock, sound)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", probes.answer)
    log = logging.getLogger("heliograph.gateway.probes")
    log.addFilter(_is_ours)
    runner = web.AppRunner(application, access_log=None, logger=log, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as e:
            raise ConfigError(f"cannot listen on {host}:{port}: {e.strerror or e}") from e
        probes.host, probes.port = runner.addresses[0][:2]
        yield probes
    finally:
        await runner.cleanup()
