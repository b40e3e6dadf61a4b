"""Reads streams from a given id on, over any number of connections, without loss or doubling.

The server keeps no cursor for us: the reader remembers the last id that it handed out of each stream, and asks for what
follows it, again after every reconnect.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from typing import Final, Self

import msgspec

from heliograph.bus import resp
from heliograph.bus.endpoint import Endpoint, parse_url
from heliograph.bus.ids import EntryId, format_id, parse_id
from heliograph.bus.link import Link, Reply, last_id, open_link, pause_s
from heliograph.bus.routes import Routes
from heliograph.errors import BusError, ConfigError

CHECKED_STREAMS_MAX: Final = 16
"""Up to so many streams every read asks whether trimming has overtaken it. With more, that would cost the server too
much, and only those reads ask that follow a reconnect, a full reply, or a pause of the consumer's."""
PAUSE_S: Final = 0.005

_BEGINNING: Final = (0, 0)
_FATAL_CODES: Final = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "WRONGTYPE"})


class Entry(msgspec.Struct, frozen=True):
    """One entry of a stream."""

    stream: str
    """The stream that it was read from."""
    id: str
    """Such as `1732182160123-0`; resuming from it yields what follows."""
    fields: dict[bytes, bytes]
    after_gap: bool = False
    """Whether trimming overtook us: entries between the one before and this one may have gone unread."""

    @property
    def data(self) -> bytes:
        """The field `data`, empty where there is none."""
        return self.fields.get(b"data", b"")

    @property
    def key(self) -> str:
        """The stream that the entry belongs to: the field `key` of a merged feed, else the stream it was read from."""
        key = self.fields.get(b"key")
        return self.stream if key is None else key.decode()


