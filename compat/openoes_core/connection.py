"""Connections to the two servers, as ordinary synchronous clients of redis-py."""

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from openoes_core.errors import ConfigurationError, ConnectionError, translated  # noqa: A004 - the seeds' name

# redis-py 8 by itself tries ten times with growing pauses: it takes 4 s to tell of a wrong password, and an XADD whose
# reply was lost is sent again and may be there twice. Who knows what it is decides whether it is tried again.
_ONCE: Final = Retry(NoBackoff(), 0)
_DEFAULTS: Final[Mapping[str, Any]] = {
    "retry": _ONCE,
    "socket_timeout": 5,
    "socket_connect_timeout": 10,
    "socket_keepalive": True,
    "health_check_interval": 30,
}


def create_redis_client(
    host: str = "localhost",
    port: int = 6379,
    password: str = "",
    db: int = 0,
    decode_responses: bool = True,
    **kwargs: Any,
) -> redis.Redis:
    """Return a client; it connects when it is first used.

    Args:
        host: the server's host.
        port: its port.
        password: its password; empty for none.
        db: the database.
        decode_responses: whether replies are text.
        kwargs: any further keyword of `redis.Redis`, such as `username`, or `ssl` and `ssl_ca_certs` for TLS.

    Raises:
        ConfigurationError: a keyword that redis-py does not know.

    """
    settings = {
        **_DEFAULTS,
        **kwargs,
        "host": host,
        "port": port,
        "password": str(password) if password else None,
        "db": db,
        "decode_responses": decode_responses,
    }
    try:
        return redis.Redis(**settings)
    except (TypeError, ValueError, redis.RedisError) as e:
        raise ConfigurationError(f"not settings of a Redis client: {e}") from e


def create_stream_writeable_replica_client(
    host: str = "localhost",
    port: int = 6379,
    password: str = "",
    db: int = 0,
    decode_responses: bool = True,
    **kwargs: Any,
) -> redis.Redis:
    """Return a client for the exchange's replica; what makes the replica writeable is its own setting.

    Raises:
        ConfigurationError: a keyword that redis-py does not know.

    """
    return create_redis_client(host, port, password, db, decode_responses, **kwargs)


class RedisConnectionManager:
    """The clients of both servers, closed together.

    Args:
        wsp_config: how to reach the custodian's primary: the keywords of `create_redis_client`.
        replica_config: how to reach the exchange's replica; None: the primary is both.
        wsp_client: a client for the primary that stays its owner's to close, instead of `wsp_config`.
        replica_client: the same for the replica.

    Raises:
        ConfigurationError: settings that cannot be used, or none for the primary.

    """

    def __init__(
        self,
        wsp_config: Mapping[str, Any] | None = None,
        replica_config: Mapping[str, Any] | None = None,
        *,
        wsp_client: redis.Redis | None = None,
        replica_client: redis.Redis | None = None,
    ) -> None:
        if wsp_config is None and wsp_client is None:
            raise ConfigurationError("neither settings nor a client for the WSP's server", parameter="wsp_config")
        self._owned: list[redis.Redis] = []
        self._closing = threading.Lock()
        self._before: list[Callable[[], object]] = []
        self.closed = False
        self.wsp_client = self._opened(wsp_config) if wsp_client is None else wsp_client
        if replica_client is not None:
            self.replica_client = replica_client
        elif replica_config is not None:
            self.replica_client = self._opened(replica_config)
        else:
            self.replica_client = self.wsp_client

    def get_wsp_client(self) -> redis.Redis:
        """Return the client of the custodian's primary.

        Raises:
            ConnectionError: this was closed.

        """
        return self._open(self.wsp_client)

    def get_replica_client(self) -> redis.Redis:
        """Return the client of the exchange's replica.

        Raises:
            ConnectionError: this was closed.

        """
        return self._open(self.replica_client)

    def before_close(self, function: Callable[[], object]) -> None:
        """Have a function called by `close`, before the connections go: what works on them ends with them."""
        self._before.append(function)

    def close(self) -> None:
        """Close every connection that was made here; a second time does nothing."""
        before, self._before = self._before, []
        with ExitStack() as stack:
            # Whatever one of them raises, the others are called, and the connections go.
            stack.callback(self._disconnect)
            for function in before:
                stack.callback(function)

    def _disconnect(self) -> None:
        with self._closing:
            self.closed = True
            while self._owned:
                client = self._owned.pop()
                client.close()
                client.connection_pool.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _opened(self, config: Mapping[str, Any] | None) -> redis.Redis:
        client = create_redis_client(**(config or {}))
        self._owned.append(client)
        return client

    def _open(self, client: redis.Redis) -> redis.Redis:
        if self.closed:
            raise ConnectionError("the connection manager was closed")
        return client


def check_connection(client: redis.Redis) -> bool:
    """Tell whether the server answers."""
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


def get_connection_info(client: redis.Redis) -> dict[str, Any]:
    """Return what the server tells of itself, or `{"error": …, "connected": False}`."""
    return connection_info(client, "valkey_version")


def connection_info(client: redis.Redis, version_key: str) -> dict[str, Any]:
    """Return what `get_connection_info` returns, with the server's version under a key of the caller's edition."""
    try:
        info: Any = client.info()
    except (OSError, redis.RedisError) as e:
        return {"error": str(translated(e, "INFO")), "connected": False}
    return {
        version_key: info.get("valkey_version") or info.get("redis_version"),
        "connected_clients": info.get("connected_clients"),
        "used_memory_human": info.get("used_memory_human"),
        "role": info.get("role"),
        "connected": True,
    }
