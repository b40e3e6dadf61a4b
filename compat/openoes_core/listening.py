"""A thread that hands things to the application's callbacks, one after another, until it is stopped."""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")
FAILURES_MAX: Final = 100
_log: Final = logging.getLogger(__name__)


class Listening(Generic[T]):
    """What is put in is taken out by a function in a thread of its own; while it is stopped, things wait.

    Args:
        name: what for.
        take: called with each.

    """

    def __init__(self, name: str, take: Callable[[T], Any]) -> None:
        self.name = name
        self._take = take
        self._queue: queue.SimpleQueue[tuple[T] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failures: deque[Exception] = deque(maxlen=FAILURES_MAX)

    @property
    def failures(self) -> list[Exception]:
        """What callbacks raised lately."""
        return list(self._failures)

    @property
    def running(self) -> bool:
        """Whether its thread takes things out."""
        return self._thread is not None

    def put(self, item: T) -> None:
        """Have something taken."""
        self._queue.put((item,))

    def start(self) -> None:
        """Begin; a second time does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, after what is at work; the thread has ended when this returns, unless this is that thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            if thread is not threading.current_thread():
                thread.join()

    def guarded(self, callback: Callable[[Any], Any], item: Any) -> bool:
        """Call a callback, and tell whether it raised nothing; what it raises is logged and kept."""
        try:
            callback(item)
        except Exception as e:  # The callback is the application's: the others are called all the same.
            _log.exception("a callback of %s failed", self.name)
            self._failures.append(e)
            return False
        return True

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            self.guarded(self._take, item[0])
