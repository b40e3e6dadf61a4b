"""The tables of the exchange's journal, and their rows as values.

Amounts are text. Nothing here decides, begins or commits: whoever calls is inside a transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.model.settlement import CreditOrder
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.envelope import NS_MAX, Sealed
from heliograph.settlement.ledger import EXACT, ZERO
from heliograph.settlement.link.exchange import Cursor, Row
from heliograph.settlement.netting import Change, Flow
from heliograph.settlement.reconcile import ExchangeBooks, Trader
from heliograph.settlement.trading import Account

SCHEMA_VERSION: Final = 1
QUARANTINE_MAX: Final = 10_000
"""Refused messages that are kept; of more, the oldest go."""
SCHEMA: Final = (
    """CREATE TABLE link (
        name TEXT PRIMARY KEY, inbox INTEGER NOT NULL, inbox_digest TEXT NOT NULL, last INTEGER NOT NULL,
        last_digest TEXT NOT NULL, pruned INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE request (
        id TEXT PRIMARY KEY, digest TEXT NOT NULL, kind TEXT NOT NULL, user TEXT NOT NULL, asset TEXT NOT NULL,
        amount TEXT NOT NULL, expires_ns INTEGER NOT NULL, state TEXT NOT NULL, request_seq INTEGER NOT NULL,
        answer_seq INTEGER NOT NULL, decided_ns INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL,
        body TEXT NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX request_by_state ON request (state, request_seq)",
    "CREATE TABLE outbox (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, raw BLOB NOT NULL)",
    "CREATE UNIQUE INDEX outbox_decision ON outbox (id) WHERE kind = 'decision'",
    """CREATE TABLE account (
        user TEXT, asset TEXT, "limit" TEXT NOT NULL, settling TEXT NOT NULL, arriving TEXT NOT NULL,
        unreported TEXT NOT NULL, PRIMARY KEY (user, asset)) WITHOUT ROWID""",
    """CREATE TABLE change (
        ref TEXT PRIMARY KEY, user TEXT NOT NULL, asset TEXT NOT NULL, amount TEXT NOT NULL, at_ns INTEGER NOT NULL,
        cycle TEXT, settled INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX change_unreported ON change (at_ns) WHERE cycle IS NULL",
    "CREATE INDEX change_reported ON change (cycle, user, asset) WHERE cycle IS NOT NULL AND settled = 0",
    "CREATE TABLE cycle (id TEXT PRIMARY KEY, state TEXT NOT NULL, body TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE quarantine (
        n INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL,
        at_ns INTEGER NOT NULL, raw BLOB NOT NULL, UNIQUE (digest, code))""",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
"""A settled change stays for ever: its reference must never count twice."""

_cycles: Final = msgspec.json.Decoder(Cycle)


class Quarantined(msgspec.Struct, frozen=True):
    """A message that was refused.

    Args:
        code: why, as a code.
        reason: why, in words.
        at_ns: when it came first.
        raw: its bytes.

    """

    code: str
    reason: str
    at_ns: int
    raw: bytes


class Rows:
    """The journal's rows, over one connection.

    Args:
        connection: open, without transactions of its own.

    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._do = connection.execute
        self._do_many = connection.executemany

    def links(self) -> list[str]:
        """Return the names of the links that the journal is of: one, or none if it is new."""
        return [name for (name,) in self._do("SELECT name FROM link")]

    def begin(self, link: str) -> None:
        """Make the journal one of this link."""
        self._do("INSERT INTO link VALUES (?, 0, '', 0, '', 0)", (link,))

    def cursor(self) -> Cursor:
        """Return how far the link is."""
        return Cursor(*self._do("SELECT inbox, inbox_digest, last, last_digest, pruned FROM link").fetchone())

    def put_cursor(self, cursor: Cursor) -> None:
        """Write how far the link is."""
        self._do(
            "UPDATE link SET inbox = ?, inbox_digest = ?, last = ?, last_digest = ?, pruned = ?",
            msgspec.structs.astuple(cursor),
        )

    def request(self, request_id: str) -> Row | None:
        """Return a request."""
        found = self._do("SELECT * FROM request WHERE id = ?", (request_id,)).fetchone()
        return None if found is None else _row(found)

    def requests(self, state: str | None, after_seq: int, limit: int) -> list[Row]:
        """Return requests in the order in which they came, of one state or of all."""
        every = "SELECT * FROM request WHERE request_seq > ?2 ORDER BY request_seq LIMIT ?3"
        some = "SELECT * FROM request WHERE state = ?1 AND request_seq > ?2 ORDER BY request_seq LIMIT ?3"
        return [_row(each) for each in self._do(every if state is None else some, (state, after_seq, limit))]

    def order(self, request_id: str) -> CreditOrder | None:
        """Return what a request asks for, as it came."""
        found = self._do("SELECT body FROM request WHERE id = ?", (request_id,)).fetchone()
        return None if found is None else msgspec.json.decode(found[0], type=CreditOrder)

    def put_request(self, row: Row, body: str | None = None) -> None:
        """Write a request: with its content if it is new, and what was decided if not."""
        if body is None:
            self._do(
                "UPDATE request SET state = ?, answer_seq = ?, decided_ns = ?, code = ?, reason = ? WHERE id = ?",
                (row.state, row.answer_seq, row.decided_ns, row.code, row.reason, row.id),
            )
            return
        values = msgspec.structs.asdict(row)
        values["amount"] = format(row.amount, "f")
        self._do("INSERT INTO request VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*values.values(), body))

    def put_answer(self, kind: str, about: str, sealed: Sealed) -> None:
        """Put a sealed answer into the outbox."""
        self._do("INSERT INTO outbox VALUES (?, ?, ?, ?)", (sealed.seq, kind, about, sealed.raw))

    def answers(self, first: int, last: int) -> list[tuple[int, bytes]]:
        """Return the answers from one number to another, as they were sealed."""
        return self._do("SELECT seq, raw FROM outbox WHERE seq BETWEEN ? AND ? ORDER BY seq", (first, last)).fetchall()

    def forget_answers(self, pruned: int) -> None:
        """Delete the answers up to a number."""
        self._do("DELETE FROM outbox WHERE seq <= ?", (pruned,))

    def account(self, user: str, asset: str) -> Account:
        """Return a user's figures in one asset, zeros if there are none."""
        found = self._do(
            'SELECT "limit", settling, arriving, unreported FROM account WHERE user = ? AND asset = ?', (user, asset)
        ).fetchone()
        return Account() if found is None else Account(*map(Decimal, found))

    def accounts(self) -> dict[tuple[str, str], Account]:
        """Return all figures by user and asset."""
        found = self._do('SELECT user, asset, "limit", settling, arriving, unreported FROM account')
        return {(user, asset): Account(*map(Decimal, figures)) for user, asset, *figures in found}

    def put_account(self, user: str, asset: str, account: Account) -> None:
        """Write a user's figures in one asset."""
        figures = [format(figure, "f") for figure in msgspec.structs.astuple(account)]
        self._do("INSERT OR REPLACE INTO account VALUES (?, ?, ?, ?, ?, ?)", (user, asset, *figures))

    def change(self, ref: str) -> Change | None:
        """Return what a trade did."""
        found = self._do("SELECT ref, user, asset, amount, at_ns FROM change WHERE ref = ?", (ref,)).fetchone()
        return None if found is None else _change(found)

    def put_change(self, change: Change) -> None:
        """Write what a trade did, unreported."""
        amount = format(change.amount, "f")
        values = (change.ref, change.user, change.asset, amount, change.at_ns)
        self._do("INSERT INTO change VALUES (?, ?, ?, ?, ?, NULL, 0)", values)

    def unreported(self, until_ns: int) -> list[Change]:
        """Return what no report has taken, up to an instant."""
        found = self._do(
            "SELECT ref, user, asset, amount, at_ns FROM change WHERE cycle IS NULL AND at_ns <= ?", (until_ns,)
        )
        return [_change(each) for each in found]

    def take_changes(self, cycle_id: str, refs: Iterable[str]) -> None:
        """Mark changes as reported in a cycle."""
        self._do_many("UPDATE change SET cycle = ? WHERE ref = ?", ((cycle_id, ref) for ref in refs))

    def settle_changes(self, cycle_id: str, but: Iterable[tuple[str, str]]) -> None:
        """Mark a cycle's changes as settled, for ever, but those of some accounts as unreported again."""
        self._do_many(
            "UPDATE change SET cycle = NULL WHERE cycle = ? AND settled = 0 AND user = ? AND asset = ?",
            [(cycle_id, *place) for place in but],
        )
        self._do("UPDATE change SET settled = 1 WHERE cycle = ? AND settled = 0", (cycle_id,))

    def cycle(self, cycle_id: str) -> Cycle | None:
        """Return a cycle."""
        found = self._do("SELECT body FROM cycle WHERE id = ?", (cycle_id,)).fetchone()
        return None if found is None else _cycles.decode(found[0])

    def cycles(self, state: str | None) -> list[Cycle]:
        """Return the cycles, of one state or all, by id."""
        found = self._do("SELECT body FROM cycle WHERE ?1 IS NULL OR state = ?1 ORDER BY id", (state,))
        return [_cycles.decode(body) for (body,) in found]

    def put_cycle(self, cycle: Cycle) -> None:
        """Write a cycle."""
        body = msgspec.json.encode(cycle).decode()
        self._do("INSERT OR REPLACE INTO cycle VALUES (?, ?, ?)", (cycle.id, cycle.state, body))

    def books(self) -> ExchangeBooks:
        """Return everything that the custodian's books are compared with."""
        changes = self.unreported(NS_MAX - 1)
        sums = {(change.user, change.asset): ZERO for change in changes}
        for change in changes:
            place = (change.user, change.asset)
            sums[place] = EXACT.add(sums[place], change.amount)
        return ExchangeBooks(
            tuple(Trader(*place, account) for place, account in self.accounts().items()),
            tuple(self.requests(None, 0, -1)),
            tuple(self.cycles(None)),
            self.cursor(),
            tuple(Flow(*place, amount) for place, amount in sums.items()),
        )

    def quarantine(self, digest: str, refused: Quarantined) -> bool:
        """Keep a message that was refused; return whether it is the first time."""
        values = (digest, refused.code, refused.reason, refused.at_ns, refused.raw)
        done = self._do(
            "INSERT OR IGNORE INTO quarantine (digest, code, reason, at_ns, raw) VALUES (?, ?, ?, ?, ?)", values
        )
        oldest = "SELECT n FROM quarantine ORDER BY n DESC LIMIT 1 OFFSET ?"
        if (found := self._do(oldest, (QUARANTINE_MAX,)).fetchone()) is not None:
            self._do("DELETE FROM quarantine WHERE n <= ?", found)
        return done.rowcount > 0

    def quarantined(self) -> list[Quarantined]:
        """Return what was refused, oldest first."""
        return [Quarantined(*row) for row in self._do("SELECT code, reason, at_ns, raw FROM quarantine ORDER BY n")]


def _row(values: Sequence[object]) -> Row:
    # The last column is the content, which `order` reads.
    return msgspec.convert(dict(zip(Row.__struct_fields__, values[:-1], strict=True)), Row)


def _change(values: Sequence[object]) -> Change:
    return msgspec.convert(dict(zip(Change.__struct_fields__, values, strict=True)), Change)
