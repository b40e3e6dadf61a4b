"""The exchange: whoever grants credit on coins that lie with a custodian, lets users trade on it, and settles.

::

    async with Exchange(settings, decider=accept_all) as exchange:
        account = await exchange.account("alice", "BTC")
        await exchange.trade([Change("fill-1/alice", "alice", "BTC", Decimal("-1"), now_ns), ...])
        await exchange.report("2026-11-21")

All that must not be forgotten is in its journal, a file of its own; the replica only carries. Several processes may
work on one journal.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Final, Self, TypeVar

import msgspec
import structlog

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.endpoint import Endpoint
from heliograph.bus.link import pause_s
from heliograph.bus.reader import Reader
from heliograph.clock import Clock, SystemClock, iso_ms
from heliograph.errors import BusError, OutcomeUnknown, SettlementError
from heliograph.metrics import LinkMetrics
from heliograph.model.numbers import parse
from heliograph.model.settlement import CreditOrder, Decision, Leg, Report, amount_text, name
from heliograph.settlement import faces
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.exchange_journal import FREEZING, Choice, ExchangeJournal, Policy, Receipt
from heliograph.settlement.faces import Face
from heliograph.settlement.keyring import Keyring, PublicKey, Signer
from heliograph.settlement.link.exchange import Row, prune, usable
from heliograph.settlement.link.pace import Pace, renewed, to_send
from heliograph.settlement.mailbox import Outgoing
from heliograph.settlement.netting import Change
from heliograph.settlement.onlookers import Onlookers
from heliograph.settlement.reconcile import ExchangeBooks
from heliograph.settlement.trading import Account

T = TypeVar("T")

Decider = Callable[[Row, CreditOrder], Awaitable[Choice | None]]
"""The application's decision on a request; None leaves it pending, for `decide`. It may be asked more than once, and
about other requests before it has answered: begun in the order in which they came, answered as each is ready."""

TAKEN_MAX: Final = 512
"""Messages or decisions of one transaction."""
DECIDING_MAX: Final = 512
"""Requests that the application decides at once."""
POLL_S: Final = 0.005
POLL_MAX_S: Final = 0.1
"""How often to look for an acknowledgement: at first, and while none comes."""
PRUNE_S: Final = 0.1
"""How often acknowledged answers are deleted: each time is a write on the disk, which decisions wait for."""
QUIET_S: Final = 0.5

SOURCE: Final = "exchange"
"""Who tells, in the events for onlookers."""
POINTS: Final = ("read", "taken", "chosen", "decided", "sending", "sent", "acknowledged", "pruned")
"""Where a process may die, in its loops; the journal has points of its own."""

_log = structlog.get_logger(__name__)


class ExchangeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange's end of one link.

    Args:
        link: which custodian and exchange.
        replica: the exchange's replica, as the user that reads.
        writer: the same, as the user that appends, where that is another; None: as the one that reads.
        journal: the file that the exchange keeps its state in.
        signer: the exchange's own key.
        keys: the custodian's.
        custodian: the custodian's name on the seeds' wire.
        policy: how to net a cycle.

    """

    link: str
    replica: Endpoint
    journal: Path
    signer: Signer
    keys: tuple[PublicKey, ...]
    writer: Endpoint | None = None
    custodian: str = "custodian"
    policy: Policy = Policy("house")


