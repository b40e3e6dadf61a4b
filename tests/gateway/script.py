"""A source whose events the test itself pushes, and a client of the WebSocket port that is not ours (aiohttp's)."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from heliograph.clock import SystemClock
from heliograph.errors import ConfigError
from heliograph.gateway.connection import Limits
from heliograph.gateway.hub import Hub, Upstream
from heliograph.gateway.server import Server, open_server
from heliograph.metrics import FeedMetrics
from heliograph.model.instrument import SPOT, Instrument, MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues import VENUES
from heliograph.venues.contract import Market, Subscription

MANY = tuple(f"S{n}USDT" for n in range(600))
LISTED = ("BTCUSDT", "ETHUSDT", *MANY)


def spot(symbol: str) -> Instrument:
    return Instrument(VenueId("binance"), SPOT, symbol)


def minute_candles(*symbols: str) -> tuple[Subscription, ...]:
    return tuple(Subscription(Channel.CANDLES, spot(s), Interval.M1) for s in symbols)


class Script:
    """Remembers what was asked of it; `asked` is set at each change."""

    def __init__(self) -> None:
        self.wanted: dict[Subscription, None] = {}
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.changed = asyncio.Event()
        self.counters: list[FeedMetrics] = []
        self.failure: Exception | None = None

    async def instruments(self, market: Market, symbols: Sequence[str]) -> list[Instrument]:
        if self.failure is not None:
            raise self.failure
        for symbol in symbols:
            if symbol not in LISTED:
                raise ConfigError(f"Unknown symbol: {symbol}", LISTED[:2])
        return [spot(s) for s in symbols]

    def add(self, subscriptions: Sequence[Subscription]) -> None:
        self.wanted.update(dict.fromkeys(subscriptions))
        self._called("add", subscriptions)

    def remove(self, subscriptions: Sequence[Subscription]) -> None:
        for subscription in subscriptions:
            self.wanted.pop(subscription, None)
        self._called("remove", subscriptions)

    def _called(self, what: str, subscriptions: Sequence[Subscription]) -> None:
        self.calls.append((what, tuple(s.instrument.venue_symbol for s in subscriptions)))
        self.changed.set()

    async def until(self, *symbols: str) -> None:
        """Wait until exactly these symbols are wanted."""
        while tuple(s.instrument.venue_symbol for s in self.wanted) != symbols:
            self.changed.clear()
            await self.changed.wait()

    def feeds(self) -> Sequence[FeedMetrics]:
        return self.counters

    async def run(self, upstream: Upstream) -> None:
        await asyncio.Event().wait()


@asynccontextmanager
async def running(limits: Limits | None = None, linger_s: float = 0.0) -> AsyncIterator[tuple[Script, Hub, Server]]:
    """A hub over a script, and its server on a free port."""
    script = Script()
    hub = Hub(script, SystemClock(), linger_s=linger_s)
    async with open_server(hub, VENUES, "127.0.0.1", 0, limits) as server:
        yield script, hub, server


class Client:
    """A connection to the port."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, message: object) -> None:
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def subscribe(self, *symbols: str, **more: Any) -> dict[str, Any]:
        await self.send({"exchange": "binance", "contract_type": "spot", "symbols": symbols, **more})
        return await self.receive()

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.socket.receive_str())
        return message

    async def closed(self) -> int | None:
        """Read to the end, and return the code that it closed with."""
        while (await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        return self.socket.close_code

    async def until_closed(self) -> tuple[list[dict[str, Any]], int | None]:
        messages = []
        while (message := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
            messages.append(json.loads(message.data))
        return messages, self.socket.close_code


@asynccontextmanager
async def clients(server: Server, count: int) -> AsyncIterator[list[Client]]:
    """Connect some clients."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        url = f"http://127.0.0.1:{server.port}/"
        sockets = await asyncio.gather(*(session.ws_connect(url, max_msg_size=0) for _ in range(count)))
        try:
            yield [Client(socket) for socket in sockets]
        finally:
            with suppress(ConnectionError):
                await asyncio.gather(*(socket.close() for socket in sockets))


@asynccontextmanager
async def client(server: Server) -> AsyncIterator[Client]:
    """Connect a client."""
    async with clients(server, 1) as (only,):
        yield only


def usdm(symbol: str) -> Instrument:
    return Instrument(VenueId("binance"), MarketId("usdm"), symbol)
