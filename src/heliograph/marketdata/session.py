"""One socket and the codec that understands it: frames in, effects carried out."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from heliograph.clock import NS_PER_S, Clock
from heliograph.connect.limits import Window, loop_clock_ns
from heliograph.connect.websocket import Socket
from heliograph.marketdata.capture import Direction
from heliograph.marketdata.intake import Intake
from heliograph.metrics import FeedMetrics
from heliograph.venues.contract import (
    Connection,
    Effect,
    Fetch,
    Market,
    Reconnect,
    Refused,
    Request,
    Send,
    Subscription,
    VenueError,
)

if TYPE_CHECKING:
    from heliograph.connect.pools import Place
    from heliograph.model.event import VenueEvent
    from heliograph.model.instrument import InstrumentId

log = structlog.get_logger()

FRAME_SHOWN_MAX: Final = 200

Capture = Callable[[Direction, str, Sequence[bytes], int], None]
"""Takes which way, the URL, the frames or the body, and the time of day in nanoseconds."""


class Surroundings(msgspec.Struct, frozen=True):
    """What every session of a feed shares."""

    market: Market
    intake: Intake
    metrics: FeedMetrics
    clock: Clock
    fetch: "Callable[[Request, Session], None]"
    """Makes a request whose answer the session's codec wants."""
    refused: Callable[[Sequence[Subscription], VenueError], None]
    """Is told what the venue will not serve."""
    proven: Callable[[], None]
    """Is told that a connection has spoken for the first time."""
    sessions: "Sessions"
    capture: Capture | None
    refusals_max: int
    messages: Window | None
    """The budget of messages of all sockets of the market's pool; None: there is none."""


