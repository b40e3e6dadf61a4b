"""The connection of whoever commits: several commits in flight, answered in their order.

A commit whose answer did not come may have been done: that is `OutcomeUnknown`, and never tried again behind the
caller's back. Whoever expects in each commit what the one before it wrote has all of them refused after the first.
"""

import asyncio
from collections import deque
from typing import Any, Final, Self

import hiredis

from heliograph.bus import resp
from heliograph.bus.commit import SCRIPT, Commit, Refusal, arguments, refused
from heliograph.bus.endpoint import Endpoint, parse_url, refusal
from heliograph.bus.link import Link, Reply, open_link
from heliograph.errors import BusError, HeliographError, OutcomeUnknown

IN_FLIGHT_MAX: Final = 256
"""Commits that may wait for their answers at once."""

# Each does nothing at a key that does not exist, but for asking whether it may.
_REHEARSED: Final[tuple[tuple[str, ...], ...]] = (
    ("TYPE",),
    ("EXISTS",),
    ("GET",),
    ("HMGET", "f"),
    ("HDEL", "f"),
    ("XADD", "NOMKSTREAM", "*", "f", "v"),
    ("XTRIM", "MINID", "0"),
    ("ZADD", "XX", "0", "m"),
    ("ZREM", "m"),
)


class _Sent:
    """One commit in flight."""

    __slots__ = ("again", "answer", "commit", "payload")

    def __init__(self, commit: Commit, payload: bytes, answer: "asyncio.Future[Refusal | None]") -> None:
        self.commit = commit
        self.payload = payload
        self.answer = answer
        self.again = False


