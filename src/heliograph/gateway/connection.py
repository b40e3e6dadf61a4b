"""One client of the WebSocket port."""

import enum
from typing import Final, Protocol

import msgspec
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from heliograph.errors import VenueRejected
from heliograph.gateway import protocol
from heliograph.gateway.hub import Hub
from heliograph.gateway.mailbox import Mailbox, Update
from heliograph.gateway.protocol import Refusal, Subscribe
from heliograph.gateway.stream import idle_message
from heliograph.venues.contract import Subscription, VenueError

LATER_MESSAGES_MAX: Final = 100
"""Messages after the first that are answered; a client that sends more is closed."""


class Limits(msgspec.Struct, frozen=True):
    """What one client, and all together, may take."""

    clients_max: int = 1000
    kept_max: int = 1000
    """Closed candles that may wait for one client."""
    write_buffer_bytes_max: int = 256 * 1024
    """Bytes handed to the socket at which a client counts as slow."""
    subscribe_timeout_s: float = 10.0
    idle_timeout_s: float = 10.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    close_timeout_s: float = 5.0
    """How long a client may take over the closing handshake before its socket is dropped."""


class Office(Protocol):
    """What a connection asks of its server."""

    hub: Hub
    limits: Limits

    def now_s(self) -> float:
        """Return the loop's time, in seconds."""

    def joined(self, connection: "Connection") -> None:
        """The handshake is done."""

    def asked(self, connection: "Connection", request: Subscribe) -> None:
        """Find what the client asks for, and call its `confirmed` or `refuse`."""

    def gone(self, connection: "Connection") -> None:
        """The connection is over."""


class Stage(enum.Enum):
    """How far a connection has come."""

    SILENT = "has not subscribed"
    ASKED = "waits for its instruments"
    STREAMING = "receives quotes"
    CLOSING = "waits for the closing handshake"
    CLOSED = "is gone"


