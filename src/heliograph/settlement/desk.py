"""The custodian's one writer: it folds what waits into batches, and answers each caller once the primary has it.

A *job* is a step upon what the primary holds. It may be taken more than once: after a refusal, a lost connection or an
unknown outcome all memory is dropped, the primary is read again, and every job that was on its way is taken anew. So a
job must find out by itself that it is done: all of them do so by the id of the request, movement or cycle that they are
about.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol, TypeVar

import msgspec
import structlog

from heliograph.bus.link import pause_s
from heliograph.clock import Clock
from heliograph.errors import BusError, HeliographError, OutcomeUnknown, SettlementError
from heliograph.settlement.batch import STEPS_MAX, Batch
from heliograph.settlement.store import Store

T = TypeVar("T")

FLIGHTS_MAX: Final = 4
"""Batches on their way at once. More would make them smaller, and no faster."""
JOBS_MAX: Final = 65_536
"""Steps that may wait for their turn."""
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
    """A step that somebody waits for, in its place among all of them."""

    __slots__ = ("needs", "place", "result", "step")

    def __init__(self, place: int, needs: Needs, step: Callable[[Batch], Any], result: "asyncio.Future[Any]") -> None:
        self.place = place
        self.needs = needs
        self.step = step
        self.result = result


class _Flight:
    """A batch on its way, and what its jobs came to."""

    __slots__ = ("answers", "done", "empty", "load")

    def __init__(
        self,
        load: int,
        done: "asyncio.Future[None]",
        answers: list[tuple[_Job, Any, Exception | None]],
        *,
        empty: bool,
    ) -> None:
        self.load = load
        self.done = done
        self.answers = answers
        self.empty = empty


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
        self._flights: deque[_Flight] = deque()
        self._begun = asyncio.Event()
        self._wake = asyncio.Event()
        self._landed = asyncio.Event()
        self._places = 0
        self._misses = 0
        self._loads = 0
        self._failed = -1
        self._over = False
        self.reloads = 0
        """How often all memory was dropped and the primary read again."""

    async def do(self, step: Callable[[Batch], T], needs: Needs) -> T:
        """Take a step, and return what it returned once the primary has it.

        Whoever is cancelled while waiting does not know whether the step was taken, and asks again by the same id.

        Raises:
            SettlementError, BadValue: the step was refused; nothing changed. `ended`: the custodian writes no more;
                `busy`: too many steps wait.
            OutcomeUnknown: it ended before the primary answered.

        """
        if self._over:
            raise SettlementError("ended", "the custodian has ended")
        if len(self._jobs) >= JOBS_MAX:
            raise SettlementError("busy", f"{JOBS_MAX} steps wait for the primary")
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._places += 1
        self._jobs.append(_Job(self._places, needs, step, result))
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
            BusError: `TORN`: a commit stopped halfway; the same.

        """
        self._wake.set()
        finishing = asyncio.create_task(self._finish())
        finishing.add_done_callback(self._finished)
        try:
            await self._turns(finishing)
        finally:
            finishing.cancel()
            await asyncio.wait({finishing})
            self._give_up()

    def _finished(self, _: object) -> None:
        self._wake.set()
        self._landed.set()

    async def _turns(self, finishing: "asyncio.Task[None]") -> None:
        attempt = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                if not self._store.loaded:
                    await self._reload(finishing)
                await self._land(FLIGHTS_MAX - 1, finishing)
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

    async def _land(self, flights: int, finishing: "asyncio.Task[None]") -> None:
        """Wait until no more than so many batches are on their way."""
        while not finishing.done() and len(self._flights) > flights:
            self._landed.clear()
            await self._landed.wait()
        if finishing.done():
            finishing.result()

    async def _reload(self, finishing: "asyncio.Task[None]") -> None:
        # What was on its way comes back first, so that the order of what was asked is kept.
        await self._land(0, finishing)
        if self._misses > 1:
            # Once is what happens to anybody. A primary that refuses everything is not to be asked without a pause.
            await asyncio.sleep(pause_s(self._misses, PAUSE_MAX_S))
        await self._store.load()
        self._loads += 1
        self.reloads += 1
        self._round.forget()

    async def _turn(self) -> None:
        if not self._store.loaded:
            raise SettlementError("not_loaded", "memory was dropped while waiting for room")
        self._at("woken")
        now_ns = self._clock.now_ns()
        jobs = [self._jobs.popleft() for _ in range(min(len(self._jobs), STEPS_MAX // 2))]
        try:
            self._store.tidy()
            await self._read(jobs)
            await self._round.needs(now_ns)
            self._at("read")
            batch = self._store.batch(now_ns)
            answers = _answers(jobs, batch)
            if answers is None:
                self._back(jobs)
                self._wake.set()
                return
            self._round.steps(batch)
            if not batch.empty:
                self._at("decided")
            done = asyncio.ensure_future(self._store.submit(batch))
        except BaseException:
            self._back(jobs)
            raise
        self._flights.append(_Flight(self._loads, done, answers, empty=batch.empty))
        self._begun.set()
        if not batch.empty:
            self._at("submitted")
        if self._jobs or batch.full:
            self._wake.set()

    def _back(self, jobs: Iterable[_Job]) -> None:
        """Let jobs wait again, each in its old place."""
        self._jobs = deque(sorted((*jobs, *self._jobs), key=lambda job: job.place))

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
            while not self._flights:
                self._begun.clear()
                await self._begun.wait()
            flight = self._flights[0]  # It stays there until it is answered, for whoever must give up.
            try:
                await flight.done
            except (HeliographError, OSError) as e:
                if _fatal(e):
                    raise
                if flight.load > self._failed:
                    self._misses += 1
                    _log.warning("batch not done", error=str(e), misses=self._misses)
                self._failed = max(self._failed, flight.load)
            if flight.load <= self._failed:
                self._back(job for job, _, _ in flight.answers)
                self._wake.set()
            else:
                self._tell(flight)
            self._flights.popleft()
            self._landed.set()

    def _tell(self, flight: _Flight) -> None:
        if not flight.empty:
            self._misses = 0
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
        for flight in self._flights:
            flight.done.cancel()
            waiting += [job for job, _, _ in flight.answers]
        self._jobs.clear()
        self._flights.clear()
        for job in waiting:
            if not job.result.done():
                job.result.set_exception(OutcomeUnknown("the custodian ended before the primary answered"))


def _fatal(error: Exception) -> bool:
    """Whether reading the primary again does not help."""
    if isinstance(error, BusError):
        return error.code == "TORN"
    return isinstance(error, SettlementError) and error.code not in AGAIN


def _answers(jobs: Iterable[_Job], batch: Batch) -> list[tuple[_Job, Any, Exception | None]] | None:
    """Take the jobs' steps upon a batch; None if one of them left half a step there, so that the batch is no good."""
    answers: list[tuple[_Job, Any, Exception | None]] = []
    for job in jobs:
        if job.result.done():
            continue
        before = batch.mark
        try:
            answers.append((job, job.step(batch), None))
        except Exception as e:  # A step may be anybody's; its fault is told to whoever asked, and stops nobody else.
            if batch.mark != before:
                job.result.set_exception(e)
                return None
            answers.append((job, None, e))
    return answers
