"""The command line in processes of its own."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).parent / "heliograph"
START_S_MAX = 20.0
RUN_S_MAX = 60.0


class Process:
    """A running command; its lines are read with a limit, so that no test waits for ever."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen
        assert popen.stdout is not None
        self._selector = selectors.DefaultSelector()
        self._selector.register(popen.stdout, selectors.EVENT_READ)
        self._read = b""

    def line(self, timeout_s: float = START_S_MAX) -> str:
        """Return the next line of standard output."""
        assert self.popen.stdout is not None
        deadline_s = time.monotonic() + timeout_s
        while b"\n" not in self._read:
            remaining_s = deadline_s - time.monotonic()
            assert remaining_s > 0, f"no line within {timeout_s} s; so far {self._read!r}"
            if self._selector.select(remaining_s):
                data = os.read(self.popen.stdout.fileno(), 65536)
                assert data, f"the command ended with {self.popen.wait()}; {self.error()}"
                self._read += data
        text, self._read = self._read.split(b"\n", 1)
        return text.decode()

    def said(self) -> dict[str, Any]:
        """Return the next line, which is a JSON object."""
        told: dict[str, Any] = json.loads(self.line())
        return told

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(START_S_MAX)

    def rest(self) -> str:
        """Return what is left of the ended command's standard output."""
        assert self.popen.stdout is not None
        return (self._read + self.popen.stdout.read()).decode()

    def error(self) -> str:
        """Return what the ended command wrote to standard error."""
        return self.popen.stderr.read().decode() if self.popen.stderr is not None else ""


@contextmanager
def running(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run `heliograph` with these arguments while the context lasts."""
    with subprocess.Popen(
        [PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    ) as popen:
        try:
            yield Process(popen)
        finally:
            popen.kill()


def finished(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run `heliograph` to its end."""
    return subprocess.run([PROGRAM, *arguments], input=stdin, capture_output=True, timeout=RUN_S_MAX, check=False)