class Reader:
    """One connection that reads streams; iterate over it for entries, or over `batches` for what one reply brings.

    `reconnects` counts connections after the first, `gaps` the times that trimming overtook us; `last_error` says what
    went wrong last. `positions` is what to resume from, as of the entries handed out.

    Args:
        url: the server, as `redis://`, `rediss://` or `unix://`.
        positions: from which id on to read each stream, exclusively. `0` is the oldest entry, `$` is what comes after
            the opening. May be empty for a reader that is only asked for `last_entries` and `entries`.
        username: used where the URL has none.
        password: used where the URL has none.
        count_max: entries of one stream in one reply at most.
        block_s: how long one read waits at the server, in seconds. Silence is no error, however long it lasts.
        connect_timeout_s: how long one attempt to connect may take, in seconds.
        reply_timeout_s: how long beyond `block_s` a reply may take before we connect anew, in seconds.
        backoff_max_s: the longest pause between two attempts, in seconds.
        name: how the connection is called in the server's CLIENT LIST.
        routes: where a cluster has the stream, which is the only one then; None: at `url`.
        tells_gaps: look whether trimming has overtaken us, in one transaction with the read: for that the user needs
            MULTI and EXEC. Whoever numbers the entries in their data has no need of it.

    """

    def __init__(
        self,
        url: str | Endpoint,
        positions: Mapping[str, str],
        *,
        username: str | None = None,
        password: str | None = None,
        count_max: int = 512,
        block_s: float = 5.0,
        connect_timeout_s: float = 5.0,
        reply_timeout_s: float = 10.0,
        backoff_max_s: float = 2.0,
        name: str = "heliograph-reader",
        routes: Routes | None = None,
        tells_gaps: bool = True,
    ) -> None:
        self._routes = routes
        self._tells_gaps = tells_gaps
        self._endpoint = parse_url(url, username=username, password=password) if isinstance(url, str) else url
        self._positions = dict(positions)
        self._count_max = count_max
        self._block_s = block_s
        self._connect_timeout_s = connect_timeout_s
        self._reply_timeout_s = reply_timeout_s
        self._backoff_max_s = backoff_max_s
        self._name = name
        self._link: Link | None = None
        self._side_link: Link | None = None
        self._side_opening = asyncio.Lock()
        self._read_up_to: dict[str, EntryId] = {}
        self._caught_up = False
        self._read_s = 0.0
        self.reconnects = 0
        self.gaps = 0
        self.last_error: str | None = None

    @property
    def positions(self) -> dict[str, str]:
        """The id of the last entry handed out of each stream."""
        return dict(self._positions)

    async def __aenter__(self) -> Self:
        self._link = await self._open()
        try:
            for key, position in self._positions.items():
                # A `$` that were sent to the server would mean something else after each reconnect.
                self._positions[key] = format_id(
                    await last_id(self._link, key) if position == "$" else parse_id(position)
                ).decode()
        except BaseException:
            self._link.abort("not opened")
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for link in (self._link, self._side_link):
            if link is not None:
                link.abort("closed by us")

    async def __aiter__(self) -> AsyncGenerator[Entry, None]:
        async for batch in self._batches():
            for entry in batch:
                self._positions[entry.stream] = entry.id
                yield entry

    async def batches(self) -> AsyncGenerator[list[Entry], None]:
        """Yield what each reply brings, in order within each stream, for ever.

        Raises:
            BusError: the server refuses us for good: credentials, rights, or a key that is not a stream.
            ConfigError: no stream was given.

        """
        async for batch in self._batches():
            for entry in batch:
                self._positions[entry.stream] = entry.id
            yield batch

    async def _batches(self) -> AsyncIterator[list[Entry]]:
        if not self._positions:
            raise ConfigError("the reader has no stream to read")
        self._read_up_to = {key: parse_id(position) for key, position in self._positions.items()}
        attempt = 0
        while True:
            try:
                if self._link is None or self._link.lost is not None:
                    self._link = await self._open()
                    self.reconnects += 1
                    self._caught_up = False
                batch = await self._read(self._link)
                attempt = 0
            except BusError as e:
                self.last_error = str(e)
                if e.code in _FATAL_CODES:
                    raise
                if self._routes is not None:
                    self._routes.forget()
                    if self._link is not None:
                        self._link.abort("the stream may be elsewhere")
                attempt += 1
                await asyncio.sleep(pause_s(attempt, self._backoff_max_s))
                continue
            if batch:
                yield batch

    async def last_entries(self, key: str, count: int) -> list[Entry]:
        """Return the newest `count` entries of a stream, oldest first.

        Raises:
            BusError: the server refused, or the connection ended.

        """
        reply = await self._ask("XREVRANGE", key, "+", "-", "COUNT", count)
        return [to_entry(key, item) for item in reversed(reply)]

    async def entries(self, key: str, start: str = "-", end: str = "+", count: int | None = None) -> list[Entry]:
        """Return a stream's entries from `start` to `end`, both included, oldest first, `count` of them at most.

        Raises:
            BusError: the server refused, or the connection ended.

        """
        limit: tuple[str | int, ...] = () if count is None else ("COUNT", count)
        return [to_entry(key, item) for item in await self._ask("XRANGE", key, start, end, *limit)]

    async def _read(self, link: Link) -> list[Entry]:
        """Read what follows; empty when there is nothing after waiting for `block_s`."""
        after_pause = time.monotonic() - self._read_s > PAUSE_S
        batch: list[Entry] = []
        doubtful = not self._caught_up or after_pause or len(self._read_up_to) <= CHECKED_STREAMS_MAX
        if self._tells_gaps and doubtful:
            batch = await self._read_checked(link)
        if not batch:
            command = resp.command(
                "XREAD", "COUNT", self._count_max, "BLOCK", int(self._block_s * 1000), *self._where()
            )
            batch = self._taken(await self._answer(link, command, 1, self._block_s + self._reply_timeout_s), ())
        self._caught_up = len(batch) < self._count_max
        self._read_s = time.monotonic()
        return batch

    async def _read_checked(self, link: Link) -> list[Entry]:
        """Read what is there, and each stream's oldest entry in one transaction, so that both are of one moment."""
        commands = [resp.command("XRANGE", key, "-", "+", "COUNT", 1) for key in self._read_up_to]
        commands.append(resp.command("XREAD", "COUNT", self._count_max, *self._where()))
        payload = b"".join([resp.command("MULTI"), *commands, resp.command("EXEC")])
        replies = await self._answer(link, payload, len(commands) + 2, self._reply_timeout_s)
        overtaken: set[str] = set()
        for (key, position), oldest in zip(self._read_up_to.items(), replies[:-1], strict=True):
            if oldest and _BEGINNING < position < parse_id(oldest[0][0]):
                overtaken.add(key)
        return self._taken(replies[-1], overtaken)

    def _where(self) -> list[str | bytes]:
        return ["STREAMS", *self._read_up_to, *map(format_id, self._read_up_to.values())]

    def _taken(self, reply: Reply, overtaken: Collection[str]) -> list[Entry]:
        batch: list[Entry] = []
        for name, items in reply or ():
            key = name.decode()
            if not items:  # Redis 6.2 and 7.0 wake a waiting reader by what is trimmed away in the same command.
                continue
            start = len(batch)
            batch += [to_entry(key, item) for item in items]
            if key in overtaken:
                self.gaps += 1
                batch[start] = msgspec.structs.replace(batch[start], after_gap=True)
            self._read_up_to[key] = parse_id(items[-1][0])
        return batch

    async def _ask(self, *arguments: str | int) -> Reply:
        # On a link of its own: behind a read that blocks it would wait as long as that.
        async with self._side_opening:  # Else two that ask at once would open two links, and one would never be closed.
            if self._side_link is None or self._side_link.lost is not None:
                self._side_link = await self._open()
            link = self._side_link
        return await self._answer(link, resp.command(*arguments), 1, self._reply_timeout_s)

    async def _answer(self, link: Link, payload: bytes, replies: int, timeout_s: float) -> Reply:
        try:
            async with asyncio.timeout(timeout_s):
                return await link.exchange(payload, replies)
        except TimeoutError:
            link.abort(f"{self._endpoint}: no reply for {timeout_s:g} s")
            raise BusError(f"{self._endpoint}: no reply for {timeout_s:g} s") from None
        except asyncio.CancelledError:
            link.abort("the reader was cancelled")  # Else the next one would wait behind this one's reply.
            raise

    async def _open(self) -> Link:
        if self._routes is not None:
            (key,) = self._positions
            self._endpoint = await self._routes.endpoint_of(key)
        return await open_link(self._endpoint, name=self._name, timeout_s=self._connect_timeout_s)


def to_entry(key: str, item: Reply) -> Entry:
    """Return an entry of a reply about a stream."""
    entry_id, fields = item
    return Entry(key, entry_id.decode(), dict(zip(fields[::2], fields[1::2], strict=True)))
