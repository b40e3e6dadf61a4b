"""The journal's chain: each entry holds the hash of the one before, so no one of them can be altered unseen.

The hash of an entry is the SHA-256, in hexadecimal, over `prev`, `n` and `at_ns` in decimal, and the body's UTF-8,
joined by line feeds. The first entry's `prev` is empty. Whoever can write everything, the head included, can make a new
chain from any point on: that is found by comparing with a head that somebody else has kept.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

FaultKind = Literal["changed", "unlinked", "dropped", "inserted", "reordered", "truncated", "beyond_head", "other_head"]
GAPS_MAX: Final = 10_000
"""Gaps that are remembered, to tell an entry that stands in the wrong place from one that never was."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """The newest entry: its number and its hash."""

    n: int
    hash: str


GENESIS: Final = Head(0, "")
"""The head of a journal without entries."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry of a journal.

    Args:
        n: its number, from 1, without holes.
        at_ns: when it was written, by the writer's clock.
        prev: the hash of entry n - 1; empty for the first.
        hash: its own hash.
        body: what happened, as JSON.

    """

    n: int
    at_ns: int
    prev: str
    hash: str
    body: str

    @property
    def head(self) -> Head:
        """The journal's head when this entry is the newest."""
        return Head(self.n, self.hash)


class Fault(msgspec.Struct, frozen=True):
    """Something that is wrong with a journal.

    `changed`: the content is not what its hash was taken of. `unlinked`: the hash is right, but the entry follows
    another one than stands before it: one of the two was written anew. `dropped`: entries are missing. `inserted`: a
    number is there twice, or below the first. `reordered`: an entry stands after a later one. `truncated`: the newest
    entries are missing. `beyond_head`: there are entries that the head does not know. `other_head`: the newest entry is
    not the one that the head means.

    Args:
        kind: what is wrong.
        n: at which entry.
        what: the same in words.

    """

    kind: FaultKind
    n: int
    what: str


def digest(prev: str, n: int, at_ns: int, body: str) -> str:
    """Return the hash of an entry."""
    return hashlib.sha256(f"{prev}\n{n}\n{at_ns}\n{body}".encode()).hexdigest()


def follow(head: Head, at_ns: int, body: str) -> Entry:
    """Return the entry that comes after a head."""
    n = head.n + 1
    return Entry(n, at_ns, head.hash, digest(head.hash, n, at_ns, body), body)


class Verifier:
    """Reads a journal's entries one by one, in the order in which they stand, and says what is wrong and where.

    Args:
        start: the head before the first entry to come; `GENESIS` for a whole journal.

    """

    def __init__(self, start: Head = GENESIS) -> None:
        self.start = start
        self.newest = start
        """The entry with the highest number so far."""
        self._missing: list[tuple[int, int]] = []

    def take(self, entry: Entry) -> list[Fault]:
        """Return what is wrong with the next entry, or with what should have stood before it."""
        faults = []
        n, expected = entry.n, self.newest.n + 1
        if digest(entry.prev, n, entry.at_ns, entry.body) != entry.hash:
            faults.append(Fault("changed", n, f"entry {n} is not what its hash was taken of"))
        if n < expected:
            return [*faults, self._out_of_place(n)]
        if n > expected:
            faults.append(Fault("dropped", expected, f"entries {expected} to {n - 1} do not stand before entry {n}"))
            if len(self._missing) < GAPS_MAX:
                self._missing.append((expected, n - 1))
        elif entry.prev != self.newest.hash:
            faults.append(Fault("unlinked", n, f"entry {n} follows another entry {n - 1} than the one before it"))
        self.newest = entry.head
        return faults

    def end(self, head: Head) -> list[Fault]:
        """Return what is wrong when no more entries come, given the head that was kept beside them."""
        newest = self.newest
        if head.n > newest.n:
            return [Fault("truncated", newest.n + 1, f"entries {newest.n + 1} to {head.n} are missing at the end")]
        if head.n < newest.n:
            return [Fault("beyond_head", head.n + 1, f"the head knows entries to {head.n}, there are {newest.n}")]
        if head.hash != newest.hash:
            return [Fault("other_head", head.n, f"the head means another entry {head.n} than the newest one")]
        return []

    def _out_of_place(self, n: int) -> Fault:
        for i, (first, last) in enumerate(self._missing):
            if first <= n <= last:
                self._missing[i : i + 1] = [part for part in ((first, n - 1), (n + 1, last)) if part[0] <= part[1]]
                return Fault("reordered", n, f"entry {n} stands after entry {self.newest.n}")
        return Fault("inserted", n, f"entry {n} stands a second time, after entry {self.newest.n}")


def faults(entries: Iterable[Entry], head: Head, start: Head = GENESIS) -> Iterator[Fault]:
    """Yield all that is wrong with a journal, in the order in which it is found.

    Args:
        entries: in the order in which they stand.
        head: what was kept of the newest one.
        start: the head before the first of them.

    """
    verifier = Verifier(start)
    for entry in entries:
        yield from verifier.take(entry)
    yield from verifier.end(head)
