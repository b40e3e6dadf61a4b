"""One connection to Valkey: bytes out, replies in, matched first in, first out.

The hot half of the bus. The client library packs and awaits every command; here a batch is one write, and of its
replies only the last one is looked at, unless the server refused something.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final, cast

import hiredis

from heliograph.bus import resp
from heliograph.bus.endpoint import Endpoint, refusal, unreachable
from heliograph.bus.ids import EntryId, format_id, parse_id
from heliograph.errors import BusError

Reply = Any
"""What hiredis makes of a reply: bytes, int, None, list, or a `hiredis.ReplyError` inside a list."""

WRITE_BUFFER_BYTES: Final = 1 << 20
"""What may wait inside our own process for the socket before we hold back."""

_INCOMPLETE: Final = object()


class _Expected:
    """The replies of one write: how many are to come, and who wants the last of them."""

    __slots__ = ("done", "error", "remaining")

    def __init__(self, replies: int, done: Callable[[Reply, str | None], None]) -> None:
        self.remaining = replies
        self.done = done
        self.error: str | None = None


class Link(asyncio.Protocol):
    """One open connection. When it ends, `lost` says why, and whatever was unanswered stays so.

    Args:
        endpoint: the server, for the errors' text.
        resumed: called when writing makes sense again after `paused`.
        ended: called once the connection is gone.

    """

    def __init__(self, endpoint: Endpoint, resumed: Callable[[], None], ended: Callable[[], None]) -> None:
        self.endpoint = endpoint
        self._resumed = resumed
        self._on_end = ended
        self._errors: list[str] = []
        self._parser = hiredis.Reader(notEnoughData=_INCOMPLETE, replyError=self._error)
        self._expected: deque[_Expected] = deque()
        self._transport: asyncio.WriteTransport | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.paused = False
        self.lost: str | None = None
        self.mode = "standalone"
        """What the server says it is: `standalone`, `cluster` or `sentinel`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's has the methods without the base class.
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Hand the replies to those who wait for them."""
        self._parser.feed(data)
        replies = iter(self._parser.gets, _INCOMPLETE)
        expected = self._expected
        try:
            while expected and self.lost is None:
                waiting = expected[0]
                taken = list(islice(replies, waiting.remaining))
                waiting.remaining -= len(taken)
                if self._errors:
                    waiting.error = waiting.error or self._errors[0]
                    self._errors.clear()
                if waiting.remaining:
                    return
                expected.popleft()
                waiting.done(taken[-1], waiting.error)
        except hiredis.ProtocolError as e:
            self.abort(f"{self.endpoint}: not RESP: {e}")

    def _error(self, text: str) -> hiredis.ReplyError:
        """Note an error, however deep in a reply it stands, so that a reply need not be searched for one."""
        self._errors.append(text)
        return hiredis.ReplyError(text)

    def pause_writing(self) -> None:
        """Note that the socket does not keep up."""
        self.paused = True

    def resume_writing(self) -> None:
        """Note that the socket takes more."""
        self.paused = False
        self._resumed()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits that no reply will come."""
        if self.lost is None:
            self.lost = f"{self.endpoint}: {exc or 'the server closed the connection'}"
        self._expected.clear()
        if not self._ended.done():
            self._ended.set_result(None)
        self._on_end()

    @property
    def writable(self) -> bool:
        """Whether a write makes sense: the connection stands and the socket keeps up."""
        transport = self._transport
        return self.lost is None and not self.paused and transport is not None and not transport.is_closing()

    @property
    def waiting(self) -> bool:
        """Whether a reply is to come."""
        return bool(self._expected)

    def abort(self, reason: str) -> None:
        """Drop the connection at once; what is unanswered stays so."""
        if self.lost is None:
            self.lost = reason
        if self._transport is not None:
            self._transport.abort()

    def send(self, payload: bytes, replies: int, done: Callable[[Reply, str | None], None]) -> None:
        """Write requests.

        Args:
            payload: whole requests.
            replies: how many replies they cause, at least one.
            done: called with the last reply and the text of the first error anywhere in all of them, unless the
                connection ends first.

        """
        assert self._transport is not None
        self._expected.append(_Expected(replies, done))
        self._transport.write(payload)

    async def exchange_all(
        self, payload: bytes, expected: Sequence[tuple[int, Callable[[Reply, str | None], None]]]
    ) -> None:
        """Write requests of several askers at once, and wait until all are answered.

        Args:
            payload: whole requests.
            expected: for each asker how many replies its requests cause, and what to call, as `send` does.

        Raises:
            BusError: the connection ended first.

        """
        if self.lost is not None:
            raise BusError(self.lost)
        *firsts, (replies, done) = expected
        answered = asyncio.get_running_loop().create_future()

        def last(reply: Reply, error: str | None) -> None:
            done(reply, error)
            if not answered.done():
                answered.set_result(None)

        self._expected.extend(_Expected(*first) for first in firsts)
        self.send(payload, replies, last)
        await asyncio.wait({answered, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            raise BusError(f"{self.endpoint}: the connection ended before every reply")

    async def request(self, *arguments: bytes | str | int) -> Reply:
        """Send one request and return its reply.

        Raises:
            BusError: the server refused it, or the connection ended first.

        """
        return await self.exchange(resp.command(*arguments), 1)

    async def exchange(self, payload: bytes, replies: int) -> Reply:
        """Send requests and return the last reply.

        Args:
            payload: whole requests.
            replies: how many replies they cause.

        Raises:
            BusError: the server refused one of them, or the connection ended first.

        """
        if self.lost is not None:
            raise BusError(self.lost)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def done(reply: Reply, error: str | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(reply)
            else:
                answer.set_exception(refusal(self.endpoint, error))

        self.send(payload, replies, done)
        await asyncio.wait({answer, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise BusError(f"{self.endpoint}: the connection ended before the reply")
        return answer.result()


async def open_link(
    endpoint: Endpoint,
    *,
    name: str,
    timeout_s: float,
    resumed: Callable[[], None] = lambda: None,
    ended: Callable[[], None] = lambda: None,
) -> Link:
    """Connect and authenticate.

    Args:
        endpoint: the server.
        name: how the connection is called in the server's CLIENT LIST.
        timeout_s: how long all of it may take, in seconds.
        resumed: see `Link`.
        ended: see `Link`.

    Raises:
        ConfigError: its TLS files cannot be loaded.
        BusError: the server is away or refuses us; its `code` tells a refusal from an absence.

    """
    loop = asyncio.get_running_loop()
    link = Link(endpoint, resumed, ended)
    context = endpoint.ssl_context()
    try:
        async with asyncio.timeout(timeout_s):
            if endpoint.path:
                await loop.create_unix_connection(lambda: link, endpoint.path)
            else:
                await loop.create_connection(lambda: link, endpoint.host, endpoint.port, ssl=context)
            await _greet(link, endpoint, name)
    except TimeoutError as e:
        link.abort("timed out")
        raise unreachable(endpoint, f"no answer within {timeout_s:g} s") from e
    except OSError as e:
        link.abort("not connected")
        raise unreachable(endpoint, e.strerror or str(e)) from e
    except BusError as e:
        if e.code is not None or link.lost is None:
            link.abort("not greeted")
            raise
        # A server that wants another certificate, or TLS at all, says so only by how it ends the connection.
        raise unreachable(endpoint, link.lost.removeprefix(f"{endpoint}: ")) from e
    except BaseException:
        link.abort("not greeted")
        raise
    return link


def pause_s(attempt: int, pause_max_s: float) -> float:
    """Return how long to wait before attempt number `attempt`, in seconds: doubling, with full jitter, bounded."""
    return random.random() * min(pause_max_s, 0.02 * 2.0 ** min(attempt, 20))


async def _greet(link: Link, endpoint: Endpoint, name: str) -> None:
    # With version 2 nothing but replies ever comes, so that counting them is safe.
    hello: list[str | int] = ["HELLO", 2]
    if endpoint.password is not None:
        hello += ["AUTH", endpoint.username or "default", endpoint.password]
    said = await link.request(*hello, "SETNAME", name)
    if b"mode" in said:
        link.mode = said[said.index(b"mode") + 1].decode()
    if endpoint.db:
        await link.request("SELECT", endpoint.db)


async def run_id(link: Link) -> str | None:
    """Return the server process's own id, which changes with every start of it; None where the ACL forbids to ask.

    Raises:
        BusError: the connection ended first, or the server refused for another reason.

    """
    try:
        reply = await link.request("INFO", "server")
    except BusError as e:
        if e.code == "NOPERM":
            return None
        raise
    text: str = reply.decode()
    for line in text.splitlines():
        if line.startswith("run_id:"):
            return line.removeprefix("run_id:")
    return None


async def last_id(link: Link, key: str) -> EntryId:
    """Return the last id that a stream has given out, whether or not that entry is still there; 0-0 if there is none.

    Raises:
        BusError: the server refused, or the connection ended.

    """
    try:
        reply = await link.request("XINFO", "STREAM", key)
    except BusError as e:
        if "no such key" in str(e):
            return (0, 0)
        raise
    return parse_id(reply[reply.index(b"last-generated-id") + 1])


async def raise_floor(link: Link, key: str, floor: EntryId) -> EntryId:
    """Make a stream refuse every id that is not above `floor`, and return the last id that it counts as given out.

    Whatever another writer has numbered before this moment and not yet delivered comes too late from now on. A stream
    that does not exist is made, empty.

    Args:
        link: to the server.
        key: the stream.
        floor: above every id that the other writer has taken from its clock. Those that it has counted on from the
            stream's last one, where that was ahead of its clock, are within the same millisecond, which is left too.

    Raises:
        BusError: the server refused, or the connection ended.

    """
    while True:
        newest = await last_id(link, key)
        target = max(floor, (newest[0] + 1, 0))
        exact = format_id(target)
        try:
            if newest == (0, 0):
                # XSETID wants a stream that exists. What comes and goes in one transaction is seen by nobody.
                commands = [("XADD", key, exact, "data", ""), ("XDEL", key, exact)]
                payload = b"".join(resp.command(*command) for command in (("MULTI",), *commands, ("EXEC",)))
                await link.exchange(payload, 4)
            else:
                await link.request("XSETID", key, exact)
        except BusError as e:
            if "smaller than the" in str(e) or "equal or smaller" in str(e):
                continue  # Somebody has appended meanwhile.
            raise
        return target
