"""The custodian's half of the link: what may be done next with what lies on the primary P.

The numbers in the docstrings are the rules of the protocol (docs/settlement/link.md). Each function gets what P holds
and returns what P shall hold; a commit writes that only if P still holds what it was decided from. A *sibling* is a
replica of P that may be promoted; what one of them lacks, a fail-over forgets, so nothing may leave before all have it.
"""

from collections.abc import Sequence

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.settlement import CreditOrder, Decision
from heliograph.settlement.credit import Change, Request, ask, finish, hold, releases
from heliograph.settlement.ledger import Position
from heliograph.settlement.link.sequence import Arrival, Place, Slot, in_turn, place


class Writer(msgspec.Struct, frozen=True):
    """Who may write on P.

    Args:
        epoch: one more at each take-over. A fail-over can make it fall back, so it proves nothing alone.
        owner: 128 random bits of the process that took over, in hexadecimal.

    """

    epoch: int
    owner: str


class Cursor(msgspec.Struct, frozen=True):
    """How far the custodian is, as P has it.

    Args:
        recorded: the last message in the outbox.
        recorded_digest: its digest, which the next one carries.
        published: the last message that the exchange may read.
        trimmed: the last message that the exchange is known to have; up to here the outbox may be deleted.
        applied: the last answer that took effect.
        applied_digest: its digest, which the next one must carry.

    """

    recorded: int = 0
    recorded_digest: str = ""
    published: int = 0
    trimmed: int = 0
    applied: int = 0
    applied_digest: str = ""


class Applied(msgspec.Struct, frozen=True):
    """An answer's effect and the cursor that says so: one commit."""

    cursor: Cursor
    change: Change


def slot(cursor: Cursor) -> Slot:
    """Return what the next message carries."""
    return Slot(seq=cursor.recorded + 1, ack=cursor.applied, prev=cursor.recorded_digest)


def recorded(cursor: Cursor, digest: str) -> Cursor:
    """Return the cursor with the message of `slot` in the outbox, whose sealed envelope has this digest."""
    return msgspec.structs.replace(cursor, recorded=cursor.recorded + 1, recorded_digest=digest)


def record(
    cursor: Cursor, existing: Request | None, position: Position, request_id: str, order: CreditOrder, digest: str
) -> Change | None:
    """Reserve what an order asks for, as the next message (rule 1); None if this very order is recorded already.

    Args:
        cursor: P's.
        existing: P's request of this id.
        position: P's, of the order's user and asset.
        request_id: the caller's; for ever one order.
        order: what is asked.
        digest: of the order's content.

    Raises:
        BadValue: `bad_name`, `bad_amount`.
        SettlementError: `conflict`: the id is another order's; `insufficient_available`, `insufficient_granted`.

    """
    if existing is None:
        return hold(position, request_id, order, digest, cursor.recorded + 1)
    if existing.digest != digest:
        raise SettlementError("conflict", f"request {request_id} exists with other content")
    return None


def cancel(cursor: Cursor, request: Request) -> Request:
    """Ask for the request back, as the next message (rules 1 and 7); it releases nothing.

    Raises:
        SettlementError: `final`: it is decided; `asked`: a cancel is on its way.

    """
    return ask(request, cursor.recorded + 1)


def expire(cursor: Cursor, request: Request, expires_ns: int, now_ns: int) -> Request | None:
    """Cancel the request if its deadline has passed and nobody did (rule 7).

    Only the exchange's decision releases a hold: until it arrives, an acceptance may be on its way, however late it is.
    """
    if request.state != "held" or not 0 < expires_ns < now_ns:
        return None
    return cancel(cursor, request)


def publishable(cursor: Cursor, siblings: Sequence[Cursor | None]) -> int:
    """Return the last message that may be shown to the exchange (rules 2 and 9).

    Args:
        cursor: P's.
        siblings: what each sibling of the configured list has, asked itself; None for one that gave no answer or is
            not `of_ours`, which holds everything back. Without any sibling P's own fsync is enough, and nothing may
            ever be promoted.

    """
    everywhere = min((0 if s is None else s.recorded for s in siblings), default=cursor.recorded)
    return max(cursor.published, min(cursor.recorded, everywhere))


