"""The exchange's journal: one SQLite file that holds all that the exchange must not forget.

Every step is one transaction that reads what it depends on inside itself, takes any number of messages, decisions or
trades, and is on the disk when it returns. No counter and no decision lives in memory, so any number of processes may
work on one journal. The class blocks: call it in a thread.

A process that dies in the middle of a step has not taken it. One that dies after it finds it taken, and whatever is
asked again is answered in the same way.
"""

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, Self

import msgspec

from heliograph.errors import OutcomeUnknown, SettlementError
from heliograph.model.settlement import Body, Cancel, Confirmation, CreditOrder, Decision, Verdict, name
from heliograph.settlement import cycle as cycles
from heliograph.settlement import netting, trading
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.envelope import NS_MAX, TEXT_MAX, Opened, Sealed, content, digest, opened, seal
from heliograph.settlement.journal_rows import SCHEMA, SCHEMA_VERSION, Quarantined, Rows
from heliograph.settlement.keyring import Keyring, Signer
from heliograph.settlement.ledger import EXACT, ZERO, bounded
from heliograph.settlement.link import exchange
from heliograph.settlement.link.exchange import Cursor, Row
from heliograph.settlement.link.sequence import Arrival
from heliograph.settlement.netting import Change, Netting
from heliograph.settlement.reconcile import ExchangeBooks
from heliograph.settlement.trading import Account

BUSY_S: Final = 30.0
"""How long to wait for another process's step."""
STEPS: Final = ("take", "decide", "prune", "trade", "report", "advance")
POINTS: Final = tuple(f"{step}:{moment}" for step in STEPS for moment in ("begun", "changed", "written", "committed"))
"""Where a process may die: in each step, before anything is written, after the first thing is, before and after the
commit. Only the last is behind the step."""
FREEZING: Final = frozenset(("broken_chain", "foreign_ack", "foreign_journal"))
"""Refusals that mean that this journal and the custodian's data are not of one history: stop, and ask a person."""
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Receipt(msgspec.Struct, frozen=True):
    """What became of a message from the custodian.

    Args:
        outcome: `taken`; `duplicate`: it was before; `wait`: an earlier one is missing; `refused`.
        seq: its number; 0 if it could not be read.
        id: the request or cycle that it is about.
        kind: of its body.
        code: why it was refused; it may have advanced the link for all that.
        first: whether it was refused for the first time.

    """

    outcome: Literal["taken", "duplicate", "wait", "refused"]
    seq: int = 0
    id: str = ""
    kind: str = ""
    code: str = ""
    first: bool = True


class Choice(msgspec.Struct, frozen=True):
    """The application's decision on a request."""

    id: str
    verdict: Verdict
    code: str = ""
    reason: str = ""


class Policy(msgspec.Struct, frozen=True):
    """How the exchange nets a cycle.

    Args:
        house: its own account, which takes part as a user.
        thresholds: per asset, what a net must reach so as not to roll on.
        held_back: users whose nets roll on.

    """

    house: str
    thresholds: Mapping[str, Decimal] = {}
    held_back: frozenset[str] = frozenset()


