"""The feed of one market: from its sockets to a sink, complete, in order, once."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

import msgspec
import structlog

from heliograph.clock import NS_PER_S, Clock
from heliograph.connect import rest
from heliograph.connect.backoff import Backoff
from heliograph.connect.breaker import Breaker
from heliograph.connect.listing import list_instruments
from heliograph.connect.websocket import Settings as SocketSettings
from heliograph.errors import BusError, DecodeError, VenueRejected, VenueUnreachable
from heliograph.marketdata.intake import Intake
from heliograph.marketdata.lanes import Lanes
from heliograph.marketdata.pipeline import Pipeline
from heliograph.marketdata.requests import Requests
from heliograph.marketdata.session import Capture, Session, Sessions, Surroundings
from heliograph.marketdata.settings import FeedSettings
from heliograph.marketdata.shards import Gate, Shard
from heliograph.marketdata.sink import Resume, Sink
from heliograph.marketdata.supervisor import Supervisor
from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookSnapshot
from heliograph.model.market import Channel, Ticker
from heliograph.venues.contract import (
    CandlePage,
    Connection,
    Market,
    Purpose,
    Request,
    Subscription,
    TradePage,
    VenueError,
)
from heliograph.venues.keys import require_key
from heliograph.venues.offering import require_streamed

log = structlog.get_logger()

TICK_S: Final = 0.1
TICKS_PER_LOOK: Final = 3
"""Ticks between two looks for holes and silences."""
TICKS_PER_CODEC: Final = 10
REFRESH_DOUBLINGS_MAX: Final = 5
"""A connection that stays silent is asked for by REST ever less often, up to 32 times `inactivity_s`."""
RESUMES_AT_ONCE: Final = 100
RESUME_PAUSE_S: Final = 0.5

Refusal = Callable[[Sequence[Subscription], VenueError], None]


class Health(msgspec.Struct, frozen=True):
    """What a feed says of itself, for `/ready`."""

    exchange: str
    contract_type: str
    active_connections: int
    last_message_ns: int | None
    total_quotes: int
    total_errors: int
    consecutive_failures: int
    circuit_state: int
    """0 closed, 1 open, 2 half open."""
    stale: tuple[Subscription, ...]
    """Wanted streams of which nothing has come, or could be told, for longer than that may be."""
    healthy: bool


class MarketFeed:
    """One market's data, from as many sockets as it takes, into one sink.

    Args:
        market: the venue's declaration.
        settings: bounds and patience.
        sink: takes the events.
        metrics: counts them.
        clock: the time of day.
        client: REST, open while the feed runs; its pools are what the feed's sockets wait for as well.
        resume: what the sink's store holds already; None: it starts empty.
        refused: is told what the venue will not serve.
        capture: is given every frame, in both directions.
        seed: of the jitter; None: from the system.

    Raises:
        ConfigError: the market needs a key.

    """

    def __init__(
        self,
        market: Market,
        settings: FeedSettings,
        sink: Sink,
        metrics: FeedMetrics,
        clock: Clock,
        client: rest.Client,
        *,
        resume: Resume | None = None,
        refused: Refusal | None = None,
        capture: Capture | None = None,
        seed: int | None = None,
    ) -> None:
        require_key(market)
        self.market = market
        self.metrics = metrics
        self._settings = settings
        self._clock = clock
        self._client = client
        self._resume = resume
        self._refused = refused
        self._rng = random.Random(seed)
        self._numbers = count(1)
        self._wanted: dict[Subscription, int] = {}  # since when, on the monotonic clock
        self._arrivals: asyncio.Queue[tuple[Subscription, ...]] = asyncio.Queue()
        self._left: dict[Subscription, int] = {}  # what was removed: up to where it was delivered
        self._sessions = Sessions()
        self._pipeline = Pipeline(settings, metrics, trades_by_request=market.trade_request is not None)
        lanes = Lanes(
            sink, metrics, self._sessions, clock.now_ns, keep_max=settings.keep_max, slots_max=settings.slots_max
        )
        self._intake = Intake(self._pipeline, lanes, metrics, clock)
        self._around = Surroundings(
            market, self._intake, metrics, clock, self._fetch, self._tell_refusal, self._gate_proven,
            self._sessions, capture, settings.refusals_max, client.pools.messages(market),
        )  # fmt: skip
        self._gate = self._make_gate()
        self._pages = Session(0, Connection("", ()), self._around)  # never opened: reads answers while no socket is
        self._doubted: dict[Subscription, None] = {}  # of those that are wanted, each once, however often
        self._doubting = asyncio.Event()
        self._supervisor: Supervisor | None = None
        self._requests: Requests | None = None
        self._asked_again: dict[Shard, tuple[int, int]] = {}  # which silence (by its beginning), how often asked

    def add(self, subscriptions: Sequence[Subscription]) -> None:
        """Supply these as well, as soon as the feed runs; one that is supplied already is left as it is.

        Raises:
            ConfigError: the market does not stream one of them; then none is supplied.

        """
        for subscription in subscriptions:
            require_streamed(self.market, subscription.channel, subscription.interval)
        now_ns = time.monotonic_ns()
        fresh = tuple(dict.fromkeys(s for s in subscriptions if s not in self._wanted))
        self._wanted.update(dict.fromkeys(fresh, now_ns))
        if fresh:
            self._arrivals.put_nowait(fresh)

    def remove(self, subscriptions: Sequence[Subscription]) -> None:
        """Supply these no longer."""
        known = [s for s in subscriptions if self._wanted.pop(s, None) is not None]
        for subscription in known:
            mark = self._pipeline.mark(subscription)
            if mark is not None:
                self._left[subscription] = mark
            self._pipeline.forget(subscription)
            self._doubted.pop(subscription, None)
            kind = {Channel.TICKER: Ticker, Channel.BOOK: BookSnapshot}.get(subscription.channel, subscription.interval)
            self._intake.lanes.forget(subscription.instrument.id, kind)
        if self._supervisor is not None:
            self._supervisor.uncover(known)

    def hand_over(self, subscriptions: Sequence[Subscription]) -> None:
        """Supply these no longer, since somebody else does; who is to supply them again asks the store up to where."""
        self.remove(subscriptions)
        for subscription in subscriptions:
            self._left.pop(subscription, None)
        self._intake.lanes.discard({subscription.instrument.id for subscription in subscriptions})

    def health(self) -> Health:
        """Return how the feed is."""
        metrics = self.metrics
        stale = self.stale()
        last_ns = metrics.last_message_ns
        fresh = last_ns is not None and self._clock.now_ns() - last_ns < self._settings.healthy_message_s_max * NS_PER_S
        return Health(
            metrics.exchange,
            metrics.contract_type,
            metrics.active_connections,
            last_ns,
            metrics.quotes_closed + metrics.quotes_open,
            metrics.connection_errors.total() + metrics.venue_errors + metrics.frames_refused,
            metrics.consecutive_failures,
            metrics.circuit_state,
            stale,
            metrics.active_connections > 0 and fresh and not stale,
        )

    def stale(self) -> tuple[Subscription, ...]:
        """Return the wanted streams of which nothing has come, or could be told, for longer than that may be.

        Where the market does not say how long one may be silent, only those count that have never said anything.
        Nothing can be told of closed candles that wait for REST to fill the hole before them.
        """
        now_ns = time.monotonic_ns()
        first_ns = int(self._settings.stream_stale_s_max * NS_PER_S)
        silence_s = self.market.limits.stream_silence_s_max
        held_ns = int(self._settings.held_s_max * NS_PER_S)
        found = []
        for subscription, since_ns in self._wanted.items():
            touched_ns = self._pipeline.touched_ns(subscription)
            if touched_ns is None:
                if now_ns - since_ns > first_ns:
                    found.append(subscription)
            elif silence_s is not None and now_ns - touched_ns > silence_s * NS_PER_S:
                found.append(subscription)
            else:
                since = self._pipeline.held_since_ns(subscription)
                if since is not None and now_ns - since > held_ns:
                    found.append(subscription)
        return tuple(found)

    async def run(self) -> None:
        """Supply until cancelled; then stop the sockets, and deliver what waits, within `drain_s_max`."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._requests = Requests(
                    self.market,
                    self._client,
                    self._intake,
                    self._settings.rest_concurrency_max,
                    self._rejected,
                    tasks,
                )
                self._supervisor = Supervisor(
                    self.market, self._settings.symbols_per_socket_max, self._make_shard, tasks
                )
                tasks.create_task(self._admit())
                tasks.create_task(self._tick())
                tasks.create_task(self._inquire())
                try:
                    await asyncio.Event().wait()
                finally:
                    self._requests = None  # What is asked for from now on would outlive us.
        finally:
            self._supervisor = None
            try:
                async with asyncio.timeout(self._settings.drain_s_max):
                    await self._intake.lanes.empty()
            except TimeoutError:
                log.warning("stopped with events undelivered", waiting=self._intake.lanes.waiting)

    async def _admit(self) -> None:
        """Begin to supply what was added, from where the sink's store ends."""
        while True:
            arrivals = await self._arrivals.get()
            admitted: list[Subscription] = []
            for start in range(0, len(arrivals), RESUMES_AT_ONCE):
                some = [s for s in arrivals[start : start + RESUMES_AT_ONCE] if s in self._wanted]
                marks = await asyncio.gather(*map(self._mark, some))
                again = []
                for subscription, mark in zip(some, marks, strict=True):
                    if isinstance(mark, BusError):
                        again.append(subscription)
                    elif subscription in self._wanted:
                        self._pipeline.want(subscription, mark)
                        admitted.append(subscription)
                if again:  # Later and by themselves: what cannot be stored holds back nothing else.
                    asyncio.get_running_loop().call_later(RESUME_PAUSE_S, self._arrivals.put_nowait, tuple(again))
            assert self._supervisor is not None
            self._supervisor.cover([s for s in admitted if s in self._wanted])

    async def _mark(self, subscription: Subscription) -> int | BusError | None:
        """Return where the sink's store ends; it has to be known, or what it holds would be told again."""
        resume = self._resume
        if resume is None:
            return None
        try:
            await resume.open((subscription,))
            if subscription.channel is Channel.CANDLES:
                assert subscription.interval is not None
                stored = await resume.last_closed(subscription.instrument, subscription.interval)
            elif subscription.channel is Channel.TRADES:
                stored = await resume.last_trade(subscription.instrument)
            else:
                return None
        except BusError as e:
            log.warning("end of the stream not read", instrument=subscription.instrument.id, error=str(e))
            return e
        # What we delivered before it was removed may still be on its way to the store.
        return max((mark for mark in (stored, self._left.get(subscription)) if mark is not None), default=None)

    def _doubt(self, subscriptions: Sequence[Subscription]) -> None:
        self._doubted.update(dict.fromkeys(s for s in subscriptions if s in self._wanted))
        self._doubting.set()

    async def _inquire(self) -> None:
        """Refuse what is doubted and not listed: it would cost its socket, with all that share it, again and again."""
        while True:
            await self._doubting.wait()
            self._doubting.clear()
            if not self._doubted:
                continue
            doubted, self._doubted = self._doubted, {}
            try:
                listed = {instrument.id for instrument in await list_instruments(self._client, self.market)}
            except (VenueRejected, VenueUnreachable, DecodeError) as e:
                log.warning("list of instruments not read", venue=self.market.venue, error=str(e))
                continue  # The next connection that is lost asks again.
            unknown = tuple(s for s in doubted if s in self._wanted and s.instrument.id not in listed)
            if unknown:
                names = ", ".join(sorted({subscription.instrument.venue_symbol for subscription in unknown}))
                self.metrics.venue_errors += 1
                self.remove(unknown)
                reason = f"the venue does not list {names}, and cuts the connection of whoever asks for it"
                self._tell_refusal(unknown, VenueError("unlisted", reason, unknown))

    async def _tick(self) -> None:
        """Do what time alone makes due."""
        for tick in count(1):
            await asyncio.sleep(TICK_S)
            self._intake.tell_books()
            if tick % TICKS_PER_LOOK == 0:
                self._look()
            if tick % TICKS_PER_CODEC == 0:
                for session in self._sessions:
                    session.ticked()
                self.metrics.streams_stale = len(self.stale())
                self.metrics.candles_held = self._pipeline.candles_held
                self.metrics.limited = self._client.pools.limited[self.market.venue, self.market.market]

    def _look(self) -> None:
        """Ask for what is missing, and for the candles of connections that say nothing."""
        if not self._sessions.held:
            self._ask_silent()
        if self._requests is not None:
            for page in self._intake.due():
                self._requests.ask(page, self._session_for(page))
        for candle, final in self._pipeline.take_conflicts():
            log.warning("second final candle disagrees", dropped=candle, delivered=final)

    def _ask_silent(self) -> None:
        assert self._supervisor is not None
        now_ns = time.monotonic_ns()
        inactivity_ns = int(self._settings.inactivity_s * NS_PER_S)
        asked: dict[Shard, tuple[int, int]] = {}
        for shard in self._supervisor:
            heard_ns = shard.heard_ns
            since_ns, times = self._asked_again.get(shard, (heard_ns, 0))
            if since_ns != heard_ns:
                times = 0
            if now_ns - heard_ns >= inactivity_ns * (2 ** min(times, REFRESH_DOUBLINGS_MAX + 1) - 1 or 1):
                times += 1
                self._pipeline.refresh_at(shard.subscriptions, now_ns)
            asked[shard] = (heard_ns, times)
        self._asked_again = asked

    def _session_for(self, page: CandlePage | TradePage) -> Session:
        assert self._supervisor is not None
        return self._supervisor.session_for(_subscription_of(page)) or self._pages

    def _rejected(self, purpose: Purpose, error: VenueError) -> None:
        """Take REST's no for the stream's as well, if that never spoke: sockets acknowledge what does not exist."""
        if not isinstance(purpose, CandlePage | TradePage):
            return
        subscription = _subscription_of(purpose)
        if subscription in self._wanted and self._pipeline.touched_ns(subscription) is None:
            self.metrics.venue_errors += 1
            self._tell_refusal((subscription,), error)

    def _fetch(self, request: Request, session: Session) -> None:
        if self._requests is not None:
            self._requests.start(request, session)

    def _tell_refusal(self, subscriptions: Sequence[Subscription], error: VenueError) -> None:
        log.warning("the venue refused", venue=self.market.venue, code=error.code, reason=error.reason)
        if self._refused is not None:
            self._refused(subscriptions, error)

    def _gate_proven(self) -> None:
        self._gate.proven()

    def _make_gate(self) -> Gate:
        settings, limits = self._settings, self.market.limits
        breaker = Breaker(
            failures_max=settings.breaker_failures_max,
            wait_s=settings.breaker_recovery_s,
            wait_s_max=max(settings.breaker_recovery_s_max, settings.breaker_recovery_s),
            trials_max=settings.breaker_half_open_calls,
        )
        usual = SocketSettings()
        sockets = msgspec.structs.replace(
            usual,
            timeout_s=settings.connect_timeout_s,
            ping_interval_s=settings.ping_interval_s,
            ping_timeout_s=settings.ping_timeout_s,
            silence_s_max=limits.silence_s_max,
            message_bytes_max=limits.message_bytes_max or usual.message_bytes_max,
        )
        return Gate(self.market, breaker, sockets, self.metrics, self._clock, self._client.pools)

    def _make_shard(self, path: str, subscriptions: tuple[Subscription, ...]) -> Shard:
        settings = self._settings
        backoff = Backoff(
            self._rng,
            base_s=max(settings.reconnect_delay_s, 0.001),
            cap_s=max(settings.reconnect_delay_s_max, settings.reconnect_delay_s, 0.001),
            stable_s=settings.stable_s,
        )
        return Shard(
            path,
            subscriptions,
            gate=self._gate,
            backoff=backoff,
            make_session=lambda connection: Session(next(self._numbers), connection, self._around),
            pipeline=self._pipeline,
            metrics=self.metrics,
            inactivity_s=settings.inactivity_s,
            overlap_s_max=settings.overlap_s_max,
            doubted=self._doubt,
        )


def _subscription_of(page: CandlePage | TradePage) -> Subscription:
    if isinstance(page, CandlePage):
        return Subscription(Channel.CANDLES, page.instrument, page.interval)
    return Subscription(Channel.TRADES, page.instrument)
