"""Simulated venues in a process of their own, for commands that keep the other core for what they show."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import msgspec

from heliograph.errors import VenueUnreachable
from heliograph.sim.faults import Fault
from heliograph.sim.venue import SimulatedVenue

START_S: Final = 30.0
"""How long the process may take to begin."""
STOP_S: Final = 5.0


class Player:
    """One venue that another process plays, and its world, which is the same here.

    Args:
        told: what `heliograph simulate` printed of it.
        symbols: how many coins each market lists.
        http: how its controls are reached.

    """

    def __init__(self, told: dict[str, Any], symbols: int, http: aiohttp.ClientSession) -> None:
        # Its world follows from these alone; nothing of it listens in this process.
        world = SimulatedVenue(told["venue"], told["seed"], told["speed"], symbols, told["epoch_ns"])
        self.venue = world.venue
        self.speed = world.speed
        self.clock = world.clock
        self.ledger = world.ledger
        self.endpoints: dict[str, dict[str, str]] = told["endpoints"]
        self._http = http

    async def fault(self, fault: Fault) -> None:
        """Let something go wrong, at every origin of the venue."""
        for url in self._origins():
            async with self._http.post(f"{url}/sim/fault", data=msgspec.json.encode(fault)) as answer:
                answer.raise_for_status()

    def _origins(self) -> list[str]:
        return sorted({where["rest_url"] for where in self.endpoints.values()})


@asynccontextmanager
async def open_troupe(
    venues: Sequence[str], seed: int, speed: float, symbols: int, epoch_ns: int | None = None
) -> AsyncIterator[list[Player]]:
    """Play venues in one other process while the context lasts; they share one world.

    Args:
        venues: their names.
        seed: of the world.
        speed: simulated seconds per real second.
        symbols: how many coins each market lists.
        epoch_ns: the instant at which simulated time was real time; None for now.

    Raises:
        VenueUnreachable: the process did not begin.

    """
    options = ["--seed", str(seed), "--speed", str(speed), "--symbols", str(symbols)]
    if epoch_ns is not None:
        options += ["--epoch-ns", str(epoch_ns)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "heliograph",
        "simulate",
        *venues,
        *options,
        "--until-eof",  # However this process ends, its end of the pipe is closed.
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # A Ctrl-C is ours to hear; the venues play on until we have finished.
    )
    try:
        async with aiohttp.ClientSession() as http:
            yield [Player(told, symbols, http) for told in await _told(process, len(venues))]
    finally:
        await _ended(process)


async def _told(process: asyncio.subprocess.Process, count: int) -> list[dict[str, Any]]:
    assert process.stdout is not None  # It is a pipe.
    try:
        async with asyncio.timeout(START_S):
            return [json.loads(await process.stdout.readline()) for _ in range(count)]
    except (TimeoutError, ValueError) as e:
        raise VenueUnreachable("the simulated venues", "their process did not begin") from e


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