class ExchangeJournal:
    """One journal of one link; a context manager.

    Args:
        path: of the file, which is made if it is not there.
        link: which custodian and exchange.
        signer: the exchange's key.
        keyring: the custodian's keys.
        at: called at each of `POINTS`, for tests that kill the process there.

    """

    def __init__(
        self, path: Path, link: str, signer: Signer, keyring: Keyring, at: Callable[[str], None] = lambda _: None
    ) -> None:
        self._path = path
        self._link = link
        self._signer = signer
        self._keyring = keyring
        self._at = at
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        """Open the file.

        Raises:
            SettlementError: `foreign_journal`: it is another link's, or of a later version; `journal_away`.

        """
        try:
            connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as e:
            raise self._away(e) from e
        self._connection = connection
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def take(self, raws: Sequence[bytes], now_ns: int) -> list[Receipt]:
        """Take messages of the custodian, in the order of the stream; each has its receipt (rule 1).

        Args:
            raws: as they were read.
            now_ns: the exchange's clock.

        Raises:
            SettlementError: `journal_away`; nothing was taken.
            OutcomeUnknown: ask again.

        """
        read = [self._opened(raw) for raw in raws]
        receipts: list[Receipt] = []
        with self._step("take") as rows:
            cursor = rows.cursor()
            for raw, message in zip(raws, read, strict=True):
                if isinstance(message, SettlementError):
                    receipts.append(_refused(rows, raw, message, now_ns))
                    continue
                cursor, receipt = self._take(rows, cursor, raw, message, now_ns)
                receipts.append(receipt)
                self._at("take:changed")
            rows.put_cursor(cursor)
        return receipts

    def decide(self, choices: Sequence[Choice], now_ns: int) -> list[Row | SettlementError]:
        """Decide requests, each for itself: the row as it is now, or why it could not be decided so (rule 2).

        The same verdict on what is decided already is answered with the row.

        Args:
            choices: the application's.
            now_ns: the exchange's clock.

        Raises:
            SettlementError: `journal_away`; nothing was decided.
            OutcomeUnknown: ask again.

        """
        results: list[Row | SettlementError] = []
        with self._step("decide") as rows:
            cursor = rows.cursor()
            for choice in choices:
                try:
                    cursor, row = self._decide(rows, cursor, choice, now_ns)
                    results.append(row)
                except SettlementError as e:
                    results.append(e)
                self._at("decide:changed")
            rows.put_cursor(cursor)
        return results

    def prune(self, acked: int) -> Cursor:
        """Forget the answers that the custodian acknowledged (rule 4).

        Raises:
            SettlementError: `foreign_journal`: freeze the link; `journal_away`.

        """
        if acked <= self.cursor().pruned:
            return self.cursor()
        with self._step("prune") as rows:
            cursor = exchange.prune(rows.cursor(), acked)
            rows.put_cursor(cursor)
            self._at("prune:changed")
            rows.forget_answers(cursor.pruned)
        return cursor

    def trade(self, trades: Sequence[Sequence[Change]]) -> list[bool | SettlementError]:
        """Book trades, each with all its changes or not at all: whether it is new, or why it was refused.

        Args:
            trades: each the changes of some users' accounts at one instant, which per asset sum to zero.

        Raises:
            SettlementError: `journal_away`; nothing was booked.
            OutcomeUnknown: ask again.

        """
        results: list[bool | SettlementError] = []
        with self._step("trade") as rows:
            for changes in trades:
                try:
                    results.append(_book(rows, changes))
                except SettlementError as e:
                    results.append(e)
                self._at("trade:changed")
        return results

    def report(self, cycle_id: str, cut_off_ns: int, now_ns: int, policy: Policy) -> Cycle:
        """Propose the net of all trades up to an instant; a cycle that is proposed or further is returned as it is.

        Who bought, and sold it again after the instant, is held back: the later sale would not be covered.

        Args:
            cycle_id: the exchange's choice; a refused cycle is calculated again, as the next attempt.
            cut_off_ns: the last instant that is in it.
            now_ns: the exchange's clock.
            policy: how to net.

        Raises:
            BadValue: `bad_name`: of the cycle.
            SettlementError: `nothing_to_settle`, `oversized`; as `netting.net` and `cycle.calculated` say.

        """
        with self._step("report") as rows:
            cycle = rows.cycle(cycle_id)
            if cycle is not None and cycle.state != "refused":
                return cycle
            cycle = cycle or cycles.cut(cycles.opened(cycle_id), cut_off_ns)
            run = f"{cycle_id}/{cycle.attempt + 1}"
            changes = rows.unreported(cut_off_ns)
            netted, accounts = _netted(rows, changes, run, now_ns, policy)
            body = netting.report(netted, cut_off_ns, cycle.attempt + 1)
            cycle = cycles.proposed(cycles.calculated(cycle, body, digest(content(body).encode())))
            for change in netted.advances:
                rows.put_change(change)
            self._at("report:changed")
            # Trades whose net is zero have no leg: they are done with whatever becomes of the others.
            rolled = set(netted.rolled)
            rows.take_changes(cycle_id, [c.ref for c in changes if (c.user, c.asset) not in rolled])
            rows.take_changes(cycle_id, [change.ref for change in netted.advances[::2]])
            for place, account in accounts.items():
                rows.put_account(*place, account)
            rows.put_cycle(cycle)
            rows.put_cursor(self._answer(rows, rows.cursor(), cycle_id, body))
        return cycle

    def advance(self, cycle_id: str, step: Callable[[Cycle], Cycle]) -> Cycle:
        """Take a cycle further by a function of `settlement.cycle`, such as `closed`.

        Raises:
            SettlementError: `unknown_cycle`, and what the step says.

        """
        with self._step("advance") as rows:
            cycle = rows.cycle(cycle_id)
            if cycle is None:
                raise SettlementError("unknown_cycle", f"there is no cycle {cycle_id!r}")
            cycle = step(cycle)
            rows.put_cycle(cycle)
            self._at("advance:changed")
        return cycle

    def cursor(self) -> Cursor:
        """Return how far the link is."""
        with self._look() as rows:
            return rows.cursor()

    def start(self, acked: int, first: int | None) -> Cursor:
        """Check that this journal is the one that the custodian knows (rule 6), and return how far it is.

        Args:
            acked: as read on R.
            first: the first message that is left on R; None if there is none.

        Raises:
            SettlementError: `foreign_journal`: freeze the link.

        """
        cursor = self.cursor()
        exchange.start(cursor, acked, first)
        return cursor

    def outgoing(self, ranges: Sequence[range]) -> list[tuple[int, bytes]]:
        """Return answers as they were sealed, by their number; what is pruned is left out (rule 3)."""
        with self._look() as rows:
            return [answer for each in ranges for answer in rows.answers(each.start, each.stop - 1)]

    def request(self, request_id: str) -> Row | None:
        """Return a request."""
        with self._look() as rows:
            return rows.request(request_id)

    def order(self, request_id: str) -> CreditOrder | None:
        """Return what a request asks for, as it came."""
        with self._look() as rows:
            return rows.order(request_id)

    def requests(self, state: exchange.RowState | None = None, after_seq: int = 0, limit: int = 1000) -> list[Row]:
        """Return requests in the order in which they came.

        Args:
            state: only those; None for all.
            after_seq: only those whose message came later, to go on from.
            limit: how many at most.

        """
        with self._look() as rows:
            return rows.requests(state, after_seq, limit)

    def account(self, user: str, asset: str) -> Account:
        """Return a user's figures in one asset; `limit` is what the credit lets the user trade on (rule 5)."""
        with self._look() as rows:
            return rows.account(user, asset)

    def accounts(self) -> dict[tuple[str, str], Account]:
        """Return all figures by user and asset."""
        with self._look() as rows:
            return rows.accounts()

    def unreported(self, until_ns: int = NS_MAX - 1) -> list[Change]:
        """Return what no report has taken, up to an instant."""
        with self._look() as rows:
            return rows.unreported(until_ns)

    def cycle(self, cycle_id: str) -> Cycle | None:
        """Return a cycle."""
        with self._look() as rows:
            return rows.cycle(cycle_id)

    def cycles(self, state: cycles.State | None = None) -> list[Cycle]:
        """Return the cycles, of one state or all, by id."""
        with self._look() as rows:
            return rows.cycles(state)

    def books(self) -> ExchangeBooks:
        """Return everything that the custodian's books are compared with, of one instant."""
        with self._look() as rows:
            self._opened_connection().execute("BEGIN")
            try:
                return rows.books()
            finally:
                self._opened_connection().execute("ROLLBACK")

    def quarantined(self) -> list[Quarantined]:
        """Return the messages that were refused, oldest first."""
        with self._look() as rows:
            return rows.quarantined()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA_VERSION):
                raise SettlementError("foreign_journal", f"{self._path} is of version {version}, not {SCHEMA_VERSION}")
            rows = Rows(connection)
            if version == 0:
                for statement in SCHEMA:
                    connection.execute(statement)
                rows.begin(self._link)
            if (links := rows.links()) != [self._link]:
                raise SettlementError("foreign_journal", f"{self._path} is of the link {links}, not {self._link!r}")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    @contextmanager
    def _step(self, step: str) -> Iterator[Rows]:
        """Run one transaction: all of it is on the disk afterwards, or nothing is in the file."""
        with self._lock:
            connection = self._opened_connection()
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    self._at(f"{step}:begun")
                    yield Rows(connection)
                    self._at(f"{step}:written")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as e:
                raise self._away(e) from e
            try:
                connection.execute("COMMIT")
            except sqlite3.Error as e:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise OutcomeUnknown(f"{self._path}: {e}, while committing") from e
            self._at(f"{step}:committed")

    @contextmanager
    def _look(self) -> Iterator[Rows]:
        with self._lock:
            try:
                yield Rows(self._opened_connection())
            except sqlite3.Error as e:
                raise self._away(e) from e

    def _opened_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise SettlementError("journal_away", f"{self._path} is not open")
        return self._connection

    def _away(self, error: sqlite3.Error) -> SettlementError:
        return SettlementError("journal_away", f"{self._path}: {error}")

    def _opened(self, raw: bytes) -> Opened | SettlementError:
        try:
            return opened(raw, self._link, "request", self._keyring)
        except SettlementError as e:
            return e

    def _take(self, rows: Rows, cursor: Cursor, raw: bytes, message: Opened, now_ns: int) -> tuple[Cursor, Receipt]:
        envelope, body = message.envelope, message.body
        receipt = Receipt("taken", envelope.seq, envelope.id, envelope.kind)
        if (found := exchange.next_request(cursor, envelope.seq)) != "next":
            return cursor, msgspec.structs.replace(receipt, outcome=found)
        arrival = Arrival(envelope.seq, envelope.ack, envelope.prev, message.digest)
        try:
            taken = self._effect(rows, cursor, arrival, envelope.id, body, now_ns)
        except SettlementError as e:
            first = rows.quarantine(message.digest, Quarantined(e.code, str(e), now_ns, raw))
            return cursor, msgspec.structs.replace(receipt, outcome="refused", code=e.code, first=first)
        cursor = taken.cursor
        if taken.row is not None:
            rows.put_request(taken.row, envelope.body if isinstance(body, CreditOrder) else None)
        if taken.answer is not None:
            cursor = self._answer(rows, cursor, envelope.id, taken.answer)
        if taken.refused:
            rows.quarantine(message.digest, Quarantined(taken.refused, "", now_ns, raw))
            receipt = msgspec.structs.replace(receipt, outcome="refused", code=taken.refused)
        return cursor, receipt

    def _effect(
        self, rows: Rows, cursor: Cursor, arrival: Arrival, about: str, body: Body, now_ns: int
    ) -> exchange.Taken:
        match body:
            case CreditOrder():
                asked = digest(content(body).encode())
                return exchange.take_order(cursor, rows.request(about), arrival, about, body, asked)
            case Cancel():
                return exchange.take_cancel(cursor, rows.request(about), arrival, body, now_ns)
            case Confirmation():
                after = exchange.advance(cursor, arrival)
                try:
                    _confirm(rows, about, body)
                except SettlementError as e:
                    return exchange.Taken(after, refused=e.code)
                return exchange.Taken(after)
        raise AssertionError(f"a {type(body).__name__} among the requests")

    def _decide(self, rows: Rows, cursor: Cursor, choice: Choice, now_ns: int) -> tuple[Cursor, Row]:
        row = rows.request(choice.id)
        if row is None:
            raise SettlementError("unknown_request", f"there is no request {choice.id!r}")
        if row.state == choice.verdict:
            return cursor, row
        if choice.code and _CODE.fullmatch(choice.code) is None:
            raise SettlementError("bad_code", f"not a code in lower case: {choice.code[:60]!r}")
        account = rows.account(row.user, row.asset)
        decided = exchange.decide(
            cursor, row, account.returnable, choice.verdict, now_ns, choice.code, choice.reason[:TEXT_MAX]
        )
        if decided.granted > 0:
            rows.put_account(row.user, row.asset, trading.increased(account, decided.granted))
        elif decided.granted < 0:
            rows.put_account(row.user, row.asset, trading.decreased(account, decided.granted.copy_negate()))
        rows.put_request(decided.row)
        return self._answer(rows, cursor, row.id, decided.answer), decided.row

    def _answer(self, rows: Rows, cursor: Cursor, about: str, body: Body) -> Cursor:
        """Seal the next answer, and put it into the outbox."""
        slot = exchange.slot(cursor)
        sealed: Sealed = seal(self._signer, self._link, "answer", slot.seq, about, body, slot.ack, slot.prev)
        rows.put_answer("decision" if isinstance(body, Decision) else "report", about, sealed)
        return exchange.answered(cursor, sealed.digest)


