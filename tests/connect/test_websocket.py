"""A client's WebSocket against peers that say anything, byte by byte, over real sockets."""

import asyncio
import base64
import contextlib
import gc
import hashlib
import random
import shutil
import socket as socketlib
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import ManualClock
from heliograph.connect.websocket import Settings, Socket, connect
from heliograph.errors import ConfigError, VenueUnreachable

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    """Encode one unmasked frame, as a server sends it."""
    first = bytes([(0x80 if fin else 0) | opcode])
    if len(payload) < 126:
        return first + bytes([len(payload)]) + payload
    if len(payload) < 1 << 16:
        return first + b"\x7e" + struct.pack(">H", len(payload)) + payload
    return first + b"\x7f" + struct.pack(">Q", len(payload)) + payload


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def upgrade(self, behind: bytes = b"") -> None:
        """Answer the upgrade; what comes `behind` travels in the same packet."""
        request = await self.reader.readuntil(b"\r\n\r\n")
        key = next(line[18:].strip() for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key:"))
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        self.writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + behind
        )

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self) -> tuple[int, bytes]:
        """Read one frame of the client's: opcode and payload."""
        first, second = await self.reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", await self.reader.readexactly(2))
        mask = await self.reader.readexactly(4)
        payload = await self.reader.readexactly(length)
        return first & 0xF, bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))

    async def receive_kind(self, opcode: int) -> bytes:
        """Read frames until one of this kind."""
        while True:
            kind, payload = await self.receive()
            if kind == opcode:
                return payload

    def reset(self) -> None:
        """Cut the connection with an RST."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has gone, swallowing what it still says."""
        try:
            while await self.reader.read(1 << 16):
                pass
        except ConnectionError:
            pass


Script = Callable[[Peer], Awaitable[None]]
Serve = Callable[..., AbstractAsyncContextManager[int]]


@asynccontextmanager
async def serving(script: Script, **options: Any) -> AsyncIterator[int]:
    """Play a script on every connection; a script's failure is the test's."""
    tasks: list[asyncio.Task[None]] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(Peer(reader, writer))
        writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.create_task(play(reader, writer)))

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(asyncio.gather(*tasks), 10)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def serve() -> Serve:
    return serving


Complaints = Callable[[], list[dict[str, Any]]]


@pytest.fixture
async def complaints() -> Complaints:
    """Tell what the loop's exception handler has been given so far, errors that nobody took included."""
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))

    def told() -> list[dict[str, Any]]:
        gc.collect()
        return raised

    return told


class Log:
    """A listener that writes down what it hears, and wakes who waits for it."""

    def __init__(self, messages_max: int = 10**9, failing: str = "") -> None:
        self.batches: list[list[bytes]] = []
        self.times_ns: list[int] = []
        self.calls: list[str] = []
        self.reason: str | None = None
        self.enough = asyncio.Event()
        self.socket: Socket | None = None
        self._messages_max = messages_max
        self._failing = failing

    @property
    def messages(self) -> list[bytes]:
        return [message for batch in self.batches for message in batch]

    def opened(self, socket: Socket) -> None:
        self.socket = socket
        self._heard("opened")

    def received(self, frames: list[bytes], received_ns: int) -> None:
        self.batches.append(frames)
        self.times_ns.append(received_ns)
        if len(self.messages) >= self._messages_max:
            self.enough.set()
        self._heard("received")

    def closed(self, reason: str) -> None:
        self.reason = reason
        self._heard("closed")

    def _heard(self, call: str) -> None:
        self.calls.append(call)
        if call == self._failing:
            raise LookupError(call)


async def opened(port: int, log: Log, **settings: Any) -> Socket:
    return await connect(
        f"ws://127.0.0.1:{port}/stream?x=1",
        log,
        venue="venue",
        settings=Settings(**{"timeout_s": 5.0, "close_timeout_s": 0.1} | settings),
        clock=ManualClock(7),
    )


async def refused(url: str, **settings: Any) -> VenueUnreachable:
    log = Log()
    with pytest.raises(VenueUnreachable) as caught:
        await connect(url, log, venue="venue", settings=Settings(**{"timeout_s": 5.0} | settings), clock=ManualClock())
    assert log.calls == []
    return caught.value


def speaks(*frames: bytes) -> Script:
    """Return a script that upgrades, sends these bytes and waits for the client to go."""

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        peer.send(b"".join(frames))
        await peer.gone()

    return script


