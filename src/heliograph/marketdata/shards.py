"""One socket's worth of subscriptions, kept connected: through losses, and through planned moves without one."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from heliograph.clock import NS_PER_S, Clock
from heliograph.connect.backoff import Backoff
from heliograph.connect.breaker import Breaker
from heliograph.connect.pools import Connects, Pools
from heliograph.connect.verdict import too_often
from heliograph.connect.websocket import Settings as SocketSettings
from heliograph.connect.websocket import connect
from heliograph.errors import VenueUnreachable
from heliograph.marketdata.pipeline import Pipeline
from heliograph.marketdata.session import Session
from heliograph.metrics import FeedMetrics
from heliograph.venues.contract import Connection, Market, Subscription

log = structlog.get_logger()

CUTS_DOUBTED: Final = 3
"""Connections lost in a row, each before all its instruments were heard of, after which those are doubted."""


class Gate:
    """The way to one market's sockets, shared by all who connect: its breaker, and the budgets that its pool shares.

    Args:
        market: whom to connect to.
        breaker: stands in the way of every attempt.
        settings: of every socket.
        metrics: where failures are counted.
        clock: the time of day, for what is received.
        pools: the venues' budgets.

    """

    def __init__(
        self,
        market: Market,
        breaker: Breaker,
        settings: SocketSettings,
        metrics: FeedMetrics,
        clock: Clock,
        pools: Pools,
    ) -> None:
        self._market = market
        self._breaker = breaker
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._pools = pools
        self._connects: Connects = pools.connects(market)

    async def open(self, session: Session) -> None:
        """Make one attempt, once the breaker and the budgets let it. Its outcome is told by `proven` or `broke`.

        Raises:
            VenueUnreachable: the attempt failed, which has been counted; against the endpoint, unless it only said that
                we connect too often.

        """
        while True:
            wait_ns = self._breaker.wait_ns(time.monotonic_ns())
            if wait_ns > 0:
                await asyncio.sleep(wait_ns / NS_PER_S)
                continue
            if self._connects.full:
                log.warning("no more connections at once", url=session.url, open=self._connects.open)
            place = await self._connects.place()
            try:
                await self._connects.room()
                if self._breaker.begin(time.monotonic_ns()):
                    session.place = place
                    await self._attempt(session)
                    return
            finally:
                if not session.begun:  # Else its socket holds the place until it is gone.
                    place.leave()

    async def _attempt(self, session: Session) -> None:
        self._show()
        market = self._market
        try:
            with self._connects.attempt():
                await connect(
                    session.url,
                    session,
                    venue=market.venue,
                    settings=self._settings,
                    clock=self._clock,
                    headers=market.headers,
                )
        except VenueUnreachable as e:
            failure = self._failed(e)
            if failure.retry_after_s is not None:
                self._connects.hold(failure.retry_after_s)  # Whoever else connects heeds it as well.
            raise failure from e
        except BaseException:  # Cancelled, or the URL is none: the trial must not stay taken.
            self._breaker.abandoned()
            raise

    def _failed(self, failure: VenueUnreachable) -> VenueUnreachable:
        """Count a failure, and return what to tell of it: that we connect too often is no failure of the endpoint's."""
        market, status = self._market, failure.status
        refusal = too_often(market.limits, status, None, failure.reason)
        if refusal is None:
            self.broke(failure.kind)
            return failure
        self.lost("limited")
        self._breaker.abandoned()
        self._pools.limited[market.venue, market.market] += 1
        wait_s = failure.retry_after_s or refusal.wait_s or market.limits.connects_window_s
        return VenueUnreachable(market.venue, failure.reason, wait_s, kind="limited", status=status)

    def proven(self) -> None:
        """A connection has spoken: the endpoint works."""
        self._breaker.succeeded(time.monotonic_ns())
        self._show()

    def broke(self, kind: str) -> None:
        """An attempt failed, or a connection ended before it had said a word."""
        self._metrics.connection_errors[kind] += 1
        self._breaker.failed(time.monotonic_ns())
        self._show()

    def lost(self, kind: str) -> None:
        """A connection that had worked ended without our asking."""
        self._metrics.connection_errors[kind] += 1

    def abandoned(self) -> None:
        """A connection was given up by us before it had said a word."""
        self._breaker.abandoned()

    def _show(self) -> None:
        self._metrics.circuit_state = int(self._breaker.state)
        self._metrics.consecutive_failures = self._breaker.failures


