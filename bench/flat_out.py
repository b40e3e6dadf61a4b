"""Figures a and b: frames to objects, and frames to entries, as fast as they go."""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from bench import running
from bench.running import Tell

GOAL: Final = 0.80
FLOOR: Final = 0.50


def measure(what: str, kind: str, count: int, pairs: int, tell: Tell) -> dict[str, Any]:
    """Return one figure: the median of interleaved pairs.

    Args:
        what: `objects` or `entries`.
        kind: of the frames.
        count: frames of a run.
        pairs: runs of each side.
        tell: is told how far it is.

    """
    client_cpu, other_cpu = running.cores()
    ratios: list[float] = []
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    with running.source([kind, str(count)], other_cpu) as source:
        port = source.readline().strip()
        for pair in range(pairs):
            for side in ("bare", "ours"):
                tell(f"{what} {kind}: pair {pair + 1} of {pairs}, {side}")
                with _server(what, other_cpu) as valkey_port:
                    run = running.client([side, what, kind, port, str(count), str(valkey_port)], client_cpu)
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
    with running.server(cpu) as server:
        yield server.port
