"""The commands of `heliograph settle` that look at books: credit, requests, cycles, freezes, reconciliation."""

import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from heliograph import app
from heliograph.bus.asker import Asker
from heliograph.cli.settle_parties import Party
from heliograph.cli.settle_show import print_cycle, print_cycles, print_freezes, print_requests
from heliograph.cli.settle_table import instant, print_json, print_table
from heliograph.errors import ConfigError, SettlementError
from heliograph.model.settlement import amount_text
from heliograph.settlement.credit import OPEN, Request
from heliograph.settlement.exchange_journal import ExchangeJournal
from heliograph.settlement.keyring import Keyring
from heliograph.settlement.ledger import Position
from heliograph.settlement.link.exchange import Row
from heliograph.settlement.primary import Primary
from heliograph.settlement.reconcile import CustodianBooks, ExchangeBooks, Line, Reconciliation, reconciled
from heliograph.settlement.statement import read, stated
from heliograph.settlement.trading import Account

T = TypeVar("T")

LOOKS_MAX: Final = 5
"""How often two sides that are at work are read again before a difference without a cause is believed."""
LOOK_S: Final = 0.2
_PAGE: Final = 1_000
_SIDES: Final = ("primary: the custodian's books", "journal: the exchange's")


def at_primary(party: Party, look: Callable[[Primary], Awaitable[T]]) -> T:
    """Return what a look at the custodian's primary comes to.

    Raises:
        BusError: it is away or refuses.
        SettlementError: `unknown_link`, `corrupt`.

    """
    found: list[T] = []

    async def run() -> int:
        async with Asker(party.primary, name="heliograph-settle") as asker:
            found.append(await look(Primary(asker, party.link)))
        return 0

    app.run_loop(run())
    return found[0]


def rows_of(journal: ExchangeJournal) -> list[Row]:
    """Return all requests of a journal in the order in which they came."""
    rows: list[Row] = []
    while page := journal.requests(None, rows[-1].request_seq if rows else 0, _PAGE):
        rows += page
    return rows


def _some_side(party: Party) -> None:
    if party.settings.primary is None and party.settings.journal is None:
        raise ConfigError("neither side's books are set: HELIOGRAPH_SETTLEMENT_PRIMARY or _JOURNAL", _SIDES)


def credit(party: Party, user: str, *, as_json: bool) -> int:
    """Print every account of the sides whose books are at hand.

    Args:
        party: custodian, exchange, or both.
        user: whose; empty: everybody's.
        as_json: one JSON object instead of tables.

    Raises:
        ConfigError: neither side is.
        BusError, SettlementError: the books cannot be read.

    """
    _some_side(party)
    told: dict[str, Any] = {}
    if party.settings.primary is not None:
        positions = {p: at for p, at in at_primary(party, Primary.positions).items() if user in ("", p[0])}
        told["custodian"] = [_position(*place, position) for place, position in positions.items()]
    if party.settings.journal is not None:
        with party.journal_to_read() as journal:
            accounts = {p: at for p, at in sorted(journal.accounts().items()) if user in ("", p[0])}
        told["exchange"] = [_account(*place, account) for place, account in accounts.items()]
    if as_json:
        print_json(told)
        return 0
    for side, rows in told.items():
        print(f"{side}:")
        heads = list(rows[0]) if rows else ["user", "asset"]
        print_table(heads, [list(row.values()) for row in rows])
    return 0


def _position(user: str, asset: str, position: Position) -> dict[str, Any]:
    return {
        "user": user,
        "asset": asset,
        "vault": position.vault,
        "credit": position.credit,
        **msgspec.structs.asdict(position),
    }


def _account(user: str, asset: str, account: Account) -> dict[str, Any]:
    return {"user": user, "asset": asset, "usable": account.usable, **msgspec.structs.asdict(account)}


def requests(party: Party, *, only_open: bool, as_json: bool) -> int:
    """Print the requests of the sides whose books are at hand; raises as `credit`.

    Args:
        party: custodian, exchange, or both.
        only_open: leave out what is decided.
        as_json: one JSON object instead of tables.

    """
    _some_side(party)
    told: dict[str, list[Any]] = {}
    if party.settings.primary is not None:
        ours: Iterable[Request] = at_primary(party, Primary.requests)
        told["custodian"] = [each for each in ours if not only_open or each.state in OPEN]
    if party.settings.journal is not None:
        with party.journal_to_read() as journal:
            told["exchange"] = [row for row in rows_of(journal) if not only_open or row.state == "pending"]
    if as_json:
        print_json(told)
        return 0
    for side, rows in told.items():
        print(f"{side}:")
        print_requests(rows)
    return 0