def _refused(rows: Rows, raw: bytes, error: SettlementError, now_ns: int) -> Receipt:
    first = rows.quarantine(digest(raw), Quarantined(error.code, str(error), now_ns, raw))
    return Receipt("refused", code=error.code, first=first)


def _book(rows: Rows, changes: Sequence[Change]) -> bool:
    """Book one trade; nothing is written unless all of it can be."""
    known = [rows.change(change.ref) for change in changes]
    if known and all(before == change for before, change in zip(known, changes, strict=True)):
        return False
    for before, change in zip(known, changes, strict=True):
        if before is not None:
            raise SettlementError("conflict", f"the change {change.ref!r} is booked already, in another trade")
        _check(change)
    if len({change.ref for change in changes}) < len(changes):
        raise SettlementError("duplicate_change", "a reference is there twice")
    if len({change.at_ns for change in changes}) > 1:
        # Else a cut-off could come between them, and what it leaves would not sum to zero.
        raise SettlementError("bad_time", "the changes of a trade happen at one instant")
    if left := netting.imbalance(changes):
        what = ", ".join(f"{amount:f} {asset}" for asset, amount in sorted(left.items()))
        raise SettlementError("unbalanced", f"the changes do not sum to zero: {what}")
    sums: dict[tuple[str, str], Decimal] = {}
    for change in changes:
        place = (change.user, change.asset)
        sums[place] = EXACT.add(sums.get(place, ZERO), change.amount)
    after = {place: trading.traded(rows.account(*place), amount) for place, amount in sums.items() if amount}
    for place, account in after.items():
        rows.put_account(*place, account)
    for change in changes:
        rows.put_change(change)
    return True


