"""Entries of streams as bytes: their commands, and the batches that they travel in. Pure."""

import mmap
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final

import msgspec

from heliograph.bus import resp
from heliograph.bus.ids import EntryId, after, bulk_ids, format_id

TRIM_EVERY: Final = 32
"""Every so many entries of a stream one carries `MAXLEN ~`: it costs the server three arguments an entry, and trims in
steps of a node (100 entries) anyway."""
OWN_PAGES_BYTES: Final = 32 * 1024
"""From here on packed data has pages of its own: out of the heap's midst the system would not get them back."""
ENTRY_OVERHEAD_BYTES: Final = 160
"""About what an unacknowledged entry costs us beside its data."""

_TOO_SMALL: Final = "equal or smaller"
"""Source: the error of XADD for an id that is not above the stream's last one (https://valkey.io/commands/xadd/)."""
_MULTI: Final = b"*1\r\n$5\r\nMULTI"
_EXEC: Final = b"\r\n*1\r\n$4\r\nEXEC\r\n"
_DATA_HEADERS: Final = tuple(b"$4\r\ndata\r\n$%d\r\n" % size for size in range(4096))


class Stream:
    """A stream to append to, with all that never changes of its commands rendered once.

    Args:
        key: its name.
        maxlen: how many entries it keeps, about; None keeps all.
        merged: the feed that its entries go to as well.

    """

    __slots__ = (
        "ahead", "closed", "feed_head", "feed_middle", "head", "key", "maxlen", "merged", "until_trim"
    )  # fmt: skip

    def __init__(self, key: str, maxlen: int | None, merged: "Stream | None") -> None:
        name = key.encode()
        self.key = key
        self.maxlen = maxlen
        self.merged = merged
        self.ahead: EntryId | None = None
        """The stream's last id while that lies ahead of the publisher's own ids, else None."""
        self.closed = False
        """Whether somebody else writes it by now, so that nothing of ours may follow."""
        self.head = resp.CRLF + resp.prefix(5, b"XADD", name)
        self.until_trim = 0
        """How many more entries go without the bound."""
        self.feed_head = b"" if merged is None else _feed_head(merged.key)
        self.feed_middle = resp.bulk(b"key") + resp.bulk(name)

    def is_due(self) -> bool:
        """Count an entry, and tell whether it is one that carries the bound."""
        if self.until_trim:
            self.until_trim -= 1
            return False
        self.until_trim = TRIM_EVERY - 1
        return True

    def trim_head(self) -> bytes:
        """Return what `head` is for an entry that carries the bound; wanted too seldom to be kept for each stream."""
        if self.maxlen is None:
            return self.head
        bound = (b"MAXLEN", b"~", b"%d" % self.maxlen)
        return resp.CRLF + resp.prefix(5 + len(bound), b"XADD", self.key.encode(), *bound)

    def trim(self) -> bytes:
        """Return the command that trims the stream to its bound, or nothing where it has none."""
        if self.maxlen is None:
            return b""
        return resp.CRLF + resp.command("XTRIM", self.key, "MAXLEN", "~", self.maxlen)[: -len(resp.CRLF)]


@lru_cache(maxsize=1024)
def _feed_head(key: str) -> bytes:
    """Return the start of a merged feed's XADD, which all its streams share."""
    return resp.CRLF + resp.prefix(7, b"XADD", key.encode())


