"""A connection for questions, which opens itself again: rare commands of one's own, answered or refused.

What was asked when a connection ended may have been done or not; nothing is asked twice behind the caller's back.
"""

import asyncio
from collections.abc import Sequence
from typing import Self

import hiredis

from heliograph.bus import resp
from heliograph.bus.endpoint import Endpoint, refusal
from heliograph.bus.link import Link, Reply, open_link
from heliograph.errors import BusError


class Asker:
    """One connection to one server, made when it is first needed and made anew after it ended.

    Any number of tasks may ask at once; their requests go out in the order of their asking.

    Args:
        endpoint: the server.
        name: how the connection is called in the server's CLIENT LIST.
        connect_timeout_s: how long one attempt to connect may take, in seconds.
        reply_timeout_s: how long a reply may take, in seconds; then the connection is dropped.

    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        name: str = "heliograph",
        connect_timeout_s: float = 5.0,
        reply_timeout_s: float = 10.0,
    ) -> None:
        self.endpoint = endpoint
        self.connections = 0
        """How many connections were made: more than before means that one was lost in between."""
        self._name = name
        self._connect_timeout_s = connect_timeout_s
        self._reply_timeout_s = reply_timeout_s
        self._link: Link | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drop("closed by us")

    def drop(self, reason: str) -> None:
        """End the connection; the next question opens another."""
        if self._link is not None:
            self._link.abort(reason)
            self._link = None

    async def ask(self, *arguments: bytes | str | int) -> Reply:
        """Return the reply to one command.

        Raises:
            BusError: the server refused it, or no reply came: then it may have been done.

        """
        (reply,) = await self.ask_all([arguments])
        if isinstance(reply, BusError):
            raise reply
        return reply

    async def ask_all(self, commands: Sequence[Sequence[bytes | str | int]]) -> list[Reply]:
        """Return the replies to commands that go out in one write; a refused one's reply is a `BusError`.

        Raises:
            BusError: not every reply came: what has none may have been done.

        """
        if not commands:
            return []
        link = await self._open()
        replies: list[Reply] = []

        def done(reply: Reply, error: str | None) -> None:
            del error  # It stands in the reply.
            replies.append(refusal(self.endpoint, str(reply)) if isinstance(reply, hiredis.ReplyError) else reply)

        payload = b"".join([resp.command(*command) for command in commands])
        try:
            async with asyncio.timeout(self._reply_timeout_s):
                await link.exchange_all(payload, [(1, done)] * len(commands))
        except TimeoutError:
            link.abort(f"{self.endpoint}: no reply for {self._reply_timeout_s:g} s")
            raise BusError(f"{self.endpoint}: no reply for {self._reply_timeout_s:g} s") from None
        return replies

    async def _open(self) -> Link:
        async with self._opening:
            if self._link is None or self._link.lost is not None:
                self._link = await open_link(self.endpoint, name=self._name, timeout_s=self._connect_timeout_s)
                self.connections += 1
            return self._link
