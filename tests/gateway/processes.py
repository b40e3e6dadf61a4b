"""The programs as their users run them: processes of their own, against a simulator in the test's."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from heliograph.sim import SimulatedBinance

BIN = Path(sys.executable).parent


def environment(**variables: str) -> dict[str, str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("CONNECTOR_", "HELIOGRAPH_"))}
    return kept | {"PYTHONUNBUFFERED": "1"} | variables


async def start(*command: str, **variables: str) -> asyncio.subprocess.Process:
    """Start a program of the environment, or a script, with both of its outputs piped."""
    return await asyncio.create_subprocess_exec(
        *command,
        env=environment(**variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent,  # where no .env is
    )


def program(name: str) -> str:
    return str(BIN / name)


class Outcome(msgspec.Struct):
    code: int | None
    out: list[str]
    err: list[str]


async def finish(process: asyncio.subprocess.Process) -> Outcome:
    """Wait for a process to end, and return what it said."""
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return Outcome(process.returncode, out.decode().splitlines(), err.decode().splitlines())


class Served(msgspec.Struct):
    """A running connector-wss."""

    process: asyncio.subprocess.Process
    websocket: str
    probes: str


@asynccontextmanager
async def serving(endpoint: str, **variables: str) -> AsyncIterator[Served]:
    """Run connector-wss on free ports; at the end it must stop cleanly on SIGTERM."""
    process = await start(
        program("connector-wss"), "--port", "0", "--probe-port", "0", "--endpoint", endpoint, **variables
    )
    assert process.stdout is not None
    try:
        said = json.loads(await process.stdout.readline())
        yield Served(process, said["websocket"], said["probes"])
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            outcome = await finish(process)
            assert outcome.code == 0, outcome.err
            assert not [line for line in outcome.err if "Traceback" in line], outcome.err
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def simulated(speed: float = 30.0) -> AsyncIterator[SimulatedBinance]:
    async with SimulatedBinance(seed=5, speed=speed, history_minutes=60) as simulator:
        yield simulator


def spot_of(simulator: SimulatedBinance) -> str:
    return simulator.endpoints["spot"]["rest_url"]
