"""Several steps of the custodian as one commit: each is decided upon the one before it, and all are written or none.

Nothing here does I/O. A `Copy` is what the single writer believes of its primary; a `Batch` is steps upon it. The
commit expects of the primary all that was believed: the writer, the cursor, the journal's head, and the version of each
record that changes. So a belief that was wrong costs a refusal, and never money.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

import msgspec

from heliograph.bus import link_keys
from heliograph.bus.commit import (
    WRITE_ARGUMENTS_MAX,
    Absent,
    Append,
    Commit,
    DropFields,
    Expectation,
    FieldsAre,
    PutFields,
    PutText,
    Rank,
    TrimBelow,
    Unrank,
    Write,
)
from heliograph.clock import NS_PER_MS
from heliograph.errors import SettlementError
from heliograph.model.settlement import CreditOrder, Decision
from heliograph.settlement.chain import Entry, Head, follow
from heliograph.settlement.credit import OPEN, Change, Request
from heliograph.settlement.envelope import Sealed
from heliograph.settlement.faces import Face
from heliograph.settlement.ledger import CONTRAS, Account, Books, Position, Transfer
from heliograph.settlement.link import custodian
from heliograph.settlement.link.custodian import Cursor, Writer
from heliograph.settlement.link.sequence import Arrival, Slot
from heliograph.settlement.records import VERSION, Cause, Contra, Credit, body_text, changes_of, credit_of, fields_of

T = TypeVar("T", bound=msgspec.Struct)

_position = lru_cache(65_536)(link_keys.position)
_credit = lru_cache(65_536)(link_keys.credit)

STEPS_MAX: Final = 500
"""Steps of one batch: some 30,000 arguments, which the server takes a few milliseconds for."""
RECORDS_MAX: Final = 2_000
"""Records that a batch changes before it takes no further step; one step, a report, may change thousands more."""
HEADS_MAX: Final = 4_096
"""Heads that are remembered, to know our own history by."""
FIELD: Final = "data"
"""The field of an entry that holds an envelope."""


class Held(msgspec.Struct, frozen=True, gc=False):
    """A record as it is believed to be: its version and its content; 0 and None while there is none."""

    version: int
    value: msgspec.Struct | None


NOTHING: Final = Held(0, None)


class Copy:
    """What the writer believes of its primary: all of it true when it was read or written, by this writer alone.

    Args:
        link: which custodian and exchange.
        writer: who we are.
        cursor: how far we are.
        head: the journal's newest entry.
        acked: the last answer that the exchange was told to forget.
        outbox: the envelopes that are not published yet, by their seq.

    """

    def __init__(
        self, link: str, writer: Writer, cursor: Cursor, head: Head, acked: int, outbox: Mapping[int, bytes]
    ) -> None:
        self.link = link
        self.writer = writer
        self.cursor = cursor
        self.head = head
        self.acked = acked
        self.outbox = dict(outbox)
        self.records: dict[str, Held] = {}
        """By key; what is not here has not been read."""
        self.flying: deque[tuple[int, Collection[str]]] = deque()
        """Of each batch on its way: the number of the journal's head after it, and the records that it writes."""
        self.confirmed = head.n
        """The journal's head after the last batch that was answered."""
        self._heads = {head.hash: head.n}

    def sent(self, keys: Collection[str]) -> None:
        """Note that a batch is on its way which leads to the head as it is, and which records it writes."""
        self.flying.append((self.head.n, keys))
        self._heads[self.head.hash] = self.head.n
        if len(self._heads) > HEADS_MAX:
            del self._heads[next(iter(self._heads))]

    def since(self, head: str, confirmed: int) -> bool:
        """Whether a head, by its hash, is one of ours, and not older than one that was confirmed."""
        return self._heads.get(head, -1) >= confirmed

    def forget(self) -> None:
        """Forget all records but those that a batch on its way writes: these the primary may still have to learn."""
        kept = {key for _, keys in self.flying for key in keys}
        self.records = {key: held for key, held in self.records.items() if key in kept}


