"""Entries that no consumer could handle: a stream beside their own, from which they can be sent again.

A letter has the fields of the entry to the letter, and after them why, whose, from where, and how often it was tried.
Nothing trims the letters: they may be money.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Self

import msgspec

from heliograph.bus import resp
from heliograph.bus.endpoint import Endpoint, parse_url
from heliograph.bus.link import Link, Reply, open_link
from heliograph.errors import BusError

_SAID: Final = (b"dead_reason", b"dead_id", b"dead_group", b"dead_deliveries")


def dead_key(stream: str) -> str:
    """Return the stream of the entries of `stream` that could not be handled."""
    return f"{stream}:dead"


class DeadLetter(msgspec.Struct, frozen=True):
    """An entry that could not be handled."""

    id: str
    """The letter's own."""
    source_id: str
    """The entry's, in its own stream."""
    group: str
    deliveries: int
    reason: str
    raw: tuple[bytes, ...]
    """The entry's names and values in turn; empty where the entry was trimmed or deleted before it could be handled."""

    @property
    def fields(self) -> dict[bytes, bytes]:
        """The entry's fields."""
        return dict(zip(self.raw[::2], self.raw[1::2], strict=True))


def burial(
    stream: str, group: str, source_id: bytes, raw: Sequence[bytes], *, deliveries: int, reason: str
) -> tuple[bytes, int]:
    """Return the requests that move an entry to the dead letters and acknowledge it, at once, and their replies' count.

    In a cluster both streams must be in one slot: give the stream's name a hash tag.
    """
    values = (reason.encode(), source_id, group.encode(), b"%d" % deliveries)
    said = [part for pair in zip(_SAID, values, strict=True) for part in pair]
    commands: list[Sequence[bytes | str | int]] = [
        ("MULTI",),
        ("XADD", dead_key(stream), "*", *raw, *said),
        ("XACK", stream, group, source_id),
        ("EXEC",),
    ]
    return b"".join(resp.command(*command) for command in commands), len(commands)


class DeadLetters:
    """The dead letters of one stream, on a connection of its own.

    Args:
        url: the server.
        stream: the stream that the entries came from.
        username: used where the URL has none.
        password: used where the URL has none.
        timeout_s: how long connecting may take, in seconds.

    """

    def __init__(
        self,
        url: str | Endpoint,
        stream: str,
        *,
        username: str | None = None,
        password: str | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        self._endpoint = parse_url(url, username=username, password=password) if isinstance(url, str) else url
        self._stream = stream
        self._timeout_s = timeout_s
        self._link: Link | None = None

    async def __aenter__(self) -> Self:
        self._link = await open_link(self._endpoint, name="heliograph-dead-letters", timeout_s=self._timeout_s)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._link is not None:
            self._link.abort("closed by us")

    async def count(self) -> int:
        """Return how many letters there are.

        Raises:
            BusError: the server refused, or the connection ended.

        """
        number: int = await self._open.request("XLEN", dead_key(self._stream))
        return number

    async def page(self, after: str | None = None, count: int = 100) -> list[DeadLetter]:
        """Return up to `count` letters, oldest first, that follow the letter `after`.

        Raises:
            BusError: the server refused, or the connection ended.

        """
        start = "-" if after is None else f"({after}"
        return [_letter(item) for item in await self._range(start, "+", count)]

    async def replay(self, ids: Iterable[str]) -> dict[str, str]:
        """Append entries to their stream again, each with its own fields and a new id, and drop their letters.

        Every group of the stream sees such an entry anew, also those that had handled it. Each letter goes once,
        however many ask for it, and whatever happens to the connection.

        Args:
            ids: the letters'. One that is not there, or of which nothing but the letter was left, is passed over.

        Returns:
            The new entry's id for each letter that went.

        Raises:
            BusError: the server refused, or the connection ended: those that went have no letter any more.

        """
        sent = {}
        for letter_id in ids:
            while (new_id := await self._replay(letter_id)) is None:
                pass  # Somebody else has touched the letters since we looked.
            if new_id:
                sent[letter_id] = new_id
        return sent

    async def _replay(self, letter_id: str) -> str | None:
        link, key = self._open, dead_key(self._stream)
        await link.request("WATCH", key)
        items = await self._range(letter_id, letter_id, 1)
        letter = _letter(items[0]) if items else None
        if letter is None or not letter.raw:
            await link.request("UNWATCH")
            return ""
        commands: list[Sequence[bytes | str | int]] = [
            ("MULTI",),
            ("XADD", self._stream, "*", *letter.raw),
            ("XDEL", key, letter_id),
            ("EXEC",),
        ]
        reply = await link.exchange(b"".join(resp.command(*command) for command in commands), len(commands))
        return None if reply is None else reply[0].decode()

    async def _range(self, start: str, end: str, count: int) -> Reply:
        return await self._open.request("XRANGE", dead_key(self._stream), start, end, "COUNT", count)

    @property
    def _open(self) -> Link:
        if self._link is None:
            raise BusError(f"{self._endpoint}: the dead letters have not been opened")
        return self._link


def _letter(item: Reply) -> DeadLetter:
    letter_id, raw = item
    *fields, _, reason, _, source_id, _, group, _, deliveries = raw
    return DeadLetter(
        letter_id.decode(), source_id.decode(), group.decode(), int(deliveries), reason.decode(), tuple(fields)
    )