async def test_the_frames_of_one_read_are_one_batch_with_one_time(serve: Serve) -> None:
    messages = [b"%d" % number * (number % 300 + 1) for number in range(50)]

    async def script(peer: Peer) -> None:
        await peer.upgrade(behind=b"".join(frame(message) for message in messages))
        await peer.gone()

    log = Log(50)
    async with serve(script) as port:
        socket = await opened(port, log)
        await log.enough.wait()
        assert log.batches == [messages]
        assert log.times_ns == [7]
        assert socket.last_received_ns == 7
        socket.close()
        await socket.wait_closed()
    assert log.calls == ["opened", "received", "closed"]


async def test_a_read_that_ends_in_a_ping_or_a_pong_or_a_close_delivers_what_came_before(serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade(behind=frame(b"a") + frame(b"payload", PING))
        assert await peer.receive_kind(PONG) == b"payload"
        peer.send(frame(b"b") + frame(b"unasked", PONG))
        peer.send(frame(b"c") + frame(struct.pack(">H", 1001) + b"bye", CLOSE))
        assert await peer.receive_kind(CLOSE) == struct.pack(">H", 1000)
        await peer.gone()

    log = Log()
    async with serve(script) as port:
        socket = await opened(port, log)
        await socket.wait_closed()
    assert log.messages == [b"a", b"b", b"c"]
    assert log.reason == "peer closed: 1001 bye"


async def test_a_fragmented_message_arrives_whole_between_its_neighbours(serve: Serve) -> None:
    script = speaks(
        frame(b"before"),
        frame(b"one ", fin=False),
        frame(b"in between", PING),
        frame(b"two " * 100, CONTINUATION, fin=False),
        frame(b"three", CONTINUATION),
        frame(b"after" * 50),
    )
    log = Log(3)
    async with serve(script) as port:
        socket = await opened(port, log)
        await log.enough.wait()
        socket.close()
        await socket.wait_closed()
    assert log.messages == [b"before", b"one " + b"two " * 100 + b"three", b"after" * 50]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20), st.integers())
@hypothesis.settings(max_examples=15, deadline=None)
def test_messages_survive_any_fragmentation_and_any_packets(messages: list[bytes], seed: int) -> None:
    rng = random.Random(seed)
    stream = b""
    for message in messages:
        cuts = sorted(rng.randint(0, len(message)) for _ in range(rng.randint(0, 3)))
        pieces = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
        for index, piece in enumerate(pieces):
            kind = rng.choice((TEXT, BINARY)) if index == 0 else CONTINUATION
            stream += frame(piece, kind, fin=index == len(pieces) - 1)
            if rng.random() < 0.2:
                stream += frame(b"ping", PING)

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        rest = stream
        while rest:
            size = rng.randint(1, len(rest))
            peer.send(rest[:size])
            await peer.writer.drain()
            rest = rest[size:]
        await peer.gone()

    async def run() -> list[bytes]:
        log = Log(len(messages))
        async with serving(script) as port:
            socket = await opened(port, log)
            await log.enough.wait()
            socket.close()
            await socket.wait_closed()
        return log.messages

    assert asyncio.run(run()) == messages


@pytest.mark.parametrize("good", [True, False], ids=["behind a good one", "first of all"])
@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([frame(b"x" * 1001)], "1001 > 1000"),
        ([frame(b"x" * 70_000)], "70000 > 1000"),
        ([frame(b"x" * 600, fin=False), frame(b"x" * 600, CONTINUATION)], "more than 1000 bytes"),
        ([frame(b"x", fin=False), *[frame(b"x" * 100, CONTINUATION, fin=False)] * 20], "more than 1000 bytes"),
    ],
    ids=["one", "one over several reads", "two fragments", "many fragments"],
)
async def test_a_message_beyond_the_bound_closes_with_1009_and_loses_no_other(
    serve: Serve, complaints: Complaints, frames: list[bytes], reason: str, *, good: bool
) -> None:
    codes: list[int] = []
    before = [b"good"] if good else []

    async def script(peer: Peer) -> None:
        await peer.upgrade(behind=b"".join([*map(frame, before), *frames, frame(b"never")]))
        codes.append(int.from_bytes((await peer.receive_kind(CLOSE))[:2], "big"))
        await peer.gone()

    log = Log()
    async with serve(script) as port:
        socket = await opened(port, log, message_bytes_max=1000, close_timeout_s=0.1)
        await socket.wait_closed()
        del socket
        log.socket = None
    assert codes == [1009]
    assert log.messages == before
    assert complaints() == []
    assert log.reason is not None
    assert reason in log.reason


