"""What the custodian does in every turn besides what it is asked: answers, deadlines, cycles, and what may be shown.

Decisions are the pure modules'; here they are put in their order upon one batch.
"""

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from heliograph.bus import link_keys
from heliograph.clock import NS_PER_S
from heliograph.errors import SettlementError
from heliograph.model.settlement import Cancel, Confirmation, CreditOrder, Decision, Leg, Report, amount_text
from heliograph.settlement import cycle as cycles
from heliograph.settlement import envelope, faces
from heliograph.settlement.answers import Answers
from heliograph.settlement.batch import Batch
from heliograph.settlement.credit import Request
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.envelope import Opened, Sealed, content, digest
from heliograph.settlement.freeze import Action, Freezes, blocking
from heliograph.settlement.keyring import Signer
from heliograph.settlement.ledger import Position
from heliograph.settlement.link import custodian
from heliograph.settlement.link.sequence import Arrival, Slot
from heliograph.settlement.passage import Docket, added, ended
from heliograph.settlement.records import Cause
from heliograph.settlement.store import Store
from heliograph.settlement.verification import Fault, Terms

ANSWERS_MAX: Final = 128
"""Answers of one batch."""
SHOWN_MAX: Final = 500
"""Messages that one batch shows to the exchange."""
SHOWN_BYTES_MAX: Final = 8_388_608
"""The same in bytes: a confirmation may have a quarter of a megabyte."""
LEGS_MAX: Final = 2_000
"""Legs of the reports that one batch takes, unless one report alone has more."""
PLACES_MAX: Final = 20_000
"""Accounts that one report makes us look at, beyond those that it names."""
JUNK_MAX: Final = 64
"""Messages that are put into quarantine at each tick: they must not hold up anybody who is honest."""
TICK_NS: Final = NS_PER_S // 4
"""How often deadlines and windows are looked at."""
HALTING: Final = frozenset(("broken_chain", "foreign_ack", "forked"))
"""Refusals that mean that one side runs on other data than the other knows: a person must look."""
OURS: Final = frozenset(("not_read", "not_loaded", "stale", "corrupt"))
"""Refusals that say nothing of the answer, but of what we know: never a reason to put it aside."""

_log = structlog.get_logger(__name__)


class Sender:
    """What seals the custodian's messages.

    Args:
        signer: the custodian's key.
        link: which custodian and exchange.

    """

    def __init__(self, signer: Signer, link: str) -> None:
        self._signer = signer
        self._link = link

    def seal(self, message_id: str, body: CreditOrder | Cancel | Confirmation) -> Callable[[Slot], Sealed]:
        """Return what makes a message for whichever slot is free.

        A confirmation that would be too large goes without its reasons, and then without its codes: the bare outcomes
        are shorter than the legs of any report.
        """

        def sealed(slot: Slot) -> Sealed:
            bodies = _shorter(body) if isinstance(body, Confirmation) else [body]
            for each in bodies:
                with contextlib.suppress(SettlementError):
                    return self._sealed(slot, message_id, each)
            return self._sealed(slot, message_id, bodies[-1])

        return sealed

    def _sealed(self, slot: Slot, message_id: str, body: CreditOrder | Cancel | Confirmation) -> Sealed:
        return envelope.seal(self._signer, self._link, "request", slot.seq, message_id, body, slot.ack, slot.prev)


def _shorter(word: Confirmation) -> list[Confirmation]:
    codes = [msgspec.structs.replace(outcome, reason="") for outcome in word.outcomes]
    bare = [msgspec.structs.replace(outcome, code="") for outcome in codes]
    return [word, *(msgspec.structs.replace(word, outcomes=tuple(outcomes)) for outcomes in (codes, bare))]


