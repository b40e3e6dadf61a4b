"""The exchange's wallets, in an SQLite file: each change in one transaction with the note that it was made.

The class blocks: call it in a thread. Any number of threads and processes may work on one file.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final, Self

import msgspec

from heliograph.errors import OutcomeUnknown, SettlementError
from heliograph.model.settlement import amount_text
from heliograph.settlement.ledger import EXACT
from heliograph.settlement.wallet import Wallet

BUSY_S: Final = 30.0
_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS wallet (
        user TEXT, asset TEXT, available TEXT NOT NULL, reserved TEXT NOT NULL, used TEXT NOT NULL,
        made_ns INTEGER NOT NULL, changed_ns INTEGER NOT NULL, last TEXT NOT NULL, PRIMARY KEY (user, asset)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS done (
        reference TEXT, user TEXT, asset TEXT, what TEXT, amount TEXT NOT NULL,
        PRIMARY KEY (reference, user, asset, what)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS traded (
        n INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, asset TEXT NOT NULL, amount TEXT NOT NULL,
        at_ns INTEGER NOT NULL
    )""",
)


class Kept(msgspec.Struct, frozen=True):
    """A wallet as it is kept.

    Args:
        wallet: what is in it.
        made_ns: when it was made.
        changed_ns: when it last changed.
        last: the reference of that change.

    """

    wallet: Wallet
    made_ns: int
    changed_ns: int
    last: str


class Traded(msgspec.Struct, frozen=True):
    """What trading changed in a wallet, until a settlement takes it.

    Args:
        n: its number, which no other has.
        user: whose.
        asset: in which asset.
        amount: bought if positive, sold if negative.
        at_ns: when.

    """

    n: int
    user: str
    asset: str
    amount: Decimal
    at_ns: int


class Wallets:
    """One file of wallets; a context manager.

    Args:
        path: of the file, which is made if it is not there.

    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        """Open the file.

        Raises:
            SettlementError: `journal_away`.

        """
        try:
            connection = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                for statement in _SCHEMA:
                    connection.execute(statement)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as e:
            raise SettlementError("journal_away", f"{self._path}: {e}") from e
        self._connection = connection
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def change(
        self,
        place: tuple[str, str],
        step: Callable[[Wallet], Wallet],
        now_ns: int,
        *,
        what: str,
        amount: Decimal,
        reference: str = "",
        traded: bool = False,
    ) -> Kept:
        """Change a wallet, and return it; what was made under the same reference is not made again.

        Args:
            place: the user and the asset.
            step: the wallet after it, of the one before.
            now_ns: when.
            what: the kind of change.
            amount: how much it is about.
            reference: of the change; empty for one that has none.
            traded: whether a settlement will take the difference.

        Raises:
            SettlementError: what the step says: nothing changed; `conflict`: the reference is another amount's.
            OutcomeUnknown: ask again, by the reference.

        """
        with self._step() as connection:
            found = _kept(connection, place)
            if reference:
                row = connection.execute(
                    "SELECT amount FROM done WHERE reference = ? AND user = ? AND asset = ? AND what = ?",
                    (reference, *place, what),
                ).fetchone()
                if row is not None:
                    if row[0] != amount_text(amount):
                        raise SettlementError("conflict", f"{reference} was about {row[0]}, not {amount:f}")
                    assert found is not None
                    return found
            before = Wallet() if found is None else found.wallet
            after = step(before)
            kept = Kept(after, now_ns if found is None else found.made_ns, now_ns, reference)
            texts = [amount_text(figure) for figure in (after.available, after.reserved, after.used)]
            connection.execute(
                "INSERT OR REPLACE INTO wallet VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*place, *texts, kept.made_ns, now_ns, reference),
            )
            if reference:
                connection.execute(
                    "INSERT INTO done VALUES (?, ?, ?, ?, ?)", (reference, *place, what, amount_text(amount))
                )
            difference = EXACT.subtract(after.balance, before.balance)
            if traded and difference:
                connection.execute(
                    "INSERT INTO traded (user, asset, amount, at_ns) VALUES (?, ?, ?, ?)",
                    (*place, amount_text(difference), now_ns),
                )
        return kept

    def find(self, user: str, asset: str) -> Kept | None:
        """Return a wallet, None if there is none."""
        with self._look() as connection:
            return _kept(connection, (user, asset))

    def of(self, user: str) -> dict[str, Kept]:
        """Return a user's wallets by asset."""
        with self._look() as connection:
            assets = [row[0] for row in connection.execute("SELECT asset FROM wallet WHERE user = ?", (user,))]
            found = {asset: _kept(connection, (user, asset)) for asset in assets}
        return {asset: kept for asset, kept in found.items() if kept is not None}

    def untaken(self) -> list[Traded]:
        """Return what trading changed and no settlement took, oldest first."""
        with self._look() as connection:
            rows = connection.execute("SELECT n, user, asset, amount, at_ns FROM traded ORDER BY n").fetchall()
        return [Traded(n, user, asset, Decimal(amount), at_ns) for n, user, asset, amount, at_ns in rows]

    def taken(self, numbers: list[int]) -> None:
        """Note that settlements took these."""
        with self._step() as connection:
            connection.executemany("DELETE FROM traded WHERE n = ?", [(n,) for n in numbers])

    @contextmanager
    def _step(self) -> Iterator[sqlite3.Connection]:
        with self._look() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            try:
                connection.execute("COMMIT")
            except sqlite3.Error as e:
                raise OutcomeUnknown(f"{self._path}: {e}, while committing") from e

    @contextmanager
    def _look(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._connection is None:
                raise SettlementError("journal_away", f"{self._path} is not open")
            try:
                yield self._connection
            except sqlite3.Error as e:
                raise SettlementError("journal_away", f"{self._path}: {e}") from e


def _kept(connection: sqlite3.Connection, place: tuple[str, str]) -> Kept | None:
    row = connection.execute(
        "SELECT available, reserved, used, made_ns, changed_ns, last FROM wallet WHERE user = ? AND asset = ?", place
    ).fetchone()
    if row is None:
        return None
    return Kept(Wallet(*(Decimal(text) for text in row[:3])), *row[3:])
