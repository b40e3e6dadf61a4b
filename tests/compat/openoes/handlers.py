"""What the suites give to the SDK as handlers, and how they wait for it."""

import threading
import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 20.0


class Calls:
    """A handler that notes what it was called with, and says when there were enough."""

    def __init__(self, answer: Callable[[Any], Any] = lambda _: True) -> None:
        self.messages: list[Any] = []
        self.at_s: list[float] = []
        self._answer = answer
        self._more = threading.Condition()

    def __call__(self, message: Any) -> Any:
        with self._more:
            self.messages.append(message)
            self.at_s.append(time.monotonic())
            self._more.notify_all()
        return self._answer(message)

    def wait(self, count: int) -> list[Any]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.messages) >= count, PATIENCE_S), self.messages
            return list(self.messages)


def wait_until(holds: Callable[[], Any]) -> None:
    """Wait for what no event tells of."""
    ends_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends_s, f"it did not come to be within {PATIENCE_S:g} s"
        threading.Event().wait(0.01)