class Batch:
    """Steps upon a copy. A step that is refused changes nothing, and the batch stays good.

    Args:
        copy: what to start from; it is not changed.
        now_ns: when the steps happen.

    """

    def __init__(self, copy: Copy, now_ns: int) -> None:
        self.copy = copy
        self.now_ns = now_ns
        self.cursor = copy.cursor
        """How far the custodian is after the steps so far."""
        self.head = copy.head
        self.acked = copy.acked
        self.entries: list[Entry] = []
        """The journal's entries of the steps so far."""
        self.base = (copy.cursor, copy.head, copy.acked)
        self._records: dict[str, Held] = {}
        self._changes: dict[str, dict[str, str | None]] = {}
        self._credit: dict[str, Credit] = {}
        self._recorded: dict[int, bytes] = {}
        self._appended: list[Append] = []
        self._open: dict[str, int | None] = {}

    @property
    def full(self) -> bool:
        """Whether the batch should be committed before another step is taken."""
        return len(self.entries) + len(self._appended) >= STEPS_MAX or len(self._records) >= RECORDS_MAX

    @property
    def mark(self) -> tuple[int, int]:
        """What any step changes: the same mark before and after one means that it changed nothing."""
        return len(self.entries), len(self._appended)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to commit."""
        return (self.cursor, self.head, self.acked) == self.base and not self._appended

    def held(self, key: str) -> Held:
        """Return a record as it is after the steps so far.

        Raises:
            SettlementError: `not_read`: it was not read beforehand, which is the caller's fault.

        """
        found = self._records.get(key) or self.copy.records.get(key)
        if found is None:
            raise SettlementError("not_read", f"{key} was not read before it was asked for")
        return found

    def record_at(self, kind: type[T], key: str) -> T | None:
        """Return a record's content, None if there is none.

        Raises:
            SettlementError: `not_read`.

        """
        value = self.held(key).value
        assert value is None or isinstance(value, kind)
        return value

    def request(self, request_id: str) -> Request | None:
        """Return a request.

        Raises:
            SettlementError: `not_read`.

        """
        return self.record_at(Request, link_keys.request(self.copy.link, request_id))

    def position(self, user: str, asset: str) -> Position:
        """Return a user's accounts in one asset, all zero if there are none.

        Raises:
            SettlementError: `not_read`.

        """
        return self.record_at(Position, _position(self.copy.link, user, asset)) or Position()

    def contra(self, asset: str) -> Contra:
        """Return an asset's contra accounts, zero if there are none.

        Raises:
            SettlementError: `not_read`.

        """
        return self.record_at(Contra, link_keys.contra(self.copy.link, asset)) or Contra()

    def slot(self) -> Slot:
        """Return what the next message to the exchange carries."""
        return custodian.slot(self.cursor)

    def record(
        self, request_id: str, order: CreditOrder, digest: str, seal: Callable[[Slot], Sealed]
    ) -> tuple[Request, bool]:
        """Reserve what an order asks for and put its message into the outbox; a repeat is the request that there is.

        Args:
            request_id: the caller's; for ever one order.
            order: what is asked.
            digest: of the order's content.
            seal: makes the message that goes into a slot.

        Returns:
            The request, and whether it is new.

        Raises:
            BadValue: `bad_name`, `bad_amount`.
            SettlementError: as `link.custodian.record` says; `not_read`.

        """
        existing = self.request(request_id)
        position = self.position(order.user, order.asset)
        change = custodian.record(self.cursor, existing, position, request_id, order, digest)
        if change is None:
            assert existing is not None
            return existing, False
        sealed = self._sealed(seal)
        self._enter_request(Cause("order", request_id, sealed.seq, sealed.digest), change, self._after(sealed))
        self._recorded[sealed.seq] = sealed.raw
        self._open[request_id] = -(-order.expires_ns // NS_PER_MS)  # Rounded up: 0 means that there is none.
        return change.request, True

    def cancel(self, request_id: str, seal: Callable[[Slot], Sealed]) -> Request:
        """Ask for a request back.

        Raises:
            SettlementError: `unknown_request`, `final`, `asked`, `not_read`.

        """
        request = self._known(request_id)
        asked = custodian.cancel(self.cursor, request)
        sealed = self._sealed(seal)
        change = Change(asked, self.position(request.user, request.asset), ())
        self._enter_request(Cause("cancel", request_id, sealed.seq, sealed.digest), change, self._after(sealed))
        self._recorded[sealed.seq] = sealed.raw
        self._open[request_id] = 0  # It is asked back once, so its deadline counts no more.
        return asked

    def message(
        self,
        cause_kind: str,
        message_id: str,
        seal: Callable[[Slot], Sealed],
        transfers: Sequence[Transfer] = (),
        records: Mapping[str, msgspec.Struct] | None = None,
    ) -> Sealed:
        """Put another message into the outbox, with what moves and changes by its being sent.

        Args:
            cause_kind: what it is, such as `confirmation`.
            message_id: of the cycle that it is about.
            seal: makes the message that goes into a slot.
            transfers: what moves, in order.
            records: what is made or changed, by its key.

        Raises:
            SettlementError: as `post` says.

        """
        books = self._moved(transfers)
        known = {key: self.held(key) for key in records or {}}
        sealed = self._sealed(seal)
        cause = Cause(cause_kind, message_id, sealed.seq, sealed.digest)
        self._enter(cause, self._after(sealed), transfers, books, records or {}, known)
        self._recorded[sealed.seq] = sealed.raw
        return sealed

    def apply(self, request_id: str, decision: Decision, arrival: Arrival) -> Request:
        """Post or void a request on the exchange's answer.

        Raises:
            SettlementError: as `link.custodian.apply` says; `not_read`.

        """
        request = self.request(request_id)
        position = Position() if request is None else self.position(request.user, request.asset)
        applied = custodian.apply(self.cursor, request, position, decision, arrival)
        self._enter_request(Cause("decision", request_id, arrival.seq, arrival.digest), applied.change, applied.cursor)
        return applied.change.request

    def advance(
        self,
        cause_kind: str,
        message_id: str,
        arrival: Arrival,
        transfers: Sequence[Transfer] = (),
        records: Mapping[str, msgspec.Struct] | None = None,
    ) -> None:
        """Take another answer of the exchange, with what moves and changes by it.

        Args:
            cause_kind: what it is: `report`, or `quarantined` for one whose content makes no sense.
            message_id: of the cycle or request that it is about.
            arrival: its place.
            transfers: what moves, in order.
            records: what is made or changed, by its key.

        Raises:
            SettlementError: as `link.custodian.advance` and `post` say.

        """
        cursor = custodian.advance(self.cursor, arrival)
        books = self._moved(transfers)
        known = {key: self.held(key) for key in records or {}}
        cause = Cause(cause_kind, message_id, arrival.seq, arrival.digest)
        self._enter(cause, cursor, transfers, books, records or {}, known)

    def post(
        self, cause: Cause, transfers: Sequence[Transfer] = (), records: Mapping[str, msgspec.Struct] | None = None
    ) -> None:
        """Move coins and change records for a reason of our own: a deposit, a settlement, a freeze.

        Args:
            cause: why.
            transfers: what moves, in order.
            records: what is made or changed, by its key.

        Raises:
            SettlementError: `not_read`; as `ledger.Books.post` says.

        """
        books = self._moved(transfers)
        known = {key: self.held(key) for key in records or {}}
        self._enter(cause, self.cursor, transfers, books, records or {}, known)

    def envelope(self, seq: int) -> bytes:
        """Return a message that is recorded and not published.

        Raises:
            SettlementError: `not_read`: it is not at hand.

        """
        raw = self._recorded.get(seq) or self.copy.outbox.get(seq)
        if raw is None:
            raise SettlementError("not_read", f"the envelope of message {seq} was not read")
        return raw

    def publish(self, seq: int) -> None:
        """Show all messages up to `seq` to the exchange.

        Raises:
            SettlementError: `too_early`; `not_read`: an envelope is not at hand.

        """
        cursor = custodian.publish(self.cursor, seq)
        out = link_keys.out(self.copy.link)
        unseen = range(self.cursor.published + 1, cursor.published + 1)
        self._appended += [Append(out, {FIELD: self.envelope(n)}, f"{n}-0") for n in unseen]
        self.cursor = cursor

    def acknowledge(self, seq: int) -> None:
        """Let the exchange forget its answers up to `seq`.

        Raises:
            SettlementError: `too_early`: it has not taken effect.

        """
        if seq > self.cursor.applied:
            raise SettlementError("too_early", f"answer {seq} is acknowledged before it took effect")
        self.acked = max(self.acked, seq)

    def show(self, faces: Iterable[Face]) -> None:
        """Append to the faces of the seeds."""
        self._appended += [Append(face.stream, face.fields) for face in faces]

    def quarantine(self, fields: Mapping[str, str | bytes]) -> None:
        """Keep what could not be accepted, with the reason, for a person to look at."""
        self._appended.append(Append(link_keys.quarantine(self.copy.link), fields))

    def commit(self) -> Commit:
        """Return all steps as one commit."""
        return Commit(self._expectations(), self._writes())

    def settle(self) -> None:
        """Write the steps into the copy, since the commit is on its way."""
        copy = self.copy
        copy.cursor, copy.head, copy.acked = self.cursor, self.head, self.acked
        copy.records.update(self._records)
        copy.sent(tuple(self._records))
        copy.outbox.update(self._recorded)
        for seq in range(self.base[0].published + 1, self.cursor.published + 1):
            copy.outbox.pop(seq, None)

    def _known(self, request_id: str) -> Request:
        request = self.request(request_id)
        if request is None:
            raise SettlementError("unknown_request", f"there is no request {request_id}")
        return request

    def _sealed(self, seal: Callable[[Slot], Sealed]) -> Sealed:
        slot = self.slot()
        sealed = seal(slot)
        assert sealed.seq == slot.seq
        return sealed

    def _after(self, sealed: Sealed) -> Cursor:
        return custodian.recorded(self.cursor, sealed.digest)

    def _enter_request(self, cause: Cause, change: Change, cursor: Cursor) -> None:
        """Note a request's step: nothing in here may be refused."""
        request = change.request
        key = link_keys.request(self.copy.link, request.id)
        moved = {(request.user, request.asset): change.position} if change.transfers else {}
        self._enter(cause, cursor, change.transfers, (moved, {}), {key: request}, {key: self.held(key)})
        if request.state not in OPEN:
            self._open[request.id] = None

    def _moved(
        self, transfers: Sequence[Transfer]
    ) -> tuple[Mapping[tuple[str, str], Position], Mapping[tuple[Account, str], Decimal]]:
        """Return the accounts that transfers touch, after them."""
        if not transfers:
            return {}, {}
        books = Books()
        for transfer in transfers:
            for account, user in ((transfer.debit, transfer.debit_user), (transfer.credit, transfer.credit_user)):
                if account in CONTRAS:
                    books.contras[account, transfer.asset] = getattr(self.contra(transfer.asset), account)
                else:
                    books.positions[user, transfer.asset] = self.position(user, transfer.asset)
        books.post(transfers)
        return books.positions, books.contras

    def _enter(
        self,
        cause: Cause,
        cursor: Cursor,
        transfers: Sequence[Transfer],
        books: tuple[Mapping[tuple[str, str], Position], Mapping[tuple[Account, str], Decimal]],
        records: Mapping[str, msgspec.Struct],
        known: Mapping[str, Held],
    ) -> None:
        """Note a step that is decided: nothing in here may be refused."""
        link = self.copy.link
        positions, contras = books
        for (user, asset), position in positions.items():
            before = self.position(user, asset)
            self._put(_position(link, user, asset), position)
            if position.credit != before.credit:
                credit = credit_of(user, asset, position.credit, cursor.applied, self.now_ns)
                self._credit[_credit(user, asset)] = credit
        for (account, asset), amount in contras.items():
            contra = msgspec.structs.replace(self.contra(asset), **{account: amount})
            self._put(link_keys.contra(link, asset), contra)
        said: dict[str, dict[str, str | None]] = {}
        for key, value in records.items():
            version = known[key].version + 1
            changes = changes_of(known[key].value, value)
            changes[VERSION] = str(version)
            self._records[key] = Held(version, value)
            self._changes.setdefault(key, {}).update(changes)
            said[key] = changes
        body = body_text(cause, cursor.applied, transfers, said)
        entry = follow(self.head, self.now_ns, body)
        self.entries.append(entry)
        self.head = entry.head
        self.cursor = cursor

    def _put(self, key: str, value: msgspec.Struct) -> None:
        self._records[key] = Held(self.held(key).version + 1, value)

    def _expectations(self) -> list[Expectation]:
        cursor, head, _ = self.base
        link = self.copy.link
        expectations: list[Expectation] = [
            FieldsAre(link_keys.writer(link), fields_of(self.copy.writer)),
            FieldsAre(link_keys.cursor(link), fields_of(cursor)),
            FieldsAre(link_keys.head(link), fields_of(head)),
        ]
        for key in self._records:
            version = self.copy.records[key].version
            expectations.append(FieldsAre(key, {VERSION: str(version)}) if version else Absent(key))
        return expectations

    def _writes(self) -> list[Write]:
        link = self.copy.link
        writes: list[Write] = []
        for key, held in self._records.items():
            assert held.value is not None
            changes = self._changes.get(key)
            if changes is None:
                changes = changes_of(self.copy.records[key].value, held.value)
                changes[VERSION] = str(held.version)
            if None in changes.values():
                writes.append(DropFields(key, [name for name, text in changes.items() if text is None]))
                changes = {name: text for name, text in changes.items() if text is not None}
            writes.append(PutFields(key, cast("dict[str, str]", changes)))
        writes += [PutFields(key, fields_of(credit)) for key, credit in self._credit.items()]
        before, after = fields_of(self.base[0]), fields_of(self.cursor)
        if moved := {name: text for name, text in after.items() if before[name] != text}:
            writes.append(PutFields(link_keys.cursor(link), moved))
        journal = link_keys.journal(link)
        writes += [Append(journal, entry_fields(entry), f"{entry.n}-0") for entry in self.entries]
        if self.entries:
            writes.append(PutFields(link_keys.head(link), fields_of(self.head)))
        for part in _parts([(str(seq), raw) for seq, raw in self._recorded.items()]):
            writes.append(PutFields(link_keys.outbox(link), dict(part)))
        writes += self._appended
        writes += self._forgotten()
        if self.acked != self.base[2]:
            writes.append(PutText(link_keys.acked(link), str(self.acked)))
        return writes + self._deadlines()

    def _forgotten(self) -> list[Write]:
        """Delete the envelopes that the exchange is known to have."""
        link, first, last = self.copy.link, self.base[0].trimmed + 1, self.cursor.trimmed
        if last < first:
            return []
        dropped: list[Write] = [
            DropFields(link_keys.outbox(link), part) for part in _parts([str(n) for n in range(first, last + 1)])
        ]
        return [*dropped, TrimBelow(link_keys.out(link), f"{last}-0")]

    def _deadlines(self) -> list[Write]:
        key = link_keys.open_requests(self.copy.link)
        made = [(name, ms) for name, ms in self._open.items() if ms is not None]
        gone = [name for name, ms in self._open.items() if ms is None]
        writes: list[Write] = [Rank(key, dict(part)) for part in _parts(made)]
        return [*writes, *(Unrank(key, part) for part in _parts(gone))]


def entry_fields(entry: Entry) -> dict[str, str]:
    """Return the fields of a journal entry on the primary."""
    return {"n": str(entry.n), "at_ns": str(entry.at_ns), "prev": entry.prev, "hash": entry.hash, "body": entry.body}


def _parts(items: Sequence[Any]) -> Iterable[Any]:
    """Return a list cut into what one write may hold."""
    size = WRITE_ARGUMENTS_MAX // 2
    return (items[at : at + size] for at in range(0, len(items), size))