class Connection(WSListener):
    """A client, from its handshake to its end. All its methods run in the loop and none waits."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self.stage = Stage.SILENT
        self._subscriptions: tuple[Subscription, ...] = ()
        self._request: Subscribe | None = None
        self._transport: WSTransport | None = None
        self._batch: list[Update] = []
        self._mailbox = Mailbox(office.limits.kept_max)
        self._paused = False
        self._overflowed = False
        self._quotes_left = 0  # 0 before the first quote: for ever.
        self._later_messages = 0
        self._fragments: bytearray | None = None
        now_s = office.now_s()
        self._stage_since_s = now_s
        self._last_quote_s = now_s
        self._last_heard_s = now_s
        self._pinged_s: float | None = None

    @property
    def waiting(self) -> int:
        """Updates that wait for the client to read."""
        return len(self._mailbox)

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait in the socket's buffer in this process."""
        assert self._transport is not None
        size: int = self._transport.underlying_transport.get_write_buffer_size()
        return size

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Remember the way back."""
        self._transport = transport
        self._office.joined(self)
        transport.underlying_transport.set_write_buffer_limits(high=self._office.limits.write_buffer_bytes_max)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The socket is gone: want nothing any more."""
        self._leave(Stage.CLOSED)
        self._office.gone(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take a frame from the client."""
        self._last_heard_s = self._office.now_s()
        self._pinged_s = None
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            if self.stage is not Stage.CLOSING:
                transport.send_close(WSCloseCode.OK)
            self._leave(Stage.CLOSING)
            transport.disconnect()
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._message_part(frame.get_payload_as_bytes(), fin=frame.fin)

    def _message_part(self, payload: bytes, *, fin: bool) -> None:
        if self.stage in (Stage.CLOSING, Stage.CLOSED):
            return
        if self._fragments is None:
            if fin:
                self._message(payload)
                return
            self._fragments = bytearray()
        self._fragments += payload
        if fin or len(self._fragments) > protocol.MESSAGE_BYTES_MAX:
            whole = bytes(self._fragments)
            self._fragments = None
            self._message(whole)

    def _message(self, payload: bytes) -> None:
        if self.stage is not Stage.SILENT:
            self._later_message()
            return
        request = protocol.parse(payload)
        if isinstance(request, Refusal):
            self.refuse(request)
            return
        self._request = request
        self._enter(Stage.ASKED)
        self._office.asked(self, request)

    def _later_message(self) -> None:
        self._later_messages += 1
        if self._later_messages > LATER_MESSAGES_MAX or self._paused:
            self.refuse(Refusal("Too many messages; accepted: one subscribe message a connection"))
            return
        text = "This connection has its subscription; accepted: a further connection for a further one"
        self._write(protocol.text_frame(protocol.error(Refusal(text))))

    def confirmed(self, subscriptions: tuple[Subscription, ...]) -> None:
        """The instruments are found: say so, and stream."""
        if self.stage is not Stage.ASKED:
            return
        assert self._request is not None
        self._write(protocol.text_frame(protocol.subscribed(self._request)))
        self._quotes_left = self._request.limit
        self._subscriptions = subscriptions
        self._enter(Stage.STREAMING)
        self._last_quote_s = self._office.now_s()
        self._office.hub.subscribe(self, subscriptions)

    def refuse(self, refusal: Refusal, code: WSCloseCode = WSCloseCode.POLICY_VIOLATION) -> None:
        """Say what is wrong, and close."""
        if self.stage in (Stage.CLOSING, Stage.CLOSED):
            return
        if self._request is not None and refusal.exchange is None:
            request = self._request
            refusal = msgspec.structs.replace(
                refusal, exchange=request.exchange, contract_type=request.contract_type, symbols=request.symbols
            )
        self._write(protocol.text_frame(protocol.error(refusal)))
        self.close(code, refusal.message)

    def close(self, code: WSCloseCode, reason: str) -> None:
        """Begin the closing handshake; `tick` ends it by force where the client does not answer."""
        if self.stage in (Stage.CLOSING, Stage.CLOSED):
            return
        self._leave(Stage.CLOSING)
        if self._transport is not None:
            self._transport.send_close(code, reason.encode()[:120].decode(errors="ignore"))

    def drain(self) -> None:
        """The server stops: pass on what waits, and close."""
        if self.stage is Stage.STREAMING:
            self._empty_mailbox()
        self.close(WSCloseCode.GOING_AWAY, "the server stops")

    def take(self, update: Update) -> None:
        """Receive an update from the hub."""
        if not self._paused:
            self._batch.append(update)
        elif not self._mailbox.put(update):
            self._overflowed = True

    def flush(self) -> None:
        """Write the batch, as one write; or end a client that is too slow for it."""
        if self.stage is not Stage.STREAMING:
            self._batch.clear()
            return
        self._last_quote_s = self._office.now_s()
        if self._overflowed:
            text = f"Client too slow: more than {self._office.limits.kept_max} closed candles waiting"
            self.refuse(Refusal(text), WSCloseCode.TRY_AGAIN_LATER)
        elif self._batch:
            batch, self._batch = self._batch, []
            self._quotes(batch)

    def refused(self, subscription: Subscription, error: VenueError) -> None:
        """The venue will not serve what the client asked for."""
        venue = subscription.instrument.venue
        text = f"Subscription rejected by {venue}: {subscription.instrument.venue_symbol}"
        self.refuse(Refusal(text, exchange_message=venue_words(error)))

    def pause_writing(self) -> None:
        """The client does not read as fast as we write: what comes now waits in the mailbox."""
        self._paused = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._paused = False
        if self.stage is Stage.STREAMING:
            self._empty_mailbox()

    def _empty_mailbox(self) -> None:
        updates = []
        while (update := self._mailbox.take()) is not None:
            updates.append(update)
        if updates:
            self._quotes(updates)

    def _quotes(self, updates: list[Update]) -> None:
        if not self._quotes_left:
            self._write(b"".join([u.frame for u in updates]))
            return
        frames = []
        for update in updates:
            frames.append(update.frame)
            self._quotes_left -= update.is_quote
            if not self._quotes_left:
                break
        self._write(b"".join(frames))
        if not self._quotes_left:
            self.close(WSCloseCode.OK, "limit reached")

    def _write(self, frames: bytes) -> None:
        if self._transport is not None and self.stage is not Stage.CLOSED:
            self._transport.underlying_transport.write(frames)

    def _enter(self, stage: Stage) -> None:
        self.stage = stage
        self._stage_since_s = self._office.now_s()

    def _leave(self, stage: Stage) -> None:
        if self.stage is Stage.STREAMING:
            self._office.hub.unsubscribe(self, self._subscriptions)
        if self.stage is not Stage.CLOSED:
            self._enter(stage)
        self._batch.clear()
        self._mailbox = Mailbox(0)

    def tick(self, now_s: float) -> None:
        """Time passed: end what has lasted too long, and ask whether the client is still there."""
        limits = self._office.limits
        lasted_s = now_s - self._stage_since_s
        if self.stage is Stage.SILENT and lasted_s >= limits.subscribe_timeout_s:
            text = f"No subscribe payload received within {limits.subscribe_timeout_s:g} seconds"
            self.refuse(Refusal(text))
        elif self.stage is Stage.STREAMING and now_s - self._last_quote_s >= limits.idle_timeout_s:
            self.refuse(Refusal(idle_message(limits.idle_timeout_s)), WSCloseCode.OK)
        elif self.stage is Stage.CLOSING and lasted_s >= limits.close_timeout_s:
            self._abort()
        if self.stage in (Stage.SILENT, Stage.ASKED, Stage.STREAMING):
            self._ping(now_s)

    def _ping(self, now_s: float) -> None:
        limits = self._office.limits
        assert self._transport is not None
        if self._pinged_s is None and now_s - self._last_heard_s >= limits.ping_interval_s:
            self._pinged_s = now_s
            self._transport.send_ping()
        elif self._pinged_s is not None and now_s - self._pinged_s >= limits.ping_timeout_s:
            self._abort()

    def _abort(self) -> None:
        assert self._transport is not None
        self._transport.disconnect(graceful=False)


def venue_words(error: VenueError | VenueRejected) -> str:
    """Return the venue's own words and code, for `exchange_message`."""
    return f"{error.reason} (code {error.code})"
