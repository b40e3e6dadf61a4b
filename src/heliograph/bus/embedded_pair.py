"""A private primary with its copies, as settlement wants them: custodian's primary, exchange's replica, siblings.

::

    async with Pair(siblings=1) as pair:
        ...  # pair.primary.url, pair.replica.url, pair.siblings[0].url

The replica takes writes of its own and is nothing but a mailbox: a full resync wipes them. A sibling is read-only,
keeps an append-only file and may take the primary's place. Each of them is a `Server`, and can be killed and restarted
by itself.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, Self

from heliograph.bus.embedded import Server, start_in_thread
from heliograph.bus.endpoint import Tls
from heliograph.errors import BusError

Node = Literal["primary", "replica", "sibling"]

BACKLOG: Final = "64mb"
"""What a replica may have missed and still be brought up to date without being wiped."""
DISKLESS: Final = "on-empty-db"
"""An empty copy loads its first data as they come. By way of a file Valkey 9.1 takes a second longer (measured)."""
PROBE_S: Final = 0.003


class Pair:
    """A primary that fsyncs every write, the exchange's stream-writeable replica of it, and siblings.

    `with` and `async with` start them all, wait until every link is up, and leave nothing behind.

    Args:
        binary: the servers' path; None looks for one, as `find_binary` says.
        directory: where the data stay, one folder a server; None makes temporary ones.
        siblings: how many replicas may be promoted.
        acl: lines of each kind of node's ACL file; see `Server`.
        login: the user and password that the launcher itself needs on each server.
        replication_login: the user and password that replicas give their primary.
        tls: serve and replicate by TLS alone.
        options: further settings of every server; see `Server`.
        link_timeout_s: how long the replicas may take to be linked, in seconds.

    """

    def __init__(
        self,
        *,
        binary: Path | None = None,
        directory: Path | None = None,
        siblings: int = 0,
        acl: Mapping[Node, Sequence[str]] | None = None,
        login: tuple[str, str] | None = None,
        replication_login: tuple[str, str] | None = None,
        tls: Tls | None = None,
        options: Sequence[tuple[str, str]] = (),
        link_timeout_s: float = 30.0,
    ) -> None:
        self._link_timeout_s = link_timeout_s
        acl = acl or {}

        def server(node: Node, name: str, replica_of: Server | None = None) -> Server:
            return Server(
                binary=binary,
                directory=None if directory is None else directory / name,
                appendfsync="always",
                replica_of=replica_of,
                promotable=node == "sibling",
                acl=acl.get(node, ()),
                login=login,
                replication_login=replication_login,
                tls=tls,
                options=[("repl-backlog-size", BACKLOG), ("repl-diskless-load", DISKLESS), *options],
            )

        self.primary = server("primary", "primary")
        self.replica = server("replica", "replica", self.primary)
        self.siblings = tuple(server("sibling", f"sibling-{n}", self.primary) for n in range(siblings))
        self._all = (self.primary, self.replica, *self.siblings)

    def start(self) -> None:
        """Start what does not run, and wait until every replica is linked.

        Raises:
            ConfigError: there is no server to start.
            BusError: one of them did not start, or did not link in time.

        """
        try:
            for server in self._all:
                server.start()
            self.wait_linked()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every server."""
        for server in reversed(self._all):
            server.stop()

    def wait_linked(self) -> None:
        """Wait until the replica and every sibling have all that the primary has, and follow it.

        Raises:
            BusError: one of them did not get so far in time, or a server does not answer.

        """
        deadline_s = time.monotonic() + self._link_timeout_s
        followers = (self.replica, *self.siblings)
        for server in followers:
            while not self._follows(server):
                if time.monotonic() > deadline_s:
                    raise BusError(
                        f"{server.url} did not link within {self._link_timeout_s:g} s: {server.log()[-500:]}"
                    )
                time.sleep(PROBE_S)

    async def linked(self) -> None:
        """Do as `wait_linked` does.

        Raises:
            BusError: one of them did not get so far in time, or a server does not answer.

        """
        await asyncio.to_thread(self.wait_linked)

    def _follows(self, server: Server) -> bool:
        """Tell whether a replica has applied, and kept, what the primary had written when it was asked."""
        offset = _info(self.primary, "replication")["master_repl_offset"]
        seen = _info(server, "replication")
        if (
            seen.get("master_link_status") != "up"
            or seen["master_port"] != str(self.primary.port)
            or int(seen["slave_repl_offset"]) < int(offset)
        ):
            return False
        # Seen on Redis 7.0: a full resync reaches the append-only file by a rewrite in the background. Until that is
        # done the file is the one from before, and a sibling that were killed would come back without its data.
        persistence = _info(server, "persistence")
        return persistence["aof_rewrite_in_progress"] == persistence["aof_rewrite_scheduled"] == "0"

    async def promote(self, sibling: Server) -> None:
        """Make a sibling the primary, and let the others follow it; the old primary is left to itself.

        Raises:
            BusError: one of the servers refused, did not answer, or did not link in time.

        """
        await asyncio.to_thread(self._promote, sibling)

    def _promote(self, sibling: Server) -> None:
        assert sibling in self.siblings
        sibling.follow(None)
        others = tuple(server for server in self.siblings if server is not sibling)
        for server in (self.replica, *others):
            server.follow(sibling)
        self.primary, self.siblings = sibling, others
        self.wait_linked()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await start_in_thread(self.start, self.stop)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)


def _info(server: Server, section: str) -> dict[str, str]:
    text: str = server.ask("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
