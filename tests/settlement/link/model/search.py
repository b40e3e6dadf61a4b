"""Breadth-first search over every reachable world: safety at each, then liveness over the steps that are no faults.

A world is packed into one integer, a number for each of its parts. A step depends on few parts and changes few, so it
is computed once for each combination of the parts that it depends on: the project's functions are asked thousands of
times, not millions, and what they say is used for every world.
"""

import time
from array import array
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from tests.settlement.link.model import custodians, exchanges, servers
from tests.settlement.link.model.properties import breach, settled
from tests.settlement.link.model.world import Case, Part, Rules, Step, World, start

Verdict = Literal["holds", "unsafe", "dead end"]
Generator = Callable[[World, Case, Rules], Iterator[Step]]
Entry = tuple[int, int]
"""Which bits of a packed world to keep, and what to put in place of the others."""

WIDTHS: dict[Part, int] = {
    "primary": 22, "sibling": 22, "view": 18, "mailbox": 18, "journal": 22,
    "exchanges": 14, "custodians": 14, "paid": 8, "faults_left": 4, "old": 20, "source": 2, "third": 22,
}  # fmt: skip


class Result(NamedTuple):
    """What a search found; the trace leads to the breach, or to a world from which there is no end."""

    verdict: Verdict
    states: int
    steps: int
    seconds: float
    breach: str = ""
    trace: tuple[str, ...] = ()


class Packer:
    """Numbers the distinct values of each part."""

    def __init__(self) -> None:
        self.shifts: dict[str, int] = {}
        total = 0
        for part, width in WIDTHS.items():
            self.shifts[part] = total
            total += width
        self.every = (1 << total) - 1
        self._numbers: dict[str, dict[Any, int]] = {part: {} for part in WIDTHS}
        self._values: dict[str, list[Any]] = {part: [] for part in WIDTHS}

    def mask(self, parts: tuple[Part, ...]) -> int:
        """Return the bits of some parts."""
        return sum(((1 << WIDTHS[part]) - 1) << self.shifts[part] for part in parts)

    def bits(self, part: Part, value: Any) -> int:
        """Return the bits of one part."""
        if part == "faults_left":
            return int(value) << self.shifts[part]
        numbers = self._numbers[part]
        number = numbers.get(value)
        if number is None:
            number = numbers[value] = len(numbers)
            if number >> WIDTHS[part]:
                raise OverflowError(f"more than {number} different values of {part}")
            self._values[part].append(value)
        return number << self.shifts[part]

    def pack(self, world: World) -> int:
        """Return a world as an integer."""
        return sum(self.bits(part, value) for part, value in zip(WIDTHS, world, strict=True))

    def world(self, key: int, parts: tuple[Part, ...]) -> World:
        """Return those parts of a packed world; whoever asks for another of its parts fails."""
        values: dict[str, Any] = dict.fromkeys(WIDTHS, object())
        for part in parts:
            number = key >> self.shifts[part] & (1 << WIDTHS[part]) - 1
            values[part] = number if part == "faults_left" else self._values[part][number]
        return World(**values)


class Source:
    """One kind of step, remembered by the parts that it depends on."""

    def __init__(self, generator: Generator, parts: tuple[Part, ...], *, fault: bool = False) -> None:
        self.generator = generator
        self.parts = parts
        self.fault = fault
        self.mask = 0
        self.known: dict[int, tuple[Entry, ...]] = {}


