"""When to ask once more for what did not come, or did not last: after waits that double."""


class Again:
    """The time before which something is not to be asked for again.

    Args:
        min_ns: the first wait.
        max_ns: the longest.

    """

    def __init__(self, min_ns: int, max_ns: int) -> None:
        self._min_ns = min_ns
        self._max_ns = max_ns
        self._wait_ns = min_ns
        self._next_ns: int | None = None

    def due(self, now_ns: int) -> bool:
        """Tell whether the wait is over; it is where nothing was asked."""
        # The lower bound lets a clock that was set back not hold us for ever.
        return self._next_ns is None or not self._next_ns - self._max_ns <= now_ns < self._next_ns

    def asked(self, now_ns: int) -> None:
        """Take it that it is being asked."""
        self._next_ns = now_ns + self._wait_ns

    def in_vain(self) -> None:
        """Wait twice as long from the next time on that it is asked."""
        self._wait_ns = min(2 * self._wait_ns, self._max_ns)

    def worked(self) -> None:
        """Begin with the first wait again, once the present one is over."""
        self._wait_ns = self._min_ns

    def at_once(self) -> None:
        """End the present wait."""
        self._next_ns = None