class Rounds:
    """One custodian's turns.

    Args:
        store: the custodian's state.
        sender: seals its messages.
        answers: what the exchange said.
        name: the custodian's name on the seeds' wire.
        assets: which assets settle on this link; None for all.
        window_ns: how long a report may be disputed.

    """

    def __init__(
        self,
        store: Store,
        sender: Sender,
        answers: Answers,
        *,
        name: str,
        assets: frozenset[str] | None,
        window_ns: int,
        siblings: int,
    ) -> None:
        self._store = store
        self._sender = sender
        self._answers = answers
        self._name = name
        self._assets = assets
        self._window_ns = window_ns
        self._link = store.link
        self._due: list[Opened] = []
        self._late: list[str] = []
        self._ticked_ns = 0
        self._ticking = False
        self._flying: deque[tuple[int, list[Request | Cycle]]] = deque()
        self._news: list[Request | Cycle] = []
        self.siblings: Sequence[custodian.Cursor | None] = [None] * siblings
        """What each sibling has, as it said last."""
        self.halted = ""
        """Why no more answers are taken: one of `HALTING`, and then a person must look."""
        self.stuck: Counter[str] = Counter()
        """How often a cycle could not be ended, which a person must look at."""
        self.disagreed: Counter[str] = Counter()
        """How many answers were rightly signed and made no sense, by their code."""
        self.quarantined: Counter[str] = Counter()
        """How many messages were put aside, by their code."""
        self.docket = Docket()
        """What is begun and not ended."""
        self.told: Callable[[Request | Cycle], None] = lambda _: None
        """Called with each request and cycle that an answer changed, once the primary has it."""

    async def needs(self, now_ns: int) -> None:
        """Read what `steps` will look at."""
        applied = self._store.cursor.applied
        if self._answers.forked:
            self._halt("forked", f"the exchange has signed two answers {self._answers.forked}")
        self._due = [] if self.halted else _together(self._answers.after(applied, ANSWERS_MAX))
        self._ticking = now_ns - self._ticked_ns >= TICK_NS
        self._late = []
        if self._ticking:
            self._ticked_ns = now_ns
            await self._store.check()
            self._late = [name for name, _ in await self._store.open_requests(due_ns=now_ns, count_max=ANSWERS_MAX)]
        decided = [m.envelope.id for m in self._due if isinstance(m.body, Decision)]
        reported = [m.envelope.id for m in self._due if isinstance(m.body, Report)]
        docket_key = link_keys.docket(self._link)
        records: dict[str, type[msgspec.Struct]] = {docket_key: Docket, link_keys.freezes(self._link): Freezes}
        records |= {link_keys.cycle(self._link, name): Cycle for name in reported}
        await self._store.read(requests=[*decided, *self._late], records=records)
        probe = self._store.batch(now_ns)
        self.docket = probe.record_at(Docket, docket_key) or Docket()
        requests = [r for name in (*decided, *self._late) if (r := probe.request(name)) is not None]
        places = {(r.user, r.asset) for r in requests}
        for message in self._due:
            if isinstance(message.body, Report):
                places |= _places(message.body)
        open_cycles = self.docket.cycles if self._ticking else ()
        await self._store.read(
            positions=places, records={link_keys.cycle(self._link, name): Cycle for name in open_cycles}
        )
        if open_cycles:
            await self._read_cycles(open_cycles, now_ns)

    async def _read_cycles(self, names: Sequence[str], now_ns: int) -> None:
        probe = self._store.batch(now_ns)
        legs = [leg for name in names if (cycle := self._cycle(probe, name)) is not None for leg in cycle.legs]
        await self._store.read(positions={leg.place for leg in legs}, assets={leg.asset for leg in legs})

    def _cycle(self, batch: Batch, name: str) -> Cycle | None:
        return batch.record_at(Cycle, link_keys.cycle(self._link, name))

    def steps(self, batch: Batch) -> None:
        """Take the steps that are due."""
        news: list[Request | Cycle] = []
        for message in self._due:
            if batch.full or self.halted:
                break
            self._answer(batch, message, news)
        for request_id in self._late:
            request = batch.request(request_id)
            if request is not None and request.state == "held" and not batch.full:
                news.append(batch.cancel(request_id, self._sender.seal(request_id, Cancel("deadline"))))
        if self._ticking:
            self._cycles(batch, news)
            for _ in range(min(len(self._answers.junk), JUNK_MAX)):
                junk = self._answers.junk.popleft()
                self._quarantine(batch, junk.code, junk.reason, junk.raw, junk.size)
        self._show(batch)
        self._flying.append((batch.cursor.applied, news))

    def _show(self, batch: Batch) -> None:
        """Show the exchange what every sibling has."""
        last = batch.cursor.published
        end, size = min(custodian.publishable(batch.cursor, self.siblings), last + SHOWN_MAX), 0
        while last < end and size < SHOWN_BYTES_MAX:
            last += 1
            size += len(batch.envelope(last))
        batch.publish(last)
        batch.acknowledge(custodian.acknowledgeable(batch.cursor, batch.acked, self.siblings))

    def done(self) -> None:
        """Note that the oldest batch on its way is on the primary, and tell what it changed."""
        applied, news = self._flying.popleft()
        self._answers.applied(applied)
        for item in news:
            self.told(item)

    def forget(self) -> None:
        """Forget what was believed: memory was dropped, and the primary may be another one than before."""
        self._flying.clear()
        self._answers.rewind(self._store.cursor.applied)
        self.siblings = [None] * len(self.siblings)

    def _answer(self, batch: Batch, message: Opened, news: list[Request | Cycle]) -> None:
        said = message.envelope
        arrival = Arrival(said.seq, said.ack, said.prev, message.digest)
        try:
            if isinstance(message.body, Decision):
                news.append(batch.apply(said.id, message.body, arrival))
            elif isinstance(message.body, Report):
                news.append(self._report(batch, said.id, message.body, arrival))
        except SettlementError as e:
            self._refused(batch, message, arrival, e)

    def _refused(self, batch: Batch, message: Opened, arrival: Arrival, error: SettlementError) -> None:
        """An answer of the exchange's that makes no sense here: kept aside, or the end of all answers."""
        said = message.envelope
        if error.code in OURS:
            raise error
        if error.code in HALTING:
            self._halt(error.code, str(error))
            return
        if error.code in ("duplicate", "too_early"):
            if batch.cursor.applied < said.seq:
                self._answers.drop(said.seq)
            return
        _log.warning("answer refused", link=self._link, code=error.code, reason=str(error))
        batch.advance("quarantined", said.id, arrival)
        self.disagreed[error.code] += 1
        raw = msgspec.json.encode(said)
        self._quarantine(batch, error.code, str(error), raw, len(raw))
        if isinstance(message.body, Report) and error.code != "repeated":
            # Else what was reported would be in settlement at the exchange for ever.
            fingerprint = digest(content(message.body).encode())
            word = cycles.refusal(message.body, fingerprint, error.code, str(error)[: envelope.TEXT_MAX])
            batch.message("confirmation", said.id, self._sender.seal(said.id, word))

    def _quarantine(self, batch: Batch, code: str, reason: str, raw: bytes, size: int) -> None:
        self.quarantined[code] += 1
        told: dict[str, str | bytes] = {"code": code, "reason": reason, "at_ns": str(batch.now_ns), "size": str(size)}
        batch.quarantine({**told, "data": raw})

    def _halt(self, code: str, reason: str) -> None:
        if not self.halted:
            self.halted = code
            _log.error("link halted", link=self._link, code=code, reason=reason)

    def _report(self, batch: Batch, cycle_id: str, report: Report, arrival: Arrival) -> Cycle:
        custodian.advance(batch.cursor, arrival)  # Whose place is wrong is not judged.
        key = link_keys.cycle(self._link, cycle_id)
        before = self._cycle(batch, cycle_id)
        positions = {(leg.user, leg.asset): batch.position(leg.user, leg.asset) for leg in report.legs}
        step = cycles.received(
            before,
            cycle_id,
            report,
            digest(content(report).encode()),
            batch.now_ns + self._window_ns,
            self._terms(batch, report),
            positions,
        )
        docket_key = link_keys.docket(self._link)
        docket = added(batch.record_at(Docket, docket_key) or Docket(), cycle=cycle_id)
        records: dict[str, msgspec.Struct] = {key: step.cycle, docket_key: docket}
        batch.advance("report", cycle_id, arrival, step.transfers, records)
        return step.cycle

    def _terms(self, batch: Batch, report: Report) -> Terms:
        """Return what to judge a report by; a user is known who has an account in any asset of the report."""
        assets = {leg.asset for leg in report.legs}
        users = {
            user for user, asset in _places(report) if batch.held(link_keys.position(self._link, user, asset)).version
        }
        return Terms(users, assets if self._assets is None else assets & self._assets, self._barred(batch, report))

    def _barred(self, batch: Batch, report: Report) -> dict[tuple[str, str], Fault]:
        """Return what is frozen of a report: it is left out, and rolls on at the exchange."""
        freezes = (batch.record_at(Freezes, link_keys.freezes(self._link)) or Freezes()).orders
        barred: dict[tuple[str, str], Fault] = {}
        for leg in report.legs:
            action: Action = "sell" if leg.net.startswith("-") else "buy"
            if freeze := blocking(freezes, action, leg.user, leg.asset, batch.now_ns):
                barred[leg.user, leg.asset] = Fault(freeze.code, f"frozen by {freeze.who}: {freeze.why}")
        return barred

    def _cycles(self, batch: Batch, news: list[Request | Cycle]) -> None:
        docket_key = link_keys.docket(self._link)
        for name in self.docket.cycles:
            cycle = self._cycle(batch, name)
            if batch.full or cycle is None or cycle.state not in cycles.UNDECIDED:
                continue
            docket = batch.record_at(Docket, docket_key) or Docket()
            try:
                if batch.now_ns >= cycle.until_ns:
                    news.append(self.conclude(batch, cycle, ended(docket, cycle=name)))
                    continue
                step = cycles.retried(cycle, self._positions(batch, cycle))
                if step.cycle != cycle:
                    cause = Cause("settlement", name)
                    batch.post(cause, step.transfers, {link_keys.cycle(self._link, name): step.cycle})
                    news.append(step.cycle)
            except SettlementError as e:
                if e.code in OURS:
                    raise
                # The others go on; this one is tried again, and told of ever more rarely.
                self.stuck[name] += 1
                if self.stuck[name].bit_count() == 1:
                    _log.error("cycle does not settle", link=self._link, cycle=name, code=e.code, reason=str(e))

    def conclude(self, batch: Batch, cycle: Cycle, docket: Docket) -> Cycle:
        """Decide a cycle after its window, move its coins, and tell the exchange: one step."""
        step = cycles.concluded(cycle, self._positions(batch, cycle), batch.now_ns)
        word = cycles.confirmation(step.cycle)
        records: dict[str, msgspec.Struct] = {
            link_keys.cycle(self._link, cycle.id): step.cycle,
            link_keys.docket(self._link): docket,
        }
        legs = [Leg(leg.leg_id, leg.user, leg.asset, amount_text(leg.net)) for leg in step.cycle.legs]
        shown = faces.of_confirmation(cycle.id, legs, word, batch.now_ns)
        batch.message("confirmation", cycle.id, self._sender.seal(cycle.id, word), step.transfers, records)
        batch.show(shown)
        return step.cycle

    def _positions(self, batch: Batch, cycle: Cycle) -> dict[tuple[str, str], Position]:
        return {leg.place: batch.position(*leg.place) for leg in cycle.legs}


def _together(due: Sequence[Opened]) -> list[Opened]:
    """Return as many answers as one batch may take."""
    taken: list[Opened] = []
    legs = 0
    for message in due:
        legs += len(message.body.legs) if isinstance(message.body, Report) else 0
        if taken and legs > LEGS_MAX:
            break
        taken.append(message)
    return taken


def _places(report: Report) -> set[tuple[str, str]]:
    """Return the accounts by which a report is judged: all of its users in all of its assets.

    Of a report with so many of both that this would be a burden, only those that it names.
    """
    named = {(leg.user, leg.asset) for leg in report.legs}
    users, assets = {user for user, _ in named}, {asset for _, asset in named}
    if len(users) * len(assets) > PLACES_MAX:
        return named
    return {(user, asset) for user in users for asset in assets}