class Committer:
    """One connection to the primary; an async context manager.

    Entering it proves that the server's user may do everything that a commit consists of, since a right that is missing
    halfway through would leave the first half. `HSET`, the one command that cannot be rehearsed, is proven by the
    first commit of a writer, its take-over, which is nothing else.

    Args:
        url: the primary.
        probe: a key that the user may write, and that never exists.
        name: how the connection is called in the server's CLIENT LIST.
        timeout_s: how long the server may take for an answer, in seconds, before the connection is given up.

    """

    def __init__(
        self, url: str | Endpoint, *, probe: str, name: str = "heliograph-committer", timeout_s: float = 5.0
    ) -> None:
        self.endpoint = parse_url(url) if isinstance(url, str) else url
        self._probe = probe
        self._name = name
        self._timeout_s = timeout_s
        self._link: Link | None = None
        self._flight: deque[_Sent] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._room.set()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def open(self) -> None:
        """Connect, anew if need be.

        Raises:
            BusError: the server is away, refuses us, or does not let us do what commits consist of.

        """
        self.close()
        link: Link | None = None

        def ended() -> None:
            if link is not None and link is self._link:
                self._ended(link)

        link = await open_link(self.endpoint, name=self._name, timeout_s=self._timeout_s, ended=ended)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._rehearse(link)
                await link.request("SCRIPT", "LOAD", SCRIPT)
        except TimeoutError as e:
            link.abort("timed out")
            raise BusError(f"{self.endpoint}: no answer within {self._timeout_s:g} s") from e
        except BaseException:
            link.abort("not let in")
            raise
        self._link = link

    async def _rehearse(self, link: Link) -> None:
        for command, *rest in _REHEARSED:
            await link.request(command, self._probe, *rest)
        await link.request("SET", self._probe, "", "XX")
        try:
            await link.request("XINFO", "STREAM", self._probe)
        except BusError as e:
            if "no such key" not in str(e):
                raise

    def close(self) -> None:
        """Give the connection up; what is in flight stays unknown."""
        link, self._link = self._link, None
        if link is not None:
            link.abort("closed by us")
            self._fail(f"{self.endpoint}: closed by us")

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._link is not None and self._link.lost is None

    @property
    def in_flight(self) -> int:
        """How many commits wait for their answers."""
        return len(self._flight)

    async def ready(self) -> None:
        """Wait until another commit may be sent."""
        while len(self._flight) >= IN_FLIGHT_MAX:
            self._room.clear()
            await self._room.wait()

    def submit(self, commit: Commit) -> "asyncio.Future[Refusal | None]":
        """Send a commit, and return what will tell None once it is done, or why nothing was written.

        The future raises `OutcomeUnknown` if the answer does not come, and `BusError` if the server refused.

        Raises:
            ValueError: no commit, by the maker's fault; nothing was sent.
            BusError: there is no connection, or too many commits are in flight; nothing was sent.

        """
        link = self._opened()
        if len(self._flight) >= IN_FLIGHT_MAX:
            raise BusError(f"{IN_FLIGHT_MAX} commits are in flight: wait until one is answered")
        answer: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self._send(link, _Sent(commit, hiredis.pack_command(arguments(commit)), answer), b"", 1)
        return answer

    async def commit(self, commit: Commit) -> Refusal | None:
        """Send a commit, and return None once it is done, or why nothing was written.

        Raises:
            ValueError: no commit, by the maker's fault.
            OutcomeUnknown: the answer did not come.
            BusError: there is no connection, or the server refused.

        """
        return await self.submit(commit)

    async def ask(self, *commands: tuple[Any, ...]) -> list[Reply]:
        """Send reading commands, after every commit in flight, and return their replies in order.

        Raises:
            BusError: there is no connection, it ended first, or the server refused one of them.

        """
        link = self._opened()
        replies: list[Reply] = []
        refusals: list[str] = []

        def done(reply: Reply, error: str | None) -> None:
            replies.append(reply)
            if error is not None:
                refusals.append(error)

        payload = b"".join(hiredis.pack_command(command) for command in commands)
        try:
            async with asyncio.timeout(self._timeout_s):
                await link.exchange_all(payload, [(1, done)] * len(commands))
        except TimeoutError as e:
            link.abort(f"{self.endpoint}: no answer within {self._timeout_s:g} s")
            raise BusError(f"{self.endpoint}: no answer within {self._timeout_s:g} s") from e
        if refusals:
            raise refusal(self.endpoint, refusals[0])
        return replies

    def _opened(self) -> Link:
        link = self._link
        if link is None or link.lost is not None:
            raise BusError(f"{self.endpoint}: not connected" if link is None or not link.lost else link.lost)
        return link

    def _send(self, link: Link, sent: _Sent, before: bytes, replies: int) -> None:
        self._flight.append(sent)
        if self._watch is None:
            self._rewatch(link)
        link.send(before + sent.payload, replies, lambda reply, error: self._answered(link, reply, error))

    def _answered(self, link: Link, reply: Any, error: str | None) -> None:
        if link is not self._link:
            return
        sent = self._flight.popleft()
        self._rewatch(link)
        if error is not None and error.startswith("NOSCRIPT") and not sent.again:
            # Nothing was done. Behind it in flight the same befalls the others, so that the order stays.
            sent.again = True
            self._send(link, sent, resp.command("SCRIPT", "LOAD", SCRIPT), 2)
            return
        self._room.set()
        if sent.answer.done():
            return
        if error is None:
            sent.answer.set_result(None if reply == 1 else refused(sent.commit, reply))
        else:
            sent.answer.set_exception(_failed(self.endpoint, error))

    def _rewatch(self, link: Link) -> None:
        """Count the time for an answer from now, if one is to come."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._flight:
            reason = f"{self.endpoint}: no answer within {self._timeout_s:g} s"
            self._watch = asyncio.get_running_loop().call_later(self._timeout_s, link.abort, reason)

    def _ended(self, link: Link) -> None:
        self._fail(link.lost or f"{self.endpoint}: the connection ended")

    def _fail(self, reason: str) -> None:
        flight, self._flight = self._flight, deque()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._room.set()
        for sent in flight:
            if not sent.answer.done():
                sent.answer.set_exception(OutcomeUnknown(f"{reason}; whether the commit was done is not known"))


def _failed(endpoint: Endpoint, text: str) -> HeliographError:
    """Return the error for what the server said instead of an answer."""
    if text.startswith("TORN"):
        return BusError(f"{endpoint}: a commit stopped halfway: freeze the link and audit: {text}", "TORN")
    return refusal(endpoint, text)