class Exchange:
    """One exchange's end of one link, running; an async context manager.

    Args:
        settings: which link, and where.
        decider: decides what is asked; None leaves everything to `decide`.
        clock: the exchange's.
        at: called at each of `POINTS` and of the journal's, for tests that kill the process there.

    """

    def __init__(
        self,
        settings: ExchangeSettings,
        decider: Decider | None = None,
        *,
        clock: Clock | None = None,
        at: Callable[[str], None] = lambda _: None,
    ) -> None:
        name(settings.link, "link")
        self.settings = settings
        self.link = settings.link
        self._decider = decider
        self._clock = clock or SystemClock()
        self._at = at
        self._journal = ExchangeJournal(settings.journal, self.link, settings.signer, Keyring(settings.keys), at)
        writer = settings.writer or settings.replica
        self._reading = Asker(settings.replica, name=f"heliograph-exchange:{self.link}")
        self._writing = Asker(writer, name=f"heliograph-exchange-writes:{self.link}")
        self._outgoing = Outgoing(self._writing, link_keys.ring(self.link))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"journal {self.link}")
        self._onlookers = Onlookers(self._writing, self.link, self._faces)
        self._started = asyncio.Event()
        self._pending = asyncio.Event()
        self._chosen = asyncio.Event()
        self._choices: list[Choice] = []
        self._room = asyncio.Semaphore(DECIDING_MAX)
        self._made = asyncio.Event()
        self._seen: dict[tuple[str, str], int] = {}
        self._listeners: list[Callable[[Row | Cycle], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()
        self.halted = ""
        """Why nothing is taken any more, empty while all is well: a person must look."""
        self.refused: Counter[str] = Counter()
        """How many of the custodian's messages were not accepted since the start, by their code."""
        self.unacknowledged = 0
        """How many answers the custodian is not known to have, as of the last look."""
        self.ended: asyncio.Future[None] | None = None
        """Done once the exchange cannot go on, with the reason."""

    async def __aenter__(self) -> Self:
        self.ended = asyncio.get_running_loop().create_future()
        self.ended.add_done_callback(lambda ended: None if ended.cancelled() else ended.exception())
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._thread.shutdown)
            await self._call(self._journal.__enter__)
            stack.push_async_callback(self._call, self._journal.__exit__)
            await stack.enter_async_context(self._reading)
            await stack.enter_async_context(self._writing)
            for run in (self._take, self._decide, self._commit, self._send, self._onlookers.run):
                task = asyncio.create_task(run(), name=f"exchange {self.link}: {run.__name__}")
                task.add_done_callback(self._task_ended)
                self._tasks.append(task)
            self._stack = stack.pop_all()
        self._pending.set()
        self._made.set()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks.clear()
        await self._stack.aclose()
        if self.ended is not None and not self.ended.done():
            self.ended.set_result(None)

    def _task_ended(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or self.ended is None or self.ended.done():
            return
        error = task.exception() or SettlementError("ended", f"{task.get_name()} ended")
        _log.error("exchange ended", link=self.link, error=str(error))
        self.ended.set_exception(error)
        for task_left in self._tasks:
            task_left.cancel()

    async def _call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run one of the journal's methods in the journal's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    # What is asked of the exchange.

    async def decide(self, choice: Choice) -> Row:
        """Decide a request by hand, and return it; the same verdict again changes nothing.

        Raises:
            SettlementError: as `link.exchange.decide` says; `unknown_request`, `bad_code`; why the link is halted.

        """
        if self.halted:
            raise SettlementError(self.halted, "the link is halted, and nothing is decided")
        (result,) = await self._decided([choice], insist=True)
        if isinstance(result, SettlementError):
            raise result
        return result

    async def requests(self, state: str | None = None) -> list[Row]:
        """Return the requests, of one state or all, in the order in which they came."""
        found: list[Row] = []
        while True:
            after = found[-1].request_seq if found else 0
            page = await self._call(self._journal.requests, state, after, TAKEN_MAX)
            found += page
            if len(page) < TAKEN_MAX:
                return found

    async def request(self, request_id: str) -> Row | None:
        """Return a request, None if there is none of this id."""
        return await self._call(self._journal.request, request_id)

    async def account(self, user: str, asset: str) -> Account:
        """Return a user's figures in one asset: what the credit lets the user trade on, and what trading did to it."""
        return await self._call(self._journal.account, user, asset)

    async def accounts(self) -> dict[tuple[str, str], Account]:
        """Return all figures, by (user, asset)."""
        return await self._call(self._journal.accounts)

    async def credit(self, user: str, asset: str) -> Decimal:
        """Return the credit that a user may trade on: the journal's, which the mirror on the replica may only lower.

        Raises:
            BusError: the replica is away or refuses.

        """
        account = await self.account(user, asset)
        reply = await self._reading.ask("HGETALL", link_keys.credit(user, asset))
        fields = dict(zip(reply[::2], reply[1::2], strict=True))
        if b"amount" not in fields:
            return account.limit
        seq = int(fields.get(b"answer_seq", b"0"))
        seen = self._seen.get((user, asset), 0)
        self._seen[user, asset] = max(seen, seq)
        return usable(account.limit, parse(fields[b"amount"].decode()), seq, seen)

    async def trade(self, changes: Sequence[Change]) -> bool:
        """Book what one trade did to users' accounts, all of it or nothing; whether it is new.

        Args:
            changes: of one instant, each with a reference of its own; per asset they sum to zero.

        Raises:
            SettlementError: `insufficient_usable`, `unbalanced`, `conflict`, and so on: nothing was booked.

        """
        (result,) = await self._call(self._journal.trade, [changes])
        if isinstance(result, SettlementError):
            raise result
        return result

    async def report(self, cycle_id: str, cut_off_ns: int | None = None) -> Cycle:
        """Propose the net of all trades up to an instant, which is now if none is given.

        Raises:
            SettlementError: as the journal's `report` says; `nothing_to_settle`.

        """
        now_ns = self._clock.now_ns()
        until_ns = now_ns if cut_off_ns is None else cut_off_ns
        cycle = await self._call(self._journal.report, cycle_id, until_ns, now_ns, self.settings.policy)
        self._made.set()
        legs = tuple(Leg(leg.leg_id, leg.user, leg.asset, amount_text(leg.net), leg.trades) for leg in cycle.legs)
        report = Report(cycle.cut_off_ns, legs, cycle.attempt)
        self._onlookers.show(faces.of_report(self.settings.custodian, cycle_id, report, iso_ms(cycle.cut_off_ns)))
        return cycle

    async def cycle(self, cycle_id: str) -> Cycle | None:
        """Return a settlement cycle, None if there is none of this id."""
        return await self._call(self._journal.cycle, cycle_id)

    async def cycles(self) -> list[Cycle]:
        """Return all settlement cycles, by id."""
        return await self._call(self._journal.cycles)

    async def advance(self, cycle_id: str, step: Callable[[Cycle], Cycle]) -> Cycle:
        """Take a cycle further by a function of `settlement.cycle`, such as `closed`."""
        return await self._call(self._journal.advance, cycle_id, step)

    async def unreported(self) -> list[Change]:
        """Return what no report has taken."""
        return await self._call(self._journal.unreported)

    async def books(self) -> ExchangeBooks:
        """Return everything that the custodian's books are compared with."""
        return await self._call(self._journal.books)

    def subscribe(self, listener: Callable[[Row | Cycle], None]) -> None:
        """Be told of each request that was decided and each cycle that was confirmed, once the journal has it."""
        self._listeners.append(listener)

    def metrics(self) -> LinkMetrics:
        """Return how the link is at this moment, as its metrics show it."""
        known = {"unacknowledged": self.unacknowledged, "unpublished": 0, "waiting": len(self._choices)}
        reloads = self._reading.connections + self._writing.connections
        return LinkMetrics(
            "exchange", self.link, halted=bool(self.halted), refused=self.refused, reloads=reloads, **known
        )

    # The exchange's own tasks.

    async def _take(self) -> None:
        """Take what the custodian publishes, in turn, for ever."""
        attempt = 0
        while True:
            try:
                await self._follow()
                attempt = 0
            except BusError as e:
                attempt += 1
                _log.warning("replica away", link=self.link, error=str(e), attempt=attempt)
                await asyncio.sleep(pause_s(attempt, 2.0))

    async def _follow(self) -> None:
        out = link_keys.out(self.link)
        acked = await self._acked()
        oldest = await self._reading.ask("XRANGE", out, "-", "+", "COUNT", 1)
        first = int(oldest[0][0].split(b"-")[0]) if oldest else None
        try:
            cursor = await self._call(self._journal.start, acked, first)
        except SettlementError as e:
            await self._halt(e.code, str(e))
            return
        self._started.set()
        name = f"heliograph-exchange-follows:{self.link}"
        at = {out: f"{cursor.inbox}-0"}
        async with Reader(self.settings.replica, at, name=name, block_s=QUIET_S, tells_gaps=False) as reader:
            async for batch in reader.batches():
                self._at("read")
                for start in range(0, len(batch), TAKEN_MAX):
                    raws = [entry.data for entry in batch[start : start + TAKEN_MAX]]
                    receipts = await self._call(self._journal.take, raws, self._clock.now_ns())
                    self._at("taken")
                    await self._received(receipts)
                    if any(receipt.outcome == "wait" for receipt in receipts):
                        await asyncio.sleep(QUIET_S)
                        return  # A message is missing: read again from the one that is due.

    async def _received(self, receipts: Sequence[Receipt]) -> None:
        for receipt in receipts:
            if receipt.outcome == "refused" and receipt.first:
                self.refused[receipt.code] += 1
                _log.warning("message refused", link=self.link, seq=receipt.seq, code=receipt.code)
            if receipt.outcome == "refused" and receipt.code in FREEZING:
                await self._halt(receipt.code, f"message {receipt.seq}")
        # What another process on the same journal took is a duplicate here, and may be left for us to decide.
        kinds = {receipt.kind for receipt in receipts if receipt.outcome in ("taken", "duplicate")}
        if "request" in kinds:
            self._pending.set()
        if "cancel" in kinds or "confirmation" in kinds:
            self._made.set()
        for receipt in receipts:
            if receipt.kind == "confirmation" and receipt.outcome == "taken":
                cycle = await self._call(self._journal.cycle, receipt.id)
                if cycle is not None:
                    told = {"cycle_id": cycle.id, "attempt": str(cycle.attempt), "status": cycle.state}
                    about, now_ns = f"{cycle.id}/{cycle.attempt}", self._clock.now_ns()
                    done = faces.notification(self.link, SOURCE, "settlement:completion", about, told, now_ns)
                    self._onlookers.show([done])
                    self._tell(cycle)
            elif receipt.kind == "cancel" and receipt.outcome == "taken":
                row = await self._call(self._journal.request, receipt.id)
                if row is not None and row.code == "cancelled":
                    self._onlookers.decided([row])
                    self._tell(row)

    async def _halt(self, code: str, what: str) -> None:
        self.halted = code
        _log.error("link halted", link=self.link, code=code, reason=what)
        await asyncio.Event().wait()

    async def _decide(self) -> None:
        """Ask the application about every request once, in the order in which they came."""
        await self._started.wait()
        asked = 0
        deciding: set[asyncio.Task[None]] = set()
        try:
            while self._decider is not None:
                await self._pending.wait()
                self._pending.clear()
                while orders := await self._call(self._asked, asked):
                    for row, order in orders:
                        asked = row.request_seq
                        await self._room.acquire()
                        task = asyncio.create_task(self._choose(row, order))
                        deciding.add(task)
                        task.add_done_callback(deciding.discard)
            await asyncio.Event().wait()
        finally:
            for task in deciding:
                task.cancel()
            if deciding:
                await asyncio.wait(deciding)

    def _asked(self, after_seq: int) -> list[tuple[Row, CreditOrder]]:
        """Return what is pending, and what it asks for; in the journal's thread."""
        rows = self._journal.requests("pending", after_seq, TAKEN_MAX)
        orders = [(row, self._journal.order(row.id)) for row in rows]
        return [(row, order) for row, order in orders if order is not None]

    async def _choose(self, row: Row, order: CreditOrder) -> None:
        assert self._decider is not None
        try:
            choice = await self._decider(row, order)
        except Exception:  # The application's fault is told, and the request waits for `decide`.
            _log.exception("decider failed", link=self.link, request=row.id)
            choice = None
        if choice is None:
            self._room.release()
        else:
            self._choices.append(choice)
            self._chosen.set()

    async def _commit(self) -> None:
        """Write down what the application decides, as many decisions at once as there are."""
        while True:
            await self._chosen.wait()
            self._chosen.clear()
            while self._choices and not self.halted:
                choices, self._choices = self._choices[:TAKEN_MAX], self._choices[TAKEN_MAX:]
                self._at("chosen")
                await self._decided(choices)
                for _ in choices:
                    self._room.release()

    async def _decided(self, choices: Sequence[Choice], *, insist: bool = False) -> list[Row | SettlementError]:
        results = await self._call(self._journal.decide, choices, self._clock.now_ns())
        self._at("decided")
        # A decrease of more than the user has left cannot be accepted now, and whoever asked must hear of it; but who
        # decides by hand may let it wait.
        retried = [
            Choice(choice.id, "rejected", result.code, str(result))
            for choice, result in zip(choices, results, strict=True)
            if isinstance(result, SettlementError) and result.code in ("insufficient_limit", "in_use") and not insist
        ]
        if retried:
            rejected = iter(await self._call(self._journal.decide, retried, self._clock.now_ns()))
            codes = {choice.id for choice in retried}
            results = [
                next(rejected) if choice.id in codes else result
                for choice, result in zip(choices, results, strict=True)
            ]
        self._made.set()
        rows = [row for row in results if isinstance(row, Row)]
        self._onlookers.decided(rows)
        for row in rows:
            self._tell(row)
        return results

    async def _faces(self, rows: Sequence[Row]) -> list[Face]:
        """Return the faces of decisions."""
        return await self._call(self._faces_of, rows)

    def _faces_of(self, rows: Sequence[Row]) -> list[Face]:
        shown = []
        for row in rows:
            order = self._journal.order(row.id)
            if order is not None and row.state != "pending":
                limit = self._journal.account(row.user, row.asset).limit
                decision = Decision(row.state, row.code, row.reason, row.decided_ns)
                face = faces.of_decision(self.settings.custodian, row.id, order, decision, limit)
                shown.append(face)
                shown.append(
                    faces.notification(self.link, SOURCE, "credit:response", row.id, face.fields, row.decided_ns)
                )
        return shown

    async def _send(self) -> None:
        """Append what is not acknowledged, at once and again, and forget what is, for ever."""
        await self._started.wait()
        loop = asyncio.get_running_loop()
        pace, connections, attempt, wait_s, pruned_at_s = Pace(), 0, 0, POLL_S, 0.0
        while not self.halted:
            try:
                kept = await self._call(self._journal.cursor)
                acked = await self._acked()
                cursor = prune(kept, acked)
                self.unacknowledged = cursor.last - cursor.pruned
                if acked > kept.pruned and loop.time() >= pruned_at_s + PRUNE_S:
                    self._at("acknowledged")
                    kept = await self._call(self._journal.prune, acked)
                    self._at("pruned")
                    pruned_at_s = loop.time()
                if self._writing.connections != connections:
                    pace, connections = renewed(pace), self._writing.connections
                pace, ranges = to_send(pace, cursor, self._clock.now_ns())
                if ranges:
                    pace = await self._append(pace, ranges)
                attempt = 0
                if cursor.last == cursor.pruned:
                    wait_s = QUIET_S if kept.pruned == cursor.pruned else PRUNE_S
                else:
                    wait_s = POLL_S if ranges else min(2 * wait_s, POLL_MAX_S)
            except (BusError, OutcomeUnknown) as e:
                attempt += 1
                pace, wait_s = renewed(pace), POLL_S
                _log.warning("answers not sent", link=self.link, error=str(e), attempt=attempt)
                await asyncio.sleep(pause_s(attempt, 2.0))
            except SettlementError as e:
                if e.code != "ring_exhausted":
                    await self._halt(e.code, str(e))
                _log.error("mailbox exhausted", link=self.link, reason=str(e))
                wait_s = QUIET_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._made.wait()
            self._made.clear()
        await asyncio.Event().wait()

    async def _append(self, pace: Pace, ranges: Sequence[range]) -> Pace:
        answers = await self._call(self._journal.outgoing, ranges)
        self._at("sending")
        for start in range(0, len(answers), TAKEN_MAX):
            key = self._outgoing.key
            appended = await self._outgoing.append([raw for _, raw in answers[start : start + TAKEN_MAX]])
            # The first answer of all makes the stream; any later one must not have to.
            if (appended.wiped and answers[0][0] > 1) or self._outgoing.key != key:
                pace = renewed(pace)
        self._at("sent")
        return pace

    async def _acked(self) -> int:
        reply = await self._reading.ask("GET", link_keys.acked(self.link))
        return int(reply or 0)

    def _tell(self, item: Row | Cycle) -> None:
        for listener in self._listeners:
            try:
                listener(item)
            except Exception:  # A listener's fault is its own, and is told; the link goes on.
                _log.exception("listener failed", link=self.link)


async def accept(row: Row, order: CreditOrder) -> Choice:
    """Accept whatever is asked."""
    del order
    return Choice(row.id, "accepted")
