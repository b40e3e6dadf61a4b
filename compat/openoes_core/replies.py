"""What redis-py returns for streams, whichever its version, protocol and options: one shape for all.

Seen with redis-py 8.1 for the same XREADGROUP: `[[name, entries]]` (RESP2, and RESP3 by default), `{name: [entries]}`
(RESP3 asked for), `{name: entries}` (`legacy_responses=False`), each with texts or bytes, and None, `[]` or `{}` for
nothing.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import redis

from openoes_core import errors
from openoes_core.fields import text, to_message

Entry = tuple[str, dict[str, str]]
"""An entry of a stream: its id and its fields."""


def entries_of(reply: Any) -> list[Entry]:
    """Return the entries of a reply to XREAD or XREADGROUP of one stream."""
    if not reply:
        return []
    found = next(iter(reply.values())) if isinstance(reply, Mapping) else reply[0][1]
    if len(found) == 1 and isinstance(found[0], list):
        found = found[0]
    return range_of(found)


def range_of(reply: Any) -> list[Entry]:
    """Return the entries of a reply to XRANGE or XCLAIM; what was deleted meanwhile is left out."""
    return [(text(entry[0]), to_message(entry[1])) for entry in reply or () if entry and entry[1] is not None]


def plain(reply: Any) -> Any:
    """Return a reply with every bytes in it as text."""
    if isinstance(reply, bytes):
        return text(reply)
    if isinstance(reply, Mapping):
        return {plain(name): plain(value) for name, value in reply.items()}
    if isinstance(reply, list | tuple):
        return type(reply)(plain(item) for item in reply)
    return reply


@contextmanager
def of_stream(stream: str, operation: str) -> Iterator[None]:
    """Turn what redis-py raises into the SDK's errors, with the stream's name.

    Raises:
        OpenOESError: one of its kinds.

    """
    try:
        yield
    except (redis.RedisError, OSError) as e:
        error = errors.translated(e, operation)
        if type(error) in (errors.StreamError, errors.OpenOESError):
            raise errors.StreamError(error.message, stream_name=stream) from e
        if isinstance(error, errors.KeyError):
            raise errors.KeyError(error.message, key=stream) from e
        raise error from e


def tells_of_no_group(error: Exception) -> bool:
    """Tell whether a server said that the stream or its group is gone, if need be by ending a wait for it."""
    return isinstance(error, redis.ResponseError) and ("NOGROUP" in str(error) or "UNBLOCKED" in str(error))