@pytest.mark.parametrize(
    "wrong",
    [
        frame(b"out of the blue", CONTINUATION),
        frame(b"begun", fin=False) + frame(b"begun again"),
        frame(b"begun", fin=False) + frame(b"begun again" * 20),
        frame(b"", 0x3),
        frame(b"x", PING, fin=False),
        frame(b"x", CLOSE),
        b"\x81\xfe",
    ],
)
async def test_what_the_protocol_does_not_allow_ends_the_connection_with_1002(serve: Serve, wrong: bytes) -> None:
    codes: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.upgrade(behind=frame(b"good") + wrong)
        codes.append(int.from_bytes((await peer.receive_kind(CLOSE))[:2], "big"))
        await peer.gone()

    log = Log()
    async with serve(script) as port:
        socket = await opened(port, log, close_timeout_s=0.1)
        await socket.wait_closed()
    assert codes == [1002]
    assert log.calls == ["opened", "received", "closed"]


@given(st.binary(max_size=400))
@hypothesis.settings(max_examples=40, deadline=None)
def test_no_bytes_raise_into_the_loop(data: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade(behind=data)
        peer.writer.write_eof()
        await peer.gone()

    async def run() -> None:
        raised: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
        log = Log()
        async with serving(script) as port:
            socket = await opened(port, log, close_timeout_s=0.1)
            await socket.wait_closed()
            del socket
            log.socket = None
        gc.collect()
        assert raised == []
        assert log.calls[0] == "opened"
        assert log.calls.count("closed") == 1
        assert log.calls[-1] == "closed"

    asyncio.run(run())


async def test_what_is_sent_arrives_and_after_the_end_nothing_is(serve: Serve) -> None:
    heard: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        heard.append(await peer.receive_kind(TEXT))
        peer.send(frame(await peer.receive_kind(CLOSE), CLOSE))
        assert await peer.reader.read() == b""

    log = Log()
    async with serve(script) as port:
        socket = await opened(port, log)
        socket.send(b'{"method":"SUBSCRIBE"}')
        assert not socket.closing
        socket.close("enough")
        assert socket.closing
        socket.send(b"too late")
        socket.close("again")
        await socket.wait_closed()
        socket.resume()
        socket.pause()
        assert not socket.paused
    assert heard == [b'{"method":"SUBSCRIBE"}']
    assert log.reason == "enough"


async def test_a_peer_that_never_finishes_the_close_is_cut_off(serve: Serve) -> None:
    async with serve(speaks(frame(b"x"))) as port:
        log = Log(1)
        socket = await opened(port, log, close_timeout_s=0.05)
        await log.enough.wait()
        socket.close("enough")
        await socket.wait_closed()
    assert log.reason == "enough"


@pytest.mark.parametrize("end", ["eof", "reset"])
async def test_an_end_without_a_close_is_told_once(serve: Serve, end: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade(behind=frame(b"x"))
        if end == "reset":
            await peer.receive_kind(TEXT)
            peer.reset()

    log = Log(1)
    async with serve(script) as port:
        socket = await opened(port, log)
        socket.send(b"go")
        await socket.wait_closed()
        await socket.wait_closed()
    assert log.calls == ["opened", "received", "closed"]
    assert log.reason == "connection lost without a close"


async def test_a_peer_that_never_pongs_is_dead_however_much_it_says(serve: Serve) -> None:
    heard: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        await peer.receive_kind(PING)
        peer.send(frame(b"alive") + frame(b"not what was asked", PONG))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                heard.append((await peer.receive())[0])

    log = Log()
    async with serve(script) as port:
        socket = await opened(port, log, ping_interval_s=0.05, ping_timeout_s=0.1)
        await socket.wait_closed()
    assert log.messages == [b"alive"]
    assert log.reason == "no pong within 0.1 s"
    assert PING not in heard, "a pong that nobody asked for is no answer"


async def test_a_peer_that_only_pongs_is_alive(serve: Serve) -> None:
    payloads: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        for _ in range(5):
            payloads.append(await peer.receive_kind(PING))
            peer.send(frame(payloads[-1], PONG))
        peer.send(frame(b"\x03\xe8", CLOSE))
        await peer.gone()

    log = Log()
    async with serve(script) as port:
        socket = await opened(port, log, ping_interval_s=0.05, ping_timeout_s=2.0, silence_s_max=2.0)
        await socket.wait_closed()
    assert len(set(payloads)) == 5
    assert log.reason == "peer closed: 1000"


async def test_a_peer_that_goes_silent_is_dead_after_the_documented_time(serve: Serve) -> None:
    log = Log()
    async with serve(speaks(frame(b"x"))) as port:
        started_s = asyncio.get_running_loop().time()
        socket = await opened(port, log, silence_s_max=0.2)
        await socket.wait_closed()
        assert 0.19 < asyncio.get_running_loop().time() - started_s < 2.0
    assert log.reason == "silent for 0.2 s"


async def test_a_pause_holds_the_peer_back_and_a_resume_loses_nothing(serve: Serve) -> None:
    """What the peer may write while we are paused is bounded by the kernel's buffers, far below what it wants to."""
    count, size = 400, 64 * 1024
    held_back = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        await peer.receive_kind(TEXT)
        sent = 0
        while sent < count:
            peer.send(frame(b"%06d" % sent + b"x" * size))
            sent += 1
            try:
                await asyncio.wait_for(peer.writer.drain(), 0.2)
            except TimeoutError:
                held_back.set()
                await peer.writer.drain()
        await peer.gone()

    log = Log(count)
    async with serve(script) as port:
        socket = await opened(port, log, ping_interval_s=0.1, ping_timeout_s=0.1, silence_s_max=0.1)
        socket.pause()
        socket.pause()
        assert socket.paused
        socket.send(b"go")
        await held_back.wait()
        assert log.messages == [], "paused, nothing is read, and nobody is called dead"
        socket._settings = Settings()
        socket.resume()
        await log.enough.wait()
        socket.close()
        await socket.wait_closed()
    assert [message[:6] for message in log.messages] == [b"%06d" % number for number in range(count)]


async def test_a_pause_from_within_a_batch_takes_hold_after_that_read(serve: Serve) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.upgrade(behind=frame(b"first"))
        await go_on.wait()
        peer.send(frame(b"second"))
        await peer.receive_kind(TEXT)
        await peer.gone()

    class Pausing(Log):
        def received(self, frames: list[bytes], received_ns: int) -> None:
            super().received(frames, received_ns)
            assert self.socket is not None
            if frames == [b"first"]:
                self.socket.pause()
                go_on.set()

    log = Pausing(2)
    async with serve(script) as port:
        socket = await opened(port, log)
        await go_on.wait()
        assert log.messages == [b"first"]
        socket.resume()
        await log.enough.wait()
        socket.send(b"done")
        socket.close()
        await socket.wait_closed()
    assert log.messages == [b"first", b"second"]


async def test_a_paused_socket_closes_all_the_same(serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.upgrade()
        peer.send(frame(await peer.receive_kind(CLOSE), CLOSE))
        await peer.gone()

    log = Log()
    async with serve(script) as port:
        socket = await opened(port, log, close_timeout_s=5.0)
        socket.pause()
        socket.close("enough")
        await asyncio.wait_for(socket.wait_closed(), 2.0)
    assert log.reason == "enough"


async def test_a_peer_that_does_not_read_is_dead_once_too_much_is_unsent(serve: Serve) -> None:
    done = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.upgrade()
        peer.writer.transport.pause_reading()
        await done.wait()
        peer.writer.transport.abort()

    log = Log()
    async with serve(script) as port:
        socket = await opened(port, log, unsent_bytes_max=100_000)
        for _ in range(1000):
            socket.send(b"x" * 50_000)
        await socket.wait_closed()
        done.set()
    assert log.reason is not None
    assert log.reason.startswith("peer does not read")


@pytest.mark.parametrize("failing", ["opened", "received", "closed"])
async def test_what_a_listener_raises_ends_the_connection_and_comes_out_once(serve: Serve, failing: str) -> None:
    codes: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.upgrade(behind=frame(b"x"))
        if failing == "closed":
            peer.send(frame(b"\x03\xe8", CLOSE))
        codes.append((await peer.receive_kind(CLOSE))[:2])
        await peer.gone()

    log = Log(failing=failing)
    async with serve(script) as port:
        socket = await opened(port, log, close_timeout_s=0.1)
        with pytest.raises(LookupError, match=failing):
            await socket.wait_closed()
    assert log.calls.count("closed") == 1
    assert log.calls[-1] == "closed"
    if failing != "closed":
        assert codes == [b"\x03\xf3"]
        assert log.reason == f"listener failed: LookupError: {failing}"


async def test_nobody_listening_at_the_port_is_refused(unused_port: int) -> None:
    assert (await refused(f"ws://127.0.0.1:{unused_port}/")).kind == "refused"


async def test_a_name_that_does_not_exist_is_refused() -> None:
    assert (await refused("ws://heliograph.invalid/")).kind == "refused"


async def test_a_server_that_accepts_and_never_answers_times_out_and_is_let_go(serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with serve(script) as port:
        assert (await refused(f"ws://127.0.0.1:{port}/", timeout_s=0.1)).kind == "timeout"


async def test_a_tls_handshake_that_never_comes_times_out_and_is_let_go(serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with serve(script) as port:
        assert (await refused(f"wss://127.0.0.1:{port}/", timeout_s=0.2)).kind == "timeout"


async def test_a_server_that_speaks_no_tls_is_a_tls_failure(serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.gone()

    async with serve(script) as port:
        assert (await refused(f"wss://127.0.0.1:{port}/")).kind == "tls"


async def test_a_refused_upgrade_tells_its_status_and_its_words(serve: Serve) -> None:
    async def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 20\r\n\r\naccess too frequent\xff")
        await peer.gone()

    async with serve(script) as port:
        error = await refused(f"ws://127.0.0.1:{port}/")
    assert (error.status, error.kind) == (403, "http_status")
    assert error.reason == "status 403 to the upgrade: access too frequent\ufffd"


@pytest.mark.parametrize(
    ("answer", "kind", "retry_after_s"),
    [
        (b"HTTP/1.1 429 Too Many\r\nRetry-After: 12\r\nContent-Length: 0\r\n\r\n", "http_status", 12.0),
        (b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n", "http_status", None),
        (b"HTTP/1.1 301 Moved\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "http_status", None),
        (b"HTTP/1.1 101 Ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "protocol", None),
        (b"what?\r\n\r\n", "protocol", None),
        (b"x" * 40_000, "protocol", None),
        (b"", "protocol", None),
    ],
)
async def test_an_upgrade_that_is_not_granted_says_why(
    serve: Serve, answer: bytes, kind: str, retry_after_s: float | None
) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.send(answer)
        if answer:
            await peer.gone()

    async with serve(script) as port:
        error = await refused(f"ws://127.0.0.1:{port}/")
    assert (error.kind, error.retry_after_s) == (kind, retry_after_s)


async def test_connecting_that_is_cancelled_leaves_no_connection_and_no_complaint(
    serve: Serve, complaints: Complaints
) -> None:
    asked, let_go = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        asked.set()
        await peer.gone()
        let_go.set()

    log = Log()
    async with serve(script) as port:
        task = asyncio.create_task(opened(port, log))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await let_go.wait()
    assert log.calls == []
    assert complaints() == []


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "127.0.0.1", "ws://", ""])
async def test_what_is_no_address_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match="not a WebSocket address"):
        await connect(url, Log(), venue="venue", settings=Settings(), clock=ManualClock())


async def test_wss_with_a_trusted_certificate_carries_messages_and_an_untrusted_one_is_a_tls_failure(
    serve: Serve, certificate: tuple[Path, Path]
) -> None:
    chain, key = certificate
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(chain, key)
    big = b"x" * 300_000

    async def script(peer: Peer) -> None:
        try:
            await peer.upgrade(behind=frame(b"hello") + frame(big))
        except asyncio.IncompleteReadError:
            return  # The client that did not trust us.
        await peer.receive_kind(TEXT)
        peer.send(frame(await peer.receive_kind(CLOSE), CLOSE))
        await peer.gone()

    log = Log(2)
    async with serve(script, ssl=server_side) as port:
        assert (await refused(f"wss://127.0.0.1:{port}/")).kind == "tls"
        socket = await connect(
            f"wss://127.0.0.1:{port}/",
            log,
            venue="venue",
            settings=Settings(),
            clock=ManualClock(),
            ssl_context=ssl.create_default_context(cafile=str(chain)),
        )
        await log.enough.wait()
        socket.pause()
        socket.resume()
        socket.send(b"x")
        socket.close("enough")
        await socket.wait_closed()
    assert log.messages == [b"hello", big]
    assert log.reason == "enough"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of our own for 127.0.0.1, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not on PATH")
    folder = tmp_path_factory.mktemp("tls")
    chain, key = folder / "chain.pem", folder / "key.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1 "
    request += "-addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [openssl, *request.split(), "-keyout", str(key), "-out", str(chain)],
        check=True,
        capture_output=True,
    )
    return chain, key


@pytest.fixture
def unused_port() -> int:
    with socketlib.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
