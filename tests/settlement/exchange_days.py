"""An exchange's day with its journal, and the custodian that writes to it; each step may be taken again."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from heliograph.errors import SettlementError
from heliograph.model.settlement import Body, Cancel, Confirmation, CreditOrder, LegOutcome, OrderKind
from heliograph.settlement import cycle as cycles
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.envelope import seal
from heliograph.settlement.exchange_journal import Choice, ExchangeJournal, Policy, Receipt
from heliograph.settlement.keyring import Keyring, Signer
from heliograph.settlement.netting import Change

LINK = "acme"
HOUSE = "house"
POLICY = Policy(HOUSE)
EXCHANGE = Signer("exchange-1", Ed25519PrivateKey.from_private_bytes(b"e" * 32))
CUSTODIAN = Signer("custodian-1", Ed25519PrivateKey.from_private_bytes(b"c" * 32))
KEYS = Keyring([CUSTODIAN.public()])
EXCHANGE_KEYS = Keyring([EXCHANGE.public()])


def opened_journal(path: Path, at: Callable[[str], None] = lambda _: None) -> ExchangeJournal:
    return ExchangeJournal(path, LINK, EXCHANGE, KEYS, at)


class Sender:
    """The custodian's sequence of messages."""

    def __init__(self) -> None:
        self.seq = 0
        self.prev = ""

    def say(self, about: str, body: Body, ack: int = 0) -> bytes:
        self.seq += 1
        sealed = seal(CUSTODIAN, LINK, "request", self.seq, about, body, ack, self.prev)
        self.prev = sealed.digest
        return sealed.raw

    def order(
        self, about: str, user: str, asset: str, amount: str, kind: OrderKind = "increase", expires_ns: int = 0
    ) -> bytes:
        return self.say(about, CreditOrder(kind, user, asset, amount, expires_ns=expires_ns))


def trade(ref: str, seller: str, buyer: str, asset: str, amount: str, at_ns: int) -> tuple[Change, Change]:
    moved = Decimal(amount)
    return Change(f"{ref}-s", seller, asset, -moved, at_ns), Change(f"{ref}-b", buyer, asset, moved, at_ns)


def confirmation(cycle: Cycle, excluded: tuple[str, ...] = ()) -> Confirmation:
    out = {leg.leg_id for leg in cycle.legs if leg.user in excluded}
    said = tuple(
        LegOutcome(leg.leg_id, "excluded", "user_excluded") if leg.leg_id in out else LegOutcome(leg.leg_id, "settled")
        for leg in cycle.legs
    )
    return Confirmation(cycle.report, cycle.attempt, said)


def day(journal: ExchangeJournal) -> None:
    """Requests, decisions, trades, a report, its confirmation, and acknowledgements: all as if for the first time."""
    custodian = Sender()
    orders = [
        custodian.order("q1", "alice", "BTC", "5"),
        custodian.order("q2", "bob", "USD", "1000.25"),
        custodian.order("q3", "alice", "USD", "7"),
        custodian.say("q3", Cancel("changed my mind")),
    ]
    journal.take(orders[:1], 10)
    journal.take(orders, 11)
    journal.decide([Choice("q1", "accepted"), Choice("q2", "accepted")], 12)
    journal.trade(
        [
            [*trade("t1", "alice", "bob", "BTC", "2", 20), *trade("t1q", "bob", "alice", "USD", "500.25", 20)],
            trade("t2", "alice", "bob", "BTC", "0.5", 21),
        ]
    )
    journal.prune(2)
    proposed = journal.report("c1", 30, 31, POLICY)
    journal.take([*orders, custodian.say("c1", confirmation(proposed, excluded=("nobody",)), ack=3)], 40)
    journal.take([custodian.order("q4", "alice", "BTC", "1.5", kind="decrease")], 41)
    journal.decide([Choice("q4", "accepted")], 42)
    for step in (lambda cycle: cycles.reconciled(cycle, 0), cycles.closed):
        # It may have been taken before.
        with suppress(SettlementError):
            journal.advance("c1", step)
    journal.prune(4)


def dump(journal: ExchangeJournal) -> dict[str, Any]:
    cursor = journal.cursor()
    return {
        "cursor": cursor,
        "requests": journal.requests(),
        "accounts": journal.accounts(),
        "answers": journal.outgoing([range(1, cursor.last + 1)]),
        "cycles": journal.cycles(),
        "unreported": sorted(journal.unreported(), key=lambda change: change.ref),
        "quarantined": journal.quarantined(),
    }


def die_at(path: Path, hit: int) -> None:
    """Live the day, and be killed at the given passing of a point."""
    left = hit

    def at(_: str) -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    with opened_journal(path, at) as journal:
        day(journal)


def decide_all(path: Path, ids: list[str], verdict: str, start: Any, results: Any) -> None:
    """Decide each request in a transaction of its own, all at the moment at which the others do."""
    with opened_journal(path) as journal:
        won = []
        for request_id in ids:
            start.wait(30)
            (row,) = journal.decide([Choice(request_id, verdict)], 5)  # type: ignore[arg-type]
            if not isinstance(row, SettlementError):
                won.append(request_id)
        results.put((verdict, won))


def outcomes(receipts: list[Receipt]) -> list[str]:
    return [receipt.code or receipt.outcome for receipt in receipts]


def kill_at_each(folder: Path, moments: int) -> None:
    """Live a day for each moment in a process of its own, which is killed then; say how each ended."""
    for hit in range(moments):
        pid = os.fork()
        if pid == 0:
            die_at(folder / f"killed-{hit}", hit)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    kill_at_each(Path(sys.argv[1]), int(sys.argv[2]))
