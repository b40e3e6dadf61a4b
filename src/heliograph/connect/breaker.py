"""A circuit breaker: after failures in a row it leaves an endpoint alone, then lets a trial decide."""

from enum import Enum, IntEnum
from typing import Final

from heliograph.clock import NS_PER_S

TRIAL_POLL_S: Final = 1.0
"""How long to wait for somebody else's trial before asking again."""


class State(IntEnum):
    """What a breaker does with attempts; the number is the gauge's."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class Signal(Enum):
    """What moves a breaker from one state to another."""

    EXHAUSTED = "the last failure in a row that it bears"
    WAITED = "an attempt, once the wait is over"
    SUCCEEDED = "an attempt succeeded"
    FAILED = "an attempt failed"


TRANSITIONS: Final = {
    (State.CLOSED, Signal.EXHAUSTED): State.OPEN,
    (State.OPEN, Signal.WAITED): State.HALF_OPEN,
    (State.OPEN, Signal.SUCCEEDED): State.CLOSED,  # An attempt that was under way came through: better than any timer.
    (State.HALF_OPEN, Signal.SUCCEEDED): State.CLOSED,
    (State.HALF_OPEN, Signal.FAILED): State.OPEN,
}
"""Every change there is; any other pair leaves the state as it was."""


class Breaker:
    """The breaker of one endpoint, shared by all that connect to it. Pure: it is told the time.

    Each attempt is announced with `begin` and ends in exactly one of `succeeded`, `failed` and `abandoned`; a connect
    that fails is a failure like any other.

    Args:
        failures_max: this many failures in a row open it.
        wait_s: how long it stays open the first time, in seconds; each opening in a row doubles it.
        wait_s_max: the longest it stays open, in seconds.
        trials_max: how many attempts may be under way while it is half open.

    """

    def __init__(
        self, *, failures_max: int = 5, wait_s: float = 30.0, wait_s_max: float = 300.0, trials_max: int = 1
    ) -> None:
        if failures_max < 1 or trials_max < 1 or not 0 < wait_s <= wait_s_max:
            raise ValueError("a breaker needs a positive number of failures, of trials, and of seconds to wait")
        self.state = State.CLOSED
        self.failures = 0
        """Failures in a row."""
        self._failures_max = failures_max
        self._wait_s = wait_s
        self._wait_s_max = wait_s_max
        self._trials_max = trials_max
        self._openings = 0
        self._trials = 0
        self._until_ns = 0

    def wait_ns(self, now_ns: int) -> int:
        """Return how long from now to wait before asking again, in nanoseconds; 0 exactly when `begin` would let in."""
        if self.state is State.OPEN:
            return max(0, self._until_ns - now_ns)
        if self.state is State.HALF_OPEN and self._trials >= self._trials_max:
            return int(TRIAL_POLL_S * NS_PER_S)
        return 0

    def begin(self, now_ns: int) -> bool:
        """Ask to make an attempt, and count it if that may be."""
        if self.wait_ns(now_ns) > 0:
            return False
        self._move(Signal.WAITED, now_ns)
        if self.state is State.HALF_OPEN:
            self._trials += 1
        return True

    def succeeded(self, now_ns: int) -> None:
        """An attempt succeeded."""
        self.failures = 0
        self._move(Signal.SUCCEEDED, now_ns)

    def failed(self, now_ns: int) -> None:
        """An attempt failed, or what it had made broke."""
        self.failures += 1
        self._move(Signal.FAILED, now_ns)
        if self.failures >= self._failures_max:
            self._move(Signal.EXHAUSTED, now_ns)

    def abandoned(self) -> None:
        """An attempt was given up before it had an outcome."""
        self._trials = max(0, self._trials - 1)

    def _move(self, signal: Signal, now_ns: int) -> None:
        state = TRANSITIONS.get((self.state, signal), self.state)
        if state is self.state:
            return
        self.state = state
        self._trials = 0
        if state is State.OPEN:
            doublings = min(self._openings, 62)  # Or a float would overflow after a thousand openings.
            self._openings += 1
            self._until_ns = now_ns + int(min(self._wait_s_max, self._wait_s * 2.0**doublings) * NS_PER_S)
        elif state is State.CLOSED:
            self._openings = 0
