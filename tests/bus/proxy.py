"""A TCP proxy that loses replies, or delays requests, and can cut both sides."""

import asyncio
import contextlib
from typing import Self


class Proxy:
    """Forwards to a server; `swallow` keeps the answers back, `delay` the requests, `cut` drops every connection."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.swallow = False
        self.swallowed_bytes = 0
        self.swallowed = asyncio.Event()
        self.connections = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.delayed = asyncio.Event()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    def delay(self) -> None:
        """Keep requests back until `deliver`; `delayed` tells that there is one."""
        self.delayed.clear()
        self._flowing.clear()

    def deliver(self) -> None:
        """Let the requests through that were kept back."""
        self._flowing.set()

    def cut(self) -> None:
        """Drop every connection; the next ones are forwarded in full again."""
        self.swallow = False
        self.swallowed_bytes = 0
        self.swallowed.clear()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, up_writer}
        self._writers |= pair
        try:
            await asyncio.gather(self._requests(reader, up_writer), self._replies(up_reader, writer))
        finally:
            self._writers -= pair

    async def _requests(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if not self._flowing.is_set():
                    self.delayed.set()
                    await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        sink.transport.abort()

    async def _replies(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if self.swallow:
                    self.swallowed_bytes += len(data)
                    self.swallowed.set()
                else:
                    sink.write(data)
                    await sink.drain()
        sink.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.deliver()
        self.cut()
        while self._writers:  # noqa: ASYNC110 (each ends itself within a few turns, once its sockets are gone)
            await asyncio.sleep(0)
        await self._server.wait_closed()
