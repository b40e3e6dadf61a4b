"""The processes of a benchmark, each on its core: the source, the server, and the one that is measured."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from heliograph.bus.embedded import Server

Tell = Callable[[str], None]
"""Is told what is being measured at present."""


def cores() -> tuple[int | None, int | None]:
    """Return the core of what is measured, and the core of all else; None where there are not two."""
    found = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (found[0], found[1]) if len(found) > 1 else (None, None)


@contextmanager
def source(arguments: Sequence[str], cpu: int | None, module: str = "bench.source") -> Iterator[IO[str]]:
    """Run a source, and yield what it prints."""
    command = [sys.executable, "-m", module, *arguments, *_pin(cpu)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()


def client(arguments: Sequence[str], cpu: int | None, timeout_s: float = 60) -> dict[str, Any]:
    """Run what is measured to its end, and return what it says of itself."""
    command = [sys.executable, "-m", "bench.client", *arguments, *_pin(cpu)]
    # Unbuffered, a long line may be written in part, and the rest is lost.
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(command[1:])} failed:\n{done.stderr}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


@contextmanager
def server(cpu: int | None) -> Iterator[Server]:
    """Run a server for one run."""
    with Server() as running:
        if cpu is not None:
            os.sched_setaffinity(running.pid, {cpu})
        yield running


def _pin(cpu: int | None) -> list[str]:
    return [] if cpu is None else ["--cpu", str(cpu)]
