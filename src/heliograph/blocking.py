"""Asynchronous code for callers that are not: one event loop in a thread of its own.

::

    with Bridge() as bridge:
        findings = bridge.call(lambda: verify(nodes, scheme))
"""

import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from heliograph.errors import ConfigError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

T = TypeVar("T")


class Bridge:
    """An event loop in a thread, from the first call on until it is closed.

    Calls may come from any thread but its own, also from one that runs an event loop, which they then hold up.
    """

    def __init__(self) -> None:
        self._opening = threading.Lock()
        self._context: AbstractContextManager[BlockingPortal] | None = None
        self._portal: BlockingPortal | None = None
        self._closed = False

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run what a function returns, and return or raise what that does.

        Raises:
            ConfigError: the bridge was closed.

        """
        return self._opened().call(function)

    def close(self) -> None:
        """End the loop and its thread; what runs there is cancelled and waited for. A second time does nothing."""
        with self._opening:
            self._closed = True
            context, portal = self._context, self._portal
            self._context = self._portal = None
        if context is not None and portal is not None:
            portal.call(portal.stop, True)
            context.__exit__(None, None, None)

    def _opened(self) -> BlockingPortal:
        with self._opening:
            if self._closed:
                raise ConfigError("the bridge to the event loop was closed")
            if self._portal is None:
                self._context = start_blocking_portal()
                self._portal = self._context.__enter__()
            return self._portal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def call(function: Callable[[], Awaitable[T]]) -> T:
    """Run what a function returns, in a loop that ends with it, and return or raise what that does."""
    with Bridge() as bridge:
        return bridge.call(function)
