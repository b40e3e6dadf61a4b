"""The auditor: replays the journal through the books, and compares whatever the primary holds with what must be there.

It takes *items* in the order in which they were read: entries of the journal, what a key held when the journal's head
was so and so, and the head in the end. So the same judgement is passed on a primary that is at work and on an export.

It is a second opinion: it knows which movements a request may cause from the credit machine's tables, and believes no
figure of the writer's. It repairs nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.bus import link_keys
from heliograph.errors import SettlementError
from heliograph.settlement.chain import Entry, Fault, Head, Verifier
from heliograph.settlement.credit import MOVES, OPEN, TRANSITIONS, Request
from heliograph.settlement.ledger import ACCOUNTS, CONTRAS, Account, Books, Position, Transfer, within
from heliograph.settlement.link.custodian import Cursor
from heliograph.settlement.records import Body, Contra, Credit, Fields, owner_of, read_body, record_of, transfers_of

FINDINGS_MAX: Final = 10_000
"""Findings that are kept; more are counted."""

REQUEST_WAYS: Final = frozenset(MOVES.values())
"""From which account to which a request moves; nothing else moves so."""
OTHER_WAYS: Final[frozenset[tuple[Account, Account]]] = frozenset(
    (
        ("outside", "available"),
        ("available", "outside"),
        ("available", "leaving"),
        ("leaving", "available"),
        ("leaving", "outside"),
        ("granted", "settling"),
        ("settling", "granted"),
        ("settling", "clearing"),
        ("clearing", "available"),
    )
)
"""The ways that deposits, payouts and settlements move."""
_FIXED: Final = ("id", "kind", "user", "asset", "amount", "digest", "request_seq")


class Seen(msgspec.Struct, frozen=True, tag_field="item", tag="seen"):
    """What a key held at the moment when the journal's head was entry `n`; no fields if there was no such key."""

    n: int
    key: str
    fields: Mapping[str, str]


class End(msgspec.Struct, frozen=True, tag_field="item", tag="end"):
    """The journal's head, as it was kept beside the journal, after all other items."""

    n: int
    hash: str


class Unreadable(msgspec.Struct, frozen=True, tag_field="item", tag="unreadable"):
    """An item that could not be read.

    Args:
        place: where it stands, for a person.
        what: what is wrong with it.

    """

    place: str
    what: str


class Unseen(msgspec.Struct, frozen=True, tag_field="item", tag="unseen"):
    """Something that could not be looked at, since whoever audits may not.

    Args:
        place: a key, or what keys are called whose names could not be listed.
        why: what the server said.

    """

    place: str
    why: str


Item = Entry | Seen | End | Unreadable | Unseen


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it must be.

    Args:
        kind: as a code: what `chain.Fault` says; `corrupt`: it cannot be read; `unwarranted`: nothing allows the step;
            `sequence`: a message takes effect out of its turn; `differs`: a key holds something else than the journal
            says; `missing`: it holds nothing; `unknown`: the journal knows nothing of it; or a refusal of the books,
            such as `insufficient_held`.
        n: at which entry; for a key, which entry changed it last.
        account: which key, and which field of it, where it is about one.
        what: the same in words.
        expected: what should be there.
        found: what is there.

    """

    kind: str
    n: int
    account: str = ""
    what: str = ""
    expected: str = ""
    found: str = ""


class Audit(msgspec.Struct, frozen=True):
    """What an audit came to.

    Args:
        link: which custodian and exchange.
        entries: how many entries were replayed.
        keys: how many keys were compared.
        head: the newest entry.
        findings: what is wrong, in the order in which it was found, up to `FINDINGS_MAX`.
        more: how many more there were.
        unseen: what could not be looked at, for want of a right.

    """

    link: str
    entries: int
    keys: int
    head: Head
    findings: tuple[Finding, ...]
    more: int = 0
    unseen: tuple[Unseen, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether all is as it must be, of what could be looked at."""
        return not self.findings


