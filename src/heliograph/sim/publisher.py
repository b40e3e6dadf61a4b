"""Which client hears which stream of a simulated market, and the frames on their way."""

import time
from typing import Final

import msgspec
from aiohttp import web

from heliograph.clock import Clock
from heliograph.sim.faults import FaultKind, Faults
from heliograph.sim.ledger import Ledger
from heliograph.venues.binance.dialect import Dialect, Session, Stream

BACKLOG_MAX: Final = 8 << 20
"""Bytes that a client may leave unread before it is cut, as venues cut slow readers."""


class Client:
    """One client's socket."""

    def __init__(self, session: Session, socket: web.WebSocketResponse, request: web.BaseRequest) -> None:
        self.session = session
        self.socket = socket
        self._transport = request.transport
        self.opened_s = self.pinged_s = time.monotonic()
        self.unanswered_since_s: float | None = None
        self.joined: set[tuple[str, bool]] = set()
        self.outbox: list[bytes] = []
        self.held: list[bytes] = []
        """Frames that a fault keeps back until the next one has gone."""

    def flush(self) -> None:
        """Write what is in the outbox as one piece; cut the client where it does not read."""
        if not self.outbox or self._transport is None:
            return
        self._transport.write(b"".join(self.outbox))
        self.outbox.clear()
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

    def __init__(self, dialect: Dialect, clock: Clock, ledger: Ledger, faults: Faults) -> None:
        self._dialect = dialect
        self._clock = clock
        self._ledger = ledger
        self._faults = faults
        self._channels: dict[tuple[str, bool], _Channel] = {}
        self.clients: set[Client] = set()

    @property
    def streams(self) -> list[str]:
        """The names of all streams that have a listener."""
        return [name for name, _ in self._channels]

    def sync(self, client: Client) -> None:
        """Take notice of what a client has subscribed to by now."""
        wanted = {(stream.name, stream.micros): stream for stream in client.session.streams.values()}
        for key in client.joined - wanted.keys():
            self._leave(client, key)
        for key in wanted.keys() - client.joined:
            client.joined.add(key)
            stream = wanted[key]
            if not client.session.hears(stream):
                continue
            channel = self._channels.get(key)
            if channel is None:
                channel = _Channel(stream, self._paced(stream, self._clock.now_ns()), set())
                self._channels[key] = channel
            channel.clients.add(client)

    def remove(self, client: Client) -> None:
        """Forget a client."""
        self.clients.discard(client)
        for key in list(client.joined):
            self._leave(client, key)

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
                self._send(channel, frames)
        for client in self.clients:
            client.flush()

    def announce(self, name: str, payload: bytes) -> None:
        """Send one frame to every client, subscribed or not."""
        for client in self.clients:
            frame = self._dialect.wrapped(name, payload) if client.session.combined else payload
            client.outbox.append(text_frame(frame))
            client.flush()

    def _paced(self, stream: Stream, now_ns: int) -> int:
        return now_ns // stream.cadence_ns * stream.cadence_ns if stream.cadence_ns else now_ns

    def _leave(self, client: Client, key: tuple[str, bool]) -> None:
        client.joined.discard(key)
        channel = self._channels.get(key)
        if channel is not None:
            channel.clients.discard(client)
            if not channel.clients:
                del self._channels[key]

    def _send(self, channel: _Channel, payloads: list[bytes]) -> None:
        name = channel.stream.name
        raw: list[bytes] | None = None
        wrapped: list[bytes] | None = None
        for client in channel.clients:
            if client.session.combined:
                if wrapped is None:
                    wrapped = [text_frame(self._dialect.wrapped(name, payload)) for payload in payloads]
                frames = wrapped
            else:
                if raw is None:
                    raw = [text_frame(payload) for payload in payloads]
                frames = raw
            if self._faults.quiet and not client.held:
                client.outbox += frames
                self._ledger.sent[self._dialect.market, channel.stream.kind] += len(frames)
            else:
                self._mishandle(client, channel.stream, frames)

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
            self._ledger.sent[self._dialect.market, stream.kind] += 1


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
