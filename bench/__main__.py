"""`make bench`: tables of ratios to the barest code that does the same, and what was found as JSON beside this file.

a: frames to objects, and b: frames to stream entries, flat out. Every figure is the median of interleaved pairs:
baseline, ours, baseline, ours. A ratio is the baseline's time over our time for the same frames in the same pair, so
1.0 is as fast as the barest code and 0.5 is half as fast. c: latency and CPU at a fixed rate, from the socket to the
stream entry; here a ratio is our figure over the baseline's. d: CPU and memory at 1,000 instruments. e: commits of the
custodian's ledger and audits of it. f: credit, from a custodian's request to the exchange's replica. What is measured
runs on one core, everything else (the venue, the server) on the other.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import credit, crowd, flat_out, latency, ledger
from bench.frames import KINDS
from bench.running import Tell

HERE: Final = Path(__file__).parent
FIGURES: Final = ("a", "b", "c", "d", "e", "f")


@contextmanager
def _progress() -> Iterator[Tell]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("starting")
        yield lambda text: progress.update(task, description=text)


def _flat_out(arguments: argparse.Namespace, tell: Tell) -> int:
    wanted = [
        (what, kind)
        for figure, what in (("a", "objects"), ("b", "entries"))
        for kind in KINDS
        if figure in arguments.figures and arguments.only in f"{what} {kind}"
    ]
    results = [flat_out.measure(what, kind, arguments.frames, arguments.pairs, tell) for what, kind in wanted]
    table = Table("figure", "ours us", "barest us", "ratio", "min-max", "goal", "floor", box=None)
    for r in results:
        spread = f"{r['ratio_min']:.2f}-{r['ratio_max']:.2f}"
        table.add_row(r["name"], f"{r['value']:.2f}", f"{r['baseline']:.2f}", f"{r['ratio']:.2f}", spread,
                      f"{r['goal']:.2f}", f"{r['floor']:.2f}")  # fmt: skip
    if results:
        Console().print(table)
        (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    return int(any(r["ratio"] < r["floor"] for r in results))


def _latency(arguments: argparse.Namespace, tell: Tell) -> int:
    if "c" not in arguments.figures:
        return 0
    results = [latency.measure(rate, arguments.seconds, arguments.pairs, tell) for rate in latency.RATES]
    table = Table("frames/s", "us", "ours", "barest", "ratio", "min-max", "goal", box=None)
    for r in results:
        for figure, what in _LATENCY_ROWS:
            told, goal = r[figure], r.get(f"goal_{figure}")
            table.add_row(str(r["rate"]), what, f"{told['ours_us']:.1f}", f"{told['bare_us']:.1f}",
                          f"{told['ratio']:.2f}", f"{told['ratio_min']:.2f}-{told['ratio_max']:.2f}",
                          "" if goal is None else f"{goal:.2f}")  # fmt: skip
    Console().print(table)
    Console().print(f"no entry lost or doubled in any of {2 * sum(r['pairs'] for r in results)} runs")
    (HERE / "latency.json").write_text(json.dumps(results, indent=2) + "\n")
    return 0


_LATENCY_ROWS: Final = (
    ("p50", "latency, p50"),
    ("p99", "latency, p99"),
    ("max", "latency, most"),
    ("cpu", "CPU a frame"),
    ("late_p50", "of it the source's, p50"),
    ("late_p99", "of it the source's, p99"),
)


def _crowd(arguments: argparse.Namespace, tell: Tell) -> int:
    if "d" not in arguments.figures:
        return 0
    results = [crowd.measure(side, arguments.stretch, tell) for side in ("bare", "ours")]
    table = Table("", "MB above the floor", "most", "CPU of a core", "us a frame", box=None)
    for r in results:
        table.add_row(f"{r['side']}, whose floor is {r['floor_mb']:.1f} MB")
        for name in crowd.STRETCHES:
            if name in r:
                told = r[name]
                table.add_row(f"  {name}", f"{told['median_mb']:.1f}", f"{told['most_mb']:.1f}",
                              f"{told['cpu_share']:.1%}", f"{told['cpu_us']:.1f}")  # fmt: skip
    Console().print(table)
    Console().print(f"goal: {crowd.GOAL_MB:g} MB above the floor")
    (HERE / "crowd.json").write_text(json.dumps(results, indent=2) + "\n")
    return 0


def _ledger(arguments: argparse.Namespace, tell: Tell) -> int:
    if "e" not in arguments.figures:
        return 0
    result = ledger.measure(arguments.steps, arguments.pairs, tell)
    table = Table("ledger", "ours", "bare server", "ratio", "goal", box=None)
    for row in ledger.rows(result):
        table.add_row(*row)
    Console().print(table)
    (HERE / "ledger.json").write_text(json.dumps(result, indent=2) + "\n")
    return 0


def _credit(arguments: argparse.Namespace, tell: Tell) -> int:
    if "f" not in arguments.figures:
        return 0
    result = credit.measure(arguments.requests, arguments.pairs, tell)
    table = Table("credit", "ours", "bare server", "ratio", box=None)
    for row in credit.rows(result):
        table.add_row(*row)
    Console().print(table)
    (HERE / "credit.json").write_text(json.dumps(result, indent=2) + "\n")
    return 0


_PARTS: Final[tuple[Callable[[argparse.Namespace, Tell], int], ...]] = (_flat_out, _latency, _crowd, _ledger, _credit)


def main() -> int:
    """Measure, print, write; exit 1 if a figure is below its floor."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], default=["a", "b"], help="which (default a b)")
    parser.add_argument("--pairs", type=int, default=5, help="interleaved pairs a figure (default 5)")
    parser.add_argument("--frames", type=int, default=200_000, help="of a and b: frames a run (default 200000)")
    parser.add_argument("--only", default="", help="of a and b: only figures whose name contains this")
    parser.add_argument("--seconds", type=float, default=5.0, help="of c: how long a run is (default 5)")
    parser.add_argument("--stretch", type=float, default=20.0, help="of d: seconds of each stretch (default 20)")
    parser.add_argument("--steps", type=int, default=40_000, help="of e: decisions a run (default 40000)")
    parser.add_argument("--requests", type=int, default=1_000, help="of f: requests in flight (default 1000)")
    arguments = parser.parse_args()
    status = 0
    for part in _PARTS:
        with _progress() as tell:
            status |= part(arguments, tell)
    return status


if __name__ == "__main__":
    sys.exit(main())
