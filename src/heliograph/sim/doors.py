"""The ports that one origin listens on: plain text and, where it is asked for, TLS beside it."""

import socket
import ssl
from typing import Final

from aiohttp import web

from heliograph.errors import ConfigError

_BACKLOG: Final = 512


class Doors:
    """The listening sockets of one origin, which can be shut and opened again on the same ports.

    Args:
        host: the address to listen on.
        port: the port of plain connections, 0 for a free one.
        tls: what encrypted connections are served with; None: there are none.

    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.tls_port = 0
        """The port of encrypted connections; 0 where there are none."""
        self._host = host
        self._tls = tls
        self._sites: list[web.SockSite] = []

    @property
    def closed(self) -> bool:
        """Whether nobody is let in."""
        return not self._sites

    async def open(self, runner: web.ServerRunner) -> None:
        """Listen.

        Raises:
            ConfigError: a port cannot be listened on.

        """
        self.port = await self._listen(runner, self.port, None)
        if self._tls is not None:
            self.tls_port = await self._listen(runner, self.tls_port, self._tls)

    async def close(self) -> None:
        """Refuse whoever comes; who is inside stays."""
        sites, self._sites = self._sites, []
        for site in sites:
            await site.stop()

    async def _listen(self, runner: web.ServerRunner, port: int, tls: ssl.SSLContext | None) -> int:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((self._host, port))
        except OSError as e:
            sock.close()
            raise ConfigError(f"cannot listen on {self._host}:{port}: {e.strerror or e}") from e
        site = web.SockSite(runner, sock, backlog=_BACKLOG, ssl_context=tls)
        await site.start()
        self._sites.append(site)
        number = sock.getsockname()[1]
        assert isinstance(number, int)  # As it is of every socket of the internet family.
        return number
