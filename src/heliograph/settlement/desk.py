"""The custodian's one writer: it folds what waits into batches, and answers each caller once the primary has it.

A *job* is a step upon what the primary holds. It may be taken more than once: after a refusal, a lost connection or an
unknown outcome all memory is dropped, the primary is read again, and every job that was on its way is taken anew. So a
job must find out by itself that it is done: all of them do so by the id of the request, movement or cycle that they are
about.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

import msgspec
import structlog

from heliograph.bus.link import pause_s
from heliograph.clock import Clock
from heliograph.errors import BusError, HeliographError, OutcomeUnknown, SettlementError
from heliograph.model.settlement import BadValue
from heliograph.settlement.batch import STEPS_MAX, Batch
from heliograph.settlement.store import Store

T = TypeVar("T")

FLIGHTS_MAX: Final = 4
"""Batches on their way at once. More would make them smaller, and no faster."""
PAUSE_MAX_S: Final = 1.0
POINTS: Final = ("woken", "read", "decided", "submitted", "answered", "told")
"""Where a process may die in a turn: nothing of it is on the primary up to `decided`, all of it from `answered` on, and
after `submitted` nobody knows."""
AGAIN: Final = frozenset(("stale", "not_loaded"))
"""Refusals after which reading the primary again helps."""

_log = structlog.get_logger(__name__)


class Needs(msgspec.Struct, frozen=True):
    """What a step looks at, and must have been read before."""

    requests: tuple[str, ...] = ()
    positions: tuple[tuple[str, str], ...] = ()
    """(user, asset)."""
    assets: tuple[str, ...] = ()
    """Whose contra accounts."""
    records: Mapping[str, type[msgspec.Struct]] = {}
    """Other records by their key."""


class Round(Protocol):
    """What is done in every turn, after the jobs: answers, deadlines, what may be shown to the exchange."""

    async def needs(self, now_ns: int) -> None:
        """Read what `steps` will look at."""

    def steps(self, batch: Batch) -> None:
        """Take the steps that are due."""

    def done(self) -> None:
        """Note that all batches so far are on the primary."""

    def forget(self) -> None:
        """Forget what was believed to be on its way: memory was dropped."""


class _Job:
    """A step that somebody waits for."""

    __slots__ = ("needs", "result", "step")

    def __init__(self, needs: Needs, step: Callable[[Batch], Any], result: "asyncio.Future[Any]") -> None:
        self.needs = needs
        self.step = step
        self.result = result


class _Flight:
    """A batch on its way, and what its jobs came to."""

    __slots__ = ("answers", "done", "load")

    def __init__(self, load: int, done: "asyncio.Future[None]", answers: list[tuple[_Job, Any, Exception | None]]):
        self.load = load
        self.done = done
        self.answers = answers


class Desk:
    """The one task that writes; `run` it in a task group.

    Args:
        store: taken over already.
        clock: the custodian's.
        round_: what each turn does besides the jobs.
        at: called at each of `POINTS`, for tests that kill the process there.

    """

    def __init__(self, store: Store, clock: Clock, round_: Round, at: Callable[[str], None] = lambda _: None) -> None:
        self._at = at
        self._store = store
        self._clock = clock
        self._round = round_
        self._jobs: deque[_Job] = deque()
        self._flights: asyncio.Queue[_Flight] = asyncio.Queue()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._flying = 0
        self._loads = 0
        self._failed = -1
        self._over = False
        self.reloads = 0
        """How often all memory was dropped and the primary read again."""

    async def do(self, step: Callable[[Batch], T], needs: Needs) -> T:
        """Take a step, and return what it returned once the primary has it.

        Whoever is cancelled while waiting does not know whether the step was taken, and asks again by the same id.

        Raises:
            SettlementError, BadValue: the step was refused; nothing changed. `ended`: the custodian writes no more.
            OutcomeUnknown: it ended before the primary answered.

        """
        if self._over:
            raise SettlementError("ended", "the custodian has ended")
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.append(_Job(needs, step, result))
        self._wake.set()
        return await result

    def wake(self) -> None:
        """Take a turn soon, since something outside has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Take turns for ever.

        Raises:
            SettlementError: `fenced`: somebody else took over; `corrupt`, `other_head`: the primary's data is damaged,
                and a person must look at it. This process must end.

        """
        self._wake.set()
        finishing = asyncio.create_task(self._finish())
        finishing.add_done_callback(lambda _: self._wake.set())
        try:
            await self._turns(finishing)
        finally:
            finishing.cancel()
            await asyncio.wait({finishing})
            self._give_up()

    async def _turns(self, finishing: "asyncio.Task[None]") -> None:
        attempt = 0
        while True:
            await self._wake.wait()
            if finishing.done():
                finishing.result()
            self._wake.clear()
            try:
                if not self._store.loaded:
                    await self._reload()
                await self._turn()
                attempt = 0
            except (BusError, OutcomeUnknown) as e:
                attempt += 1
                _log.warning("primary away", error=str(e), attempt=attempt)
                await asyncio.sleep(pause_s(attempt, PAUSE_MAX_S))
                self._wake.set()
            except SettlementError as e:
                if e.code not in AGAIN:
                    raise
                self._wake.set()

    async def _reload(self) -> None:
        await self._store.load()
        self._loads += 1
        self.reloads += 1
        self._round.forget()

    async def _turn(self) -> None:
        while self._flying >= FLIGHTS_MAX:
            self._room.clear()
            await self._room.wait()
        if not self._store.loaded:
            raise SettlementError("not_loaded", "memory was dropped while waiting for room")
        self._at("woken")
        now_ns = self._clock.now_ns()
        jobs = [self._jobs.popleft() for _ in range(min(len(self._jobs), STEPS_MAX // 2))]
        try:
            await self._read(jobs)
            await self._round.needs(now_ns)
            self._at("read")
            batch = self._store.batch(now_ns)
        except BaseException:
            self._jobs.extendleft(reversed(jobs))
            raise
        answers = [(job, *_taken(job.step, batch)) for job in jobs if not job.result.done()]
        self._round.steps(batch)
        if not batch.empty:
            self._at("decided")
        self._flying += 1
        try:
            done = asyncio.ensure_future(self._store.submit(batch))
        except BaseException:
            self._flying -= 1
            self._jobs.extendleft(reversed(jobs))
            raise
        if not batch.empty:
            self._at("submitted")
        self._flights.put_nowait(_Flight(self._loads, done, answers))
        if self._jobs or batch.full:
            self._wake.set()

    async def _read(self, jobs: list[_Job]) -> None:
        requests: set[str] = set()
        positions: set[tuple[str, str]] = set()
        assets: set[str] = set()
        records: dict[str, type[msgspec.Struct]] = {}
        for job in jobs:
            requests.update(job.needs.requests)
            positions.update(job.needs.positions)
            assets.update(job.needs.assets)
            records.update(job.needs.records)
        await self._store.read(requests=requests, positions=positions, assets=assets, records=records)

    async def _finish(self) -> None:
        """Answer the callers of each batch in its turn; after a failure, of none that was decided upon it."""
        while True:
            flight = await self._flights.get()
            try:
                await flight.done
            except (HeliographError, OSError) as e:
                if isinstance(e, SettlementError) and e.code not in AGAIN:
                    self._jobs.extend(job for job, _, _ in flight.answers)
                    raise
                self._failed = flight.load
            self._flying -= 1
            self._room.set()
            if flight.load <= self._failed:
                self._jobs.extend(job for job, _, _ in flight.answers)
                self._wake.set()
                continue
            self._at("answered")
            for job, value, error in flight.answers:
                if job.result.done():
                    continue
                if error is None:
                    job.result.set_result(value)
                else:
                    job.result.set_exception(error)
            self._round.done()
            self._at("told")

    def _give_up(self) -> None:
        """Tell whoever waits that no answer will come."""
        self._over = True
        waiting = list(self._jobs)
        while not self._flights.empty():
            flight = self._flights.get_nowait()
            flight.done.cancel()
            waiting += [job for job, _, _ in flight.answers]
        for job in waiting:
            if not job.result.done():
                job.result.set_exception(OutcomeUnknown("the custodian ended before the primary answered"))


def _taken(step: Callable[[Batch], Any], batch: Batch) -> tuple[Any, Exception | None]:
    try:
        return step(batch), None
    except (SettlementError, BadValue) as e:
        return None, e
