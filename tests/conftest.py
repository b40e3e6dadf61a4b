"""Servers for tests: real ones, one per test or per module, on free ports of 127.0.0.1."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from heliograph.bus.embedded import Server, binary_version, find_binary, primary_and_replica

SERVERS = ("embedded", "redis")

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def logging_left_as_found() -> Iterator[None]:
    """Undo what a command run in this process did to the logs: its standard error is closed when its test ends."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def valkey() -> Iterator[Server]:
    """A server of the test's own, the one that Heliograph embeds."""
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def shared_valkey() -> Iterator[Server]:
    """A server that a module's tests share: use keys of your own."""
    with Server() as server:
        yield server


@pytest.fixture(params=SERVERS)
def any_binary(request: pytest.FixtureRequest) -> Path:
    """Each server that the bus is tested against: the embedded Valkey, and Debian's Redis 7 where it is installed."""
    return server_binary(request.param)


@pytest.fixture
def any_server(any_binary: Path) -> Iterator[Server]:
    """A server of the test's own, of each kind."""
    with Server(binary=any_binary) as server:
        yield server


@pytest.fixture
async def mirrored(any_binary: Path) -> AsyncIterator[tuple[Server, Server]]:
    """A primary and its stream-writeable replica, linked, of each kind."""
    async with primary_and_replica(binary=any_binary) as servers:
        yield servers


def server_binary(kind: str) -> Path:
    """Return the binary of a kind of server, or skip the test by name."""
    if kind == "embedded":
        return find_binary()
    found = shutil.which("redis-server")
    if found is None or binary_version(Path(found)) < (7, 0):
        pytest.skip("redis-server >= 7.0 is not on PATH (Debian: apt-get install redis-server)")
    return Path(found)
