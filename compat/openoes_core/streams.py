"""Streams, one function a command: each says what happened, by its result or by an error of the SDK."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import redis

from openoes_core.fields import text, to_fields
from openoes_core.replies import Entry, entries_of, of_stream, plain, range_of
from openoes_core.retention import carries_money, keep_bounded

BLOCK_MS_MAX: Final = 2000
"""How long one call blocks at most; a longer wait is several calls."""


def create_consumer_group(
    client: redis.Redis, stream_name: str, group_name: str, start_id: str = "0", mkstream: bool = True
) -> bool:
    """Make a group that reads from `start_id` on; one that is there already stays as it is.

    Raises:
        OpenOESError: the server refused, or is away.

    """
    with of_stream(stream_name, f"creating the group {group_name}"):
        try:
            client.xgroup_create(stream_name, group_name, id=start_id, mkstream=mkstream)
        except redis.ResponseError as e:
            if "BUSYGROUP" not in str(e):
                raise
    return True


def add_message_to_stream(
    client: redis.Redis,
    stream_name: str,
    message: Mapping[str, Any],
    max_len: int | None = 1000,
    approximate: bool = True,
    id: str = "*",  # noqa: A002 - the seeds' name
) -> str:
    """Append a message and return its id. The stream is then cut to `max_len`, as far as nobody needs what goes.

    Raises:
        ValidationError: the message holds what no entry can.
        OpenOESError: the server refused, or is away.

    """
    fields = to_fields(message)
    with of_stream(stream_name, "appending"):
        pipeline = client.pipeline(transaction=False)
        pipeline.xadd(stream_name, dict[Any, Any](fields), id=id)
        pipeline.xlen(stream_name)
        added, length = pipeline.execute(raise_on_error=False)
        if isinstance(added, Exception):
            raise added
        # Whoever may append but not look, as the exchange on its replica, leaves the cutting to others.
        if max_len is not None and isinstance(length, int):
            money = carries_money(stream_name, fields)
            keep_bounded(client, stream_name, length, max_len, exact=not approximate, money=money)
    return text(added)


def read_messages(
    client: redis.Redis, stream_name: str, count: int | None = 10, block: int | None = None, last_id: str = "$"
) -> list[Entry]:
    """Return the entries after `last_id`, as (id, fields); `$` means those that come after this call.

    Args:
        client: a client of the server.
        stream_name: the stream.
        count: how many at most; None for all.
        block: how long to wait for one, in milliseconds, 0 for ever; None: not at all.
        last_id: the id before the first that is wanted.

    Raises:
        OpenOESError: the server refused, or is away.

    """
    with of_stream(stream_name, "reading"):
        # Between two calls of one wait `$` would move on.
        after = newest_id(client, stream_name) if last_id == "$" and block is not None else last_id
        return _waiting(client, block, lambda part: entries_of(client.xread({stream_name: after}, count, part)))


def read_messages_from_group(
    client: redis.Redis,
    stream_name: str,
    group_name: str,
    consumer_name: str,
    count: int | None = 10,
    block: int | None = None,
    noack: bool = False,
    last_id: str = ">",
) -> list[Entry]:
    """Return the group's next entries for a consumer, as (id, fields).

    Args:
        client: a client of the server.
        stream_name: the stream.
        group_name: the group.
        consumer_name: the consumer.
        count: how many at most; None for all.
        block: how long to wait for one, in milliseconds, 0 for ever; None: not at all.
        noack: whether they count as acknowledged at once.
        last_id: `>` for those that were delivered to nobody, else the consumer's own pending ones after it.

    Raises:
        OpenOESError: the server refused, or is away.

    """
    streams: Any = {stream_name: last_id}
    with of_stream(stream_name, f"reading for the group {group_name}"):
        return _waiting(
            client,
            block,
            lambda part: entries_of(client.xreadgroup(group_name, consumer_name, streams, count, part, noack)),
        )


def acknowledge_message(client: redis.Redis, stream: str, group: str, message_id: str) -> bool:
    """Acknowledge an entry; False if it was not pending.

    Raises:
        OpenOESError: the server refused, or is away.

    """
    with of_stream(stream, "acknowledging"):
        return bool(client.xack(stream, group, message_id))


def get_pending_messages(
    client: redis.Redis,
    stream: str,
    group: str,
    count: int = 10,
    consumer: str | None = None,
    min_idle_time: int | None = None,
    start: str = "-",
    end: str = "+",
) -> list[dict[str, Any]]:
    """Return what was delivered and not acknowledged: message_id, consumer, time_since_delivered, times_delivered.

    Raises:
        OpenOESError: the server refused, or is away.

    """
    with of_stream(stream, f"asking what is pending in {group}"):
        pending: Any = client.xpending_range(stream, group, start, end, count, consumer, min_idle_time)
        return [plain(each) for each in pending]


def claim_pending_messages(
    client: redis.Redis, stream: str, group: str, consumer: str, min_idle_time: int, message_ids: Sequence[str]
) -> list[Entry]:
    """Make a consumer responsible for entries that were idle for that many milliseconds, and return them.

    Raises:
        OpenOESError: the server refused, or is away.

    """
    if not message_ids:
        return []
    with of_stream(stream, f"claiming for {consumer}"):
        return range_of(client.xclaim(stream, group, consumer, min_idle_time, list(message_ids)))


def trim_stream(client: redis.Redis, stream: str, max_len: int, approximate: bool = True) -> bool:
    """Cut a stream to its newest `max_len` entries, read or not; approximately: a few more may stay.

    Raises:
        OpenOESError: the server refused, or is away.

    """
    with of_stream(stream, "trimming"):
        client.xtrim(stream, maxlen=max_len, approximate=approximate)
    return True


def delete_message(client: redis.Redis, stream: str, id: str) -> bool:  # noqa: A002 - the seeds' name
    """Delete an entry; False if it was not there.

    Raises:
        OpenOESError: the server refused, or is away.

    """
    with of_stream(stream, "deleting"):
        return bool(client.xdel(stream, id))


def get_stream_info(client: redis.Redis, stream: str) -> dict[str, Any]:
    """Return what the server tells of a stream; an empty dict if there is none.

    Raises:
        OpenOESError: the server refused, or is away.

    """
    with of_stream(stream, "asking about the stream"):
        try:
            return dict(plain(client.xinfo_stream(stream)))
        except redis.ResponseError as e:
            if "no such key" not in str(e):
                raise
            return {}


def get_consumer_group_info(client: redis.Redis, stream: str, group: str) -> dict[str, Any]:
    """Return what the server tells of a group; an empty dict if there is none.

    Raises:
        OpenOESError: the server refused, or is away.

    """
    with of_stream(stream, f"asking about the group {group}"):
        try:
            found = [each for each in plain(client.xinfo_groups(stream)) if each["name"] == group]
        except redis.ResponseError as e:
            if "no such key" not in str(e):
                raise
            found = []
    return dict(found[0]) if found else {}


def publish_event(
    client: redis.Redis, stream_name: str, event_type: str, data: Mapping[str, Any], max_len: int | None = 1000
) -> str:
    """Append `timestamp` (milliseconds), `event_type` and the data's own fields, and return the entry's id.

    Raises:
        ValidationError: the data hold what no entry can.
        OpenOESError: the server refused, or is away.

    """
    message = {"timestamp": time.time_ns() // 1_000_000, "event_type": event_type, **data}
    return add_message_to_stream(client, stream_name, message, max_len)


def newest_id(client: redis.Redis, stream: str) -> str:
    """Return the id of a stream's newest entry; `0-0` of an empty one.

    Raises:
        redis.RedisError: the server refused, or is away.

    """
    newest = range_of(client.xrevrange(stream, count=1))
    return newest[0][0] if newest else "0-0"


def block_ms_max(client: redis.Redis) -> int:
    """Return how long one call of this client may block, in milliseconds: well within what its socket waits."""
    timeout_s = client.connection_pool.connection_kwargs.get("socket_timeout")
    if not isinstance(timeout_s, int | float) or timeout_s <= 0:
        return BLOCK_MS_MAX
    return max(1, min(BLOCK_MS_MAX, int(timeout_s * 500)))


def _waiting(client: redis.Redis, block: int | None, read: Callable[[int | None], list[Entry]]) -> list[Entry]:
    """Read once, or again and again until something comes or the time is over, each call short of the socket's."""
    if block is None:
        return read(None)
    longest = block_ms_max(client)
    ends_s = time.monotonic() + block / 1000
    while True:
        left = longest if block == 0 else min(longest, max(1, round((ends_s - time.monotonic()) * 1000)))
        entries = read(left)
        if entries or (block and time.monotonic() >= ends_s):
            return entries
