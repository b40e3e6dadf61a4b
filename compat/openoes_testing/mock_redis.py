"""A client that needs no server, for tests.

It is fakeredis' client, which speaks a server's commands, with the few shapes of the seeds' own mock laid over it:
`xread` and `xreadgroup` return `{stream: [(id, fields)]}` or None, `xpending` returns the entries, `subscribe` takes a
function. One suite runs the same calls on it and on real servers.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import fakeredis
import redis
from openoes_core.fields import text
from openoes_core.replies import plain

Subscriber = Callable[[Any], Any]
_NO_KEY: Final = "The XGROUP subcommand requires the key to exist"


class _Connection(fakeredis.FakeRedisConnection):
    """A fake connection that says NOGROUP where a server does; fakeredis 2.40 says otherwise of a missing key."""

    _asked = ""

    def send_command(self, *args: Any, **kwargs: Any) -> None:
        self._asked = text(args[0])
        super().send_command(*args, **kwargs)  # type: ignore[no-untyped-call]  # redis-py has not typed it

    def read_response(self, **kwargs: Any) -> Any:  # type: ignore[override]  # as fakeredis has it
        try:
            return super().read_response(**kwargs)
        except redis.ResponseError as e:
            if self._asked == "XREADGROUP" and str(e).startswith(_NO_KEY):
                raise redis.ResponseError(
                    "NOGROUP No such key or consumer group in XREADGROUP with GROUP option"
                ) from e
            raise


class MockRedisClient(fakeredis.FakeRedis):
    """A client of a server of its own, in this process's memory, with decoded replies."""

    def __init__(self) -> None:
        super().__init__(
            server=fakeredis.FakeServer(server_type="valkey"), decode_responses=True, connection_class=_Connection
        )
        self._subscribers: dict[str, list[Subscriber]] = {}
        self._subscribing = threading.Lock()

    def reset(self) -> None:  # type: ignore[override]  # the seeds' name
        """Forget all data and all subscribers."""
        self.flushall()
        with self._subscribing:
            self._subscribers.clear()

    def xread(  # type: ignore[override]  # the seeds' shape of the reply
        self, streams: Mapping[Any, Any], count: int | None = None, block: int | None = None
    ) -> dict[str, list[tuple[str, dict[str, str]]]] | None:
        """Return `{stream: [(id, fields)]}`, or None where there is nothing.

        Args:
            streams: after which id to read of each.
            count: how many of each at most; None for all.
            block: how long to wait for one, in milliseconds; None: not at all.

        """
        return _by_stream(super().xread(dict(streams), count, block))

    def xreadgroup(  # type: ignore[override]  # the seeds' shape of the reply
        self,
        groupname: Any,
        consumername: Any,
        streams: Mapping[Any, Any],
        count: int | None = None,
        block: int | None = None,
        noack: bool = False,
        **kwargs: Any,
    ) -> dict[str, list[tuple[str, dict[str, str]]]] | None:
        """Return `{stream: [(id, fields)]}`, or None where there is nothing.

        Args:
            groupname: the group.
            consumername: the consumer.
            streams: what to read of each: `>`, or the consumer's own after an id.
            count: how many of each at most; None for all.
            block: how long to wait for one, in milliseconds; None: not at all.
            noack: whether they count as acknowledged at once.
            kwargs: what else redis-py takes.

        """
        return _by_stream(super().xreadgroup(groupname, consumername, dict(streams), count, block, noack, **kwargs))

    def xpending(self, name: Any, groupname: Any) -> list[dict[str, Any]]:  # type: ignore[override]  # the same
        """Return every pending entry of a group, as `xpending_range` does."""
        pending: Any = super().xpending(name, groupname)
        count = int(pending["pending"])
        return [plain(each) for each in self.xpending_range(name, groupname, "-", "+", count)] if count else []

    def acl_deluser(self, *username: str, **kwargs: Any) -> int:
        """Delete users, and return how many there were."""
        known = [name for name in set(username) if name in self.acl_users()]
        if known:
            super().acl_deluser(*known, **kwargs)
        return len(known)

    def acl_getuser(self, username: str, **kwargs: Any) -> Any:
        """Return what a user may do, or None where there is none."""
        return super().acl_getuser(username, **kwargs) if username in self.acl_users() else None

    def publish(self, channel: Any, message: Any, **kwargs: Any) -> int:
        """Call the channel's handlers with the message, and return how many recipients there were."""
        with self._subscribing:
            handlers = list(self._subscribers.get(text(channel), ()))
        received = int(super().publish(channel, message, **kwargs))
        for handler in handlers:
            handler(message)
        return received + len(handlers)

    def subscribe(self, channel: str, handler: Subscriber) -> None:
        """Let `publish` call a handler with each message of a channel."""
        with self._subscribing:
            self._subscribers.setdefault(text(channel), []).append(handler)

    def unsubscribe(self, channel: str, handler: Subscriber | None = None) -> None:
        """Let it no longer, or none of the channel's."""
        with self._subscribing:
            left = [each for each in self._subscribers.get(text(channel), ()) if handler not in (None, each)]
            self._subscribers[text(channel)] = left


def _by_stream(reply: Any) -> dict[str, list[tuple[str, dict[str, str]]]] | None:
    if not reply:
        return None
    pairs = reply.items() if isinstance(reply, Mapping) else reply
    return {name: entries[0] if _wrapped(entries) else entries for name, entries in pairs}


def _wrapped(entries: list[Any]) -> bool:
    return len(entries) == 1 and isinstance(entries[0], list)
