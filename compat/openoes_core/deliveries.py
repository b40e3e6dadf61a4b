"""One consumer of one group of one stream: what is delivered to it, and what becomes of it.

An entry leaves the group in one of two ways: acknowledged, or moved to the dead letters, a stream beside the first
that holds the entry's fields and why, which, whose and how often, in one transaction with the acknowledgement.

The rules are those of `heliograph.bus.groups`, whose members and letters these are as well. It is not that code: there
the connection is the consumer's own and asynchronous, here it is whatever client the caller has, a mock's included.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import redis

from heliograph.bus.dead_letters import dead_key
from heliograph.bus.groups import REASON_MAX
from openoes_core.replies import entries_of, plain, range_of
from openoes_core.streams import create_consumer_group

_log: Final = logging.getLogger(__name__)
_BEYOND_ALL: Final = "18446744073709551615-18446744073709551614"
"""The last id but one; the very last one means `>` to every server."""


class Delivery(NamedTuple):
    """An entry as it was delivered."""

    id: str
    fields: dict[str, str]
    times: int
    """How often, this time included."""


def letter(fields: Mapping[str, str], reason: str, entry_id: str, group: str, times: int) -> dict[Any, Any]:
    """Return the fields of a dead letter, as `heliograph.bus.dead_letters` reads them."""
    why = {"dead_reason": reason[:REASON_MAX], "dead_id": entry_id, "dead_group": group, "dead_deliveries": str(times)}
    return {**fields, **why}


class GroupConsumer:
    """A consumer of a group.

    Args:
        client: a client of the server, for what does not block.
        stream: the stream.
        group: the group, which is made, reading from the beginning, where it is missing.
        name: the consumer's name.

    """

    def __init__(self, client: redis.Redis, stream: str, group: str, name: str) -> None:
        self._client = client
        self.stream = stream
        self.group = group
        self.name = name

    def join(self) -> None:
        """Make the group unless it is there."""
        create_consumer_group(self._client, self.stream, self.group)

    def read(self, reader: redis.Redis, count: int, block_ms: int | None, after: str = ">") -> list[Delivery]:
        """Return what comes next, for the first time; or, with an id, the consumer's own pending entries after it.

        Args:
            reader: the client to wait on.
            count: how many at most.
            block_ms: how long to wait for one; None: not at all.
            after: `>`, or an id.

        """
        streams: Any = {self.stream: after}
        entries = entries_of(reader.xreadgroup(self.group, self.name, streams, count=count, block=block_ms))
        if after == ">":
            return [Delivery(entry_id, fields, 1) for entry_id, fields in entries]
        times = self._times([entry_id for entry_id, _ in entries])
        return [Delivery(entry_id, fields, times.get(entry_id, 1)) for entry_id, fields in entries]

    def due(self, idle_ms: int, count: int) -> list[Delivery]:
        """Return the consumer's own pending entries that were left alone for that long, delivered once more."""
        return self._claimed(self.name, idle_ms, count)

    def abandoned(self, idle_ms: int, count: int) -> list[Delivery]:
        """Take over entries of consumers that gave no sign of life for that long, delivered once more.

        Not by XAUTOCLAIM, which cannot be asked for one consumer's entries, and would rob the living that are slow.
        """
        taken: list[Delivery] = []
        for seen in self._consumers():
            if seen["name"] != self.name and seen["pending"] and seen["idle"] >= idle_ms and len(taken) < count:
                taken += self._claimed(seen["name"], idle_ms, count - len(taken))
        return taken

    def pending(self) -> int:
        """Return how many entries wait for this consumer's acknowledgement."""
        return sum(int(seen["pending"]) for seen in self._consumers() if seen["name"] == self.name)

    def beat(self) -> None:
        """Say that this consumer lives: any reading counts as that, also one of what cannot be there."""
        nothing: Any = {self.stream: _BEYOND_ALL}
        self._client.xreadgroup(self.group, self.name, nothing, count=1)

    def acknowledge(self, entry_id: str) -> None:
        """Let an entry go: it was handled."""
        self._client.xack(self.stream, self.group, entry_id)

    def bury(self, delivery: Delivery, reason: str) -> None:
        """Move an entry to the dead letters."""
        told = letter(delivery.fields, reason, delivery.id, self.group, delivery.times)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.xadd(dead_key(self.stream), told)
        pipeline.xack(self.stream, self.group, delivery.id)
        pipeline.execute()
        _log.error("entry %s of %s is a dead letter of %s: %s", delivery.id, self.stream, self.group, reason)

    def leave(self) -> None:
        """Take the consumer off the group, unless entries wait for it."""
        if self.pending() == 0:
            self._client.xgroup_delconsumer(self.stream, self.group, self.name)

    def _forget(self, ids: set[str]) -> None:
        for entry_id in ids:
            if not range_of(self._client.xrange(self.stream, entry_id, entry_id)):
                _log.warning("entry %s of %s was deleted before it was handled", entry_id, self.stream)
                self.acknowledge(entry_id)

    def _consumers(self) -> list[dict[str, Any]]:
        return [plain(seen) for seen in self._client.xinfo_consumers(self.stream, self.group)]

    def _claimed(self, consumer: str, idle_ms: int, count: int) -> list[Delivery]:
        pending: Any = self._client.xpending_range(self.stream, self.group, "-", "+", count, consumer, idle_ms)
        times = {each["message_id"]: each["times_delivered"] + 1 for each in plain(pending)}
        if not times:
            return []
        # A claim makes an entry's idle time zero: of two claimants the second gets nothing.
        claimed = range_of(self._client.xclaim(self.stream, self.group, self.name, idle_ms, list(times)))
        self._forget(set(times) - {entry_id for entry_id, _ in claimed})
        return [Delivery(entry_id, fields, times[entry_id]) for entry_id, fields in claimed]

    def _times(self, ids: list[str]) -> dict[str, int]:
        if not ids:
            return {}
        pending: Any = self._client.xpending_range(self.stream, self.group, ids[0], ids[-1], len(ids) + 100, self.name)
        return {each["message_id"]: each["times_delivered"] for each in plain(pending)}
