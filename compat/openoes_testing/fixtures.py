"""Fixtures of pytest for the suites of those who build on the SDK.

In a `conftest.py`::

    pytest_plugins = ["heliograph.testing.settlement_fixtures", "openoes_testing.fixtures"]
"""

from collections.abc import Iterator

import pytest
from openoes_core.connection import RedisConnectionManager

from heliograph.bus.embedded_pair import Pair
from openoes_testing.mock_redis import MockRedisClient


@pytest.fixture
def mock_redis() -> Iterator[MockRedisClient]:
    """A client that needs no server, with data of its own."""
    client = MockRedisClient()
    yield client
    client.close()


@pytest.fixture
def mock_connection_manager(mock_redis: MockRedisClient) -> Iterator[RedisConnectionManager]:
    """A connection manager whose two clients are the mock."""
    with RedisConnectionManager(wsp_client=mock_redis, replica_client=mock_redis) as manager:
        yield manager


@pytest.fixture
def connection_manager(heliograph_primary_and_replica: Pair) -> Iterator[RedisConnectionManager]:
    """A connection manager of a real primary and its replica, whose data are gone after the test."""
    servers = (heliograph_primary_and_replica.primary, heliograph_primary_and_replica.replica)
    with RedisConnectionManager(*({"host": "127.0.0.1", "port": server.port} for server in servers)) as manager:
        yield manager
        # A command that replicates, so that it clears what the replica has to itself as well.
        manager.get_wsp_client().flushall()
