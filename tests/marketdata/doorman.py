"""A venue's door on a real socket: it lets sockets in or refuses them, and remembers when, and what they said."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from heliograph.model.event import VenueEvent
from heliograph.model.instrument import MarketId
from heliograph.venues import binance
from heliograph.venues.contract import Connection, Effect, Market, Request, Subscription, VenueError


class Doorman:
    """Accepts every upgrade, unless `refusals` has an answer for it; whatever is said is answered with `{}`."""

    def __init__(self) -> None:
        self.came_s: list[float] = []
        self.headers: list[Mapping[str, str]] = []
        self.said: list[tuple[float, str]] = []
        self.refusals: list[web.Response] = []
        self.open: set[web.WebSocketResponse] = set()
        self.open_max = 0
        self.url = ""

    async def __call__(self, asked: web.BaseRequest) -> web.StreamResponse:
        self.came_s.append(asyncio.get_running_loop().time())
        self.headers.append(asked.headers)
        if self.refusals:
            return self.refusals.pop(0)
        ws = web.WebSocketResponse()
        await ws.prepare(asked)
        self.open.add(ws)
        self.open_max = max(self.open_max, len(self.open))
        try:
            async for message in ws:
                self.said.append((asyncio.get_running_loop().time(), message.data))
                await ws.send_str("{}")
        finally:
            self.open.discard(ws)
        return ws

    async def cut(self) -> None:
        """Close every socket."""
        for ws in tuple(self.open):
            await ws.close()

    async def tell(self, text: str) -> None:
        """Say this to everybody."""
        for ws in tuple(self.open):
            await ws.send_str(text)

    def most_in(self, window_s: float) -> int:
        """Return the largest number of upgrades in any window of this length."""
        return max(sum(end_s - window_s < at_s <= end_s for at_s in self.came_s) for end_s in self.came_s)


class Talker:
    """A codec of nobody's: it says `talk` when it opens and `beat` at every tick, and answers are refusals to it."""

    def __init__(self, connection: Connection, talk: Sequence[Effect] = (), beat: Sequence[Effect] = ()) -> None:
        self._talk, self._beat = talk, beat

    def opened(self, now_ns: int, effects: list[Effect]) -> None:
        effects += self._talk

    def decode(
        self, frames: Sequence[bytes], received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        """Make nothing of it."""

    def ticked(self, now_ns: int, effects: list[Effect]) -> None:
        effects += self._beat

    def change(self, wanted: Sequence[Subscription], effects: list[Effect]) -> None:
        """Say nothing of it."""

    def fetched(
        self, request: Request, body: bytes, received_ns: int, events: list[VenueEvent], effects: list[Effect]
    ) -> None:
        effects.append(VenueError("7", "no such thing"))

    def book_counters(self) -> Mapping[str, Mapping[str, int]]:
        return {}

    def failed(self, request: Request, reason: str, now_ns: int, effects: list[Effect]) -> None:
        """Leave it at that."""


@asynccontextmanager
async def keeping(doorman: Doorman) -> AsyncIterator[Doorman]:
    """Open the door, and close it again."""
    runner = web.ServerRunner(web.Server(doorman), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    doorman.url = f"ws://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield doorman
    finally:
        await doorman.cut()
        await runner.cleanup()


def behind(doorman: Doorman, market: str = "spot", **limits: object) -> Market:
    """One of Binance's markets behind this door, with these limits, and nobody at its REST interface."""
    declared = binance.VENUE.markets[MarketId(market)]
    return msgspec.structs.replace(
        declared,
        socket_url=doorman.url,
        rest_url="http://127.0.0.1:1",
        limits=msgspec.structs.replace(declared.limits, **limits),
    )
