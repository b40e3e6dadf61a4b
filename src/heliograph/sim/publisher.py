"""Which client hears which stream of a simulated market, and the frames on their way."""

import time
from typing import Any, Final

import msgspec
from aiohttp import web

from heliograph.clock import Clock
from heliograph.sim.faults import FaultKind, Faults
from heliograph.sim.ledger import Ledger
from heliograph.venues.dialect import Dialect, Numbering, Session, Stream

BACKLOG_MAX: Final = 8 << 20
"""Bytes that a client may leave unread before it is cut, as venues cut slow readers."""


class Client:
    """One client's socket."""

    def __init__(self, session: Session[Any], socket: web.WebSocketResponse, request: web.BaseRequest) -> None:
        self.session = session
        self.socket = socket
        self._numbering = session if isinstance(session, Numbering) else None
        self._transport = request.transport
        self.opened_s = self.pinged_s = self.active_s = time.monotonic()
        """When it was opened, last pinged, and when either side last said anything."""
        self.unanswered_since_s: float | None = None
        self.joined: set[Stream] = set()
        self.outbox: list[bytes] = []
        self.held: list[bytes] = []
        """Frames that a fault keeps back until the next one has gone."""

    def numbered(self, payload: bytes) -> bytes:
        """Return what is about to be said with its number on this connection, where the venue knows such a thing."""
        return payload if self._numbering is None else self._numbering.numbered(payload)

    @property
    def shares(self) -> bool:
        """Whether it is sent the very same frames as others."""
        return self._numbering is None

    def flush(self) -> None:
        """Write what is in the outbox as one piece; cut the client where it does not read."""
        if not self.outbox or self._transport is None:
            return
        batch = b"".join(self.outbox)
        self.outbox.clear()
        if self._transport.is_closing():  # Cut already, and not yet taken from the list: uvloop would raise.
            return
        self._transport.write(batch)
        self.active_s = time.monotonic()
        if self._transport.get_write_buffer_size() > BACKLOG_MAX:
            self.cut()

    def cut(self) -> None:
        """Drop the connection without a word."""
        if self._transport is not None:
            self._transport.abort()


class _Channel(msgspec.Struct):
    stream: Stream
    told_ns: int
    clients: set[Client]


class Publisher:
    """Sends every stream that has a listener, each at its own pace.

    Args:
        dialect: what to say.
        clock: the market's time.
        ledger: where frames are counted.
        faults: what goes wrong with frames.

    """

    def __init__(self, dialect: Dialect[Any], clock: Clock, ledger: Ledger, faults: Faults) -> None:
        self._dialect = dialect
        self._clock = clock
        self._ledger = ledger
        self._faults = faults
        self._channels: dict[Stream, _Channel] = {}
        self.clients: set[Client] = set()

    @property
    def streams(self) -> list[str]:
        """The names of all streams that have a listener."""
        return [stream.name for stream in self._channels]

    def sync(self, client: Client) -> None:
        """Take notice of what a client has subscribed to by now."""
        wanted = set(client.session.streams.values())
        for stream in client.joined - wanted:
            self._leave(client, stream)
        # In the order of subscription, so that the same requests make the same frames.
        for stream in client.session.streams.values():
            if stream in client.joined:
                continue
            client.joined.add(stream)
            if not client.session.hears(stream):
                continue
            channel = self._channels.get(stream)
            if channel is None:
                channel = _Channel(stream, self._paced(stream, self._clock.now_ns()), set())
                self._channels[stream] = channel
            channel.clients.add(client)
            if opening := self._dialect.opening(stream, channel.told_ns):
                self._send(stream, {client}, opening)

    def remove(self, client: Client) -> None:
        """Forget a client."""
        self.clients.discard(client)
        for stream in list(client.joined):
            self._leave(client, stream)

    def publish(self) -> None:
        """Send what has happened since the last time."""
        now_ns = self._clock.now_ns()
        for channel in list(self._channels.values()):
            until_ns = self._paced(channel.stream, now_ns)
            if until_ns <= channel.told_ns:
                continue
            frames = self._dialect.frames(channel.stream, channel.told_ns, until_ns)
            channel.told_ns = until_ns
            if frames:
                self._send(channel.stream, channel.clients, frames)
        for client in self.clients:
            client.flush()

    def announce(self) -> None:
        """Tell every client, subscribed or not, that this server is about to close."""
        for client in self.clients:
            farewell = client.session.farewell(self._clock.now_ns())
            if farewell is not None:
                client.outbox.append(text_frame(farewell))
                client.flush()

    def _paced(self, stream: Stream, now_ns: int) -> int:
        return now_ns // stream.cadence_ns * stream.cadence_ns if stream.cadence_ns else now_ns

    def _leave(self, client: Client, stream: Stream) -> None:
        client.joined.discard(stream)
        channel = self._channels.get(stream)
        if channel is not None:
            channel.clients.discard(client)
            if not channel.clients:
                del self._channels[stream]

    def _send(self, stream: Stream, clients: set[Client], payloads: list[bytes]) -> None:
        raw: list[bytes] | None = None
        wrapped: list[bytes] | None = None
        for client in clients:
            if client.session.combined:
                if wrapped is None:
                    wrapped = [text_frame(self._dialect.wrapped(stream.name, payload)) for payload in payloads]
                frames = wrapped
            elif not client.shares:
                frames = [text_frame(client.numbered(payload)) for payload in payloads]
            else:
                if raw is None:
                    raw = [text_frame(payload) for payload in payloads]
                frames = raw
            if self._faults.quiet and not client.held:
                client.outbox += frames
                self._ledger.sent[self._dialect.market_of(stream.symbol), stream.kind] += len(frames)
            else:
                self._mishandle(client, stream, frames)

    def _mishandle(self, client: Client, stream: Stream, frames: list[bytes]) -> None:
        faults, name, now_s = self._faults, stream.name, time.monotonic()
        if faults.lasts(FaultKind.SILENCE, name, now_s) or faults.lasts(FaultKind.HALF_OPEN, "", now_s):
            return
        for frame in frames:
            if faults.take(FaultKind.DROP, name):
                continue
            if faults.take(FaultKind.REORDER, name):
                client.held.append(frame)
                continue
            if faults.take(FaultKind.WRONG_JSON, name):
                payload = frame[_header_length(frame) :]
                client.outbox.append(text_frame(payload[: len(payload) // 2]))
                continue
            client.outbox.append(frame)
            if faults.take(FaultKind.DUPLICATE, name):
                client.outbox.append(frame)
            client.outbox += client.held
            client.held.clear()
            self._ledger.sent[self._dialect.market_of(stream.symbol), stream.kind] += 1


def text_frame(payload: bytes) -> bytes:
    """Return a server's unmasked WebSocket text frame around a payload.

    Source: https://www.rfc-editor.org/rfc/rfc6455#section-5.2
    """
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 1 << 16:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)


def _header_length(frame: bytes) -> int:
    return {126: 4, 127: 10}.get(frame[1], 2)
