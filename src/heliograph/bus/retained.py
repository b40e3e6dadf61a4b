"""Batches that the server has acknowledged and may yet forget. Pure."""

from collections import deque

from heliograph.bus.entries import Batch


class Retained:
    """What to write again to a server that has been restarted, oldest first.

    Args:
        bytes_max: how much is kept; beyond it the oldest goes, and is counted in `dropped`, in entries.

    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._batches: deque[tuple[float, Batch]] = deque()
        self.bytes = 0
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self._batches)

    def keep(self, batch: Batch, acknowledged_s: float) -> None:
        """Add a batch that was acknowledged at the given time, later than all others."""
        self._batches.append((acknowledged_s, batch))
        self.bytes += batch.size
        while self.bytes > self._bytes_max:
            self.dropped += self._forget_oldest()

    def forget(self, until_s: float) -> None:
        """Let go what was acknowledged up to the given time: it is on the server's disk."""
        while self._batches and self._batches[0][0] <= until_s:
            self._forget_oldest()

    def take_all(self) -> list[Batch]:
        """Return everything, oldest first, and keep nothing."""
        batches = [batch for _, batch in self._batches]
        self._batches.clear()
        self.bytes = 0
        return batches

    def _forget_oldest(self) -> int:
        _, batch = self._batches.popleft()
        self.bytes -= batch.size
        return batch.entries
