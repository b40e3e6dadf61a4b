"""A feed's events for a consumer in this process that reads at its own pace."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from heliograph.model.event import Event

WAITING_MAX = 10_000


class Tap:
    """A sink that queues up to a bound; then it is not ready, and the feed's lanes hold, conflate and hold back.

    Args:
        waiting_max: events that may wait here; one batch may exceed it.

    """

    def __init__(self, waiting_max: int = WAITING_MAX) -> None:
        self._waiting_max = waiting_max
        self._waiting: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._wakes: list[Callable[[], None]] = []
        self._failure: Exception | None = None
        self._ended = False

    def ready(self) -> bool:
        """Whether there is room."""
        return len(self._waiting) < self._waiting_max

    def when_ready(self, wake: Callable[[], None]) -> None:
        """Call `wake` each time that there is room again."""
        self._wakes.append(wake)

    def push(self, events: Sequence[Event]) -> None:
        """Take a batch from the feed."""
        self._waiting += events
        self._arrived.set()

    def fail(self, error: Exception) -> None:
        """Let the consumer meet this error after what waits."""
        self._failure = error
        self._arrived.set()

    def end(self) -> None:
        """Let the consumer come to the end after what waits."""
        self._ended = True
        self._arrived.set()

    async def take(self) -> list[Event]:
        """Return all that waits, at least one event; the empty list is the end.

        Raises:
            Exception: what `fail` was given.

        """
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return []
            self._arrived.clear()
            await self._arrived.wait()
        was_full = not self.ready()
        taken = list(self._waiting)
        self._waiting.clear()
        if was_full:
            for wake in self._wakes:
                wake()
        return taken
