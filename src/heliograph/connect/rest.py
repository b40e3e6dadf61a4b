"""Requests for what venues know, over a pool of HTTP/1.1 connections that is opened once and reused."""

import asyncio
import random
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec

from heliograph.clock import NS_PER_S
from heliograph.connect.backoff import Backoff, retry_after_s
from heliograph.connect.limits import Window, acquire, loop_clock_ns
from heliograph.errors import UnreachableKind, VenueRejected, VenueUnreachable
from heliograph.venues.contract import Market, Request

LIMITED: Final = (418, 429)
"""Too many requests, and the ban of who did not heed it."""

JSON: Final = {"Content-Type": "application/json"}

_CHUNK_BYTES: Final = 64 * 1024


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The pool's size, and how patient a request is."""

    connections_per_host_max: int = 10
    """Requests under way to one host at most, each on its own connection; others wait their turn."""
    connections_max: int = 20
    """Requests under way to all hosts at most."""
    idle_s_max: float = 30.0
    """How long an unused connection is kept."""
    timeout_s: float = 10.0
    """Bounds one attempt from its turn to the last byte."""
    body_bytes_max: int = 32 * 1024 * 1024
    """The longest answer that is read, decompressed."""
    attempts_max: int = 3
    """How often `fetch` tries."""
    retry_after_s_max: float = 60.0
    """A venue that asks to be left alone for longer than this is not asked again by `fetch`, but reported."""


class Client:
    """All requests of a process, inside `async with`.

    Args:
        settings: the pool and its patience.
        rng: for the jitter between attempts.
        ssl_context: for `https://`; None trusts what the system trusts.

    """

    def __init__(self, settings: Settings, rng: random.Random, ssl_context: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._rng = rng
        self._ssl_context = ssl_context
        self._session: aiohttp.ClientSession | None = None
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._turns_of_all = asyncio.Semaphore(settings.connections_max)
        self._weights: dict[tuple[str, str], Window] = {}

    async def __aenter__(self) -> Self:
        """Open the pool; connections are made as they are needed."""
        settings = self._settings
        connector = aiohttp.TCPConnector(
            limit=settings.connections_max,
            limit_per_host=settings.connections_per_host_max,
            keepalive_timeout=settings.idle_s_max,
            ssl=self._ssl_context or True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
            headers={"User-Agent": "heliograph"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def weight(self, market: Market) -> Window:
        """Return the budget of a market's requests, shared by all that ask it through this client."""
        key = (market.venue, market.market)
        if key not in self._weights:
            self._weights[key] = Window(market.limits.weight_max, market.limits.weight_window_s)
        return self._weights[key]

    async def get(self, market: Market, request: Request) -> bytes:
        """Make one attempt at a request, after its turn and its weight have come.

        Returns:
            The answer's body, decompressed.

        Raises:
            VenueRejected: the venue's no (a 4xx other than those of a limit).
            VenueUnreachable: no answer, one that asks to come back later, or one that is not HTTP's.

        """
        session = self._session
        if session is None:
            raise RuntimeError("a REST client is used inside its `async with`")
        weight = self.weight(market)
        await acquire(weight, request.weight)
        while True:
            # Who has to wait for the venue holds no connection's turn meanwhile: the other markets share those.
            async with self._turn(market), self._turns_of_all:
                held_ns = weight.held_ns(loop_clock_ns())
                if not held_ns:
                    return await self._exchange(session, market, request)
            await asyncio.sleep(held_ns / NS_PER_S)

    async def _exchange(self, session: aiohttp.ClientSession, market: Market, request: Request) -> bytes:
        try:
            async with session.request(
                "GET" if request.body is None else "POST",
                market.rest_url + request.path,
                params=request.query,
                data=request.body,
                headers=None if request.body is None else JSON,
                allow_redirects=False,
            ) as answer:
                self._observe(market, answer.headers)
                body = await self._read(market, answer)
        except (aiohttp.ClientError, OSError) as e:
            raise VenueUnreachable(market.venue, f"{type(e).__name__}: {e}", kind=_kind(e)) from e
        if 200 <= answer.status < 300:
            return body
        wait_s = retry_after_s(answer.headers.get("Retry-After"))
        if answer.status in LIMITED:
            self.weight(market).hold(loop_clock_ns(), wait_s or 0.0)
        elif 400 <= answer.status < 500:
            error = market.parse_error(answer.status, body)
            raise VenueRejected(market.venue, error.code, error.reason)
        raise VenueUnreachable(market.venue, f"status {answer.status}", wait_s, kind="http_status")

    async def fetch(self, market: Market, request: Request) -> bytes:
        """Make a request, and make it again while the venue cannot be reached, `attempts_max` times in all.

        Raises:
            VenueRejected: the venue's no; it is not asked twice.
            VenueUnreachable: of the last attempt.

        """
        backoff = Backoff(self._rng, base_s=0.25, cap_s=5.0)
        for attempt in range(1, self._settings.attempts_max + 1):
            try:
                return await self.get(market, request)
            except VenueUnreachable as e:
                too_long = (e.retry_after_s or 0.0) > self._settings.retry_after_s_max
                if too_long or attempt == self._settings.attempts_max:
                    raise
                wait_ns = backoff.failed(loop_clock_ns(), e.retry_after_s)
            await asyncio.sleep(wait_ns / NS_PER_S)
        raise AssertionError("unreachable")

    def _turn(self, market: Market) -> asyncio.Semaphore:
        # Not left to the pool: its queue would count against the request's own time.
        return self._turns.setdefault(market.rest_url, asyncio.Semaphore(self._settings.connections_per_host_max))

    def _observe(self, market: Market, headers: Mapping[str, str]) -> None:
        used = headers.get(market.limits.weight_header, "")
        if used.isascii() and used.isdigit():
            self.weight(market).observe(loop_clock_ns(), int(used))

    async def _read(self, market: Market, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if len(body) > self._settings.body_bytes_max:
                what = f"an answer of more than {self._settings.body_bytes_max} bytes"
                raise VenueUnreachable(market.venue, what, kind="protocol")
        return bytes(body)


def _kind(failure: Exception) -> UnreachableKind:
    match failure:
        case TimeoutError():
            return "timeout"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "tls"
        case aiohttp.ServerDisconnectedError():
            return "protocol"
        case OSError():
            return "refused"
        case _:
            return "protocol"
