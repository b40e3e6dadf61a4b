"""e: commits of the custodian's ledger, with every write on the disk before it is acknowledged.

A step is one decision: half of them record a request, half apply the exchange's answer to one. Ours decides it, hashes
it into the journal, and commits it fenced, a hundred steps a commit and several commits in flight. The baseline is the
bare server: the very same writes, encoded beforehand, as plain commands in one pipeline, with nothing compared.
"""

import asyncio
import hashlib
import os
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

import hiredis

from bench.running import Tell, cores
from heliograph.bus.asker import Asker
from heliograph.bus.commit import Append, DropFields, PutFields, PutText, Rank, TrimBelow, Unrank, Write
from heliograph.bus.embedded import Server
from heliograph.bus.link import open_link
from heliograph.model.settlement import CreditOrder, Decision
from heliograph.settlement.batch import Batch
from heliograph.settlement.census import audit_primary
from heliograph.settlement.envelope import Sealed
from heliograph.settlement.ledger import Transfer
from heliograph.settlement.link.sequence import Arrival, Slot
from heliograph.settlement.records import Cause
from heliograph.settlement.store import Store

LINK: Final = "bench"
ASSET: Final = "BTC"
USERS: Final = 100
SIZE: Final = 100
"""Steps a commit."""
IN_FLIGHT: Final = 8
GOAL_RATE: Final = 20_000
GOAL_RATIO: Final = 0.5
SINGLE: Final = 1_000
"""Steps of the run that waits for each."""

_NAMES: Final[dict[type[Any], str]] = {
    PutFields: "HSET", DropFields: "HDEL", PutText: "SET", Append: "XADD", TrimBelow: "XTRIM", Rank: "ZADD",
    Unrank: "ZREM",
}  # fmt: skip


def measure(steps: int, pairs: int, tell: Tell) -> dict[str, Any]:
    """Return what was measured, as interleaved pairs: bare, ours, bare, ours."""
    ours_core, other_core = cores()
    before = os.sched_getaffinity(0) if ours_core is not None else None
    if ours_core is not None:
        os.sched_setaffinity(0, {ours_core})
    try:
        tell("the writes of a run")
        writes = asyncio.run(_recorded(steps))
        runs = []
        for pair in range(pairs):
            tell(f"commits of the ledger, pair {pair + 1} of {pairs}")
            runs.append((asyncio.run(_bare(writes, steps, other_core)), asyncio.run(_ours(steps, other_core))))
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)
    bare = statistics.median(rate for rate, _ in runs)
    ratios = [ours["rate"] / rate for rate, ours in runs]
    return {
        "name": "ledger commits, pipelined, appendfsync always",
        "steps": steps,
        "pairs": pairs,
        "bare_rate": bare,
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "goal_rate": GOAL_RATE,
        "goal_ratio": GOAL_RATIO,
        **{name: statistics.median(ours[name] for _, ours in runs) for name in runs[0][1]},
    }


def _seal(slot: Slot) -> Sealed:
    raw = b'{"seq":%d,"prev":"%b"}' % (slot.seq, slot.prev.encode()) + b"." * 300
    return Sealed(slot.seq, raw, hashlib.sha256(raw).hexdigest())


async def _prepare(store: Store) -> None:
    await store.take_over()
    await store.read(positions=[(f"user{n}", ASSET) for n in range(USERS)], assets=[ASSET])
    batch = store.batch(0)
    for n in range(USERS):
        batch.post(Cause("deposit", str(n)), [Transfer(ASSET, Decimal(10**9), "outside", "", "available", f"user{n}")])
    await store.commit(batch)


def _record(batch: Batch, names: list[str], first: int) -> None:
    for n, name in enumerate(names, first):
        order = CreditOrder("increase", f"user{n % USERS}", ASSET, f"1.{n:08}")
        batch.record(name, order, f"{n:064x}", _seal)
    batch.publish(batch.cursor.recorded)


def _apply(batch: Batch, names: list[str]) -> None:
    for name in names:
        seq = batch.cursor.applied + 1
        arrival = Arrival(seq, batch.cursor.published, batch.cursor.applied_digest, f"{seq:064x}")
        batch.apply(name, Decision("accepted"), arrival)


