"""Batches that the server has acknowledged and may yet forget. Pure.

A busy feed's last seconds are some ten thousand batches. Kept as they are, they are a hundred thousand objects that the
garbage collector looks at again and again: measured at 20,000 entries a second, it stopped everything for 55 ms. So
they are kept in chapters, as bytes and numbers, and made anew in the rare case that they are wanted.
"""

from array import array
from collections import deque
from typing import Final

from heliograph.bus.entries import ENTRY_OVERHEAD_BYTES, Batch, Packed, Stream

CHAPTER_ENTRIES: Final = 512
"""Entries of a chapter, about, which are let go together."""
CHAPTER_S: Final = 0.25
"""How much longer than it must an entry is kept at most, because its chapter goes on."""
KEPT_OVERHEAD_BYTES: Final = 48
"""What a kept entry costs us at most beside its data: it may be a batch of its own."""


class _Chapter:
    """Batches that were acknowledged one after the other."""

    __slots__ = ("begun_s", "bytes", "datas", "ids", "newest_s", "packed", "streams", "whole")

    def __init__(self, now_s: float, whole: Batch | None = None) -> None:
        self.begun_s = self.newest_s = now_s
        self.bytes = 0
        self.streams: list[Stream] = []
        self.datas: list[bytes] = []
        self.ids = array("Q")
        """Of each batch, how many entries it has and the first one's id, in milliseconds and number."""
        self.packed = Packed()
        self.whole = whole
        """The only batch of the chapter, where it is kept as it is."""

    def add(self, batch: Batch) -> None:
        """Add a batch whose ids are in a row."""
        self.streams += batch.streams
        self.datas += batch.datas
        self.ids.extend((batch.entries, *batch.first_id))

    def close(self) -> None:
        """Make one of the entries' data: nothing is added any more."""
        self.packed = Packed(self.datas)
        self.datas.clear()

    @property
    def entries(self) -> int:
        """How many entries it has."""
        return len(self.streams) if self.whole is None else self.whole.entries

    def batches(self) -> list[Batch]:
        """Return its batches as they were acknowledged; it must be closed."""
        if self.whole is not None:
            return [self.whole]
        found = []
        first = 0
        datas = self.packed.datas()
        for count, millisecond, number in zip(self.ids[::3], self.ids[1::3], self.ids[2::3], strict=True):
            batch = Batch(self.streams[first : first + count], datas[first : first + count])
            batch.first_id = (millisecond, number)
            batch.sends = 1
            batch.acknowledged = True
            found.append(batch)
            first += count
        return found


class Retained:
    """What to write again to a server that has been restarted, oldest first.

    Args:
        bytes_max: how much is kept; beyond it the oldest goes, and is counted in `dropped`, in entries.

    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._chapters: deque[_Chapter] = deque()
        self._open: _Chapter | None = None
        self.bytes = 0
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self._chapters)

    def keep(self, batch: Batch, acknowledged_s: float, *, whole: bool = False) -> None:
        """Add a batch that was acknowledged at the given time, later than all others.

        Args:
            batch: every id of it is settled, unless it is kept whole.
            acknowledged_s: on the loop's clock.
            whole: keep this very object, since more is to be found out about its entries.

        """
        if whole or batch.halves is not None:
            self._close()
            chapter = _Chapter(acknowledged_s, batch)
            self._chapters.append(chapter)
            size = batch.size
        else:
            chapter = self._chapter(acknowledged_s)
            chapter.add(batch)
            size = batch.size - (ENTRY_OVERHEAD_BYTES - KEPT_OVERHEAD_BYTES) * batch.entries
        chapter.bytes += size
        self.bytes += size
        while self.bytes > self._bytes_max:
            self.dropped += self._forget_oldest()

    def forget(self, until_s: float) -> None:
        """Let go what was acknowledged up to the given time: it is on the server's disk."""
        while self._chapters and self._chapters[0].newest_s <= until_s:
            self._forget_oldest()

    def take_all(self) -> list[Batch]:
        """Return everything, oldest first, and keep nothing."""
        self._close()
        batches = [batch for chapter in self._chapters for batch in chapter.batches()]
        self._chapters.clear()
        self.bytes = 0
        return batches

    def _chapter(self, now_s: float) -> _Chapter:
        """Return the chapter that goes on, or begin the next one."""
        chapter = self._open
        if chapter is not None:
            if len(chapter.datas) < CHAPTER_ENTRIES and now_s - chapter.begun_s <= CHAPTER_S:
                chapter.newest_s = now_s
                return chapter
            self._close()
        chapter = self._open = _Chapter(now_s)
        self._chapters.append(chapter)
        return chapter

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _forget_oldest(self) -> int:
        chapter = self._chapters.popleft()
        if chapter is self._open:
            self._open = None
        self.bytes -= chapter.bytes
        return chapter.entries
