"""Entries on their way to the server that are not written yet. Pure."""

from collections import deque
from collections.abc import Iterable
from typing import Final

from heliograph.bus.entries import ENTRY_OVERHEAD_BYTES, Batch, Stream

BATCH_ENTRIES: Final = 512
"""Entries in one transaction at most: it holds the server for about a millisecond."""


class Backlog:
    """First the batches to be written, in order, then the open entries that no batch holds yet.

    The publisher appends to `streams` and `datas` itself, side by side: a call an entry would be a fifth of its cost.
    """

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.datas: list[bytes] = []
        self.cut_bytes = 0
        """Bytes of the batches that were taken and are not settled, wherever they are by now."""
        self._batches: deque[Batch] = deque()
        self._cut_entries = 0
        self._open_bytes = 0
        self._weighed = 0

    def __bool__(self) -> bool:
        return bool(self.datas or self._batches)

    @property
    def appended(self) -> int:
        """Entries that have come in so far."""
        return self._cut_entries + len(self.datas)

    @property
    def pending_bytes(self) -> int:
        """Bytes that have come in and are not settled, with our own overhead for them."""
        if fresh := self.datas[self._weighed :]:  # Each entry is weighed once, however often this is asked.
            self._weighed += len(fresh)
            self._open_bytes += sum(map(len, fresh)) + ENTRY_OVERHEAD_BYTES * len(fresh)
        return self.cut_bytes + self._open_bytes

    def close_full(self) -> None:
        """Make batches of the open entries, as far as they fill them.

        They are packed: behind a server that stands still millions of bytes come to wait, and what was taken from the
        allocator in small pieces among others hardly ever goes back to the system.
        """
        while len(self.datas) >= BATCH_ENTRIES:
            batch = self._cut()
            batch.pack()
            self._batches.append(batch)

    def put_first(self, batches: Iterable[Batch]) -> None:
        """Put batches, in order, before all others."""
        self._batches = deque([*batches, *self._batches])

    def drop_closed(self) -> int:
        """Let go of what was to go to streams that were closed; return how many entries that was."""
        self.close_open()
        dropped = 0
        for batch in self._batches:
            entries, size = batch.leave_out_closed()
            if not batch.acknowledged:  # Else it has been settled long ago, and is only here to be written once more.
                dropped += entries
                self.cut_bytes -= size
        self._batches = deque(batch for batch in self._batches if batch.entries)
        return dropped

    def close_open(self) -> None:
        """Make batches of all open entries."""
        while self.datas:
            self._batches.append(self._cut())

    def take(self) -> Batch | None:
        """Return what is to be written next, or None."""
        if self._batches:
            batch = self._batches.popleft()
            batch.unpack()
            return batch
        return self._cut() if self.datas else None

    def _cut(self) -> Batch:
        if len(self.datas) <= BATCH_ENTRIES:
            batch = Batch(self.streams, self.datas)
            self.streams, self.datas = [], []
        else:
            batch = Batch(self.streams[:BATCH_ENTRIES], self.datas[:BATCH_ENTRIES])
            del self.streams[:BATCH_ENTRIES], self.datas[:BATCH_ENTRIES]
        self._weighed = self._open_bytes = 0
        self._cut_entries += batch.entries
        self.cut_bytes += batch.size
        return batch
