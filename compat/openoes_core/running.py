"""A service of the house that runs in a thread of its own, for callers that are not asynchronous."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Final, Generic, Protocol, Self, TypeVar

from heliograph.blocking import Bridge
from heliograph.errors import OutcomeUnknown
from heliograph.errors import SettlementError as Refused
from openoes_core.places import sdk_errors

T = TypeVar("T")
AGAIN_S: Final = 0.02
TRIES_MAX: Final = 100


class Service(Protocol):
    """What runs: `ended` is done once it cannot go on."""

    ended: "asyncio.Future[None] | None"


S = TypeVar("S", bound=Service)


class Running(Generic[S]):
    """One service, from `start` on until `close`.

    Args:
        bridge: whose loop it runs in.
        make: makes it, as often as it is started.
        again: whether it is started again after it ended for that reason.

    """

    def __init__(
        self,
        bridge: Bridge,
        make: Callable[[], AbstractAsyncContextManager[S]],
        again: Callable[[BaseException], bool] = lambda _: False,
    ) -> None:
        self._bridge = bridge
        self._make = make
        self._again = again
        self._service: S | None = None
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._change: asyncio.Condition | None = None
        self._stopping: asyncio.Event | None = None

    def start(self) -> None:
        """Start it, and return when it runs.

        Raises:
            OpenOESError: it cannot be started.

        """
        with sdk_errors():
            self._bridge.call(self.open)

    def call(self, function: Callable[[S], Awaitable[T]]) -> T:
        """Call one of its methods.

        Raises:
            OpenOESError: it refused, or has ended.

        """
        with sdk_errors():
            return self._bridge.call(lambda: self.within(function))

    async def open(self) -> None:
        """Do as `start` does, within the loop."""
        self._change, self._stopping = asyncio.Condition(), asyncio.Event()
        self._task = asyncio.create_task(self._run(self._change, self._stopping))
        async with self._change:
            await self._change.wait_for(lambda: self._service is not None or self._error is not None)
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """End it, within the loop, and wait for that."""
        if self._stopping is not None and self._task is not None:
            self._stopping.set()
            await asyncio.wait({self._task})

    async def within(self, function: Callable[[S], Awaitable[T]]) -> T:
        """Do as `call` does, within the loop.

        What is asked must be safe to be asked twice: a service that started again is asked again.
        """
        assert self._change is not None
        for number in range(TRIES_MAX):
            async with self._change:
                await self._change.wait_for(lambda: self._service is not None or self._error is not None)
            service = self._service
            if service is None:
                assert self._error is not None
                raise self._error
            try:
                return await function(service)
            except (OutcomeUnknown, Refused) as e:
                ended = isinstance(e, OutcomeUnknown) or e.code in ("ended", "fenced")
                if not ended or number == TRIES_MAX - 1:
                    raise
                await asyncio.sleep(AGAIN_S)
        raise AssertionError("the last try raises")

    async def _run(self, change: asyncio.Condition, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            error: BaseException | None = None
            try:
                async with self._make() as service:
                    assert service.ended is not None
                    await self._tell(change, service, None)
                    stop = asyncio.create_task(stopping.wait())
                    waited: set[asyncio.Future[Any]] = {stop, service.ended}
                    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                    stop.cancel()
                    if service.ended.done():
                        error = service.ended.exception()
                    self._service = None
            except Exception as e:  # Whatever keeps it from running is told to whoever asks it something.
                error = e
            if error is not None and not self._again(error):
                await self._tell(change, None, error)
                return
            if error is not None:
                await asyncio.sleep(AGAIN_S)
        await self._tell(change, None, Refused("ended", "it was closed"))

    async def _tell(self, change: asyncio.Condition, service: S | None, error: BaseException | None) -> None:
        async with change:
            self._service, self._error = service, error
            change.notify_all()


class Shared:
    """Something that several objects of a process hold together, and that ends with the last of them."""

    _all: ClassVar[dict[Hashable, "Shared"]] = {}
    _changing: ClassVar[threading.RLock] = threading.RLock()

    def __init__(self) -> None:
        self._holders = 0

    @classmethod
    def held(cls, key: Hashable, make: Callable[[], Self]) -> Self:
        """Return the one of that key, which is made and begun if nobody holds it; `release` it in the end."""
        with Shared._changing:
            found: Any = Shared._all.get((cls, key))
            if found is None:
                found = make()
                try:
                    found.begin()
                except BaseException:
                    found.end()
                    raise
                Shared._all[cls, key] = found
            found._holders += 1
            assert isinstance(found, cls)
            return found

    def release(self) -> None:
        """Let go of it; the last one ends it, and waits for its thread."""
        with Shared._changing:
            self._holders -= 1
            if self._holders:
                return
            for key, each in list(Shared._all.items()):
                if each is self:
                    del Shared._all[key]
            self.end()

    def begin(self) -> None:
        """Start."""

    def end(self) -> None:
        """End, and leave no thread."""