def cycle(party: Party, cycle_id: str, *, as_json: bool) -> int:
    """Print the settlement cycles of the sides whose books are at hand, or one with its legs; raises as `credit`.

    Args:
        party: custodian, exchange, or both.
        cycle_id: which; empty: all.
        as_json: one JSON array instead of tables.

    Raises:
        SettlementError: `unknown_cycle`, besides.

    """
    _some_side(party)
    found = [] if party.settings.primary is None else at_primary(party, Primary.cycles)
    if party.settings.journal is not None:
        with party.journal_to_read() as journal:
            found += journal.cycles()
    if cycle_id:
        found = [each for each in found if each.id == cycle_id]
        if not found:
            raise SettlementError("unknown_cycle", f"there is no cycle {cycle_id!r}")
    if as_json:
        print_json(found)
    elif cycle_id:
        for each in found:
            print_cycle(each)
    else:
        print_cycles(found)
    return 0


def freezes(party: Party, *, as_json: bool) -> int:
    """Print all that is frozen at the custodian; raises as `credit`."""
    frozen = at_primary(party, Primary.freezes)
    if as_json:
        print_json(frozen.orders)
    else:
        print_freezes(frozen)
    return 0


def statement(party: Party) -> int:
    """Print our own books, signed, for the other party's `reconcile`.

    Raises:
        ConfigError: neither side's books are set, or both are.
        BusError, SettlementError: the books cannot be read.

    """
    _some_side(party)
    if party.settings.primary is not None and party.settings.journal is not None:
        raise ConfigError("a statement is one side's, and both sides' books are set", _SIDES)
    books: CustodianBooks | ExchangeBooks
    if party.settings.primary is not None:
        books = at_primary(party, Primary.books)
    else:
        with party.journal_to_read() as journal:
            books = journal.books()
    print(stated(party.signer(), party.link, books, time.time_ns()).decode(), end="")
    return 0


def reconcile(party: Party, file: Path | None, *, as_json: bool) -> int:
    """Compare both sides' books, print every figure, and return 1 if a difference has no cause.

    Args:
        party: the sides whose books are at hand.
        file: the other side's statement; None: both are at hand.
        as_json: one JSON object instead of a table.

    Raises:
        ConfigError: one side's books are missing.
        DecodeError, SettlementError: the statement is none, or not the other party's.
        BusError: the primary is away or refuses.

    """
    theirs = None if file is None else read(_bytes(file), party.link, Keyring(party.peers()))
    for look in range(LOOKS_MAX if file is None else 1):
        if look:
            time.sleep(LOOK_S)
        ours, other = _both(party, None if theirs is None else theirs[0])
        result = reconciled(ours, other)
        if not result.unexplained:
            break
    if as_json:
        print_json({"link": party.link, "agreed": result.agreed, "unexplained": result.unexplained, "books": result})
    else:
        if theirs is not None:
            print(f"the other side's books are of {instant(theirs[1])}")
        _print(result)
    return 1 if result.unexplained else 0


def _both(party: Party, theirs: CustodianBooks | ExchangeBooks | None) -> tuple[CustodianBooks, ExchangeBooks]:
    if isinstance(theirs, CustodianBooks):
        ours = theirs
    elif party.settings.primary is not None:
        ours = at_primary(party, Primary.books)
    else:
        raise ConfigError("the custodian's books are missing", (_SIDES[0], "--statement FILE of the custodian's"))
    if isinstance(theirs, ExchangeBooks):
        return ours, theirs
    if party.settings.journal is None:
        raise ConfigError("the exchange's books are missing", (_SIDES[1], "--statement FILE of the exchange's"))
    with party.journal_to_read() as journal:
        return ours, journal.books()


def _print(result: Reconciliation) -> None:
    print_table(
        ("user", "asset", "figure", "custodian", "exchange", "difference", "cause"),
        [(e.user, e.asset, e.figure, e.custodian, e.exchange, e.difference, _causes(e)) for e in result.lines],
    )
    for lag in result.lags:
        if lag.code:
            print(f"{lag.sequence}: {lag.ahead} at the one end, {lag.behind} at the other: {lag.code}")
    if result.agreed:
        print(f"{len(result.lines)} figures: the books agree")
    elif result.unexplained:
        print(f"{len(result.lines)} figures: {result.unexplained} differ without a cause")
    else:
        print(f"{len(result.lines)} figures: every difference is explained")


def _causes(line: Line) -> str:
    return ", ".join(f"{c.code}{c.id and f' {c.id}'} {amount_text(c.amount)}" for c in line.causes)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as e:
        raise ConfigError(f"{file} cannot be read: {e.strerror}") from e
