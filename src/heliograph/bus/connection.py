"""Redis-py's client, for everything that is not the hot path.

Its errors become `BusError` inside `foreign_errors`. Importing this module costs a fifth of a second, so that the
publisher and the readers, which have a link of their own, do without it.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import redis.asyncio
from redis import exceptions as foreign
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from heliograph.bus.endpoint import Endpoint, parse_url, refusal, unreachable


@contextlib.asynccontextmanager
async def connect(
    endpoint: Endpoint | str,
    *,
    connect_timeout_s: float = 5.0,
    reply_timeout_s: float | None = 10.0,
    health_check_interval_s: int = 15,
    name: str = "heliograph",
) -> AsyncIterator[redis.asyncio.Redis]:
    """Open redis-py's client on a server and make sure that the server answers.

    Nothing is retried behind the caller's back: after a lost reply only the caller knows whether asking again is safe.

    Args:
        endpoint: the server, or its URL.
        connect_timeout_s: how long a connection may take, in seconds.
        reply_timeout_s: how long a reply may take, in seconds; a command that blocks must ask for less. None waits for
            ever, for connections that block without a limit.
        health_check_interval_s: idle time after which a connection is tried before it is used, in seconds.
        name: how the connection is called in the server's CLIENT LIST.

    Raises:
        ConfigError: the URL cannot be used.
        BusError: the server is away or refuses us; so does every redis-py error that leaves the block.

    """
    if isinstance(endpoint, str):
        endpoint = parse_url(endpoint)
    client = redis.asyncio.Redis.from_pool(
        redis.asyncio.ConnectionPool(
            **_pool_settings(endpoint),
            db=endpoint.db,
            username=endpoint.username,
            password=endpoint.password,
            socket_connect_timeout=connect_timeout_s,
            socket_timeout=reply_timeout_s,
            health_check_interval=health_check_interval_s,
            client_name=name,
            protocol=3,
            retry=Retry(NoBackoff(), 0),
        )
    )
    async with client:
        with foreign_errors(endpoint, opening=True):
            await client.ping()
        with foreign_errors(endpoint):
            yield client


def _pool_settings(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.path:
        return {"connection_class": redis.asyncio.UnixDomainSocketConnection, "path": endpoint.path}
    settings: dict[str, Any] = {"host": endpoint.host, "port": endpoint.port}
    if endpoint.tls:
        settings |= {
            "connection_class": redis.asyncio.SSLConnection,
            "ssl_ca_certs": endpoint.ca_file,
            "ssl_certfile": endpoint.certificate_file,
            "ssl_keyfile": endpoint.key_file,
        }
    return settings


@contextlib.contextmanager
def foreign_errors(endpoint: Endpoint, *, opening: bool = False) -> Iterator[None]:
    """Turn redis-py's errors into `BusError` that say which server it was and what to do.

    Args:
        endpoint: the server.
        opening: whether the server has answered nothing yet.

    Raises:
        BusError: redis-py raised inside the block.

    """
    try:
        yield
    except foreign.RedisError as e:
        text = _with_code(e)
        # To redis-py a refused login is a kind of broken connection, but it has a code.
        broken = isinstance(e, foreign.ConnectionError | foreign.TimeoutError) and not text.partition(" ")[0].isupper()
        raise (unreachable(endpoint, text, opening=opening) if broken else refusal(endpoint, text)) from e
    except OSError as e:
        raise unreachable(endpoint, e.strerror or str(e), opening=opening) from e


_CODES: Final = (
    (foreign.AuthenticationError, "WRONGPASS"),
    (foreign.NoPermissionError, "NOPERM"),
    (foreign.ReadOnlyError, "READONLY"),
    (foreign.OutOfMemoryError, "OOM"),
    (foreign.BusyLoadingError, "LOADING"),
)


def _with_code(e: foreign.RedisError) -> str:
    """Return the error's text with the code that redis-py has cut off from some of them."""
    text = str(e)
    for kind, code in _CODES:
        if isinstance(e, kind) and not text.startswith(code):
            return f"{code} {text}"
    return text
