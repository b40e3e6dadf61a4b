"""Figure d: CPU and memory at 1,000 instruments over five venues, and whether memory stays where it is.

Memory is what is resident (RSS) beyond what is when everything is imported and nothing is open, sampled by another
process; the proportional share (PSS) would change with whatever else runs Python. One run of ours goes through
stretches of time: all is well; the server stands still (SIGSTOP); it limps, getting a fifth of its time; all is well
again; a client of the gateway asks for 200 instruments and reads nothing.
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import IO, Any, Final

import msgspec

from bench import running
from bench.crowd_words import CODES, WORDS
from bench.running import Tell

RATE: Final = 2_000
STREAMS: Final = 2 * len(WORDS) * len(CODES)
GOAL_MB: Final = 15.0
STRETCHES: Final = ("well", "server stopped", "server slow", "well again", "client mute")
SUBSCRIBED_S_MAX: Final = 90.0
SAMPLE_S: Final = 1.0
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class _Process:
    """The process that is measured."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    def line(self) -> str:
        line = self._stdout.readline()
        if not line:
            raise SystemExit(f"what is measured ended with {self._process.wait()}")
        return line.strip()

    def go(self) -> None:
        self._stdin.write("\n")
        self._stdin.flush()

    def rss_mb(self) -> float:
        with open(f"/proc/{self._process.pid}/statm") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES / 2**20

    def cpu_s(self) -> float:
        with open(f"/proc/{self._process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def measure(side: str, seconds: float, tell: Tell) -> dict[str, Any]:
    """Return the figures of one side.

    Args:
        side: `bare` or `ours`; only ours goes through the stretches in which something is slow.
        seconds: of each stretch.
        tell: is told how far it is.

    """
    if sys.platform != "linux":
        raise SystemExit("figure d reads /proc, which only Linux has")
    client_cpu, other_cpu = running.cores()
    with ExitStack() as stack:
        server = stack.enter_context(running.server(other_cpu))
        source = stack.enter_context(running.source([str(RATE)], other_cpu, "bench.crowd_source"))
        port = source.readline().strip()
        carried = _count(source)
        command = [sys.executable, "-m", "bench.crowd_client", side, port, server.url]
        command += [] if client_cpu is None else ["--cpu", str(client_cpu)]
        popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        process = _Process(stack.enter_context(popen))
        stack.callback(popen.kill)
        process.line()
        floor_mb = process.rss_mb()
        process.go()
        address = process.line()
        tell(f"{side}: {STREAMS} streams are subscribed to")
        _wait_for(carried)
        told: dict[str, Any] = {"side": side, "rate": RATE, "streams": STREAMS, "floor_mb": round(floor_mb, 1)}

        def stretch(name: str, during: Callable[[float], None] = time.sleep) -> None:
            tell(f"{side}: {name}")
            told[name] = _stretch(process, floor_mb, seconds, during)

        time.sleep(2)  # What subscribing left behind.
        stretch("well")
        if side == "ours":
            stretch("server stopped", lambda duration_s: _hold(server.pid, duration_s, share=0.0))
            stretch("server slow", lambda duration_s: _hold(server.pid, duration_s, share=0.2))
            stretch("well again")
            stretch("client mute", lambda duration_s: _mute(address, duration_s))
        return told


def _stretch(
    process: _Process, floor_mb: float, duration_s: float, during: Callable[[float], None]
) -> dict[str, float | list[float]]:
    acting = threading.Thread(target=during, args=(duration_s,))
    cpu_before_s, begun_s = process.cpu_s(), time.perf_counter()
    acting.start()
    samples = []
    while acting.is_alive():
        samples.append(process.rss_mb() - floor_mb)
        acting.join(SAMPLE_S)
    used_s, took_s = process.cpu_s() - cpu_before_s, time.perf_counter() - begun_s
    return {
        "median_mb": round(statistics.median(samples), 1),
        "most_mb": round(max(samples), 1),
        "cpu_share": round(used_s / took_s, 3),
        "cpu_us": round(used_s / took_s / RATE * 1e6, 1),
        "samples_mb": [round(sample, 1) for sample in samples],
    }


def _hold(pid: int, duration_s: float, *, share: float) -> None:
    """Let a process run for a share of the time only."""
    until_s = time.perf_counter() + duration_s
    try:
        while (left_s := until_s - time.perf_counter()) > 0:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(left_s if not share else min(left_s, 0.1 * (1 - share)))
            if share:
                os.kill(pid, signal.SIGCONT)
                time.sleep(0.1 * share)
    finally:
        os.kill(pid, signal.SIGCONT)


def _mute(address: str, duration_s: float) -> None:
    """Be a client that asks for much and reads nothing."""
    host, _, port = address.rpartition(":")
    symbols = [WORDS["binance"].symbol(code) for code in CODES]
    asked = {"exchange": "binance", "contract_type": "spot", "symbols": symbols}
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        client.sendall(
            f"GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        client.recv(1024)
        client.sendall(_masked(msgspec.json.encode(asked)))
        time.sleep(duration_s)


def _masked(payload: bytes) -> bytes:
    return b"\x81\xfe" + len(payload).to_bytes(2, "big") + bytes(4) + payload  # a mask of zeros changes nothing


def _count(source: IO[str]) -> list[int]:
    """Return a list whose last number is how many streams the source carries at present."""
    carried = [0]

    def read() -> None:
        with suppress(ValueError):  # The pipe is closed when the source ends.
            carried.extend(int(line) for line in source)

    threading.Thread(target=read, daemon=True).start()
    return carried


def _wait_for(carried: Sequence[int]) -> None:
    until_s = time.perf_counter() + SUBSCRIBED_S_MAX
    while carried[-1] < STREAMS:
        if time.perf_counter() > until_s:
            raise SystemExit(f"{carried[-1]} of {STREAMS} streams were subscribed to")
        time.sleep(0.1)