def publish(cursor: Cursor, seq: int) -> Cursor:
    """Return the cursor with all up to `seq` shown to the exchange (rule 2).

    Raises:
        SettlementError: `too_early`: it is not recorded.

    """
    if seq > cursor.recorded:
        raise SettlementError("too_early", f"message {seq} is published before it is recorded")
    return msgspec.structs.replace(cursor, published=max(cursor.published, seq))


def next_answer(cursor: Cursor, seq: int) -> Place:
    """Tell whether answer `seq` is the next, a duplicate to drop, or one to wait with (rule 4)."""
    return place(cursor.applied, seq)


def apply(cursor: Cursor, request: Request | None, position: Position, decision: Decision, arrival: Arrival) -> Applied:
    """Post or void a request on the exchange's decision (rule 4).

    A refusal other than about the order means that the message is verified and wrong: quarantine it, and `advance`.

    Raises:
        SettlementError: `duplicate`, `too_early`, `broken_chain`, `foreign_ack`: the message may not be used here;
            `unknown_request`, `final`: its content makes no sense.

    """
    cursor = advance(cursor, arrival)
    if request is None:
        raise SettlementError("unknown_request", f"answer {arrival.seq} is about no request of ours")
    return Applied(cursor, finish(request, position, decision, arrival.seq))


def advance(cursor: Cursor, arrival: Arrival) -> Cursor:
    """Return the cursor with the answer applied, whatever its effect is (rule 4).

    Raises:
        SettlementError: `duplicate`, `too_early`, `broken_chain`; `foreign_ack`: the exchange has messages that were
            never recorded here, so this is not the data that it heard from.

    """
    applied = in_turn(cursor.applied, cursor.applied_digest, arrival)
    if arrival.ack > cursor.recorded:
        raise SettlementError("foreign_ack", f"the exchange has message {arrival.ack}, the last is {cursor.recorded}")
    trimmed = max(cursor.trimmed, arrival.ack)
    return msgspec.structs.replace(
        cursor,
        applied=applied,
        applied_digest=arrival.digest,
        trimmed=trimmed,
        # A fail-over may forget what was published. What the exchange has must not be shown again: its envelope may
        # be deleted by then.
        published=max(cursor.published, trimmed),
    )


def acknowledgeable(cursor: Cursor, acked: int, siblings: Sequence[Cursor | None]) -> int:
    """Return the last answer that the exchange may forget (rules 5 and 9); `acked` is what it was told so far."""
    everywhere = min((0 if s is None else s.applied for s in siblings), default=cursor.applied)
    return max(acked, min(cursor.applied, everywhere))


def payable(request: Request, siblings: Sequence[Request | None]) -> bool:
    """Whether what the request released may leave custody (rule 6).

    Args:
        request: as P has it.
        siblings: as each sibling has it; None for one that lacks it, gave no answer or is not `of_ours`.

    """
    return releases(request) and all(s is not None and releases(s) for s in siblings)


def of_ours(mine: Writer, found: Writer | None) -> bool:
    """Whether what a sibling has is of this writer's history, so that its figures prove anything (rule 9).

    A sibling that was promoted while the old primary runs on has messages of its own under the same numbers. Ask it for
    its figures first and for its writer after that: an owner who is gone never comes back, so the figures were read
    while the sibling still followed.

    Args:
        mine: who writes here.
        found: who wrote last on the sibling, read after its figures; a sibling that does not have this writer's
            take-over yet is one to wait for.

    """
    return mine == found


def take_over(found: Writer | None, owner: str) -> Writer:
    """Return the writer to be, to be set on P if it still holds the one found (rule 8).

    Args:
        found: P's.
        owner: fresh, 128 random bits.

    """
    return Writer(epoch=1 if found is None else found.epoch + 1, owner=owner)


def fenced(mine: Writer, found: Writer | None) -> bool:
    """Whether somebody else took over: exit (rule 8)."""
    return mine != found
