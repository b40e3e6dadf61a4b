"""The time of day, as a value that tests can move.

Time is an `int` of nanoseconds since the Unix epoch, UTC, everywhere inside Heliograph.
"""

import time
from datetime import UTC, datetime
from typing import Final, Protocol

NS_PER_US: Final = 1_000
NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000


class Clock(Protocol):
    """What tells the time."""

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""


class SystemClock:
    """The machine's own clock."""

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""
        return time.time_ns()


class ManualClock:
    """A clock that stands still until it is moved.

    Args:
        start_ns: what it shows at first, in nanoseconds since the Unix epoch.

    """

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""
        return self._now_ns

    def advance(self, step_ns: int) -> None:
        """Move the clock forward.

        Args:
            step_ns: nanoseconds, not negative.

        """
        if step_ns < 0:
            raise ValueError(f"time does not run backwards: {step_ns} ns")
        self._now_ns += step_ns


class ScaledClock:
    """A clock that runs `speed` times as fast as the machine's, from a given instant.

    Args:
        start_ns: what it shows when made, in nanoseconds since the Unix epoch.
        speed: simulated seconds per real second, positive.

    """

    def __init__(self, start_ns: int, speed: float) -> None:
        self._start_ns = start_ns
        self._origin_ns = time.monotonic_ns()
        self.speed = speed

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch, in simulated time."""
        return self._start_ns + int((time.monotonic_ns() - self._origin_ns) * self.speed)


_second_prefixes: dict[int, str] = {}


def iso_ms(instant_ns: int) -> str:
    """Render an instant as ISO 8601 with milliseconds, such as `2026-11-21T09:42:40.123Z`.

    Args:
        instant_ns: nanoseconds since the Unix epoch; what is below a millisecond is cut off.

    """
    second, rest_ns = divmod(instant_ns, NS_PER_S)
    prefix = _second_prefixes.get(second)
    if prefix is None:
        if len(_second_prefixes) >= 4096:  # A hot path asks for the same few seconds over and over.
            _second_prefixes.clear()
        prefix = f"{datetime.fromtimestamp(second, UTC).isoformat()[:19]}."  # strftime writes the year 999 as 999.
        _second_prefixes[second] = prefix
    return f"{prefix}{rest_ns // NS_PER_MS:03d}Z"


def from_iso(text: str) -> int:
    """Read an ISO 8601 instant into nanoseconds since the Unix epoch.

    Args:
        text: with a zone (`Z` or an offset); a naive time is refused, since its zone would be a guess.

    Raises:
        ValueError: the text is not such an instant.

    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no time zone in {text!r}")
    whole = moment.replace(microsecond=0)
    return int(whole.timestamp()) * NS_PER_S + moment.microsecond * NS_PER_US
