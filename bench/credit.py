"""f: credit, from a custodian's request to the exchange's answer in the ledger and on the exchange's replica.

Custodian and exchange run in one process, over a primary that fsyncs every write, the exchange's replica of it, and the
exchange's journal, which is fsynced as well: four waits for the disk a request, one after the other. One at a time a
round trip ends when the replica shows the credit; pipelined, when it shows the last. The baseline is the bare primary,
with its replica: the very same writes as plain commands, one commit at a time, or several on their way, with nothing
compared and nobody asked.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from bench.ledger import _command, _sent
from bench.running import Tell, cores
from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.link import open_link
from heliograph.model.settlement import CreditOrder
from heliograph.settlement.batch import Batch
from heliograph.settlement.custodian import Custodian, CustodianSettings
from heliograph.settlement.desk import FLIGHTS_MAX
from heliograph.settlement.exchange import Exchange, ExchangeSettings, accept
from heliograph.settlement.keyring import Signer

LINK: Final = "bench"
ASSET: Final = "BTC"
USERS: Final = 100
SINGLE: Final = 300
"""Requests of the run that waits for each."""
WAIT_S: Final = 120.0

Payload = tuple[bytes, int]
"""Plain commands, and how many they are."""


def measure(requests: int, pairs: int, tell: Tell) -> dict[str, Any]:
    """Return what was measured, as interleaved pairs: ours, and the bare server with the same writes."""
    ours_core, other_core = cores()
    before = os.sched_getaffinity(0) if ours_core is not None else None
    if ours_core is not None:
        os.sched_setaffinity(0, {ours_core})
    try:
        runs = []
        for pair in range(pairs):
            tell(f"credit, pair {pair + 1} of {pairs}")
            with tempfile.TemporaryDirectory() as directory:
                ours, single, many = asyncio.run(_ours(requests, Path(directory), other_core))
            runs.append({**ours, **asyncio.run(_bare(single, many, requests, other_core))})
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)
    return {
        "name": "credit, request to replica, appendfsync always",
        "requests": requests,
        "single": SINGLE,
        "pairs": pairs,
        **{name: statistics.median(run[name] for run in runs) for name in runs[0]},
        "ratio": statistics.median(run["rate"] / run["bare_rate"] for run in runs),
        "single_ratio": statistics.median(run["single_rate"] / run["bare_single_rate"] for run in runs),
    }


def _pin(pair: Pair, core: int | None) -> None:
    for server in (pair.primary, pair.replica):
        if core is not None and server.pid is not None:
            os.sched_setaffinity(server.pid, {core})


class _Notes:
    """What a custodian writes, as plain commands."""

    def __init__(self, custodian: Custodian) -> None:
        self.said: list[Payload] = []
        self._submit: Callable[[Batch], Awaitable[None]] = custodian._store.submit
        setattr(custodian._store, "submit", self._noted)  # noqa: B010 (it stands in for a method)

    def _noted(self, batch: Batch) -> Awaitable[None]:
        if not batch.empty:
            commands = [_command(write) for write in batch.commit().writes]
            self.said.append((b"".join(commands), len(commands)))
        return self._submit(batch)


async def _ours(
    requests: int, directory: Path, core: int | None
) -> tuple[dict[str, float], list[Payload], list[Payload]]:
    ours, theirs = Signer.generate("custodian"), Signer.generate("exchange")
    async with Pair() as pair:
        _pin(pair, core)
        settings = CustodianSettings(
            link=LINK,
            primary=pair.primary.endpoint,
            replica=pair.replica.endpoint,
            signer=ours,
            keys=(theirs.public(),),
        )
        exchange_settings = ExchangeSettings(
            link=LINK,
            replica=pair.replica.endpoint,
            journal=directory / "exchange.sqlite",
            signer=theirs,
            keys=(ours.public(),),
        )
        async with (
            Custodian(settings) as custodian,
            Exchange(exchange_settings, accept),
            Asker(pair.replica.endpoint) as replica,
        ):
            for n in range(USERS):
                await custodian.deposit(f"user{n}", ASSET, Decimal(10**9), f"wire-{n}")
            notes = _Notes(custodian)
            took = sorted([await _round_trip(custodian, replica, f"single-{n}", n) for n in range(SINGLE)])
            single, notes.said = notes.said, []
            began = time.perf_counter()
            await asyncio.gather(*(custodian.request(f"many-{n}", _order(n)) for n in range(requests)))
            await asyncio.gather(*(custodian.final(f"many-{n}", WAIT_S) for n in range(requests)))
            await _shown(replica, SINGLE + requests)
            rate = requests / (time.perf_counter() - began)
            many = notes.said
            found = await custodian.audit()
            if not found.clean:
                raise SystemExit(f"the ledger is not what was written: {found.findings[:3]}")
    figures = {
        "rate": rate,
        "single_rate": len(took) / sum(took),
        "single_p50_ms": took[len(took) // 2] * 1e3,
        "single_p99_ms": took[len(took) * 99 // 100] * 1e3,
    }
    return figures, single, many


def _order(n: int) -> CreditOrder:
    return CreditOrder("increase", f"user{n % USERS}", ASSET, f"1.{n:08}")


async def _round_trip(custodian: Custodian, replica: Asker, name: str, n: int) -> float:
    at = time.perf_counter()
    await custodian.request(name, _order(n))
    final = await custodian.final(name, WAIT_S)
    key = link_keys.credit(f"user{n % USERS}", ASSET)
    while int(await replica.ask("HGET", key, "answer_seq") or 0) < final.answer_seq:
        pass
    return time.perf_counter() - at


async def _shown(replica: Asker, answer: int) -> None:
    while int(await replica.ask("GET", link_keys.acked(LINK)) or 0) < answer:
        pass


async def _bare(single: list[Payload], many: list[Payload], requests: int, core: int | None) -> dict[str, float]:
    async with Pair() as pair:
        _pin(pair, core)
        link = await open_link(pair.primary.endpoint, name="bare", timeout_s=5)
        single_s = await _replayed(link, single, 1)
        many_s = await _replayed(link, many, FLIGHTS_MAX)
        link.abort("done")
    return {"bare_rate": requests / many_s, "bare_single_rate": SINGLE / single_s}


async def _replayed(link: Any, payloads: list[Payload], in_flight: int) -> float:
    flying: deque[asyncio.Future[Any]] = deque()
    began = time.perf_counter()
    for payload, commands in payloads:
        while len(flying) >= in_flight:
            await flying.popleft()
        flying.append(_sent(link, payload, commands))
    for answer in flying:
        await answer
    return time.perf_counter() - began


def rows(result: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of the table: what, ours, the bare server's, their ratio."""
    yield (
        f"{result['name']}, {result['requests']:,} in flight", f"{result['rate']:,.0f}/s",
        f"{result['bare_rate']:,.0f}/s", f"{result['ratio']:.2f}",
    )  # fmt: skip
    yield (
        "one at a time", f"{result['single_rate']:,.1f}/s", f"{result['bare_single_rate']:,.1f}/s",
        f"{result['single_ratio']:.2f}",
    )  # fmt: skip
    yield "  p50", f"{result['single_p50_ms']:.2f} ms", "", ""
    yield "  p99", f"{result['single_p99_ms']:.2f} ms", "", ""