class Search:
    """One case under one set of rules."""

    def __init__(self, case: Case, rules: Rules, progress: Callable[[int], None] | None = None) -> None:
        self._case, self._rules, self._progress = case, rules, progress
        self._packer = Packer()
        self._sources = _sources(case, rules)
        for source in self._sources:
            source.mask = self._packer.mask(source.parts)
        self._judged: tuple[Part, ...] = ("primary", "journal", "paid", "old")
        self._watched: tuple[Part, ...] = (*self._judged, *(("view",) if rules.limit == "R" else ()))
        self._keys: list[int] = []
        self._parents = array("i")
        self._offsets, self._targets = array("l", [0]), array("i")
        self._goals: list[bool] = []

    def run(self) -> Result:
        """Visit every world, or stop at the first that breaks a property."""
        began = time.monotonic()
        steps, bad, at = self._explore()
        verdict: Verdict = "holds"
        if bad:
            verdict = "unsafe"
        elif (at := self._stuck()) >= 0:
            verdict, bad = "dead end", "no final world can be reached any more"
        trace = self._trace(at) if verdict in ("unsafe", "dead end") else ()
        return Result(verdict, len(self._keys), steps, time.monotonic() - began, bad, trace)

    def _explore(self) -> tuple[int, str, int]:
        packer, keys, parents = self._packer, self._keys, self._parents
        offsets, targets = self._offsets, self._targets
        case, rules, watched, judged = self._case, self._rules, self._watched, self._judged
        keys.append(packer.pack(start(case, rules)))
        parents.append(-1)
        index = {keys[0]: 0}
        calm = [(s, s.mask, s.known) for s in self._sources if not s.fault]
        faults = [(s, s.mask, s.known) for s in self._sources if s.fault]
        left, one = packer.mask(("faults_left",)), packer.bits("faults_left", 1)
        watch, judge = packer.mask(watched), packer.mask(judged)
        safe: dict[int, str | None] = {}
        ends: dict[int, bool] = {}
        steps = 0
        # `keys` grows while it is read.
        for position, key in enumerate(keys):
            if (end := ends.get(key & judge)) is None:
                end = ends[key & judge] = settled(packer.world(key, judged), case, rules)
            self._goals.append(end)
            for group, after in ((calm, key), (faults, key - one)) if key & left else ((calm, key),):
                for source, mask, known in group:
                    entries = known.get(key & mask)
                    if entries is None:
                        entries = known[key & mask] = self._entries(source, key)
                    for keep, bits in entries:
                        target = after & keep | bits
                        steps += 1
                        number = index.get(target)
                        if number is None:
                            number = index[target] = len(keys)
                            keys.append(target)
                            parents.append(position)
                            seen = target & watch
                            if seen not in safe:
                                safe[seen] = breach(packer.world(target, watched), case, rules)
                            if safe[seen] is not None:
                                return steps, safe[seen] or "", number
                        if group is calm:
                            targets.append(number)
            offsets.append(len(targets))
            if self._progress is not None and position & 0x7FFF == 0:
                self._progress(position)
        return steps, "", -1

    def _entries(self, source: Source, key: int) -> tuple[Entry, ...]:
        return tuple(entry for _, entry in self._labelled(source, key))

    def _labelled(self, source: Source, key: int) -> Iterator[tuple[str, Entry]]:
        packer = self._packer
        for label, changes in source.generator(packer.world(key, source.parts), self._case, self._rules):
            if "primary" in changes and not {"failover", "split"} & set(self._case.faults):
                # Nothing is promoted, so the sibling may as well be P.
                changes = {**changes, "sibling": changes["primary"]}
            keep = packer.every & ~packer.mask(tuple(changes))
            yield label, (keep, sum(packer.bits(part, value) for part, value in changes.items()))

    def _stuck(self) -> int:
        """Return the first world from which no final one can be reached without faults, or -1."""
        live = bytearray(self._goals)
        offsets, targets = self._offsets, self._targets
        # Most ways lead onward, so going backward settles nearly all in one pass.
        dead = [at for at in range(len(live) - 1, -1, -1) if not live[at]]
        while dead:
            left = []
            for at in dead:
                for edge in range(offsets[at], offsets[at + 1]):
                    if live[targets[edge]]:
                        live[at] = 1
                        break
                else:
                    left.append(at)
            if len(left) == len(dead):
                return left[-1]
            dead = left
        return -1

    def _trace(self, at: int) -> tuple[str, ...]:
        """Return the labels of a shortest way to a world."""
        labels = []
        one = self._packer.bits("faults_left", 1)
        while self._parents[at] >= 0:
            before, after = self._keys[self._parents[at]], self._keys[at]
            labels.append(
                next(
                    label
                    for source in self._sources
                    for label, (keep, bits) in self._labelled(source, before)
                    if (before - one if source.fault else before) & keep | bits == after
                )
            )
            at = self._parents[at]
        return tuple(reversed(labels))


def _sources(case: Case, rules: Rules) -> list[Source]:
    shown: tuple[Part, ...] = ("view",) if rules.witness == "also R" else ()
    calm = [
        Source(custodians.reads, ("custodians", "primary", "old", "mailbox")),
        Source(custodians.acts, ("custodians", "primary", "old", "sibling", "third", "paid", *shown)),
        Source(exchanges.reads, ("exchanges", "journal", "view")),
        Source(exchanges.acts, ("exchanges", "journal")),
        Source(exchanges.appends, ("exchanges", "journal", "mailbox")),
        Source(servers.replica, ("primary", "old", "source", "view")),
        Source(servers.exchange_start, ("exchanges", "journal")),
        Source(servers.custodian_start, ("custodians", "primary", "sibling", "third", "old")),
    ]
    if {"failover", "split"} & set(case.faults):
        calm.append(Source(servers.sibling, ("primary", "sibling", "third")))
    if "split" in case.faults:
        calm.append(Source(servers.healing, ("primary", "old", "source", "mailbox", "custodians")))
    return calm + [Source(*servers.FAULTS[fault], fault=True) for fault in case.faults]
