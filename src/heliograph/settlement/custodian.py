"""The custodian: whoever keeps the coins, and asks an exchange for credit that mirrors them.

::

    async with Custodian(settings) as custodian:
        await custodian.deposit("alice", "BTC", Decimal(10), "wire-1")
        await custodian.request("pledge-1", CreditOrder("increase", "alice", "BTC", "5", "Bitcoin", "bc1q"))
        request = await custodian.final("pledge-1", timeout_s=5)

What a method returns is on the primary. Every change has an id of its caller's choosing, and asking again by the same
id is always safe: that is what to do after an error that leaves the outcome open.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Final, Self, TypeVar

import msgspec
import structlog

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.endpoint import Endpoint
from heliograph.clock import NS_PER_S, Clock, SystemClock
from heliograph.errors import BusError, OutcomeUnknown, SettlementError
from heliograph.metrics import LinkMetrics
from heliograph.model.settlement import Cancel, CreditOrder, amount_text, name, positive
from heliograph.settlement import cycle as cycles
from heliograph.settlement import faces
from heliograph.settlement.answers import Answers
from heliograph.settlement.audit import Audit
from heliograph.settlement.batch import Batch
from heliograph.settlement.census import audit_primary
from heliograph.settlement.credit import OPEN, Request, State
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.desk import POINTS as TURN_POINTS
from heliograph.settlement.desk import Desk, Needs
from heliograph.settlement.envelope import content, digest
from heliograph.settlement.freeze import Action, Freeze, Freezes, allow, frozen, lifted
from heliograph.settlement.keyring import Keyring, PublicKey, Signer
from heliograph.settlement.ledger import Position
from heliograph.settlement.link.custodian import Cursor
from heliograph.settlement.passage import Docket, Kind, Passage, added, entering, leaving, same
from heliograph.settlement.payouts import Payer, Payouts, passing
from heliograph.settlement.primary import Primary
from heliograph.settlement.reconcile import CustodianBooks
from heliograph.settlement.records import Cause
from heliograph.settlement.rounds import Rounds, Sender
from heliograph.settlement.siblings import Siblings
from heliograph.settlement.store import Store

T = TypeVar("T")

POINTS: Final = (*TURN_POINTS, "paying", "paid")
"""Where a custodian's process may die: between any two steps of a turn, and around a payment."""
TICK_S: Final = 0.25
QUARANTINE_MAX: Final = 10_000
"""Messages that are kept aside; of more, the oldest go, so that nobody can fill the primary with junk."""
SIBLING_S: Final = 0.005
SIBLING_AWAY_S: Final = 0.5

_log = structlog.get_logger(__name__)


class CustodianSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One custodian's end of one link.

    Args:
        link: which custodian and exchange.
        name: the custodian's name on the seeds' wire.
        primary: where the custodian keeps its state; with an append-only file, fsynced at every write.
        replica: the exchange's replica of it, as a user that may read the mailbox.
        siblings: every other replica that may be promoted, whole: one that is left out can lose money.
        signer: the custodian's own key.
        keys: the exchange's.
        assets: which assets settle; None for all.
        window_ns: how long a report may be disputed.
        quiet_s: after how long without news to look for a mailbox that went back, in seconds.

    """

    link: str
    primary: Endpoint
    replica: Endpoint
    signer: Signer
    keys: tuple[PublicKey, ...]
    name: str = "custodian"
    siblings: tuple[Endpoint, ...] = ()
    assets: frozenset[str] | None = None
    window_ns: int = 60 * NS_PER_S
    quiet_s: float = 0.5


class Custodian:
    """One custodian's end of one link, running; an async context manager.

    Entering it takes the writer's place: whoever had it before is refused from then on, and ends.

    Args:
        settings: which link, and where.
        clock: the custodian's.
        payer: moves a withdrawal's coins outside; None where nothing is to be done.
        at: called at each of `POINTS`, for tests that kill the process there.

    """

    def __init__(
        self,
        settings: CustodianSettings,
        *,
        clock: Clock | None = None,
        payer: Payer | None = None,
        at: Callable[[str], None] = lambda _: None,
    ) -> None:
        name(settings.link, "link")
        self.settings = settings
        self.link = settings.link
        self._clock = clock or SystemClock()
        self._store = Store(settings.primary, settings.link)
        self._sender = Sender(settings.signer, settings.link)
        self._answers = Answers(
            settings.replica, settings.link, Keyring(settings.keys), self._wake, quiet_s=settings.quiet_s
        )
        self._rounds = Rounds(
            self._store,
            self._sender,
            self._answers,
            name=settings.name,
            assets=settings.assets,
            window_ns=settings.window_ns,
            siblings=len(settings.siblings),
        )
        self._rounds.told = self._told
        self._desk = Desk(self._store, self._clock, self._rounds, at)
        self._siblings = Siblings(settings.siblings, settings.link)
        self._payouts = Payouts(self._desk, self._store, self._rounds, self._siblings, payer, at)
        self._reading = Asker(settings.primary, name=f"heliograph-custodian-reads:{settings.link}")
        self._books = Primary(self._reading, settings.link)
        self._waiting: dict[str, set[asyncio.Future[Request]]] = {}
        self._listeners: list[Callable[[Request | Cycle], None]] = []
        self._stack = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self.ended: asyncio.Future[None] | None = None
        """Done once the custodian cannot go on, with the reason; `fenced` if somebody else took over."""

    async def __aenter__(self) -> Self:
        self.ended = asyncio.get_running_loop().create_future()
        self.ended.add_done_callback(lambda ended: None if ended.cancelled() else ended.exception())
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._store)
            await stack.enter_async_context(self._siblings)
            await stack.enter_async_context(self._reading)
            await self._store.take_over()
            for run in (self._desk.run, self._answers.run, self._tick, self._watch_siblings, self._payouts.run):
                task = asyncio.create_task(run(), name=f"custodian {self.link}: {run.__name__}")
                task.add_done_callback(self._task_ended)
                self._tasks.append(task)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()
        self._give_up()
        await self._stack.aclose()
        if self.ended is not None and not self.ended.done():
            self.ended.set_result(None)

    def _task_ended(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or self.ended is None or self.ended.done():
            return
        error = task.exception() or SettlementError("ended", f"{task.get_name()} ended")
        _log.error("custodian ended", link=self.link, error=str(error))
        self.ended.set_exception(error)
        for task_left in self._tasks:
            task_left.cancel()
        self._give_up()

    def _give_up(self) -> None:
        """Tell whoever waits for an answer that none will come."""
        for answer in [answer for answers in self._waiting.values() for answer in answers]:
            if not answer.done():
                answer.set_exception(OutcomeUnknown("the custodian ended before the exchange answered"))

    # What is asked of the custodian.

    async def deposit(
        self, user: str, asset: str, amount: Decimal, reference: str, chain: str = "", address: str = ""
    ) -> Position:
        """Take coins into custody, and return the user's accounts.

        Raises:
            BadValue: `bad_name`, `bad_amount`.
            SettlementError: `conflict`: the reference is another passage's; `too_large`.

        """
        asked = _passage("deposit", reference, user, asset, amount, chain, address)

        def step(batch: Batch) -> Position:
            key = link_keys.passage(self.link, reference)
            found = batch.record_at(Passage, key)
            if found is None:
                self._allow(batch, "deposit", user, asset)
                batch.post(Cause("deposit", reference), [entering(asked)], {key: asked})
            else:
                same(found, asked)
            return batch.position(user, asset)

        return await self._desk.do(step, passing(self.link, asked))

    async def withdraw(
        self, user: str, asset: str, amount: Decimal, reference: str, chain: str = "", address: str = ""
    ) -> Position:
        """Begin to pay coins out, and return the user's accounts; nothing can use the coins from here on.

        Raises:
            BadValue: `bad_name`, `bad_amount`.
            SettlementError: `conflict`: the reference is another passage's; `insufficient_available`.

        """
        asked = _passage("withdrawal", reference, user, asset, amount, chain, address)

        def step(batch: Batch) -> Position:
            key, docket_key = link_keys.passage(self.link, reference), link_keys.docket(self.link)
            found = batch.record_at(Passage, key)
            if found is None:
                self._allow(batch, "withdraw", user, asset)
                docket = added(batch.record_at(Docket, docket_key) or Docket(), withdrawal=reference)
                begun = msgspec.structs.replace(asked, journal=batch.head.n + 1)
                batch.post(Cause("withdrawal", reference), [leaving(asked)], {key: begun, docket_key: docket})
            else:
                same(found, asked)
            return batch.position(user, asset)

        return await self._desk.do(step, passing(self.link, asked))

    async def request(self, request_id: str, order: CreditOrder) -> Request:
        """Record a request to the exchange, with a hold on what it is about, and return it; the answer comes later.

        Args:
            request_id: for ever this order.
            order: what to ask; with `expires_ns`, the instant from which it is taken back.

        Raises:
            BadValue: `bad_name`, `bad_amount`.
            SettlementError: `conflict`: the id is another order's; `insufficient_available`, `insufficient_granted`.

        """
        name(request_id, "request")
        order = msgspec.structs.replace(order, amount=amount_text(positive(order.amount)))
        fingerprint = digest(content(order).encode())
        seal = self._sender.seal(request_id, order)

        def step(batch: Batch) -> Request:
            if batch.request(request_id) is None:
                self._allow(batch, order.kind, order.user, order.asset)
            credit = batch.position(order.user, order.asset).credit
            request, new = batch.record(request_id, order, fingerprint, seal)
            if new:
                batch.show([faces.of_order(self.settings.name, request_id, order, credit, batch.now_ns)])
            return request

        place = (name(order.user, "user"), name(order.asset, "asset"))
        needs = Needs(requests=(request_id,), positions=(place,), records=self._freezing)
        return await self._desk.do(step, needs)

    async def cancel(self, request_id: str, reason: str = "") -> Request:
        """Ask for a request back, and return it; it holds what it holds until the exchange answers.

        Raises:
            SettlementError: `unknown_request`; `final`: it is decided.

        """
        seal = self._sender.seal(request_id, Cancel(reason))
        found = await self.find(request_id)
        if found is None:
            raise SettlementError("unknown_request", f"there is no request {request_id}")

        def step(batch: Batch) -> Request:
            request = batch.request(request_id)
            if request is not None and request.state == "asked":
                return request
            return batch.cancel(request_id, seal)

        return await self._desk.do(step, Needs(requests=(request_id,), positions=((found.user, found.asset),)))

    async def final(self, request_id: str, timeout_s: float) -> Request:
        """Wait until a request is decided, and return it.

        Raises:
            SettlementError: `timeout`: it is not decided yet, and holds what it holds; `unknown_request`; `ended`.
            OutcomeUnknown: the custodian ended first.

        """
        answer: asyncio.Future[Request] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(request_id, set())
        waiting.add(answer)
        try:
            async with asyncio.timeout(timeout_s):
                found = await self.find(request_id)
                if found is None:
                    raise SettlementError("unknown_request", f"there is no request {request_id}")
                if found.state not in OPEN:
                    return found
                return await answer
        except TimeoutError:
            raise SettlementError("timeout", f"request {request_id} has no answer after {timeout_s:g} s") from None
        finally:
            waiting.discard(answer)
            if not waiting:
                self._waiting.pop(request_id, None)

    async def find(self, request_id: str) -> Request | None:
        """Return a request, None if there is none of this id."""
        return await self._desk.do(lambda batch: batch.request(request_id), Needs(requests=(request_id,)))

    async def position(self, user: str, asset: str) -> Position:
        """Return a user's accounts in one asset."""
        return await self._desk.do(lambda batch: batch.position(user, asset), Needs(positions=((user, asset),)))

    async def cycle(self, cycle_id: str) -> Cycle | None:
        """Return a settlement cycle, None if there is none of this id."""
        key = link_keys.cycle(self.link, cycle_id)
        return await self._desk.do(lambda batch: batch.record_at(Cycle, key), Needs(records={key: Cycle}))

    async def dispute(self, cycle_id: str, leg_id: str, code: str, reason: str = "") -> Cycle:
        """Dispute a leg of a report while its window is open; the same dispute again changes nothing.

        Raises:
            SettlementError: as `cycle.disputed` says; `unknown_cycle`.

        """

        def judge(cycle: Cycle, now_ns: int) -> Cycle:
            if any((leg.leg_id, leg.state, leg.code, leg.reason) == (leg_id, "disputed", code, reason)
                   for leg in cycle.legs):  # fmt: skip
                return cycle
            return cycles.disputed(cycle, leg_id, code, reason, now_ns)

        return await self._judge(cycle_id, judge, "dispute")

    async def retract(self, cycle_id: str, leg_id: str) -> Cycle:
        """Take a dispute back.

        Raises:
            SettlementError: as `cycle.retracted` says; `unknown_cycle`.

        """
        tried = False

        def judge(cycle: Cycle, now_ns: int) -> Cycle:
            nonlocal tried
            again, tried = tried, True
            if again and any(leg.leg_id == leg_id and leg.state in ("ready", "waiting") for leg in cycle.legs):
                return cycle  # What became of the first time was not known: it was taken.
            return cycles.retracted(cycle, leg_id, now_ns)

        return await self._judge(cycle_id, judge, "retract")

    async def _judge(self, cycle_id: str, judge: Callable[[Cycle, int], Cycle], cause: str) -> Cycle:
        key = link_keys.cycle(self.link, cycle_id)

        def step(batch: Batch) -> Cycle:
            cycle = batch.record_at(Cycle, key)
            if cycle is None:
                raise SettlementError("unknown_cycle", f"there is no cycle {cycle_id}")
            after = judge(cycle, batch.now_ns)
            if after != cycle:
                batch.post(Cause(cause, cycle_id), (), {key: after})
            return after

        return await self._desk.do(step, Needs(records={key: Cycle}))

    async def freeze(self, order: Freeze) -> Freezes:
        """Freeze something, in the place of an earlier freeze of the same place and code, and return all of them.

        What is in flight lands all the same; what a report holds at a frozen place is left out.

        Raises:
            BadValue, SettlementError: as `freeze.frozen` says.

        """
        return await self._refreeze("freeze", order.place, lambda orders: frozen(orders, order))

    async def unfreeze(self, place: str) -> Freezes:
        """End a freeze, and return those that are left.

        Raises:
            SettlementError: `not_frozen`: there is none of that place.

        """
        return await self._refreeze("unfreeze", place, lambda orders: lifted(orders, place))

    async def _refreeze(
        self, cause: str, place: str, change: Callable[[tuple[Freeze, ...]], tuple[Freeze, ...]]
    ) -> Freezes:
        key = link_keys.freezes(self.link)

        def step(batch: Batch) -> Freezes:
            before = batch.record_at(Freezes, key) or Freezes()
            after = Freezes(change(before.orders))
            if after != before:
                batch.post(Cause(cause, place), (), {key: after})
            return after

        return await self._desk.do(step, Needs(records=self._freezing))

    @property
    def _freezing(self) -> Mapping[str, type[msgspec.Struct]]:
        return {link_keys.freezes(self.link): Freezes}

    def _allow(self, batch: Batch, action: Action, user: str, asset: str) -> None:
        """Let an action pass, unless it is frozen."""
        freezes = batch.record_at(Freezes, link_keys.freezes(self.link)) or Freezes()
        allow(freezes.orders, action, user, asset, batch.now_ns)

    async def do(self, step: Callable[[Batch], T], needs: Needs) -> T:
        """Take a step of one's own, with the others, and return what it returned once the primary has it."""
        return await self._desk.do(step, needs)

    # What is known without asking for a turn.

    async def positions(self) -> Mapping[tuple[str, str], Position]:
        """Return every user's accounts, by (user, asset), as the primary has them."""
        return await self._books.positions()

    async def requests(self, *, user: str | None = None, states: Collection[State] | None = None) -> list[Request]:
        """Return the requests, of one user and in some states if that is said, in their order."""
        return [
            request
            for request in await self._books.requests()
            if (user is None or request.user == user) and (states is None or request.state in states)
        ]

    async def cycle_ids(self) -> list[str]:
        """Return the ids of all cycles."""
        return [cycle.id for cycle in await self._books.cycles()]

    async def books(self) -> CustodianBooks:
        """Return everything that the exchange's books are compared with."""
        return await self._books.books()

    async def audit(self) -> Audit:
        """Replay the journal, and compare every balance and record on the primary with it.

        Raises:
            BusError: the primary is away or refuses.

        """
        return await audit_primary(self._reading, self.link)

    def subscribe(self, listener: Callable[[Request | Cycle], None]) -> None:
        """Be told of each request and cycle that an answer changed, once the primary has it."""
        self._listeners.append(listener)

    @property
    def halted(self) -> str:
        """Why no more answers are taken, empty while they are: one side runs on other data than the other knows."""
        return self._rounds.halted

    @property
    def refused(self) -> int:
        """How many of the exchange's messages were not accepted since the start."""
        return self._answers.refused.total()

    def metrics(self) -> LinkMetrics:
        """Return how the link is at this moment, as its metrics show it."""
        cursor = self._store.cursor if self._store.loaded else Cursor()
        return LinkMetrics(
            "custodian",
            self.link,
            halted=bool(self.halted),
            unacknowledged=cursor.published - cursor.trimmed,
            unpublished=cursor.recorded - cursor.published,
            waiting=self._answers.waiting,
            refused=self._answers.refused + self._rounds.disagreed,
            reloads=self._desk.reloads,
        )

    # The custodian's own tasks.

    def _wake(self) -> None:
        self._desk.wake()

    def _told(self, item: Request | Cycle) -> None:
        if isinstance(item, Request) and item.state not in OPEN:
            for answer in self._waiting.pop(item.id, ()):
                if not answer.done():
                    answer.set_result(item)
        for listener in self._listeners:
            try:
                listener(item)
            except Exception:  # A listener's fault is its own, and is told; the books go on.
                _log.exception("listener failed", link=self.link)

    async def _tick(self) -> None:
        trimmed = 0
        while True:
            await asyncio.sleep(TICK_S)
            self._desk.wake()
            if (put := self._rounds.quarantined.total()) - trimmed >= QUARANTINE_MAX // 10:
                with contextlib.suppress(BusError):
                    key = link_keys.quarantine(self.link)
                    await self._reading.ask("XTRIM", key, "MAXLEN", "~", QUARANTINE_MAX)
                    trimmed = put

    async def _watch_siblings(self) -> None:
        """Ask every sibling what it has, often while something waits for it."""
        while True:
            if not self.settings.siblings:
                await asyncio.Event().wait()
            mine = self._store.writer
            cursors = await self._siblings.cursors(mine)
            # What was asked before the primary was read again may be of another history than what is there now.
            if mine == self._store.writer and cursors != self._rounds.siblings:
                self._rounds.siblings = cursors
                self._desk.wake()
            await asyncio.sleep(SIBLING_AWAY_S if None in cursors else SIBLING_S)


def _passage(
    kind: Kind,
    reference: str,
    user: str,
    asset: str,
    amount: Decimal,
    chain: str,
    address: str,
) -> Passage:
    checked = positive(amount_text(amount)) if amount.is_finite() else positive(str(amount))
    return Passage(
        reference=name(reference, "reference"),
        kind=kind,
        user=name(user, "user"),
        asset=name(asset, "asset"),
        amount=checked,
        chain=chain,
        address=address,
        state="done" if kind == "deposit" else "leaving",
    )
