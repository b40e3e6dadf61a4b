"""The exchange's half of the link: what its journal shall hold next.

The numbers in the docstrings are the rules of the protocol (docs/settlement/link.md). Each function gets rows of the
journal, read inside one transaction, and returns the rows that the same transaction writes. The exchange decides a
request once; its answer is sent again until the custodian acknowledges it.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.settlement import Cancel, CreditOrder, Decision, OrderKind, Verdict, positive
from heliograph.settlement.ledger import ZERO
from heliograph.settlement.link.sequence import Arrival, Place, Slot, in_turn, place

RowState = Literal["pending", "accepted", "rejected"]


class Cursor(msgspec.Struct, frozen=True):
    """How far the exchange is, as its journal has it.

    Args:
        inbox: the last message taken.
        inbox_digest: its digest, which the next one must carry.
        last: the last answer made.
        last_digest: its digest, which the next one carries.
        pruned: the last answer that the custodian acknowledged; up to here the outbox may be deleted.

    """

    inbox: int = 0
    inbox_digest: str = ""
    last: int = 0
    last_digest: str = ""
    pruned: int = 0


class Row(msgspec.Struct, frozen=True):
    """One request, as the exchange keeps it for ever.

    Args:
        id: the custodian's.
        digest: of the order's content.
        kind: what is asked.
        user: whose credit.
        asset: in which asset.
        amount: how much, positive.
        expires_ns: after which instant it may only be rejected; 0 never.
        state: pending until it is decided, once.
        request_seq: its message's place.
        answer_seq: its answer's place; 0 while it is pending.
        decided_ns: when it was decided.
        code: why it was rejected.
        reason: the same in words.

    """

    id: str
    digest: str
    kind: OrderKind
    user: str
    asset: str
    amount: Decimal
    expires_ns: int
    state: RowState
    request_seq: int
    answer_seq: int = 0
    decided_ns: int = 0
    code: str = ""
    reason: str = ""


class Decided(msgspec.Struct, frozen=True):
    """A decision: the row after it, the answer for the next slot, and by how much the credit limit changes."""

    row: Row
    answer: Decision
    granted: Decimal


class Taken(msgspec.Struct, frozen=True):
    """What taking a message does.

    Args:
        cursor: after it.
        row: to be written, if any.
        answer: for the next slot, where the message itself decided the row.
        refused: why the message changed nothing but the cursor: raise an alarm with this code.

    """

    cursor: Cursor
    row: Row | None = None
    answer: Decision | None = None
    refused: str = ""


def slot(cursor: Cursor) -> Slot:
    """Return what the next answer carries."""
    return Slot(seq=cursor.last + 1, ack=cursor.inbox, prev=cursor.last_digest)


def answered(cursor: Cursor, digest: str) -> Cursor:
    """Return the cursor with the answer of `slot` in the outbox, whose sealed envelope has this digest."""
    return msgspec.structs.replace(cursor, last=cursor.last + 1, last_digest=digest)


def next_request(cursor: Cursor, seq: int) -> Place:
    """Tell whether message `seq` is the next, a duplicate to drop, or one to wait with (rule 1)."""
    return place(cursor.inbox, seq)


def advance(cursor: Cursor, arrival: Arrival) -> Cursor:
    """Return the cursor with the message taken, whatever its effect is (rule 1).

    Raises:
        SettlementError: `duplicate`, `too_early`, `broken_chain`; `foreign_ack`: the custodian has answers that this
            journal never made: it is not the journal that made them.

    """
    inbox = in_turn(cursor.inbox, cursor.inbox_digest, arrival)
    if arrival.ack > cursor.last:
        raise SettlementError("foreign_ack", f"the custodian has answer {arrival.ack}, the last is {cursor.last}")
    return msgspec.structs.replace(cursor, inbox=inbox, inbox_digest=arrival.digest)


def take_order(
    cursor: Cursor, row: Row | None, arrival: Arrival, request_id: str, order: CreditOrder, digest: str
) -> Taken:
    """Take a request (rule 1): pending from here on, unless it is known.

    Args:
        cursor: the journal's.
        row: the journal's row of this id.
        arrival: the message's place.
        request_id: the envelope's.
        order: what is asked, checked when the envelope was opened.
        digest: of the order's content.

    Raises:
        SettlementError: `duplicate`, `too_early`, `broken_chain`, `foreign_ack`.

    """
    cursor = advance(cursor, arrival)
    if row is not None:
        return Taken(cursor, refused="" if row.digest == digest else "conflict")
    pending = Row(
        id=request_id,
        digest=digest,
        kind=order.kind,
        user=order.user,
        asset=order.asset,
        amount=positive(order.amount),
        expires_ns=order.expires_ns,
        state="pending",
        request_seq=arrival.seq,
    )
    return Taken(cursor, pending)


def take_cancel(cursor: Cursor, row: Row | None, arrival: Arrival, cancel: Cancel, now_ns: int) -> Taken:
    """Take a cancel (rule 1): it rejects what is pending; what is decided stays, its answer is on its way.

    Raises:
        SettlementError: `duplicate`, `too_early`, `broken_chain`, `foreign_ack`.

    """
    cursor = advance(cursor, arrival)
    if row is None:
        return Taken(cursor, refused="unknown_request")
    if row.state != "pending":
        return Taken(cursor)
    decided = _decided(cursor, row, Decision("rejected", "cancelled", cancel.reason, now_ns))
    return Taken(cursor, decided.row, decided.answer)


def decide(
    cursor: Cursor, row: Row, limit: Decimal, verdict: Verdict, now_ns: int, code: str = "", reason: str = ""
) -> Decided:
    """Decide a pending request (rule 2); past its deadline every verdict is `rejected` with the code `expired`.

    Args:
        cursor: the journal's.
        row: the journal's.
        limit: what the user could give back now.
        verdict: the application's.
        now_ns: the exchange's clock, the only one that counts here.
        code: why not, as a code; `policy` if there is none.
        reason: why not, in words.

    Raises:
        SettlementError: `decided`: there is a decision, and it stays; `insufficient_limit`: a decrease of more than
            the user has left, which the application must reject or let wait.

    """
    if row.state != "pending":
        raise SettlementError("decided", f"request {row.id} is {row.state} for good")
    if expired(row, now_ns):
        late = f"decided {now_ns - row.expires_ns} ns after its deadline"
        return _decided(cursor, row, Decision("rejected", "expired", late, now_ns))
    if verdict == "accepted" and row.kind == "decrease" and limit < row.amount:
        raise SettlementError(
            "insufficient_limit", f"{limit:f} is left of {row.user}'s {row.asset}, {row.amount:f} asked"
        )
    why = "" if verdict == "accepted" else code or "policy"
    return _decided(cursor, row, Decision(verdict, why, reason, now_ns))


def expired(row: Row, now_ns: int) -> bool:
    """Whether the request's deadline has passed by the exchange's clock."""
    return 0 < row.expires_ns < now_ns


def sendable(cursor: Cursor) -> range:
    """Return the answers that may be appended, in any order, any number of times (rule 3)."""
    return range(cursor.pruned + 1, cursor.last + 1)


def prune(cursor: Cursor, acked: int) -> Cursor:
    """Return the cursor with all up to `acked`, as read on R, forgotten (rule 4); one that went down means nothing.

    Raises:
        SettlementError: `foreign_journal`: it acknowledges answers that this journal never made.

    """
    if acked > cursor.last:
        raise SettlementError("foreign_journal", f"answer {acked} is acknowledged, the journal's last is {cursor.last}")
    return msgspec.structs.replace(cursor, pruned=max(cursor.pruned, acked))


def usable(limit: Decimal, mirrored: Decimal | None, answer_seq: int = 0, seen: int = 0) -> Decimal:
    """Return what a user may trade on (rule 5): the journal's limit, which the mirror may only lower.

    Args:
        limit: the journal's.
        mirrored: the credit inventory as read on R; None where there is none.
        answer_seq: the answer that made it so.
        seen: the highest `answer_seq` that was read of it; an older one is R's past.

    """
    return limit if mirrored is None or answer_seq < seen else min(limit, mirrored)


def start(cursor: Cursor, acked: int, first: int | None) -> None:
    """Check that this journal is the one that the custodian knows (rule 6), before anything is taken or sent.

    Args:
        cursor: the journal's.
        acked: as read on R.
        first: the first message that is left on R; None if there is none.

    Raises:
        SettlementError: `foreign_journal`: freeze the link, and ask a person.

    """
    prune(cursor, acked)
    if first is not None and first > cursor.inbox + 1:
        raise SettlementError("foreign_journal", f"message {cursor.inbox + 1} is due, R has none before {first}")


def _decided(cursor: Cursor, row: Row, answer: Decision) -> Decided:
    granted = ZERO
    if answer.verdict == "accepted":
        granted = {"increase": row.amount, "decrease": -row.amount, "pledge": ZERO}[row.kind]
    after = msgspec.structs.replace(
        row,
        state=answer.verdict,
        answer_seq=cursor.last + 1,
        decided_ns=answer.decided_ns,
        code=answer.code,
        reason=answer.reason,
    )
    return Decided(after, answer, granted)
