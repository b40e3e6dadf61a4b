"""Reads streams that are spread over the nodes of a cluster, from given ids on, without loss or doubling.

One read cannot ask for streams of two slots, so that each stream has a reader, and a connection, of its own.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Final, Self

from heliograph.bus.endpoint import Endpoint, parse_url
from heliograph.bus.reader import Entry, Reader, to_entry
from heliograph.bus.routes import Routes
from heliograph.errors import BusError, ConfigError

QUEUE_MAX: Final = 64
"""Batches that wait for the consumer, of all streams together."""
BLOCK_S: Final = 2.0
REPLY_S_MAX: Final = 3.0
"""A primary that stands still closes no connection: it is given up after both of these, and its successor is asked."""


class ClusterReader:
    """What a `Reader` is to one server, to a cluster. A stream whose node is gone is read on from its next node.

    Args:
        url: any node of the cluster, or several.
        positions: see `Reader`.
        name: how the connections are called in the servers' CLIENT LIST.
        backoff_max_s: the longest pause between two attempts to connect, in seconds.

    """

    def __init__(
        self,
        url: str | Endpoint,
        positions: Mapping[str, str],
        *,
        name: str = "heliograph-reader",
        backoff_max_s: float = 0.5,
    ) -> None:
        endpoint = parse_url(url) if isinstance(url, str) else url
        self._routes = Routes(endpoint, name=name, timeout_s=REPLY_S_MAX)
        self._readers = [
            Reader(
                endpoint,
                {key: position},
                block_s=BLOCK_S,
                connect_timeout_s=REPLY_S_MAX,
                reply_timeout_s=REPLY_S_MAX,
                name=name,
                backoff_max_s=backoff_max_s,
                routes=self._routes,
            )
            for key, position in positions.items()
        ]
        self._positions: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        await self._routes.__aenter__()
        try:
            await asyncio.gather(*(reader.__aenter__() for reader in self._readers))
        except BaseException:
            await self.__aexit__()
            raise
        for reader in self._readers:
            self._positions |= reader.positions
        return self

    async def __aexit__(self, *_: object) -> None:
        for reader in self._readers:
            await reader.__aexit__()
        await self._routes.__aexit__()

    @property
    def positions(self) -> dict[str, str]:
        """The id of the last entry handed out of each stream."""
        return dict(self._positions)

    @property
    def reconnects(self) -> int:
        """Connections after each stream's first."""
        return sum(reader.reconnects for reader in self._readers)

    @property
    def gaps(self) -> int:
        """Times that trimming overtook us."""
        return sum(reader.gaps for reader in self._readers)

    async def __aiter__(self) -> AsyncGenerator[Entry, None]:
        async for batch in self.batches():
            for entry in batch:
                yield entry

    async def batches(self) -> AsyncGenerator[list[Entry], None]:
        """Yield what each reply brings, in order within each stream, for ever.

        Raises:
            BusError: the cluster refuses us for good: credentials, rights, or a key that is not a stream.
            ConfigError: no stream was given.

        """
        if not self._readers:
            raise ConfigError("the reader has no stream to read")
        queue: asyncio.Queue[list[Entry] | BaseException] = asyncio.Queue(QUEUE_MAX)
        tasks = [asyncio.create_task(_follow(reader, queue)) for reader in self._readers]
        try:
            while True:
                batch = await queue.get()
                if isinstance(batch, BaseException):
                    raise batch
                for entry in batch:
                    self._positions[entry.stream] = entry.id
                yield batch
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def last_entries(self, key: str, count: int) -> list[Entry]:
        """Return the newest `count` entries of a stream, oldest first.

        Raises:
            BusError: its node refused, or is away.

        """
        reply = await self._routes.request(key, "XREVRANGE", key, "+", "-", "COUNT", count)
        return [to_entry(key, item) for item in reversed(reply)]

    async def entries(self, key: str, start: str = "-", end: str = "+", count: int | None = None) -> list[Entry]:
        """Return a stream's entries from `start` to `end`, both included, oldest first, `count` of them at most.

        Raises:
            BusError: its node refused, or is away.

        """
        limit: tuple[str | int, ...] = () if count is None else ("COUNT", count)
        return [to_entry(key, item) for item in await self._routes.request(key, "XRANGE", key, start, end, *limit)]


async def _follow(reader: Reader, queue: asyncio.Queue[list[Entry] | BaseException]) -> None:
    try:
        async for batch in reader.batches():
            await queue.put(batch)
    except BusError as e:
        await queue.put(e)
