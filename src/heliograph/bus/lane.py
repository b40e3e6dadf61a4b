"""One stream's entries on their way to a cluster's node. Pure."""

from collections import deque
from collections.abc import Iterable
from typing import Final

from heliograph.bus import resp
from heliograph.bus.endpoint import Endpoint
from heliograph.bus.entries import ENTRY_OVERHEAD_BYTES, TRIM_EVERY, Half, Stream
from heliograph.bus.ids import EntryId, after, format_id

_MULTI: Final = resp.command("MULTI")
_EXEC: Final = resp.command("EXEC")


class Piece(Half, gc=False):
    """One XADD on its way to a node."""

    sends: int = 0
    settled: bool = False
    """Whether it has been acknowledged, or given up; it may be written again all the same."""

    @property
    def weight(self) -> int:
        """What it costs us, in bytes."""
        return len(self.data) + ENTRY_OVERHEAD_BYTES


class Lane:
    """One stream's entries on their way, in order; never more than one write of them is unanswered.

    Args:
        stream: where they go.
        newest: the last id that it has given out.
        node: the node that has it.

    """

    __slots__ = ("flight", "last", "moved", "node", "retained", "stream", "until_trim", "waiting")

    def __init__(self, stream: Stream, newest: EntryId, node: Endpoint | None) -> None:
        self.stream = stream
        self.last = newest
        """The highest id that was used or seen."""
        self.node = node
        self.waiting: deque[Piece] = deque()
        self.flight: list[Piece] = []
        self.retained: deque[tuple[float, Piece]] = deque()
        self.moved = False
        self.until_trim = 0

    def take(self, room: int) -> bytes:
        """Put up to `room` pieces into flight, and return them as one transaction, which causes `replies` replies."""
        while self.waiting and len(self.flight) < room:
            piece = self.waiting.popleft()
            if piece.sends == 0:
                if piece.id <= self.last:
                    piece.id = after(self.last)
                self.last = piece.id
            piece.sends += 1
            self.flight.append(piece)
        # A single one as well: what a transaction is refused for as a whole, such as memory, costs no entry.
        return b"".join([_MULTI, *map(self._encode, self.flight), _EXEC])

    @property
    def replies(self) -> int:
        """How many replies the write in flight causes."""
        return len(self.flight) + 2

    def _encode(self, piece: Piece) -> bytes:
        bound: tuple[str | int, ...] = ()
        self.until_trim -= 1
        if self.until_trim < 0 and self.stream.maxlen is not None:
            self.until_trim = TRIM_EVERY - 1
            bound = ("MAXLEN", "~", self.stream.maxlen)
        name = ("key", piece.stream.key) if piece.on_feed else ()
        return resp.command("XADD", self.stream.key, *bound, format_id(piece.id), *name, "data", piece.data)

    def give_back(self, pieces: Iterable[Piece]) -> None:
        """Put pieces before all that wait, in order."""
        self.waiting.extendleft(reversed(list(pieces)))

    def write_again(self) -> None:
        """Put what was acknowledged before all that waits: its node has been replaced, or restarted."""
        self.give_back(sorted((piece for _, piece in self.retained), key=lambda piece: piece.id))
        self.retained.clear()

    def forget(self, until_s: float) -> int:
        """Let go what was acknowledged up to then, and return its bytes."""
        size = 0
        while self.retained and self.retained[0][0] <= until_s:
            size += self.retained.popleft()[1].weight
        return size
