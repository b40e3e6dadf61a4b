"""Where the clients that nobody here wrote live, and what runs them.

All clients of a module read from one simulator at the same time, each in a process of its own; each test waits for the
one that it judges. A module says in `VENUE` who is simulated, and in `HOSTS` which host names it has to vouch for.
"""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from heliograph.sim import SimulatedVenue
from heliograph.sim.authority import Authority
from heliograph.venues import find_venue
from tests.conformance.turns import write_budget

HERE = Path(__file__).parent
PYTHON = HERE.parent.parent / ".venv-conformance" / "bin" / "python"

CLIENT_S_MAX = 90.0

Reading = asyncio.Task[dict[str, Any]]
"""What a client reads, once it has."""

Launch = Callable[..., Reading]
"""Takes a script's name and, by keyword, what its environment has besides."""


@pytest.fixture(scope="module")
def authority(request: pytest.FixtureRequest) -> Authority:
    """Whom clients trust that insist on TLS."""
    return Authority(*getattr(request.module, "HOSTS", ()))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Iterator[str]:
    """The path of the authority's certificate."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ca.pem"
        authority.write(path)
        yield str(path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(request: pytest.FixtureRequest, authority: Authority) -> AsyncIterator[SimulatedVenue]:
    """A simulated venue in which a minute takes two seconds, unless the module says otherwise in `SPEED`."""
    speed = getattr(request.module, "SPEED", 30)
    async with SimulatedVenue(
        request.module.VENUE, seed=11, speed=speed, symbols=3, history_minutes=120, authority=authority
    ) as running:
        yield running
        assert not running.turned_away, "a client opened more sockets than the venue allows: let it take turns"


@pytest.fixture(scope="module")
def turns(request: pytest.FixtureRequest) -> Iterator[str]:
    """The path of what the clients of a venue take turns by, so that all of them together keep to its budget."""
    limits = [market.limits for market in find_venue(request.module.VENUE).markets.values()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "turns.json"
        write_budget(path, min(of.connects_max for of in limits), max(of.connects_window_s for of in limits))
        yield str(path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def launch(sim: SimulatedVenue, turns: str) -> AsyncIterator[Launch]:
    """Starts clients against the simulator, each in a process and an environment of its own.

    Their arguments are where the markets are, and where they are by TLS, as JSON.
    """
    if not PYTHON.exists():
        missing = "no .venv-conformance: make conformance"
        if os.environ.get("HELIOGRAPH_CONFORMANCE") == "require":
            pytest.fail(missing)
        pytest.skip(missing)
    launched: list[Reading] = []

    def start(script: str, **environment: str) -> Reading:
        launched.append(asyncio.get_running_loop().create_task(_read(sim, script, environment | {"TURNS": turns})))
        return launched[-1]

    yield start
    for reading in launched:
        reading.cancel()
    await asyncio.gather(*launched, return_exceptions=True)


async def _read(sim: SimulatedVenue, script: str, environment: dict[str, str]) -> dict[str, Any]:
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
        out, complaints = await asyncio.wait_for(process.communicate(), CLIENT_S_MAX)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{script}: {complaints.decode()[-4000:]}"
    read = json.loads(out)
    assert isinstance(read, dict)
    return read