async def _batches(store: Store, steps: int, size: int) -> "deque[tuple[Batch, Awaitable[None]]]":
    """Run all steps, each batch upon the one before, and return those whose answers nobody waited for."""
    flying: deque[tuple[Batch, Awaitable[None]]] = deque()
    for first in range(0, steps // 2, size):
        names = [f"{size}-{n}" for n in range(first, first + size)]
        await store.read(requests=names)
        for decide in (lambda batch: _record(batch, names, first), lambda batch: _apply(batch, names)):  # noqa: B023
            while len(flying) >= IN_FLIGHT:
                await flying.popleft()[1]
            batch = store.batch(time.time_ns())
            decide(batch)
            flying.append((batch, store.submit(batch)))
    return flying


async def _ours(steps: int, core: int | None) -> dict[str, float]:
    with _server(core) as server:
        async with Store(server.url, LINK) as store:
            await _prepare(store)
            began = time.perf_counter()
            for _, answer in await _batches(store, steps, SIZE):
                await answer
            took_s = time.perf_counter() - began
            singles = sorted(await _singles(store))
        async with Asker(server.endpoint) as asker:
            began = time.perf_counter()
            found = await audit_primary(asker, LINK)
            audit_s = time.perf_counter() - began
        if not found.clean or found.entries != steps + SINGLE + USERS:
            raise SystemExit(f"the ledger is not what was written: {found.entries} entries, {found.findings[:3]}")
    return {
        "rate": steps / took_s,
        "single_rate": len(singles) / sum(singles),
        "single_p50_ms": singles[len(singles) // 2] * 1e3,
        "single_p99_ms": singles[len(singles) * 99 // 100] * 1e3,
        "audit_rate": found.entries / audit_s,
    }


async def _singles(store: Store) -> list[float]:
    """Return how long steps took that were each waited for, in seconds."""
    took: list[float] = []
    for n in range(0, SINGLE, 2):
        names = [f"single-{n}"]
        await store.read(requests=names)
        for decide in (lambda batch: _record(batch, names, n), lambda batch: _apply(batch, names)):  # noqa: B023
            at = time.perf_counter()
            batch = store.batch(time.time_ns())
            decide(batch)
            await store.commit(batch)
            took.append(time.perf_counter() - at)
    return took


class _Noting(Store):
    """A store that notes what it writes, as plain commands."""

    def __init__(self, url: str, link: str) -> None:
        super().__init__(url, link)
        self.said: list[tuple[bytes, int]] = []

    def submit(self, batch: Batch) -> Awaitable[None]:
        commands = [_command(write) for write in batch.commit().writes]
        self.said.append((b"".join(commands), len(commands)))
        return super().submit(batch)


async def _recorded(steps: int) -> list[tuple[bytes, int]]:
    """Return the writes of every commit as plain commands, and how many they are."""
    with _server(None) as server:
        async with _Noting(server.url, LINK) as store:
            await _prepare(store)
            store.said.clear()
            for _, answer in await _batches(store, steps, SIZE):
                await answer
            return store.said


def _command(write: Write) -> bytes:
    match write:
        case PutFields(_, fields):
            rest: list[Any] = [part for item in fields.items() for part in item]
        case Append(_, fields, entry_id):
            rest = [entry_id, *(part for item in fields.items() for part in item)]
        case TrimBelow(_, entry_id):
            rest = ["MINID", "=", entry_id]
        case Rank(_, scores):
            rest = [part for member, score in scores.items() for part in (score, member)]
        case PutText(_, text):
            rest = [text]
        case DropFields(_, names) | Unrank(_, names):
            rest = list(names)
    packed: bytes = hiredis.pack_command((_NAMES[type(write)], write.key, *rest))
    return packed


async def _bare(writes: list[tuple[bytes, int]], steps: int, core: int | None) -> float:
    with _server(core) as server:
        link = await open_link(server.endpoint, name="bare", timeout_s=5)
        flying: deque[asyncio.Future[Any]] = deque()
        began = time.perf_counter()
        for payload, commands in writes:
            while len(flying) >= IN_FLIGHT:
                await flying.popleft()
            flying.append(_sent(link, payload, commands))
        for answer in flying:
            await answer
        took_s = time.perf_counter() - began
        link.abort("done")
    return steps / took_s


def _sent(link: Any, payload: bytes, commands: int) -> "asyncio.Future[Any]":
    answer = asyncio.get_running_loop().create_future()

    def done(reply: Any, error: str | None) -> None:
        if error is None:
            answer.set_result(reply)
        else:
            answer.set_exception(SystemExit(f"the bare server refused: {error}"))

    link.send(payload, commands, done)
    return answer


@contextmanager
def _server(core: int | None) -> Iterator[Server]:
    """Run a server for one run, on its core."""
    with Server(appendfsync="always") as running:
        if core is not None:
            os.sched_setaffinity(running.pid, {core})
        yield running


def rows(result: dict[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield the rows of the table: what, ours, the bare server's, their ratio, the goal."""
    yield (
        result["name"], f"{result['rate']:,.0f}/s", f"{result['bare_rate']:,.0f}/s",
        f"{result['ratio']:.2f} ({result['ratio_min']:.2f}-{result['ratio_max']:.2f})",
        f"{GOAL_RATE:,}/s and {GOAL_RATIO:g}",
    )  # fmt: skip
    yield "one at a time", f"{result['single_rate']:,.0f}/s", "", "", ""
    yield "  p50", f"{result['single_p50_ms']:.2f} ms", "", "", ""
    yield "  p99", f"{result['single_p99_ms']:.2f} ms", "", "", ""
    yield "audit", f"{result['audit_rate']:,.0f} entries/s", "", "", ""
