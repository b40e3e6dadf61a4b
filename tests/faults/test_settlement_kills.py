"""Kill -9 of custodian and exchange between any two steps of their loops: enumerated, not sampled.

Each run plays one story with both parties in processes of their own. One of them kills itself at one point, at its
n-th time there; it is started again, and in the end both sides' books agree, the audit is clean, and the accounts are
what the story comes to. Every point that a run without a kill reaches is taken: its first times in CI, and every time
with HELIOGRAPH_FAULTS=full.
"""

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Self

import msgspec
import pytest

from heliograph.bus import link_keys
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_pair import Pair
from heliograph.settlement import custodian, exchange, exchange_journal
from heliograph.settlement.keyring import Signer
from tests.faults.parties import (
    Place,
    flood_custodian,
    flood_exchange,
    flooded,
    play_custodian,
    play_exchange,
    verdict,
)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

FULL = os.environ.get("HELIOGRAPH_FAULTS") == "full"
TIMES_MAX = {"custodian": 10_000 if FULL else 3, "exchange": 10_000 if FULL else 1}
END_S = 40.0
POINTS = {
    "custodian": custodian.POINTS,
    "exchange": (*exchange.POINTS, *exchange_journal.POINTS),
}
NEVER = {"advance:begun", "advance:changed", "advance:written", "advance:committed"}
"""Points of steps that the story does not take: those are an operator's."""
FLOODS = {"custodian": flood_custodian, "exchange": flood_exchange}
PLAYS = {"custodian": play_custodian, "exchange": play_exchange}


@pytest.fixture(scope="module")
def forks() -> ForkServerContext:
    """A server of processes that has imported everything: a party starts in a hundredth of a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.parties"])
    return context


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair(siblings=1) as pair:
        yield pair


class Run:
    """One story, on servers that hold nothing else."""

    def __init__(self, forks: ForkServerContext, pair: Pair, directory: Path) -> None:
        directory.mkdir()
        pair.primary.ask("FLUSHALL")
        self.forks = forks
        self.pair = pair
        self.place = Place(
            "killed",
            pair.primary.url,
            pair.replica.url,
            tuple(sibling.url for sibling in pair.siblings),
            directory,
            Signer.generate("c").pem(),
            Signer.generate("e").pem(),
        )

    def start(self, party: str, point: str = "", count: int = 0) -> ForkServerProcess:
        process = self.forks.Process(target=PLAYS[party], args=(self.place, point, count))
        process.start()
        return process

    def play(self, party: str, point: str, count: int) -> bool:
        """Play to the end; whether the party was killed on the way."""
        killed = False
        processes = {name: self.start(name, *((point, count) if name == party else ())) for name in PLAYS}
        try:
            while processes[party].exitcode is None and processes["exchange"].exitcode is None:
                connection.wait([process.sentinel for process in processes.values()], END_S)
            if processes[party].exitcode == -signal.SIGKILL:
                killed = True
                processes[party] = self.start(party)
            for name in PLAYS:
                processes[name].join(END_S)
                assert processes[name].exitcode == 0, f"{name} ended with {processes[name].exitcode} at {point} {count}"
        finally:
            for process in processes.values():
                process.kill()
                process.join()
        asyncio.run(verdict(self.place))
        return killed

    def reached(self, party: str) -> dict[str, int]:
        """Return how often each point was reached, in a run without a kill."""
        counts: dict[str, int] = msgspec.json.decode((self.place.directory / f"{party}.points").read_bytes())
        return counts


@pytest.mark.parametrize("party", ["custodian", "exchange"])
def test_a_kill_between_any_two_steps_loses_and_doubles_nothing(
    forks: ForkServerContext, pair: Pair, party: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm = Run(forks, pair, tmp_path / "calm")
    assert not calm.play(party, "", 0)
    reached = calm.reached(party)
    assert set(POINTS[party]) - set(reached) <= NEVER, "a point that nothing reaches is no test"
    kills = 0
    for point in POINTS[party]:
        for count in range(1, min(reached.get(point, 0), TIMES_MAX[party]) + 1):
            run = Run(forks, pair, tmp_path / f"{point.replace(':', '-')}-{count}")
            kills += run.play(party, point, count)
    with capsys.disabled():
        print(f"\n{party}: {len(reached)} points, {sum(reached.values())} times reached, {kills} kills")
    assert kills >= len(reached)


MANY = 1_000


class Flood:
    """A thousand requests on their way, and both parties in processes of their own that come back when they die."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.processes: dict[str, ForkServerProcess] = {}

    def __enter__(self) -> Self:
        for party in FLOODS:
            self.begin(party)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
            process.join()

    def begin(self, party: str) -> None:
        self.processes[party] = self.run.forks.Process(target=FLOODS[party], args=(self.run.place, MANY))
        self.processes[party].start()

    def kill(self, party: str) -> None:
        self.processes[party].kill()
        self.processes[party].join()
        self.begin(party)

    def wait_answered(self, count: int) -> None:
        """Wait until so many answers have taken effect on the primary, or all of them."""
        cursor = link_keys.cursor(self.run.place.link)
        deadline_s = time.monotonic() + END_S
        while int(self.run.pair.primary.ask("HGET", cursor, "applied") or 0) < count:
            assert time.monotonic() < deadline_s, f"fewer than {count} answers after {END_S:g} s"
            time.sleep(0.002)


def _full_resync(pair: Pair) -> None:
    """Let the replica go its own way and come back: whatever the exchange wrote there is wiped."""
    pair.replica.ask("REPLICAOF", "NO", "ONE")
    pair.replica.ask("SET", "astray", "1")
    pair.replica.follow(pair.primary)
    assert pair.replica.ask("EXISTS", "astray") in (0, 1)
    pair.wait_linked()
    assert pair.replica.ask("EXISTS", "astray") == 0


def _restart(server: Server) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize(
    "fault",
    ["full resync", "replica restart", "primary restart", "custodian", "exchange", "sibling restart", "all of them"],
)
def test_a_thousand_requests_in_flight_are_answered_and_applied_once(
    forks: ForkServerContext, pair: Pair, fault: str, tmp_path: Path
) -> None:
    run = Run(forks, pair, tmp_path / "run")
    faults: dict[str, Callable[[Flood], None]] = {
        "full resync": lambda _: _full_resync(pair),
        "replica restart": lambda _: _restart(pair.replica),
        "primary restart": lambda _: _restart(pair.primary),
        "custodian": lambda flood: flood.kill("custodian"),
        "exchange": lambda flood: flood.kill("exchange"),
        "sibling restart": lambda _: _restart(pair.siblings[0]),
    }
    chosen = list(faults) if fault == "all of them" else [fault]
    with Flood(run) as flood:
        for number, name in enumerate(chosen):
            flood.wait_answered(50 + number * 150)
            faults[name](flood)
        flood.wait_answered(MANY)
        for party, process in flood.processes.items():
            process.join(END_S)
            assert process.exitcode == 0, f"{party} ended with {process.exitcode}"
    pair.wait_linked()
    asyncio.run(flooded(run.place, MANY))
