"""How much one address may ask of a simulated venue, as its REST interface counts."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from heliograph.venues.dialect import Answer, Ask, Rest

BAN_AFTER: Final = 20
"""How many answers of 429 in one minute may be ignored before the address is banned."""

BAN_S: Final = 120


class Budget:
    """What one address has used of each of the origin's quotas, in real time."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self.used: Counter[str] = Counter()
        """The weight used in the present window, by the quota's name."""
        self._windows: dict[str, int] = {}
        self._refused = 0
        self._banned_until_s = 0.0

    def refusal(self, ask: Ask, now_s: float) -> Answer | None:
        """Return the refusal that a request deserves before it is looked at, if any."""
        quota = self._rest.quota(ask)
        window = int(now_s // quota.window_s)
        if window != self._windows.get(quota.name):
            self._windows[quota.name], self.used[quota.name], self._refused = window, 0, 0
        wait_s = int(quota.window_s - now_s % quota.window_s) + 1
        if now_s < self._banned_until_s:
            until_ms = int(self._banned_until_s * 1000)
            return self._rest.banned(until_ms=until_ms, wait_s=int(self._banned_until_s - now_s) + 1)
        if self.used[quota.name] < quota.weight_max:
            return None
        self._refused += 1
        if self._rest.bans and self._refused > BAN_AFTER:
            self._banned_until_s = now_s + BAN_S
        return self._rest.too_much(ask, wait_s=wait_s)

    def spend(self, ask: Ask, weight: int, now_s: float) -> Mapping[str, str]:
        """Count a request, and return the headers that tell what its quota has used by then."""
        quota = self._rest.quota(ask)
        self.used[quota.name] += weight
        reset_ms = (int(now_s // quota.window_s) + 1) * quota.window_s * 1000
        return self._rest.headers(quota, self.used[quota.name], reset_ms)
