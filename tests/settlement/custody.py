"""A custodian's day in a few words, for the tests of its state: orders, answers, messages that are not signed."""

import hashlib
from collections.abc import Callable
from decimal import Decimal

from heliograph.model.settlement import CreditOrder, Decision, OrderKind, Verdict
from heliograph.settlement.batch import Batch
from heliograph.settlement.envelope import Sealed, content, digest
from heliograph.settlement.ledger import Transfer
from heliograph.settlement.link.sequence import Arrival, Slot
from heliograph.settlement.records import Cause

LINK = "acme"
USER, ASSET = "alice", "BTC"


def order(
    amount: str = "1", kind: OrderKind = "increase", user: str = USER, asset: str = ASSET, expires_ns: int = 0
) -> CreditOrder:
    return CreditOrder(kind, user, asset, amount, expires_ns=expires_ns)


def order_digest(asked: CreditOrder) -> str:
    return digest(content(asked).encode())


def seal(text: str = "") -> Callable[[Slot], Sealed]:
    def sealed(slot: Slot) -> Sealed:
        raw = f"message {slot.seq} ack {slot.ack} prev {slot.prev} {text}".encode()
        return Sealed(slot.seq, raw, hashlib.sha256(raw).hexdigest())

    return sealed


def record(batch: Batch, request_id: str, asked: CreditOrder) -> None:
    batch.record(request_id, asked, order_digest(asked), seal(request_id))


def deposit(batch: Batch, amount: str, user: str = USER, asset: str = ASSET) -> None:
    moved = Transfer(asset, Decimal(amount), "outside", "", "available", user)
    batch.post(Cause("deposit", f"{user}-{asset}-{batch.head.n}"), [moved])


def arrival(batch: Batch, ack: int | None = None) -> Arrival:
    """The exchange's next answer, which has all that was published."""
    cursor = batch.cursor
    seq = cursor.applied + 1
    return Arrival(seq, cursor.published if ack is None else ack, cursor.applied_digest, f"{seq:064x}")


def answer(batch: Batch, request_id: str, verdict: Verdict = "accepted", ack: int | None = None) -> None:
    code = "" if verdict == "accepted" else "policy"
    batch.apply(request_id, Decision(verdict, code), arrival(batch, ack))
