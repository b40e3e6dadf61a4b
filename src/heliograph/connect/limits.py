"""What a venue lets us do in a stretch of time: connects, control messages, REST weight.

One rule covers them all: at most so much in any window of that length, wherever the window begins. A token bucket would
let up to twice as much through in the first window, and a window aligned to our clock is a guess at the venue's.
"""

import asyncio
from collections import deque
from typing import Final

from heliograph.clock import NS_PER_S

SLICES: Final = 64
"""Bookings closer together than this part of a window are one entry, which bounds memory and errs on the safe side."""


class Window:
    """A budget of `capacity` in any window of `window_s` seconds. Pure: it is told the time.

    Bookings are served in the order they are made, and a booking that is not used is spent all the same.

    Args:
        capacity: how much fits in a window, positive, in the venue's unit.
        window_s: the window's length in seconds, positive.

    """

    def __init__(self, capacity: int, window_s: float) -> None:
        if capacity < 1 or window_s <= 0:
            raise ValueError(f"{capacity} in {window_s} s is no budget")
        self.capacity = capacity
        self._window_ns = int(window_s * NS_PER_S)
        self._slice_ns = self._window_ns // SLICES
        self._entries: deque[_Entry] = deque()
        self._booked = 0
        self._held_ns = 0

    @classmethod
    def per_second(cls, rate: float) -> "Window":
        """Make a budget of `rate` a second; below one a second, of one in as many seconds as that takes."""
        return cls(int(rate), 1.0) if rate >= 1 else cls(1, 1 / rate)

    def used(self, now_ns: int) -> int:
        """Return how much is booked in the window that ends now."""
        self._forget(now_ns)
        return sum(entry.cost for entry in self._entries if entry.last_ns <= now_ns)

    def delay_ns(self, now_ns: int, cost: int = 1) -> int:
        """Return how long from now `cost` would have to wait, in nanoseconds; 0 is now.

        Raises:
            ValueError: the cost would never fit.

        """
        return self._earliest(now_ns, cost) - now_ns

    def book(self, now_ns: int, cost: int = 1) -> int:
        """Spend `cost` at the earliest moment that has room, and return how long from now that is, in nanoseconds.

        Raises:
            ValueError: the cost would never fit.

        """
        at_ns = self._earliest(now_ns, cost)
        self._add(at_ns, cost)
        return at_ns - now_ns

    def give_back(self, at_ns: int, cost: int) -> None:
        """Take back what was booked for `at_ns` and is known not to have been used: it is not counted any more."""
        for entry in self._entries:
            if entry.first_ns <= at_ns <= entry.last_ns:
                given = min(cost, entry.cost)
                entry.cost -= given
                self._booked -= given
                return

    def observe(self, now_ns: int, used: int) -> None:
        """Believe the venue where it has counted more in the present window than we have: we may not be alone.

        Where it has counted less its window has begun anew, which gives nothing back: ours has not.
        """
        missing = used - self.used(now_ns)
        if missing > 0:
            self._add(max(now_ns, self._entries[-1].last_ns if self._entries else 0), missing)

    def hold(self, now_ns: int, wait_s: float) -> None:
        """Let nothing through for so many seconds from now: the venue asked to be left alone."""
        self._held_ns = max(self._held_ns, now_ns + int(wait_s * NS_PER_S))

    def held_ns(self, now_ns: int) -> int:
        """Return for how long from now nothing may go through, booked or not, in nanoseconds."""
        return max(0, self._held_ns - now_ns)

    def _earliest(self, now_ns: int, cost: int) -> int:
        if not 0 < cost <= self.capacity:
            raise ValueError(f"a cost of {cost} never fits into {self.capacity}")
        self._forget(now_ns)
        at_ns = max(now_ns, self._held_ns, self._entries[-1].last_ns if self._entries else 0)
        excess = self._booked + cost - self.capacity
        for entry in self._entries:
            if excess <= 0:
                break
            at_ns = max(at_ns, entry.last_ns + self._window_ns)
            excess -= entry.cost
        return at_ns

    def _add(self, at_ns: int, cost: int) -> None:
        self._booked += cost
        if self._entries and at_ns - self._entries[-1].first_ns < self._slice_ns:
            self._entries[-1].last_ns = at_ns
            self._entries[-1].cost += cost
        else:
            self._entries.append(_Entry(at_ns, cost))

    def _forget(self, now_ns: int) -> None:
        while self._entries and self._entries[0].last_ns + self._window_ns <= now_ns:
            self._booked -= self._entries.popleft().cost


class _Entry:
    __slots__ = ("cost", "first_ns", "last_ns")

    def __init__(self, at_ns: int, cost: int) -> None:
        self.first_ns = at_ns
        self.last_ns = at_ns
        self.cost = cost


async def acquire(window: Window, cost: int = 1) -> int:
    """Wait on the loop's clock until `window` has room for `cost`, and spend it.

    Turns are given in the order of asking; callers whose turns fall together may pass in any order. Being cancelled
    while waiting gives nothing back.

    Returns:
        The moment for which it is booked, as `Window.give_back` takes it.

    Raises:
        ValueError: the cost would never fit.

    """
    loop_ns = loop_clock_ns()
    due_ns = loop_ns + window.book(loop_ns, cost)
    while True:
        now_ns = loop_clock_ns()
        # A timer may fire a little early, and the venue may ask for silence while we wait.
        wait_ns = max(due_ns - now_ns, window.held_ns(now_ns))
        if wait_ns <= 0:
            return due_ns
        await asyncio.sleep(wait_ns / NS_PER_S)


def loop_clock_ns() -> int:
    """Return the running loop's monotonic clock in nanoseconds, what waits in this package are measured by."""
    return int(asyncio.get_running_loop().time() * NS_PER_S)
