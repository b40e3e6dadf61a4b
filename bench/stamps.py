"""When entries were acknowledged, as both sides of figure c note it."""

import asyncio
import time
from typing import Any, Final

WARM_SHARE: Final = 0.1
"""Of a run, which is not counted: start-up, first looks at symbols, caches."""


class Stamps:
    """What one run notes: after each answer of the server, how many entries it has answered for, and when.

    Args:
        count: entries of the run.

    """

    def __init__(self, count: int) -> None:
        self.done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._count = count
        self._counts: list[int] = []
        self._times: list[float] = []
        self._warm = int(count * WARM_SHARE)
        self._cpu: tuple[int, float] | None = None

    def note(self, acknowledged: int) -> None:
        """Take note of the number of entries that are acknowledged by now."""
        now = time.perf_counter()
        self._counts.append(acknowledged)
        self._times.append(now)
        if self._cpu is None and acknowledged >= self._warm:
            self._cpu = (acknowledged, time.process_time())
        if acknowledged >= self._count and not self.done.done():
            self._used_us = self._cpu_us()
            self.done.set_result(now)

    def told(self) -> dict[str, Any]:
        """Return what the benchmark needs of them."""
        return {"counts": self._counts, "times": self._times, "warm": self._warm, "cpu_us": self._used_us}

    def _cpu_us(self) -> float:
        assert self._cpu is not None
        warm, used_s = self._cpu
        return (time.process_time() - used_s) / max(self._count - warm, 1) * 1e6
