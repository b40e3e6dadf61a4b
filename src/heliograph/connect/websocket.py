"""A client's WebSocket: frames of one socket read arrive as one batch, and every end has one reason.

Nothing here knows a venue. The library underneath is picows; it is told neither to ping nor to pong, because it would
keep those frames, and with them the mark of the last frame of a read.

A message is handed on whether its frame says text or binary, and no extension is offered: what is not what the venue
documents is bytes that its codec refuses. (To ask picows for a frame's type costs 0.11 µs,
and a frame takes 0.27.)
"""

import asyncio
import contextlib
import functools
import itertools
import logging
import socket
import ssl
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
import picows

from heliograph.clock import Clock
from heliograph.connect.backoff import retry_after_s
from heliograph.errors import ConfigError, VenueUnreachable

_TEXT: Final = picows.WSMsgType.TEXT
_CONTINUATION: Final = picows.WSMsgType.CONTINUATION
_PING: Final = picows.WSMsgType.PING
_PONG: Final = picows.WSMsgType.PONG
_CLOSE: Final = picows.WSMsgType.CLOSE
_Code = picows.WSCloseCode
_NO_CODE: Final = 1005

_WORDS_BYTES_MAX: Final = 200
_CONTROL_BYTES_MAX: Final = 125
"""A longer frame carries data. Source: https://www.rfc-editor.org/rfc/rfc6455#section-5.5"""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How patient a socket is, and how much it takes."""

    timeout_s: float = 10.0
    """Bounds the whole of connecting: names, TCP, TLS and the upgrade."""
    ping_interval_s: float = 20.0
    """How long after connecting, or after the last pong, a ping is sent."""
    ping_timeout_s: float = 10.0
    """How long a pong may take before the connection counts as dead."""
    silence_s_max: float = 60.0
    """How long the peer may say nothing at all, pings and pongs included, before the connection counts as dead."""
    close_timeout_s: float = 2.0
    """How long the peer may take to finish a close before the connection is cut."""
    message_bytes_max: int = 4 * 1024 * 1024
    """The longest message, whole or in fragments; a longer one closes the connection with 1009."""
    unsent_bytes_max: int = 1024 * 1024
    """How much may wait for a peer that does not read, before the connection counts as dead."""


class Listener(Protocol):
    """Who a socket talks to. Its methods are called from the loop, must not block, and are never called after `closed`.

    What one of them raises closes the connection with 1011 and comes out of `Socket.wait_closed`.
    """

    def opened(self, socket: "Socket") -> None:
        """The upgrade is done: `socket` may be used. Called once, before `connect` returns."""

    def received(self, frames: list[bytes], received_ns: int) -> None:
        """Take the messages of one socket read, in order; the list is the listener's to keep.

        Whether they are UTF-8 is for the decoder to say. `received_ns` is read once for the whole batch.
        """

    def closed(self, reason: str) -> None:
        """The connection is gone. Called exactly once after `opened`, whoever ended it."""


class Socket:
    """One open connection. Made by `connect`."""

    def __init__(self, transport: picows.WSTransport, listener: Listener, settings: Settings) -> None:
        self.last_received_ns: int | None = None
        """When the last batch was read, in nanoseconds since the Unix epoch."""
        self._transport = transport
        self._listener = listener
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._failure: Exception | None = None
        self._reason: str | None = None
        self._paused = False
        self._heard_s = self._loop.time()
        self._ping_due_s = self._heard_s + settings.ping_interval_s
        self._pings = 0
        self._pong_due_s: float | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._parser_end: asyncio.Task[None] | None = None

    @property
    def closing(self) -> bool:
        """Whether an end has begun: nothing is received or sent any more."""
        return self._reason is not None

    @property
    def paused(self) -> bool:
        """Whether reading is held back."""
        return self._paused

    def send(self, payload: bytes) -> None:
        """Send one text message; a socket that is closing drops it, as its listener's `closed` tells.

        Args:
            payload: UTF-8.

        """
        if self._reason is not None:
            return
        self._transport.send(_TEXT, payload)
        unsent_bytes = self._transport.underlying_transport.get_write_buffer_size()
        if unsent_bytes > self._settings.unsent_bytes_max:
            self._die(f"peer does not read: {unsent_bytes} bytes unsent")

    def pause(self) -> None:
        """Stop reading from the kernel, so that the peer is held back; what the kernel holds is kept.

        The peer's pings wait as well, and its silence is not counted against it.
        """
        if self._paused or self._reason is not None:
            return
        self._paused = True
        self._transport.underlying_transport.pause_reading()
        if self._watch is not None:
            self._watch.cancel()

    def resume(self) -> None:
        """Read again after `pause`."""
        if not self._paused:
            return
        self._paused = False
        if self._transport.is_disconnected:
            return
        self._transport.underlying_transport.resume_reading()
        self._heard_s = self._loop.time()
        if self._pong_due_s is not None:
            self._pong_due_s = self._heard_s + self._settings.ping_timeout_s
        self._look()

    def close(self, reason: str = "closed by us") -> None:
        """Begin the close handshake and return; `closed` follows, within `close_timeout_s`.

        Args:
            reason: what the listener is told.

        """
        self._end(_Code.OK, reason)

    async def wait_closed(self) -> None:
        """Wait for the end.

        Raises:
            Exception: what the listener raised, if that was what ended the connection.

        """
        await asyncio.shield(self._gone)
        if self._parser_end is not None:
            await asyncio.shield(self._parser_end)

    def _open(self) -> None:
        try:
            self._listener.opened(self)
        except Exception as e:  # Not ours to name: it ends the socket, and `wait_closed` raises it.
            self._fail(e)
        self._look()

    def _deliver(self, frames: list[bytes], received_ns: int) -> None:
        if self._reason is not None:
            return
        self._heard_s = self._loop.time()
        self.last_received_ns = received_ns
        try:
            self._listener.received(frames, received_ns)
        except Exception as e:  # Not ours to name: it ends the socket, and `wait_closed` raises it.
            self._fail(e)

    def _look(self) -> None:
        """Do what is due, and come back when the next thing is."""
        if self._reason is not None or self._paused:
            return
        now_s = self._loop.time()
        if self._pong_due_s is None and now_s >= self._ping_due_s:
            self._pings += 1
            self._transport.send_ping(self._pings.to_bytes(4, "big"))
            self._pong_due_s = now_s + self._settings.ping_timeout_s
        silence_due_s = self._heard_s + self._settings.silence_s_max
        if now_s >= silence_due_s:
            self._die(f"silent for {self._settings.silence_s_max:g} s")
        elif self._pong_due_s is not None and now_s >= self._pong_due_s:
            self._die(f"no pong within {self._settings.ping_timeout_s:g} s")
        else:
            due_s = self._ping_due_s if self._pong_due_s is None else self._pong_due_s
            self._watch = self._loop.call_at(min(due_s, silence_due_s), self._look)

    def _pinged(self, payload: bytes) -> None:
        self._heard_s = self._loop.time()
        if self._reason is None:
            self._transport.send_pong(payload)

    def _ponged(self, payload: bytes) -> None:
        self._heard_s = self._loop.time()
        if self._pong_due_s is not None and payload == self._pings.to_bytes(4, "big"):
            self._pong_due_s = None
            self._ping_due_s = self._heard_s + self._settings.ping_interval_s
            self._stop_watch()
            self._look()

    def _parted(self, payload: bytes) -> None:
        """The peer sent its half of the close handshake: answer with ours, if it is still owed, and go."""
        code = int.from_bytes(payload[:2], "big") if payload else _NO_CODE
        self._end(_Code.OK, f"peer closed: {code} {payload[2:].decode(errors='replace')}".rstrip())
        self._transport.disconnect()

    async def _take_error(self) -> None:
        # Where picows refused a frame, it holds an error that the loop would complain of if nobody took it.
        with contextlib.suppress(picows.WSError):
            await self._transport.wait_disconnected()

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        self._end(_Code.INTERNAL_ERROR, f"listener failed: {type(failure).__name__}: {failure}")

    def _end(self, code: picows.WSCloseCode, reason: str) -> None:
        if self._reason is not None:
            return
        self.resume()  # Or the peer's half of the handshake would never be read.
        self._reason = reason
        self._stop_watch()
        self._transport.send_close(code)
        self._cut = self._loop.call_later(self._settings.close_timeout_s, self._abort)

    def _die(self, reason: str) -> None:
        self._end(_Code.GOING_AWAY, reason)
        self._abort()

    def _abort(self) -> None:
        self._transport.disconnect(graceful=False)

    def _stop_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _lost(self) -> None:
        self._stop_watch()
        if self._cut is not None:
            self._cut.cancel()
        if self._reason is None:
            self._reason = "connection lost without a close"
        if self._transport.is_close_frame_sent:
            self._parser_end = self._loop.create_task(self._take_error())
        try:
            self._listener.closed(self._reason)
        except Exception as e:  # Not ours to name: it ends the socket, and `wait_closed` raises it.
            self._failure = self._failure or e
        if self._failure is None:
            self._gone.set_result(None)
        else:
            self._gone.set_exception(self._failure)


class _ParserEar(logging.LoggerAdapter[logging.Logger]):
    """Hears that picows refused a frame, which it tells a logger at once and nobody else; what else it logs is dropped.

    The frame before the refused one is delivered after this, and picows parses on when more is read: the refused frame
    itself may still come, if only its size was wrong.
    """

    def __init__(self, reader: "_Reader") -> None:
        super().__init__(logging.Logger("picows", logging.CRITICAL + 1))  # noqa: LOG001 - for nobody to configure
        self._reader = reader

    def error(self, msg: object, *args: object, **kwargs: object) -> None:
        self._reader.refuse(" ".join(str(part) for part in args))

    def exception(self, msg: object, *args: object, **kwargs: object) -> None:
        self._reader.refuse(str(msg))


class _Reader(picows.WSListener):
    """The hot path: what picows calls for each frame."""

    __slots__ = ("_append", "_batch", "_fragments", "_listener", "_now_ns", "_refusal", "_settings", "socket")

    def __init__(self, listener: Listener, settings: Settings, clock: Clock) -> None:
        self.socket: Socket | None = None
        self._listener = listener
        self._settings = settings
        self._now_ns = clock.now_ns
        self._batch: list[bytes] = []
        self._append = self._batch.append
        self._fragments: bytearray | None = None
        self._refusal: str | None = None

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.socket = Socket(transport, self._listener, self._settings)
        self.socket._open()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.payload_size > _CONTROL_BYTES_MAX and frame.fin and self._fragments is None:
            self._append(frame.get_payload_as_bytes())
        else:
            self._other(frame)
        if frame.last_in_buffer:
            self._flush()

    def refuse(self, why: str) -> None:
        if self._refusal is None:
            self._refusal = f"frame refused: {why}"
            asyncio.get_running_loop().call_soon(self._end_refused)

    def _end_refused(self) -> None:
        if self.socket is not None and self._refusal is not None:
            self.socket._end(_Code.PROTOCOL_ERROR, self._refusal)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        assert self.socket is not None
        self.socket._lost()

    def _flush(self) -> None:
        frames = self._batch
        if frames:
            assert self.socket is not None
            self._batch = []
            self._append = self._batch.append
            if self._refusal is None:
                self.socket._deliver(frames, self._now_ns())
                return
            bytes_max = self._settings.message_bytes_max
            good = list(itertools.takewhile(lambda frame: len(frame) <= bytes_max, frames))
            if good:
                self.socket._deliver(good, self._now_ns())
            self._end_refused()

    def _other(self, frame: picows.WSFrame) -> None:
        socket = self.socket
        assert socket is not None
        kind = frame.msg_type
        if kind is _PING:
            socket._pinged(frame.get_payload_as_bytes())
        elif kind is _PONG:
            socket._ponged(frame.get_payload_as_bytes())
        elif kind is _CLOSE:
            self._flush()
            socket._parted(frame.get_payload_as_bytes())
        elif (kind is _CONTINUATION) is (self._fragments is None):
            self._flush()
            socket._end(_Code.PROTOCOL_ERROR, "fragments out of order")
        elif frame.fin and self._fragments is None:
            self._append(frame.get_payload_as_bytes())
        else:
            self._gather(socket, frame)

    def _gather(self, socket: Socket, frame: picows.WSFrame) -> None:
        gathered = bytearray() if self._fragments is None else self._fragments
        bytes_max = self._settings.message_bytes_max
        if len(gathered) + frame.payload_size > bytes_max:
            self._flush()
            gathered.clear()
            socket._end(_Code.MESSAGE_TOO_BIG, f"message of more than {bytes_max} bytes")
            return
        gathered += frame.get_payload_as_bytes()
        self._fragments = gathered
        if frame.fin:
            self._fragments = None
            self._append(bytes(gathered))


async def connect(
    url: str,
    listener: Listener,
    *,
    venue: str,
    settings: Settings,
    clock: Clock,
    ssl_context: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
) -> Socket:
    """Open a WebSocket. Cancelling this leaves nothing open.

    Args:
        url: `ws://…` or `wss://…`.
        listener: who hears of it; `opened` is called before this returns.
        venue: the venue's name, for the error.
        settings: patience and bounds.
        clock: what `received_ns` is read from; patience is measured by the loop's own clock.
        ssl_context: for `wss://`; None trusts what the system trusts.
        headers: what the upgrade carries besides what it needs.

    Raises:
        VenueUnreachable: with its `kind`; nothing was opened, or `closed` follows where `opened` was called.
        ConfigError: the URL is not one.

    """
    reader = _Reader(listener, settings, clock)
    dialled: list[socket.socket] = []

    async def dial(parsed: picows.WSParsedURL) -> socket.socket:
        dialled.append(await _dial(parsed.host, parsed.port))
        return dialled[0]

    try:
        async with asyncio.timeout(settings.timeout_s):
            await picows.ws_connect(
                lambda request, response: reader,
                url,
                ssl_context=ssl_context or _system_trust(),
                websocket_handshake_timeout=None,
                logger_name=_ParserEar(reader),
                enable_auto_pong=False,
                max_frame_size=settings.message_bytes_max,
                extra_headers=headers,
                max_redirects=0,
                socket_factory=dial,
            )
        if reader.socket is None:
            raise VenueUnreachable(venue, "closed before the upgrade was answered", kind="protocol")
    except picows.WSInvalidURL as e:
        raise ConfigError(f"not a WebSocket address: {url}", ("ws://host/…", "wss://host/…")) from e
    except (OSError, picows.WSError) as e:
        raise _unreachable(venue, e, secure_stage=bool(dialled) and url.startswith("wss:")) from e
    else:
        dialled.clear()
        return reader.socket
    finally:
        # What a failure or a cancellation left half open is not ours to reach through picows, but its socket is.
        if reader.socket is not None and dialled:
            reader.socket._die("connecting was given up")
        for half_open in dialled:
            with contextlib.suppress(OSError):
                half_open.shutdown(socket.SHUT_RDWR)


async def _dial(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    refusals: list[OSError] = []
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        attempt = socket.socket(family, kind, protocol)
        try:
            attempt.setblocking(False)
            await loop.sock_connect(attempt, address)
        except OSError as e:
            attempt.close()
            refusals.append(e)
        except BaseException:
            attempt.close()
            raise
        else:
            return attempt
    raise refusals[-1]


def _unreachable(venue: str, failure: Exception, *, secure_stage: bool) -> VenueUnreachable:
    what = f"{type(failure).__name__}: {failure}"
    if isinstance(failure, TimeoutError):
        return VenueUnreachable(venue, "no connection in time", kind="timeout")
    if isinstance(failure, picows.WSHandshakeError) and failure.response is not None:
        status = int(failure.response.status)
        if status != 101:
            wait_s = retry_after_s(failure.response.headers.get("Retry-After"))
            words = " ".join((failure.raw_body or b"")[:_WORDS_BYTES_MAX].decode(errors="replace").split())
            told = f"status {status} to the upgrade{': ' if words else ''}{words}"
            return VenueUnreachable(venue, told, wait_s, kind="http_status", status=status)
    if isinstance(failure, picows.WSError):
        return VenueUnreachable(venue, what, kind="protocol")
    if isinstance(failure, ssl.SSLError) or secure_stage:
        return VenueUnreachable(venue, what, kind="tls")
    return VenueUnreachable(venue, what, kind="refused")


@functools.cache
def _system_trust() -> ssl.SSLContext:
    return ssl.create_default_context()