def _check(change: Change) -> None:
    try:
        name(change.ref, "change")
        name(change.user, "user")
        name(change.asset, "asset")
    except ValueError as e:
        raise SettlementError("bad_name", str(e)) from None
    if not change.amount.is_finite() or change.amount == 0:
        raise SettlementError("bad_amount", f"a change is a number other than zero, not {change.amount}")
    bounded(change.amount)
    if not 0 <= change.at_ns < NS_MAX:
        raise SettlementError("bad_time", f"not an instant: {change.at_ns} ns")


def _netted(
    rows: Rows, changes: Sequence[Change], run: str, now_ns: int, policy: Policy
) -> tuple[Netting, dict[tuple[str, str], Account]]:
    """Net the changes, holding back whoever's account does not bear it, and return the accounts after it."""
    before = rows.accounts()
    limits = {asset: account.limit for (user, asset), account in before.items() if user == policy.house}
    held_back = set(policy.held_back)
    while True:
        netted = netting.net(changes, run, now_ns, policy.house, limits, policy.thresholds, held_back)
        after = dict(before)
        for advance in netted.advances:
            place = (advance.user, advance.asset)
            account = after.get(place, Account())
            unreported = EXACT.add(account.unreported, advance.amount)
            after[place] = msgspec.structs.replace(account, unreported=unreported)
        try:
            refused = _report(netted, after, policy.house)
        except SettlementError as e:
            raise SettlementError("house_short", f"{policy.house!r}: {e}") from e
        if not refused:
            return netted, {place: account for place, account in after.items() if account != before.get(place)}
        held_back |= refused


def _report(netted: Netting, after: dict[tuple[str, str], Account], house: str) -> set[str]:
    """Move what is reported; return the users whose accounts do not bear it."""
    refused: set[str] = set()
    for net in netted.nets:
        place = (net.user, net.asset)
        try:
            after[place] = trading.reported(after.get(place, Account()), net.amount)
        except SettlementError:
            if net.user == house:
                raise
            refused.add(net.user)
    return refused


def _confirm(rows: Rows, cycle_id: str, body: Confirmation) -> None:
    """Do what the custodian says of each leg; nothing is written unless all of it can be."""
    cycle = rows.cycle(cycle_id)
    if cycle is None:
        raise SettlementError("unknown_cycle", f"there is no cycle {cycle_id!r}")
    cycle = cycles.answered(cycle, body)
    accounts = {leg.place: cycles.booked(rows.account(*leg.place), leg) for leg in cycle.legs}
    for place, account in accounts.items():
        rows.put_account(*place, account)
    rows.settle_changes(cycle_id, but=[leg.place for leg in cycle.legs if leg.state != "settled"])
    rows.put_cycle(cycle)
