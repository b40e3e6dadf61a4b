"""The WebSocket port."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Final

import structlog
from picows import WSCloseCode, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener, ws_create_server

from heliograph.errors import ConfigError, HeliographError, VenueRejected
from heliograph.gateway import protocol
from heliograph.gateway.connection import Connection, Limits, venue_words
from heliograph.gateway.hub import Hub, find_instruments
from heliograph.gateway.protocol import Refusal, Subscribe
from heliograph.model.instrument import VenueId
from heliograph.model.market import Channel
from heliograph.venues import find_venue
from heliograph.venues.contract import Subscription, Venue

log = structlog.get_logger()

_FRAME_BYTES_MAX: Final = 4 * protocol.MESSAGE_BYTES_MAX
"""What the WebSocket layer takes before it cuts: more than we accept, so that we can say what is wrong."""
_TICK_S_MAX: Final = 1.0


class Server:
    """The clients of one port. Make it with `open_server`.

    Args:
        hub: where quotes come from.
        venues: the venues that clients may name.
        limits: what clients may take.

    """

    def __init__(self, hub: Hub, venues: Mapping[VenueId, Venue], limits: Limits) -> None:
        self.hub = hub
        self.limits = limits
        self.host = ""
        self.port = 0
        self.draining = False
        self._venues = venues
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def connections(self) -> frozenset[Connection]:
        """The clients at present."""
        return frozenset(self._connections)

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def now_s(self) -> float:
        """Return the loop's time, in seconds."""
        return self._loop.time()

    def accept(self, request: WSUpgradeRequest) -> Connection | WSUpgradeResponseWithListener:
        """Take a client in, or answer 503 where there is no room."""
        if self.draining or len(self._connections) >= self.limits.clients_max:
            body = b"the server stops\n" if self.draining else b"too many clients\n"
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(503, body), None)
        return Connection(self)

    def joined(self, connection: Connection) -> None:
        """Count a client, from the end of its handshake."""
        self._connections.add(connection)
        self._empty.clear()
        if self.draining:
            connection.drain()

    def gone(self, connection: Connection) -> None:
        """Forget a client."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def asked(self, connection: Connection, request: Subscribe) -> None:
        """Find the instruments that a client asks for, in a task of its own."""
        self._spawn(self._find(connection, request))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        # Not a task group: around a `yield` it would wrap whatever the server's user raises.
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _find(self, connection: Connection, request: Subscribe) -> None:
        try:
            venue = find_venue(request.exchange, self._venues)
            instruments = await find_instruments(
                self.hub.source, venue, request.contract_type, request.symbols, request.interval
            )
        except ConfigError as e:
            connection.refuse(Refusal(str(e)))
        except VenueRejected as e:
            connection.refuse(Refusal(f"Subscription rejected by {e.venue}", exchange_message=venue_words(e)))
        except HeliographError as e:
            connection.refuse(Refusal(f"Internal streaming error: {e}"), WSCloseCode.TRY_AGAIN_LATER)
            log.warning("subscription failed", exchange=request.exchange, error=str(e))
        except Exception:
            # The supervisor's border: what goes wrong for one client must not end the others' streams.
            connection.refuse(Refusal("Internal streaming error"), WSCloseCode.TRY_AGAIN_LATER)
            log.exception("subscription failed", exchange=request.exchange)
        else:
            connection.confirmed(tuple(Subscription(Channel.CANDLES, i, request.interval) for i in instruments))

    def start(self) -> None:
        """Let every connection look at the time, until `stop`."""
        self._spawn(self._tick())

    async def _tick(self) -> None:
        limits = self.limits
        shortest_s = min(
            limits.subscribe_timeout_s,
            limits.idle_timeout_s,
            limits.ping_interval_s,
            limits.ping_timeout_s,
            limits.close_timeout_s,
        )
        while True:
            await asyncio.sleep(min(_TICK_S_MAX, max(shortest_s / 4, 0.01)))
            now_s = self.now_s()
            for connection in self.connections:
                try:
                    connection.tick(now_s)
                except Exception:
                    # The supervisor's border: the other connections' time must not stop for this one.
                    log.exception("connection failed")

    async def drain(self) -> None:
        """Take no more clients, pass on to the present ones what waits for them, and close them (1001)."""
        self.draining = True
        for connection in self.connections:
            connection.drain()
        await self.empty()

    async def empty(self) -> None:
        """Wait until there is no client."""
        await self._empty.wait()

    async def stop(self) -> None:
        """Cancel what is still under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def open_server(
    hub: Hub, venues: Mapping[VenueId, Venue], host: str, port: int, limits: Limits | None = None
) -> AsyncIterator[Server]:
    """Serve the WebSocket port while the context lasts; then drain it.

    Args:
        hub: where quotes come from; it must be running.
        venues: the venues that clients may name.
        host: the address to listen on.
        port: the port to listen on; 0: a free one, which the server's `port` tells.
        limits: what clients may take.

    Raises:
        ConfigError: the address cannot be listened on.

    """
    server = Server(hub, venues, limits or Limits())
    try:
        listener = await ws_create_server(
            server.accept,
            host,
            port,
            max_frame_size=_FRAME_BYTES_MAX,
            logger_name=logging.getLogger("heliograph.gateway.websocket"),
        )
    except OSError as e:
        raise ConfigError(f"cannot listen on {host}:{port}: {e.strerror or e}") from e
    server.host, server.port = listener.sockets[0].getsockname()[:2]
    server.start()
    try:
        yield server
    finally:
        listener.close()
        await server.drain()
        await server.stop()
