"""Where the clients that nobody here wrote live, and what runs them."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from heliograph.sim import SimulatedBinance, SimulatedVenue

HERE = Path(__file__).parent
PYTHON = HERE.parent.parent / ".venv-conformance" / "bin" / "python"

Run = Callable[..., Awaitable[dict[str, Any]]]
"""Takes a script's name and, by keyword, what its environment has besides."""


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedBinance]:
    """A simulated Binance in which a minute takes two seconds."""
    async with SimulatedBinance(seed=11, speed=30, symbols=3, history_minutes=120) as running:
        yield running


@pytest.fixture
async def run(sim: SimulatedVenue) -> Run:
    """Runs one client against the simulator, in a process and an environment of its own, and returns what it read.

    Its arguments are where the markets are, and where they are by TLS, as JSON.
    """
    if not PYTHON.exists():
        missing = "no .venv-conformance: make conformance"
        if os.environ.get("HELIOGRAPH_CONFORMANCE") == "require":
            pytest.fail(missing)
        pytest.skip(missing)

    async def start(script: str, **environment: str) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            str(PYTHON),
            str(HERE / script),
            json.dumps(sim.endpoints),
            json.dumps(sim.tls_endpoints),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | environment,
        )
        try:
            out, complaints = await asyncio.wait_for(process.communicate(), 90)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, complaints.decode()[-4000:]
        read = json.loads(out)
        assert isinstance(read, dict)
        return read

    return start
