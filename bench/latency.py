"""Figure c: from a frame's due time to the server's acknowledgement of its entry, at a fixed rate.

The source sends each frame when it is due and waits for nobody, so a client that falls behind is charged for it (no
coordinated omission); what the source itself, or the kernel, is late by is part of both sides' figures, and shown. The
end is the moment at which the measured process has read the answer to the append: after it the entry is there for every
reader, and to wait for it costs neither side a third process on two cores. Both sides end in the same way. Trades are
what is measured, since every one of them must arrive: what is lost fails the run.
"""

import statistics
from collections.abc import Mapping
from typing import Any, Final

import redis

from bench import running
from bench.running import Tell

RATES: Final = (5_000, 20_000)
KIND: Final = "trade"
P50_GOAL: Final = 1.15
P99_GOALS: Final[Mapping[int, float]] = {5_000: 1.5, 20_000: 2.0}


def measure(rate: int, seconds: float, pairs: int, tell: Tell) -> dict[str, Any]:
    """Return the figures at one rate: the medians of interleaved pairs.

    Args:
        rate: frames a second.
        seconds: of a run.
        pairs: runs of each side.
        tell: is told how far it is.

    """
    client_cpu, other_cpu = running.cores()
    count = int(rate * seconds)
    found: dict[str, list[dict[str, float]]] = {"bare": [], "ours": []}
    with running.source([KIND, str(count), "--rate", str(rate)], other_cpu) as source:
        port = source.readline().strip()
        for pair in range(pairs):
            for side in ("bare", "ours") if pair % 2 == 0 else ("ours", "bare"):
                tell(f"{rate} a second: pair {pair + 1} of {pairs}, {side}")
                with running.server(other_cpu) as server:
                    _stop_rewrites(server.url)
                    command = [side, "paced", KIND, port, str(count), str(server.port)]
                    run = running.client(command, client_cpu, timeout_s=seconds + 60)
                    _check_kept(server.url, count, side)
                first_s = float(source.readline())
                late_p50, late_p99 = map(float, source.readline().split())
                latencies = _latencies_us(run, first_s, rate)
                found[side].append({
                    "p50": _at(latencies, 0.50), "p99": _at(latencies, 0.99), "max": latencies[-1],
                    "cpu": run["cpu_us"], "late_p50": late_p50, "late_p99": late_p99,
                })  # fmt: skip
    return {"rate": rate, "pairs": pairs, **_summary(found, rate)}


def _summary(found: Mapping[str, list[dict[str, float]]], rate: int) -> dict[str, Any]:
    told: dict[str, Any] = {"goal_p50": P50_GOAL, "goal_p99": P99_GOALS.get(rate)}
    for figure in ("p50", "p99", "max", "cpu", "late_p50", "late_p99"):
        bare, ours = ([run[figure] for run in found[side]] for side in ("bare", "ours"))
        ratios = [o / b for b, o in zip(bare, ours, strict=True)]
        told[figure] = {
            "bare_us": round(statistics.median(bare), 1),
            "ours_us": round(statistics.median(ours), 1),
            "ratio": round(statistics.median(ratios), 2),
            "ratio_min": round(min(ratios), 2),
            "ratio_max": round(max(ratios), 2),
        }
    return told


def _latencies_us(run: Mapping[str, Any], first_s: float, rate: int) -> list[float]:
    """Return each entry's latency, those of the start left out, in order of size."""
    found: list[float] = []
    entry = run["warm"]
    for acknowledged, at_s in zip(run["counts"], run["times"], strict=True):
        found.extend((at_s - first_s - index / rate) * 1e6 for index in range(entry, acknowledged))
        entry = max(entry, acknowledged)
    return sorted(found)


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _stop_rewrites(url: str) -> None:
    """Keep the server from rewriting its append-only file while it is measured.

    It does so at 64 MB, which 20,000 entries a second reach after 4.5 s, on the core that it shares with the source:
    a tenth of a second's stall, near the end of either side's run, in which p99 told how much of the run was left.
    """
    with redis.Redis.from_url(url) as server:
        server.config_set("auto-aof-rewrite-percentage", 0)


def _check_kept(url: str, count: int, side: str) -> None:
    """Fail where an entry is missing, or there twice."""
    with redis.Redis.from_url(url) as server:
        kept = sum(server.xlen(key) for key in server.scan_iter(match="binance:*", count=1000))
    if kept != count:
        raise SystemExit(f"{side}: {count} frames, {kept} entries")