class Session:
    """A connection's life from its first attempt to its end. It listens to its socket.

    Args:
        number: its own among those of its feed.
        connection: what it is to carry.
        around: what it shares with the feed's other sessions.

    """

    def __init__(self, number: int, connection: Connection, around: Surroundings) -> None:
        self.number = number
        self.url = around.market.socket_url + connection.path
        self.subscriptions = connection.subscriptions
        self.codec = around.market.feed(connection)
        self.heard_ns = time.monotonic_ns()
        """When it last spoke, on the monotonic clock; at first, when it was made."""
        self.spoken = False
        """Whether any text has come."""
        self.closed_reason: str | None = None
        """Why the socket is gone; None while it is not."""
        self.over = asyncio.Event()
        """The socket is gone, or is to be replaced."""
        self.complete = asyncio.Event()
        """Every instrument was heard of."""
        self.place: Place | None = None
        """Its place among the connections that the venue allows at once, held until its socket is gone."""
        self._around = around
        self._socket: Socket | None = None
        self._unheard: set[InstrumentId] = {s.instrument.id for s in connection.subscriptions}
        self._refusals = 0
        limits = around.market.limits
        per_second = Window.per_second(max(1.0, limits.messages_per_s_max - 1))  # One a second is left to our pongs.
        self._messages = (per_second,) if around.messages is None else (per_second, around.messages)
        rate = limits.connection_messages
        self._requests = self._messages if rate is None else (*self._messages, Window(rate.count_max, rate.window_s))
        self._unsaid: deque[Send] = deque()
        self._saying: asyncio.TimerHandle | None = None

    @property
    def unheard(self) -> frozenset["InstrumentId"]:
        """The instruments of which it has said nothing."""
        return frozenset(self._unheard)

    @property
    def begun(self) -> bool:
        """Whether its socket was ever open."""
        return self._socket is not None

    @property
    def open(self) -> bool:
        """Whether its socket is there."""
        return self._socket is not None and self.closed_reason is None

    def opened(self, socket: Socket) -> None:
        """Begin to speak."""
        self._socket = socket
        self.heard_ns = time.monotonic_ns()
        self._around.metrics.active_connections += 1
        self._around.sessions.add(self)
        effects: list[Effect] = []
        now_ns = self._around.clock.now_ns()
        if self._around.capture is not None:
            self._around.capture(Direction.CONNECT, self.url, (b"",), now_ns)
        self.codec.opened(now_ns, effects)
        self._act(effects)

    def received(self, frames: list[bytes], received_ns: int) -> None:
        """Take the frames of one read."""
        events: list[VenueEvent] = []
        effects: list[Effect] = []
        around = self._around
        if around.capture is not None:
            around.capture(Direction.IN, self.url, frames, received_ns)
        self.codec.decode(frames, received_ns, events, effects)
        self.heard_ns = now_ns = time.monotonic_ns()
        if not self.spoken:
            self.spoken = True
            around.proven()
        if events:
            around.intake.take(events, self.number, received_ns, now_ns)
            if self._unheard:
                self._unheard.difference_update([event.instrument.id for event in events])
                if not self._unheard:
                    self.complete.set()
        if effects:
            self._act(effects)
            self._refuse([e for e in effects if isinstance(e, Refused)], frames, bool(events))
        elif self._refusals:
            self._refusals = 0

    def closed(self, reason: str) -> None:
        """Take note of the end."""
        around = self._around
        self.closed_reason = reason
        around.metrics.active_connections -= 1
        around.sessions.discard(self)
        around.intake.lost(self.number)
        self._hush()
        if self.place is not None:
            self.place.leave()
        self.over.set()

    def ticked(self) -> None:
        """Let the codec do what is due."""
        effects: list[Effect] = []
        self.codec.ticked(self._around.clock.now_ns(), effects)
        self._act(effects)

    def change(self, wanted: tuple[Subscription, ...]) -> None:
        """Carry exactly these subscriptions from now on."""
        self.subscriptions = wanted
        effects: list[Effect] = []
        self.codec.change(wanted, effects)
        self._act(effects)

    def fetched(self, request: Request, body: bytes) -> "Fetched":
        """Hand an answer to the codec; what it tells is delivered, and what it wants besides is done."""
        events: list[VenueEvent] = []
        effects: list[Effect] = []
        received_ns = self._around.clock.now_ns()
        if self._around.capture is not None:
            self._around.capture(Direction.HTTP, _asked(self._around.market, request), (body,), received_ns)
        self.codec.fetched(request, body, received_ns, events, effects)
        if events:
            self._around.intake.take(events, self.number, received_ns, time.monotonic_ns())
        following: Request | None = None
        refusal: str | None = None
        rest: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Fetch) and type(effect.request.purpose) is type(request.purpose):
                following = effect.request
            elif isinstance(effect, Refused):
                refusal = f"an answer that is not documented: {effect.reason}"
                self._refuse([effect], [], told=True)
            elif isinstance(effect, VenueError) and not effect.subscriptions:
                refusal = f"{effect.reason} (code {effect.code})"  # It costs this request, not the connection.
                self._around.metrics.venue_errors += 1
            else:
                rest.append(effect)
        self._act(rest)
        return Fetched(following, refusal)

    def failed(self, request: Request, reason: str) -> None:
        """Tell the codec that a request of its own failed for good."""
        effects: list[Effect] = []
        self.codec.failed(request, reason, self._around.clock.now_ns(), effects)
        self._act(effects)

    def hold(self) -> None:
        """Read no more for now."""
        if self._socket is not None:
            self._socket.pause()

    def release(self) -> None:
        """Read again."""
        if self._socket is not None:
            self._socket.resume()
            self.heard_ns = time.monotonic_ns()  # What we did not read is not the venue's silence.

    def close(self, reason: str) -> None:
        """Begin the end."""
        if self._socket is not None:
            self._socket.close(reason)

    async def wait_closed(self) -> None:
        """Wait for the end."""
        if self._socket is None:
            return
        try:
            await self._socket.wait_closed()
        except Exception:  # The supervisor's border: a fault of ours in one frame costs a connection, not the feed.
            log.exception("session failed", url=self.url)

    def _act(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self._send(effect)
                case Fetch(request):
                    self._around.fetch(request, self)
                case Reconnect(reason, planned):
                    log.info("reconnect", url=self.url, reason=reason, planned=planned)
                    if planned:
                        self.over.set()
                    else:
                        self.close(reason)
                case VenueError():
                    self._around.metrics.venue_errors += 1
                    self._around.refused(effect.subscriptions or self.subscriptions, effect)
                case Refused():
                    pass  # counted where the frames are at hand

    def _send(self, message: Send) -> None:
        if message.heartbeat:
            self._unsaid.appendleft(message)
        else:
            self._unsaid.append(message)
        if self._saying is None or message.heartbeat:  # Which may leave sooner than what waits already.
            self._say_due()

    def _say_due(self) -> None:
        """Say what waits, in order, as far as the budgets reach; they are spent when something leaves, however late."""
        self._hush()
        while self._unsaid and self.open:
            now_ns = loop_clock_ns()
            windows = self._messages if self._unsaid[0].heartbeat else self._requests
            wait_ns = max(window.delay_ns(now_ns) for window in windows)
            if wait_ns > 0:
                self._saying = asyncio.get_running_loop().call_later(wait_ns / NS_PER_S, self._say_due)
                return
            for window in windows:
                window.book(now_ns)
            self._say(self._unsaid.popleft())

    def _hush(self) -> None:
        if self._saying is not None:
            self._saying.cancel()
            self._saying = None

    def _say(self, message: Send) -> None:
        if self._socket is not None and self.open:
            self._socket.send(message.payload)
            if self._around.capture is not None and not message.secret:
                self._around.capture(Direction.OUT, self.url, (message.payload,), self._around.clock.now_ns())

    def _refuse(self, refusals: Sequence[Refused], frames: Sequence[bytes], told: bool) -> None:
        """Count what is not as documented, show some of it, and give up a connection that says nothing else."""
        if told:
            self._refusals = 0
        if not refusals:
            return
        metrics = self._around.metrics
        before = metrics.frames_refused
        metrics.frames_refused += len(refusals)
        self._refusals += len(refusals)
        if len(str(before)) != len(str(metrics.frames_refused)) or before == 0:  # the 1st, about the 10th, the 100th …
            worst = refusals[0]
            shown = frames[worst.index][:FRAME_SHOWN_MAX] if 0 <= worst.index < len(frames) else b""
            log.warning("frame refused", url=self.url, reason=worst.reason, frame=shown, refused=metrics.frames_refused)
        if self._refusals > self._around.refusals_max:
            self.close(f"{self._refusals} frames in a row that are not documented")


class Fetched(msgspec.Struct, frozen=True):
    """What a codec made of an answer."""

    following: Request | None
    """The next page."""
    refusal: str | None
    """Why the answer was not usable."""


class Sessions:
    """The open sessions of a feed, all held back at once while its consumer is behind."""

    def __init__(self) -> None:
        self._open: set[Session] = set()
        self.held = False

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._open))

    def add(self, session: Session) -> None:
        """Include a session that has just opened."""
        self._open.add(session)
        if self.held:
            session.hold()

    def discard(self, session: Session) -> None:
        """Leave out a session that is gone."""
        self._open.discard(session)

    def hold(self) -> None:
        """Read from none of them for now."""
        self.held = True
        for session in self._open:
            session.hold()

    def release(self) -> None:
        """Read again from all of them."""
        self.held = False
        for session in tuple(self._open):
            session.release()


def _asked(market: Market, request: Request) -> str:
    """Return what a capture calls a request: its URL, and behind a space the body where it has one."""
    query = "&".join(f"{name}={value}" for name, value in request.query)
    url = f"{market.rest_url}{request.path}" + (f"?{query}" if query else "")
    return url if request.body is None else f"{url} {request.body.decode()}"