class Auditor:
    """Takes items one by one, and says in the end what was wrong.

    Args:
        link: which custodian and exchange.

    """

    def __init__(self, link: str) -> None:
        self.link = link
        self.books = Books()
        self._verifier = Verifier()
        self._findings: list[Finding] = []
        self._more = 0
        self._unseen: list[Unseen] = []
        self._entries = self._compared = 0
        self._records: dict[str, Fields] = {}
        self._requests: dict[str, Request] = {}
        self._credits: dict[str, Credit] = {}
        self._changed: dict[str, int] = {}
        self._cursor = Cursor()
        self._ended = False

    @property
    def newest(self) -> int:
        """The number of the newest entry so far."""
        return self._verifier.newest.n

    def keys(self) -> list[str]:
        """Return the keys that the journal so far speaks of."""
        return [*self._changed, link_keys.cursor(self.link)]

    def knows(self, key: str) -> bool:
        """Whether the journal so far speaks of a key."""
        return key in self._changed

    def take(self, item: Item) -> None:
        """Look at the next item."""
        match item:
            case Entry():
                self._take_entry(item)
            case Seen(_, key, fields):
                self._compared += 1
                self._compare(key, fields)
            case End(n, newest):
                self._ended = True
                self._faults(self._verifier.end(Head(n, newest)))
            case Unreadable(place, what):
                self._find(Finding("corrupt", self.newest + 1, place, what))
            case Unseen():
                self._unseen.append(item)

    def result(self) -> Audit:
        """Return what it came to, after the last item."""
        if not self._ended:
            self._find(Finding("truncated", self.newest + 1, what="the head is missing: nobody knows where it ended"))
            self._ended = True
        found, unseen = tuple(self._findings), tuple(self._unseen)
        return Audit(self.link, self._entries, self._compared, self._verifier.newest, found, self._more, unseen)

    def _find(self, finding: Finding) -> None:
        if len(self._findings) < FINDINGS_MAX:
            self._findings.append(finding)
        else:
            self._more += 1

    def _faults(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            self._find(Finding(fault.kind, fault.n, what=fault.what))

    def _take_entry(self, entry: Entry) -> None:
        self._entries += 1
        self._faults(self._verifier.take(entry))
        try:
            body = read_body(entry.body)
            transfers = transfers_of(body)
        except SettlementError as e:
            self._find(Finding(e.code, entry.n, what=str(e)))
            return
        self._check_sequence(entry.n, body)
        records = {key: self._merged(key, changes) for key, changes in body.records.items()}
        self._check_cause(entry.n, records, transfers)
        before = {owner: self.books.positions.get(owner, Position()).credit for owner in _owners(transfers)}
        try:
            self.books.post(transfers)
        except SettlementError as e:
            self._find(Finding(e.code, entry.n, what=str(e)))
            return
        self._records.update(records)
        self._changed.update(dict.fromkeys(records, entry.n))
        self._note(entry, body, transfers, before)

    def _check_sequence(self, n: int, body: Body) -> None:
        cause, cursor = body.cause, self._cursor
        if body.applied != cursor.applied:
            if body.applied != cursor.applied + 1 or cause.seq != body.applied:
                what = f"answer {cause.seq} took effect when {cursor.applied + 1} was due"
                self._find(Finding("sequence", n, what=what))
            self._cursor = msgspec.structs.replace(cursor, applied=body.applied, applied_digest=cause.digest)
        elif cause.seq:
            if cause.seq != cursor.recorded + 1:
                what = f"message {cause.seq} was recorded when {cursor.recorded + 1} was due"
                self._find(Finding("sequence", n, what=what))
            self._cursor = msgspec.structs.replace(cursor, recorded=cause.seq, recorded_digest=cause.digest)

    def _check_cause(self, n: int, records: Mapping[str, Fields], transfers: list[Transfer]) -> None:
        """See that every movement has a reason to be, and every step of a request the movements that it must have."""
        prefix = link_keys.request(self.link, "")
        due: list[Transfer] = []
        for key, fields in records.items():
            if key.startswith(prefix):
                try:
                    due += self._request_step(n, key, record_of(Request, fields, key))
                except SettlementError as e:
                    self._find(Finding(e.code, n, key, str(e)))
        made = [t for t in transfers if (t.debit, t.credit) in REQUEST_WAYS]
        if made != due:
            what = "the movements are not those of the request's step"
            self._find(Finding("unwarranted", n, "", what, _told(due), _told(made)))
        for transfer in transfers:
            way = (transfer.debit, transfer.credit)
            if way not in REQUEST_WAYS and way not in OTHER_WAYS:
                self._find(Finding("unwarranted", n, "", "nothing moves so", "", _told([transfer])))

    def _request_step(self, n: int, key: str, request: Request) -> list[Transfer]:
        """Check a request's step, and return the movements that it must have."""
        before = self._requests.get(key)
        self._requests[key] = request
        if before is None:
            allowed = request.state == "held" and request.version == 1
        else:
            allowed = (
                request.state
                in (TRANSITIONS.get((before.state, event)) for event in ("cancel", "accepted", "rejected"))
                and request.version == before.version + 1
                and all(getattr(before, name) == getattr(request, name) for name in _FIXED)
                and (request.state in OPEN) == (request.answer_seq == 0)
            )
        if not allowed:
            was = "absent" if before is None else f"{before.state} (version {before.version})"
            what = (
                f"no request becomes {request.state} (version {request.version}) that was {was}, or its terms changed"
            )
            self._find(Finding("unwarranted", n, key, what))
        way = MOVES.get((request.kind, request.state))
        return [] if way is None else [within(request.user, request.asset, request.amount, *way)]

    def _note(
        self, entry: Entry, body: Body, transfers: list[Transfer], before: Mapping[tuple[str, str], Decimal]
    ) -> None:
        """Note what the keys must hold after an entry."""
        for (user, asset), had in before.items():
            self._changed[link_keys.position(self.link, user, asset)] = entry.n
            has = self.books.positions[user, asset].credit
            if has != had:
                key = link_keys.credit(user, asset)
                self._changed[key] = entry.n
                self._credits[key] = Credit(user, asset, has, 0, 0, body.applied)
        for transfer in transfers:
            if transfer.debit in CONTRAS or transfer.credit in CONTRAS:
                self._changed[link_keys.contra(self.link, transfer.asset)] = entry.n

    def _merged(self, key: str, changes: Mapping[str, str | None]) -> Fields:
        """Return a record's fields after a step."""
        fields = {**self._records.get(key, {}), **changes}
        return {name: text for name, text in fields.items() if text is not None}

    def _compare(self, key: str, fields: Mapping[str, str]) -> None:
        if key == link_keys.cursor(self.link):
            self._compare_cursor(key, fields)
            return
        n = self._changed.get(key)
        if n is None:
            if fields:
                self._find(
                    Finding("unknown", self.newest, key, "the journal says nothing of it", "", str(fields)[:200])
                )
            return
        if not fields:
            self._find(Finding("missing", n, key, "there is no such key"))
            return
        try:
            self._compare_known(n, key, fields)
        except SettlementError as e:
            self._find(Finding(e.code, n, key, str(e)))

    def _compare_known(self, n: int, key: str, fields: Mapping[str, str]) -> None:
        owner = owner_of(self.link, key)
        if key in self._records:
            for name in self._records[key].keys() | fields.keys():
                self._same(n, key, name, self._records[key].get(name), fields.get(name))
        elif key in self._credits:
            due, credit = self._credits[key], record_of(Credit, fields, key)
            for name in ("user_id", "asset", "amount", "answer_seq"):
                self._same(n, key, name, getattr(due, name), getattr(credit, name))
        elif owner is not None and len(owner) == 2:
            position = record_of(Position, fields, key)
            for account in ACCOUNTS:
                due_amount = getattr(self.books.positions[owner[0], owner[1]], account)
                self._same(n, key, account, due_amount, getattr(position, account))
        elif owner is not None:
            contra = record_of(Contra, fields, key)
            for account in CONTRAS:
                due_amount = self.books.contras.get((account, owner[0]), Decimal(0))
                self._same(n, key, account, due_amount, getattr(contra, account))

    def _compare_cursor(self, key: str, fields: Mapping[str, str]) -> None:
        n, due = self.newest, self._cursor
        try:
            cursor = record_of(Cursor, fields, key)
        except SettlementError as e:
            self._find(Finding(e.code, n, key, str(e)))
            return
        for name in ("recorded", "recorded_digest", "applied", "applied_digest"):
            self._same(n, key, name, getattr(due, name), getattr(cursor, name))
        if not cursor.trimmed <= cursor.published <= cursor.recorded:
            what = "what is trimmed was published, and what is published was recorded"
            self._find(Finding("differs", n, key, what, "", f"{cursor}"))

    def _same(self, n: int, key: str, name: str, due: object, found: object) -> None:
        if due != found:
            what = f"since entry {n} it must be {_text(due)}"
            self._find(Finding("differs", n, f"{key} {name}", what, _text(due), _text(found)))


def audit(link: str, items: Iterable[Item]) -> Audit:
    """Return what an audit of all items comes to."""
    auditor = Auditor(link)
    for item in items:
        auditor.take(item)
    return auditor.result()


def _owners(transfers: Iterable[Transfer]) -> Iterator[tuple[str, str]]:
    for transfer in transfers:
        for account, user in ((transfer.debit, transfer.debit_user), (transfer.credit, transfer.credit_user)):
            if account not in CONTRAS:
                yield user, transfer.asset


def _told(transfers: Iterable[Transfer]) -> str:
    return "; ".join(f"{t.amount:f} {t.asset} {t.debit}:{t.debit_user} > {t.credit}:{t.credit_user}" for t in transfers)


def _text(value: object) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else "nothing" if value is None else str(value)
