"""A private Valkey Cluster for a test or a laptop: real primaries and replicas, each an embedded `Server`.

::

    async with cluster() as servers:
        ...  # servers.url

It is put together with the cluster's own commands; no other program is needed. Measured on two cores: 3 + 3 servers
serve every slot 2 to 4 s after the call.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

from heliograph.bus.embedded import Server, free_port
from heliograph.bus.endpoint import parse_url
from heliograph.bus.link import Link, open_link
from heliograph.bus.routes import SLOTS
from heliograph.errors import BusError

PROBE_S: Final = 0.02


class Cluster:
    """A running cluster's servers.

    Args:
        servers: the primaries, in the order of their slots, and then the replicas, in the order of their primaries.
        primaries: how many of them began as primaries.

    """

    def __init__(self, servers: Sequence[Server], primaries: int) -> None:
        self.servers = tuple(servers)
        self._primaries = primaries

    @property
    def url(self) -> str:
        """The URL, with every node in it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def first_primary_of(self, slot: int) -> Server:
        """Return the server that began as the primary of a slot."""
        return self.servers[slot * self._primaries // SLOTS]


@contextlib.asynccontextmanager
async def cluster(
    primaries: int = 3,
    replicas: int = 1,
    *,
    binary: Path | None = None,
    node_timeout_s: float = 2.0,
    ready_timeout_s: float = 30.0,
) -> AsyncIterator[Cluster]:
    """Run a cluster, and wait until every node says that every slot is served, and every replica is linked.

    Args:
        primaries: how many share the slots; at least three, or none of them can be replaced.
        replicas: of each primary.
        binary: the server's path; None looks for one. Valkey, or Redis 7 or later.
        node_timeout_s: how long a node may be silent before the others count it as gone, in seconds.
        ready_timeout_s: how long all of it may take, in seconds.

    Raises:
        BusError: a server did not start, or they did not come together in time.

    """
    servers = []
    for _ in range(primaries * (1 + replicas)):
        options = [
            ("cluster-enabled", "yes"),
            ("cluster-node-timeout", str(int(node_timeout_s * 1000))),
            ("cluster-port", str(free_port())),
            ("repl-ping-replica-period", "1"),
        ]
        servers.append(Server(binary=binary, options=options))
    async with contextlib.AsyncExitStack() as stack:
        for starting in [asyncio.ensure_future(stack.enter_async_context(server)) for server in servers]:
            await starting
        try:
            async with asyncio.timeout(ready_timeout_s):
                await _join(servers, primaries)
        except TimeoutError:
            raise BusError(f"the cluster was not ready within {ready_timeout_s:g} s") from None
        yield Cluster(servers, primaries)


async def _join(servers: Sequence[Server], primaries: int) -> None:
    links = [await open_link(parse_url(server.url), name="heliograph-embedded", timeout_s=5) for server in servers]
    try:
        for number, link in enumerate(links):
            await link.request("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < primaries:
                first, after = (SLOTS * n // primaries for n in (number, number + 1))
                await link.request("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
        for server in servers[1:]:
            bus_port = dict(server.options)["cluster-port"]
            await links[0].request("CLUSTER", "MEET", "127.0.0.1", server.port, bus_port)
        await _until(links, lambda info: f"cluster_known_nodes:{len(links)}\r\n" in info)
        for number, link in enumerate(links[primaries:]):
            await link.request("CLUSTER", "REPLICATE", await links[number % primaries].request("CLUSTER", "MYID"))
        await _until(links, lambda info: "cluster_state:ok" in info)
        for link in links[primaries:]:
            while (await link.request("ROLE"))[3] != b"connected":  # noqa: ASYNC110 (it is another's)
                await asyncio.sleep(PROBE_S)
    finally:
        for link in links:
            link.abort("done")


async def _until(links: Sequence[Link], enough: Callable[[str], bool]) -> None:
    for link in links:
        while not enough((await link.request("CLUSTER", "INFO")).decode()):  # noqa: ASYNC110 (it is another's)
            await asyncio.sleep(PROBE_S)
