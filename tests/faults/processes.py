"""The programs as their users run them, each a process of its own that can be killed at any moment."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

PROGRAM = Path(sys.executable).parent / "heliograph"

# Below the range from which outgoing connections take their ports: a client that tries to reconnect to a dead simulator
# could else be given that very port, and connect to itself. Above the range of the embedded servers.
PORTS = range(30_000, 32_000)

_given: set[int] = set()

UP_S_MAX = 60.0
STOP_S_MAX = 30.0


def free_port(rng: Random) -> int:
    """Return a port of 127.0.0.1 that nobody listens on, and that was not returned before."""
    while True:
        port = rng.choice([port for port in PORTS if port not in _given])
        _given.add(port)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Process:
    """One of the programs; `start` may follow `kill` any number of times.

    Args:
        arguments: of `heliograph`.
        log: where its standard error is collected, over all its lives.
        variables: its environment, beside what is not about Heliograph.
        ended: is called when it ends, however that comes.

    """

    def __init__(
        self, arguments: tuple[str, ...], log: Path, variables: dict[str, str], ended: Callable[[], None]
    ) -> None:
        self._arguments = arguments
        self._log = log
        self._variables = variables
        self._ended = ended
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[int] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def start(self) -> None:
        """Start it; `up` waits until it has begun its work."""
        assert not self.running
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("CONNECTOR_", "HELIOGRAPH_"))}
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                PROGRAM,
                *self._arguments,
                env=kept | self._variables,
                cwd=self._log.parent,  # where no .env is
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        self._watch = asyncio.create_task(self._process.wait())
        self._watch.add_done_callback(lambda _: self._ended())

    async def up(self) -> dict[str, object]:
        """Wait for the line of JSON by which it says that it is up, and return what it says."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(UP_S_MAX):
            line = await self._process.stdout.readline()
        assert line, f"it ended with code {await self._process.wait()}:\n{self.log()[-2000:]}"
        said: dict[str, object] = json.loads(line)
        return said

    async def kill(self) -> None:
        """Kill it with SIGKILL, and wait until it is dead."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> int:
        """Ask it to end, as its users do, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_S_MAX):
            return await self._process.wait()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    async def close(self) -> None:
        """Leave nothing behind."""
        if self._process is not None:
            await self.kill()
            assert self._watch is not None
            await self._watch
