"""Publishers and readers, whichever the server needs: one server, or a cluster."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from heliograph.bus.cluster_reader import ClusterReader
from heliograph.bus.endpoint import Endpoint, parse_url
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Reader
from heliograph.bus.routes import Routes
from heliograph.bus.scatter import Scatter

NAME = "heliograph-reader"


async def is_cluster(endpoint: Endpoint, *, name: str = NAME, timeout_s: float = 5.0) -> bool:
    """Tell what a server says that it is.

    Raises:
        BusError: it is away, or refuses us.

    """
    async with Routes(endpoint, name=name, timeout_s=timeout_s) as routes:
        return routes.clustered


@asynccontextmanager
async def open_publisher(url: str | Endpoint, *, leased: bool = False) -> AsyncIterator[Publisher | Scatter]:
    """Open what appends to streams.

    Args:
        url: the server, or a cluster.
        leased: see `Publisher`.

    Raises:
        ConfigError: the URL cannot be used.
        BusError: the server is away, or refuses us.

    """
    endpoint = parse_url(url) if isinstance(url, str) else url
    if await is_cluster(endpoint):
        async with Scatter(endpoint, leased=leased) as scatter:
            yield scatter
    else:
        async with Publisher(endpoint, leased=leased) as publisher:
            yield publisher


@asynccontextmanager
async def open_reader(
    url: str | Endpoint, positions: Mapping[str, str], *, name: str = NAME, backoff_max_s: float = 2.0
) -> AsyncIterator[Reader | ClusterReader]:
    """Open what reads streams.

    Args:
        url: the server, or a cluster.
        positions: see `Reader`.
        name: how the connections are called in the server's CLIENT LIST.
        backoff_max_s: the longest pause between two attempts to connect, in seconds.

    Raises:
        ConfigError: the URL cannot be used.
        BusError: the server is away, or refuses us.

    """
    endpoint = parse_url(url) if isinstance(url, str) else url
    if await is_cluster(endpoint, name=name):
        async with ClusterReader(endpoint, positions, name=name, backoff_max_s=backoff_max_s) as cluster:
            yield cluster
    else:
        async with Reader(endpoint, positions, name=name, backoff_max_s=backoff_max_s) as reader:
            yield reader
