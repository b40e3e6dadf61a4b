"""`make bench`: a table of ratios to the barest code, and bench/results.json.

Every figure is the median of interleaved pairs: baseline, ours, baseline, ours. A ratio is the baseline's time over our
time for the same frames in the same pair, so 1.0 is as fast as the barest code and 0.5 is half as fast. The client runs
on one core, everything else (the venue, the server) on the other.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.frames import KINDS
from heliograph.bus.embedded import Server

RESULTS: Final = Path(__file__).parent / "results.json"
GOAL: Final = 0.80
FLOOR: Final = 0.50


def _cores() -> tuple[int | None, int | None]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


@contextmanager
def _source(kind: str, count: int, cpu: int | None) -> Iterator[IO[str]]:
    pin = [] if cpu is None else ["--cpu", str(cpu)]
    command = [sys.executable, "-m", "bench.source", kind, str(count), *pin]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()


def _client(arguments: list[str], cpu: int | None) -> dict[str, float]:
    pin = [] if cpu is None else ["--cpu", str(cpu)]
    command = [sys.executable, "-m", "bench.client", *arguments, *pin]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[1:])} failed:\n{done.stderr}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _measure(what: str, kind: str, count: int, pairs: int, tell: Any) -> dict[str, Any]:
    client_cpu, other_cpu = _cores()
    ratios: list[float] = []
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    with _source(kind, count, other_cpu) as source:
        port = int(source.readline())
        for pair in range(pairs):
            for side in ("bare", "ours"):
                tell(f"{what} {kind}: pair {pair + 1} of {pairs}, {side}")
                with _server(what, other_cpu) as valkey_port:
                    run = _client([side, what, kind, str(port), str(count), str(valkey_port)], client_cpu)
                times[side].append(run["finished"] - float(source.readline()))
            ratios.append(times["bare"][-1] / times["ours"][-1])
    ours_us, bare_us = (statistics.median(times[side]) / count * 1e6 for side in ("ours", "bare"))
    return {
        "name": f"{'a' if what == 'objects' else 'b'} {kind}: frames to {what}",
        "value": round(ours_us, 3),
        "unit": "us/frame",
        "baseline": round(bare_us, 3),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "goal": GOAL,
        "floor": FLOOR,
    }


@contextmanager
def _server(what: str, cpu: int | None) -> Iterator[int]:
    if what == "objects":
        yield 0
        return
    with Server() as server:
        if cpu is not None:
            os.sched_setaffinity(server.pid, {cpu})
        yield server.port


def main() -> int:
    """Measure, print, write; exit 1 if a figure is below its floor."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="interleaved pairs a figure (default 5)")
    parser.add_argument("--frames", type=int, default=200_000, help="frames a run (default 200000)")
    parser.add_argument("--only", default="", help="measure only figures whose name contains this")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    results: list[dict[str, Any]] = []
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("starting")
        for what in ("objects", "entries"):
            for kind in KINDS:
                if arguments.only in f"{what} {kind}":
                    tell = lambda text: progress.update(task, description=text)  # noqa: E731
                    results.append(_measure(what, kind, arguments.frames, arguments.pairs, tell))
    table = Table("figure", "ours us", "barest us", "ratio", "min-max", "goal", "floor", box=None)
    for r in results:
        spread = f"{r['ratio_min']:.2f}-{r['ratio_max']:.2f}"
        table.add_row(r["name"], f"{r['value']:.2f}", f"{r['baseline']:.2f}", f"{r['ratio']:.2f}", spread,
                      f"{GOAL:.2f}", f"{FLOOR:.2f}")  # fmt: skip
    Console().print(table)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    return int(any(r["ratio"] < FLOOR for r in results))


if __name__ == "__main__":
    sys.exit(main())
