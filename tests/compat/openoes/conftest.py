"""What the SDK's suites share: a server per module, and clients of every protocol and option."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from openoes_core import create_redis_client

from heliograph.bus.embedded import Server

CLIENTS: dict[str, dict[str, Any]] = {
    "resp2": {"protocol": 2},
    "resp3": {"protocol": 3},
    "resp3-native": {"protocol": 3, "legacy_responses": False},
    "as-redis-py-likes": {},
    "resp2-bytes": {"protocol": 2, "decode_responses": False},
    "resp3-bytes": {"protocol": 3, "decode_responses": False},
}


@pytest.fixture
def client(shared_valkey: Server) -> Iterator[redis.Redis]:
    """A client of the module's server, whose data are gone after the test."""
    client = create_redis_client("127.0.0.1", shared_valkey.port)
    yield client
    client.flushall()
    client.close()


@pytest.fixture(params=sorted(CLIENTS))
def any_client(request: pytest.FixtureRequest, shared_valkey: Server) -> Iterator[redis.Redis]:
    """The same, for each way in which redis-py shapes replies."""
    client = create_redis_client("127.0.0.1", shared_valkey.port, **CLIENTS[request.param])
    yield client
    client.flushall()
    client.close()
