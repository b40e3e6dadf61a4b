"""Which entries a consumer handles again, and when. Pure.

What failed waits, doubling its pause each time, and holds up nobody else; what has been delivered too often is buried.
"""

import heapq
from collections.abc import Iterable

import msgspec

from heliograph.bus.ids import EntryId


class Waiting(msgspec.Struct, frozen=True):
    """An entry that is to be handled again."""

    id: EntryId
    deliveries: int
    """How often it has been delivered so far."""
    reason: str = ""
    """Why it was not handled, where we were there to see."""


class Redeliveries:
    """The entries that were delivered to a consumer and not handled.

    Args:
        deliveries_max: how often an entry is delivered at most.
        retry_ns: the pause after the first failure, in nanoseconds; it doubles with each.
        retry_ns_max: the longest pause, in nanoseconds.

    """

    def __init__(self, deliveries_max: int, retry_ns: int, retry_ns_max: int) -> None:
        self._deliveries_max = deliveries_max
        self._retry_ns = retry_ns
        self._retry_ns_max = retry_ns_max
        self._waiting: dict[EntryId, Waiting] = {}
        self._due: list[tuple[int, EntryId]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def exhausted(self, deliveries: int) -> bool:
        """Tell whether an entry that has been delivered so often is delivered no more."""
        return deliveries >= self._deliveries_max

    def failed(self, waiting: Waiting, now_ns: int) -> None:
        """Have an entry handled again after the pause that its deliveries ask for."""
        doublings = min(max(waiting.deliveries - 1, 0), 62)
        self._put(waiting, now_ns + min(self._retry_ns_max, self._retry_ns << doublings))

    def found(self, waiting: Waiting, now_ns: int) -> None:
        """Have an entry handled as soon as can be, unless it waits for its time already."""
        if waiting.id not in self._waiting:
            self._put(waiting, now_ns)

    def take(self, now_ns: int) -> Waiting | None:
        """Take the entry whose turn has come longest since, if there is one; it is not waiting from then on."""
        if not self._due or self._due[0][0] > now_ns:
            return None
        return self._waiting.pop(heapq.heappop(self._due)[1])

    @property
    def next_ns(self) -> int | None:
        """When the next entry is due; None where none waits."""
        return self._due[0][0] if self._due else None

    def pending(self, pending: Iterable[Waiting], now_ns: int) -> None:
        """Take over what the server says is pending: forget what is not, and have the rest handled in its time."""
        known = {waiting.id: waiting for waiting in pending}
        self._due = [(due_ns, entry_id) for due_ns, entry_id in self._due if entry_id in known]
        heapq.heapify(self._due)
        self._waiting = {entry_id: self._waiting[entry_id] for _, entry_id in self._due}
        for waiting in known.values():
            self.found(waiting, now_ns)

    def _put(self, waiting: Waiting, due_ns: int) -> None:
        assert waiting.id not in self._waiting
        self._waiting[waiting.id] = waiting
        heapq.heappush(self._due, (due_ns, waiting.id))