class Packed:
    """Entries' data in one piece, of which the garbage collector sees nothing, and nothing is left when it goes."""

    __slots__ = ("_data", "_sizes")

    def __init__(self, datas: Sequence[bytes] = ()) -> None:
        data = b"".join(datas)
        self._data: bytes | mmap.mmap = data
        self._sizes = array("I", map(len, datas))
        if len(data) >= OWN_PAGES_BYTES:
            self._data = mmap.mmap(-1, len(data), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self._data.write(data)

    def datas(self) -> list[bytes]:
        """Return the entries' data, each by itself."""
        return [self._data[begin:end] for begin, end in pairwise(accumulate(self._sizes, initial=0))]


class Half(msgspec.Struct, gc=False):
    """One XADD of an entry: on its own stream, or on the merged feed."""

    entry: int
    """Which entry of its batch, so that both halves of one can be told to belong together."""
    stream: Stream
    """The entry's own stream, even where this is the feed's half."""
    data: bytes
    on_feed: bool
    id: EntryId = (0, 0)

    @property
    def target(self) -> Stream:
        """The stream that this half is written to."""
        if not self.on_feed:
            return self.stream
        assert self.stream.merged is not None
        return self.stream.merged

    def encode(self, *, bounded: bool = False) -> bytes:
        """Return the XADD, in the form that follows another command without its line's end.

        Args:
            bounded: whether it carries the stream's bound, if that has one.

        """
        target = self.target
        bound = ("MAXLEN", "~", target.maxlen) if bounded and target.maxlen is not None else ()
        name = ("key", self.stream.key) if self.on_feed else ()
        request = resp.command("XADD", target.key, *bound, format_id(self.id), *name, "data", self.data)
        return resp.CRLF + request[: -len(resp.CRLF)]


class Batch:
    """Entries that stand or fall together on the server.

    As long as all is well it is two lists and one id for the first entry. Where a stream runs ahead of our ids, or
    after a refusal, it is a list of halves with an id each.
    """

    __slots__ = ("_packed", "acknowledged", "datas", "entries", "first_id", "halves", "sends", "size", "streams")

    def __init__(self, streams: list[Stream], datas: list[bytes]) -> None:
        self.streams = streams
        self.datas = datas
        self.halves: list[Half] | None = None
        self.first_id: EntryId = (0, 0)
        self.entries = len(datas)
        self.size = sum(map(len, datas)) + ENTRY_OVERHEAD_BYTES * self.entries
        self.sends = 0
        self.acknowledged = False
        self._packed: Packed | None = None

    @classmethod
    def of_halves(cls, halves: list[Half]) -> "Batch":
        """Make a batch of what is left of another one."""
        batch = cls([], [])
        batch.halves = halves
        batch.entries, batch.size = weigh(halves)
        return batch

    def pack(self) -> None:
        """Hold the data in one piece until `unpack`, before which nothing can be done with it."""
        self._packed = Packed(self.datas)
        self.datas.clear()

    def unpack(self) -> None:
        """Hold each entry's data by itself, as is needed for all else; if it was never packed, it is so."""
        if self._packed is not None:
            self.datas = self._packed.datas()
            self._packed = None

    def number(self, first_id: EntryId, *, streams_ahead: set[Stream]) -> None:
        """Give every entry its id, from `first_id` on, or after its stream's last id where that is ahead.

        Args:
            first_id: above every id that the publisher has used.
            streams_ahead: the streams whose last id is ahead of that; those that are no longer so are taken out.

        """
        self.first_id = first_id
        if not streams_ahead and self.halves is None:
            return
        # Also those that get no entry, such as of gaps: as long as one is ahead, every entry takes the long way.
        for stream in [stream for stream in streams_ahead if stream.ahead is None or stream.ahead < first_id]:
            stream.ahead = None
            streams_ahead.discard(stream)
        if self.halves is None and not streams_ahead:
            return
        if self.halves is None:
            self.halves = list(self.commands())
        millisecond, number = first_id
        for half in self.halves:
            half.id = (millisecond, number + half.entry)
            target = half.target
            if target.ahead is not None:
                if half.id <= target.ahead:
                    half.id = target.ahead = after(target.ahead)
                else:
                    target.ahead = None
                    streams_ahead.discard(target)

    def leave_out(self, halves: Sequence[Half]) -> None:
        """Write these no more, should the batch be written again: another batch has them, under other ids."""
        gone = {(half.entry, half.on_feed) for half in halves}
        self.halves = [half for half in self.commands() if (half.entry, half.on_feed) not in gone]

    def leave_out_closed(self) -> tuple[int, int]:
        """Write nothing more to streams that were closed; return how many entries, and bytes, are gone altogether.

        What is packed stays so unless something of it goes.
        """
        if self.halves is None and not any(stream.closed for stream in self.streams):
            return 0, 0
        self.unpack()
        kept = [half for half in self.commands() if not half.target.closed]
        entries, size = self.entries, self.size
        self.halves = kept
        self.entries, self.size = weigh(kept)
        return entries - self.entries, size - self.size

    def span(self) -> int:
        """Return how many ids in a row the batch needs."""
        return self.entries if self.halves is None else 1 + max(half.entry for half in self.halves)

    def commands(self) -> Iterator[Half]:
        """Yield every XADD of the batch, in the order of their replies."""
        if self.halves is not None:
            yield from self.halves
            return
        millisecond, number = self.first_id
        for index, (stream, data) in enumerate(zip(self.streams, self.datas, strict=True)):
            entry_id = (millisecond, number + index)
            yield Half(index, stream, data, on_feed=False, id=entry_id)
            if stream.merged is not None:
                yield Half(index, stream, data, on_feed=True, id=entry_id)

    def encode(self, trims: Sequence[Stream] = ()) -> tuple[bytes, int]:
        """Return the transaction as bytes, and how many replies it causes.

        Args:
            trims: streams to trim to their bound at the end of the transaction.

        """
        if self.halves is None:
            parts, count = self._encode_entries()
        else:
            parts = [_MULTI, *(half.encode(bounded=not half.on_feed and half.stream.is_due()) for half in self.halves)]
            count = len(self.halves)
        for stream in trims:
            parts.append(stream.trim())
        parts.append(_EXEC)
        return b"".join(parts), count + len(trims) + 2

    def _encode_entries(self) -> tuple[list[bytes], int]:
        parts = [_MULTI]
        count = self.entries
        for stream, data, entry_id in zip(self.streams, self.datas, bulk_ids(self.first_id, count), strict=True):
            size = len(data)
            header = _DATA_HEADERS[size] if size < 4096 else b"$4\r\ndata\r\n$%d\r\n" % size
            if stream.until_trim:
                stream.until_trim -= 1
                head = stream.head
            else:
                stream.until_trim = TRIM_EVERY - 1
                head = stream.trim_head()
            if stream.merged is None:
                parts += (head, entry_id, header, data)
            else:
                count += 1
                middle = stream.feed_middle
                parts += (head, entry_id, header, data, stream.feed_head, entry_id, middle, header, data)
        return parts, count


def weigh(halves: Sequence[Half]) -> tuple[int, int]:
    """Return how many entries the halves belong to, and what those cost in bytes."""
    sizes = {half.entry: len(half.data) + ENTRY_OVERHEAD_BYTES for half in halves}
    return len(sizes), sum(sizes.values())


def is_too_small(refusal: str) -> bool:
    """Tell whether XADD was refused because the id is not above the stream's last one."""
    return _TOO_SMALL in refusal


def refusals(batch: Batch, replies: Sequence[object]) -> tuple[list[Half], list[tuple[Half, str]]]:
    """Return what the server refused of a transaction that it carried out.

    Args:
        batch: what was sent.
        replies: EXEC's reply.

    Returns:
        The halves whose id was not above their stream's last one, and the others with the server's words.

    """
    too_small: list[Half] = []
    others: list[tuple[Half, str]] = []
    for half, reply in zip(batch.commands(), replies, strict=False):
        if isinstance(reply, Exception):
            if is_too_small(str(reply)):
                too_small.append(half)
            else:
                others.append((half, str(reply)))
    return too_small, others