class Shard:
    """Subscriptions that share a socket, and the sessions that carry them: one, or two around a planned move.

    Args:
        path: the socket's.
        subscriptions: what it is to carry.
        gate: the way to the venue.
        backoff: the waits between this shard's attempts.
        make_session: makes a session of a connection.
        pipeline: is told of interruptions.
        metrics: where reconnections are counted.
        inactivity_s: how long after an interruption a silent stream is asked for by REST.
        overlap_s_max: how long a planned move waits for every instrument to be heard on the next connection.
        doubted: is told what was never heard of before one connection after another was lost: venues were seen to cut
            whoever asks for what does not exist.

    """

    def __init__(
        self,
        path: str,
        subscriptions: tuple[Subscription, ...],
        *,
        gate: Gate,
        backoff: Backoff,
        make_session: Callable[[Connection], Session],
        pipeline: Pipeline,
        metrics: FeedMetrics,
        inactivity_s: float,
        overlap_s_max: float,
        doubted: Callable[[Sequence[Subscription]], None],
    ) -> None:
        self.path = path
        self.subscriptions = subscriptions
        self.sessions: list[Session] = []
        """The newest last."""
        self._gate = gate
        self._backoff = backoff
        self._make_session = make_session
        self._pipeline = pipeline
        self._metrics = metrics
        self._inactivity_ns = int(inactivity_s * NS_PER_S)
        self._overlap_s_max = overlap_s_max
        self._doubted = doubted
        self._cuts = 0
        self._connected_before = False
        self._heard_ns = time.monotonic_ns()

    @property
    def heard_ns(self) -> int:
        """When any of its sessions last spoke, on the monotonic clock; at first, when it was made."""
        for session in self.sessions:
            self._heard_ns = max(self._heard_ns, session.heard_ns if session.spoken else 0)
        return self._heard_ns

    def change(self, subscriptions: tuple[Subscription, ...]) -> None:
        """Carry exactly these from now on."""
        self.subscriptions = subscriptions
        for session in self.sessions:
            if session.open:
                session.change(subscriptions)

    async def run(self) -> None:
        """Stay connected until cancelled; then close what is open."""
        try:
            while True:
                session = await self._connect()
                while True:
                    await session.over.wait()
                    if not session.open:
                        break
                    session = await self._moved(session)
                await self._ended(session)
                await self._pause()
        finally:
            for session in self.sessions:
                session.close("stopped")
                if not session.spoken:
                    self._gate.abandoned()
            for session in self.sessions:
                await session.wait_closed()

    async def _connect(self) -> Session:
        """Make attempts until one succeeds."""
        while True:
            session = self._make_session(Connection(self.path, self.subscriptions))
            wanted = self.subscriptions
            self.sessions.append(session)
            try:
                await self._gate.open(session)
            except VenueUnreachable as e:
                self.sessions.remove(session)
                log.warning("connect failed", url=session.url, reason=str(e))
                await self._pause(e.retry_after_s)
                continue
            except BaseException:
                self.sessions.remove(session)
                raise
            if self.subscriptions != wanted:
                session.change(self.subscriptions)
            self._backoff.succeeded(time.monotonic_ns())
            if self._connected_before:
                self._metrics.reconnections += 1
            self._connected_before = True
            if not any(other.open for other in self.sessions if other is not session):
                self._pipeline.interrupted(self.subscriptions, time.monotonic_ns() + self._inactivity_ns)
            return session

    async def _moved(self, old: Session) -> Session:
        """Open the next session while the old one lives, and close the old one once the next has caught up.

        Returns:
            The next session, or the old one if that is gone and none has followed.

        """
        old.over.clear()
        while True:
            fresh = await self._connect()
            try:
                async with asyncio.timeout(self._overlap_s_max):
                    await _either(fresh.complete, fresh.over)
            except TimeoutError:
                log.info("moved without hearing of every instrument", url=fresh.url)
            if fresh.open and fresh.spoken:
                break
            fresh.close("said nothing")
            await self._ended(fresh)
            if not old.open:
                return old
            await self._pause()
        if old.open:
            self._pipeline.relieved(old.number, fresh.number)
        old.close("moved")
        await old.wait_closed()  # Until then its frames are taken too, and what both said is told once.
        self.sessions.remove(old)
        if not fresh.complete.is_set():
            self._pipeline.interrupted(self.subscriptions, time.monotonic_ns() + self._inactivity_ns)
        return fresh

    async def _ended(self, session: Session) -> None:
        """Take account of a session whose socket is gone, or is about to be."""
        await session.wait_closed()
        self.sessions.remove(session)
        log.warning("connection lost", url=session.url, reason=session.closed_reason)
        if session.spoken:
            self._gate.lost("closed")
        else:
            self._gate.broke("closed")
        unheard = session.unheard
        self._cuts = self._cuts + 1 if unheard else 0
        if self._cuts >= CUTS_DOUBTED:
            self._doubted([s for s in self.subscriptions if s.instrument.id in unheard])

    async def _pause(self, retry_after_s: float | None = None) -> None:
        await asyncio.sleep(self._backoff.failed(time.monotonic_ns(), retry_after_s) / NS_PER_S)


async def _either(*events: asyncio.Event) -> None:
    """Wait until one of them is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
