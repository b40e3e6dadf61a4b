"""How long to wait before the next attempt: exponentially longer, fully jittered, bounded, forgotten once things hold.

Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (full jitter)
"""

import random
from typing import Final

from heliograph.clock import NS_PER_S

RETRY_AFTER_S_MAX: Final = 3 * 86_400.0
"""A longer request to stay away is a mistake; Binance's longest ban is three days."""


class Backoff:
    """The waits between attempts at one thing.

    Args:
        rng: seeded by the caller, so that a run can be repeated.
        base_s: the upper bound of the first wait, in seconds, positive.
        cap_s: the upper bound of every wait, in seconds, not below `base_s`.
        stable_s: an attempt that held for this long, in seconds, makes the next wait a first one.

    """

    def __init__(self, rng: random.Random, *, base_s: float = 0.5, cap_s: float = 30.0, stable_s: float = 60.0) -> None:
        if not 0 < base_s <= cap_s:
            raise ValueError(f"waits between {base_s} s and {cap_s} s are none")
        self.failures = 0
        """Failures in a row so far."""
        self._rng = rng
        self._base_s = base_s
        self._cap_s = cap_s
        self._stable_ns = int(stable_s * NS_PER_S)
        self._up_ns: int | None = None

    def succeeded(self, now_ns: int) -> None:
        """An attempt succeeded; whether it holds is seen at the next failure."""
        self._up_ns = now_ns

    def failed(self, now_ns: int, retry_after_s: float | None = None) -> int:
        """Return how long to wait before the next attempt, in nanoseconds.

        Args:
            now_ns: the time, from any clock that does not jump, the same one always.
            retry_after_s: what the other side asked for; never undercut, and not capped.

        """
        if self._up_ns is not None and now_ns - self._up_ns >= self._stable_ns:
            self.failures = 0
        self._up_ns = None
        self.failures += 1
        doublings = min(self.failures - 1, 62)  # Or a float would overflow after a thousand failures.
        wait_s = self._rng.uniform(0.0, min(self._cap_s, self._base_s * 2.0**doublings))
        return int(((retry_after_s or 0.0) + wait_s) * NS_PER_S)


def retry_after_s(header: str | None) -> float | None:
    """Read a `Retry-After` header given in seconds; None where there is none, or none that says a number.

    Its other form, a date, would need the peer's clock, and no venue sends it.

    Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    if header is None or not header.strip().isascii() or not header.strip().isdigit():
        return None
    return min(float(header), RETRY_AFTER_S_MAX)
