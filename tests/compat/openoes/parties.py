"""Both parties of the SDK on real servers, for its suites."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openoes_core import Configuration, RedisConnectionManager
from openoes_exchange import ExchangeClient
from openoes_wsp import WSPClient

from heliograph.bus.embedded_pair import Pair

RETRY_MS = 20


def servers(pair: Pair, *, one: bool = False) -> dict[str, dict[str, Any]]:
    """Return the sections of the servers: a primary and its replica, or the primary in both roles."""
    replica = pair.primary if one else pair.replica
    return {
        "wsp_redis": {"host": "127.0.0.1", "port": pair.primary.port},
        "replica_redis": {"host": "127.0.0.1", "port": replica.port},
    }


def settings(pair: Pair, directory: Path, *, one: bool = False, **more: Any) -> Configuration:
    """Return a party's settings."""
    sections: dict[str, Any] = servers(pair, one=one)
    sections["settlement"] = {"journal_directory": str(directory)}
    sections["streams"] = {"retry_delay_ms": RETRY_MS}
    return Configuration({**sections, **more})


def connected(config: Configuration) -> RedisConnectionManager:
    """Return a party's connections."""
    return RedisConnectionManager(config.get_wsp_redis_config(), config.get_replica_redis_config())


@contextmanager
def exchange(config: Configuration, **arguments: Any) -> Iterator[ExchangeClient]:
    """Be an exchange."""
    with connected(config) as manager, ExchangeClient(manager, config, **arguments) as client:
        yield client


@contextmanager
def wsp(config: Configuration, custodian: str | None = "ledger", **arguments: Any) -> Iterator[WSPClient]:
    """Be a custodian."""
    with connected(config) as manager, WSPClient(manager, config, custodian, **arguments) as client:
        yield client


@contextmanager
def no_thread_left() -> Iterator[None]:
    """Make sure that what ends leaves no thread."""
    before = set(threading.enumerate())
    yield
    left = [each for each in threading.enumerate() if each not in before]
    assert not left, f"still running: {left}"
