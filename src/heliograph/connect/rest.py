"""Requests for what venues know, over a pool of HTTP/1.1 connections that is opened once and reused."""

import asyncio
import random
import ssl
from types import SimpleNamespace, TracebackType
from typing import Final, Self

import aiohttp
import msgspec
import structlog

from heliograph.clock import NS_PER_S, Clock, SystemClock
from heliograph.connect.backoff import Backoff
from heliograph.connect.limits import Window, acquire, loop_clock_ns
from heliograph.connect.pools import Pools, window_s
from heliograph.connect.verdict import Told, judge, read_headers, unsaid_wait_s
from heliograph.errors import UnreachableKind, VenueUnreachable
from heliograph.venues.contract import Market, Request

log = structlog.get_logger()

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
    """How often `fetch` tries; attempts that the venue refuses for having been asked too often do not count."""
    retry_after_s_max: float = 60.0
    """How long `fetch` leaves a venue alone, in all, that asks for it; beyond this it reports instead of waiting."""


class Client:
    """All requests of a process, inside `async with`.

    Args:
        settings: the pool and its patience.
        rng: for the jitter between attempts.
        ssl_context: for `https://`; None trusts what the system trusts.
        pools: the venues' budgets, where others share them; None makes them.
        clock: the time of day, for venues that say until when to stay away.

    """

    def __init__(
        self,
        settings: Settings,
        rng: random.Random,
        ssl_context: ssl.SSLContext | None = None,
        *,
        pools: Pools | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.pools = Pools() if pools is None else pools
        """The venues' budgets: feeds that use this client share them for their sockets."""
        self._settings = settings
        self._rng = rng
        self._ssl_context = ssl_context
        self._clock = SystemClock() if clock is None else clock
        self._session: aiohttp.ClientSession | None = None
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._turns_of_all = asyncio.Semaphore(settings.connections_max)

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
            trace_configs=[_departures()],
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
        """Return the budget of a market's requests, shared by all that use these pools."""
        return self.pools.weight(market)

    async def get(self, market: Market, request: Request) -> bytes:
        """Make one attempt at a request, after its turn and its budget's have come.

        Returns:
            The answer's body, decompressed.

        Raises:
            VenueRejected: the venue's no, other than those of a limit.
            VenueUnreachable: no answer, one that asks to come back later, or one that is not HTTP's. Nothing is asked
                while the venue wants to be left alone for longer than `retry_after_s_max`.

        """
        session = self._session
        if session is None:
            raise RuntimeError("a REST client is used inside its `async with`")
        endpoint = self.pools.endpoint(market, request.path)
        window = self.weight(market) if endpoint is None else endpoint
        self._refuse_long(market, window)
        cost = request.weight if endpoint is None else 1
        booked_ns = await acquire(window, cost)
        departure = _Departure()
        try:
            while True:
                # Who has to wait for the venue holds no connection's turn meanwhile: the other markets share those.
                async with self._turn(market), self._turns_of_all:
                    held_ns = window.held_ns(loop_clock_ns())
                    if not held_ns:
                        return await self._exchange(session, market, request, window, departure)
                self._refuse_long(market, window)
                await asyncio.sleep(held_ns / NS_PER_S)
        finally:
            if not departure.left:  # The venue cannot have counted what it never saw.
                window.give_back(booked_ns, cost)

    def _refuse_long(self, market: Market, window: Window) -> None:
        held_s = window.held_ns(loop_clock_ns()) / NS_PER_S
        if held_s > self._settings.retry_after_s_max:
            raise VenueUnreachable(market.venue, "it wants to be left alone", held_s, kind="limited")

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        market: Market,
        request: Request,
        window: Window,
        departure: "_Departure",
    ) -> bytes:
        headers = market.headers if request.body is None else {**market.headers, **JSON}
        try:
            async with session.request(
                "GET" if request.body is None else "POST",
                market.rest_url + request.path,
                params=request.query,
                data=request.body,
                headers=headers,
                allow_redirects=False,
                trace_request_ctx=departure,
            ) as answer:
                told = read_headers(market.limits, answer.headers, self._clock.now_ns())
                self._observe(market, window, told)
                body = await self._read(market, answer)
        except (aiohttp.ClientError, OSError) as e:
            raise VenueUnreachable(market.venue, f"{type(e).__name__}: {e}", kind=_kind(e)) from e
        in_a_row, held = self.pools.in_a_row, window.held_ns(loop_clock_ns()) > 0
        unsaid_s = unsaid_wait_s(window_s(market.limits, request.path), in_a_row[window] + (not held))
        failure = judge(market, answer.status, answer.headers, body, unsaid_s, told.reset_s)
        if isinstance(failure, VenueUnreachable) and failure.kind == "limited":
            self.pools.limited[market.venue, market.market] += 1
            in_a_row[window] += not held  # Those who asked at the same time were refused for the same reason.
            window.hold(loop_clock_ns(), failure.retry_after_s or 0.0)
        elif not held:
            in_a_row.pop(window, None)
        if failure is not None:
            raise failure
        return body

    async def fetch(self, market: Market, request: Request) -> bytes:
        """Make a request, and make it again while the venue cannot be reached, `attempts_max` times in all.

        A limit is waited out besides, for `retry_after_s_max` in all.

        Raises:
            VenueRejected: the venue's no; it is not asked twice.
            VenueUnreachable: of the last attempt.

        """
        backoff = Backoff(self._rng, base_s=0.25, cap_s=5.0)
        jitter = Backoff(self._rng, base_s=0.25, cap_s=0.25)
        patience_s = self._settings.retry_after_s_max
        attempt = 0
        while True:
            try:
                return await self.get(market, request)
            except VenueUnreachable as e:
                asked_s = e.retry_after_s or 0.0
                limited = e.kind == "limited"
                attempt += not limited
                if asked_s > patience_s or attempt == self._settings.attempts_max:
                    raise
                patience_s -= asked_s
                wait_ns = (jitter if limited else backoff).failed(loop_clock_ns(), e.retry_after_s)
                if limited:
                    log.warning("asked too often", venue=market.venue, path=request.path, wait_s=wait_ns / NS_PER_S)
            await asyncio.sleep(wait_ns / NS_PER_S)

    def _turn(self, market: Market) -> asyncio.Semaphore:
        # Not left to the pool: its queue would count against the request's own time.
        return self._turns.setdefault(market.rest_url, asyncio.Semaphore(self._settings.connections_per_host_max))

    def _observe(self, market: Market, window: Window, told: Told) -> None:
        now_ns = loop_clock_ns()
        if told.used is not None:
            self.weight(market).observe(now_ns, told.used)
        if told.left is None:
            return
        if told.limit == window.capacity:
            window.observe(now_ns, max(0, window.capacity - told.left))
        if told.left == 0 and told.reset_s:
            window.hold(now_ns, told.reset_s)

    async def _read(self, market: Market, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if len(body) > self._settings.body_bytes_max:
                what = f"an answer of more than {self._settings.body_bytes_max} bytes"
                raise VenueUnreachable(market.venue, what, kind="protocol")
        return bytes(body)


class _Departure:
    """Whether any of a request has left."""

    def __init__(self) -> None:
        self.left = False


def _departures() -> aiohttp.TraceConfig:
    """Return what notes that a request leaves, before its first byte does."""

    async def leaving(_session: aiohttp.ClientSession, context: SimpleNamespace, _what: object) -> None:
        context.trace_request_ctx.left = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(leaving)
    trace.on_connection_reuseconn.append(leaving)
    return trace


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
