"""A request for credit at the custodian, from the hold on the coins to the exchange's answer.

::

    absent ──▶ held ──▶ posted | void
                │
                └──▶ asked ──▶ posted | void        a cancel is recorded: it asks, it releases nothing

Only the exchange's decision makes a request final, and nothing leaves a final state. A deadline records a cancel.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.settlement import CreditOrder, Decision, OrderKind, Verdict, name, positive
from heliograph.settlement.ledger import Account, Position, Transfer, moved, within

State = Literal["held", "asked", "posted", "void"]
Event = Literal["cancel", "accepted", "rejected"]
OPEN: Final[frozenset[State]] = frozenset(("held", "asked"))

TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    ("held", "cancel"): "asked",
    ("held", "accepted"): "posted",
    ("held", "rejected"): "void",
    ("asked", "accepted"): "posted",
    ("asked", "rejected"): "void",
}
"""All that can happen to a request. `posted` and `void` have no way out."""

MOVES: Final[dict[tuple[OrderKind, State], tuple[Account, Account]]] = {
    ("increase", "held"): ("available", "held"),
    ("increase", "posted"): ("held", "granted"),
    ("increase", "void"): ("held", "available"),
    ("decrease", "held"): ("granted", "returning"),
    ("decrease", "posted"): ("returning", "available"),
    ("decrease", "void"): ("returning", "granted"),
}
"""From which account to which a request's amount moves as it reaches a state; a pledge moves nothing."""


class Request(msgspec.Struct, frozen=True):
    """One request, as the custodian keeps it for ever.

    Args:
        id: chosen by whoever asks; the same id is the same request, for ever.
        kind: what is asked.
        user: whose credit.
        asset: in which asset.
        amount: how much, positive.
        digest: of the order's content, in hexadecimal: what tells a repeat from a conflict.
        state: where it is.
        request_seq: its message's place in the custodian's sequence.
        cancel_seq: its cancel's place; 0 while there is none.
        answer_seq: its answer's place in the exchange's sequence; 0 while there is none.
        code: the exchange's reason as a code; empty unless it is void.
        reason: the same in words.
        version: 1, and one more at each change.

    """

    id: str
    kind: OrderKind
    user: str
    asset: str
    amount: Decimal
    digest: str
    state: State
    request_seq: int
    cancel_seq: int = 0
    answer_seq: int = 0
    code: str = ""
    reason: str = ""
    version: int = 1


class Change(msgspec.Struct, frozen=True):
    """What a step does: the request and the position after it, and the movements between."""

    request: Request
    position: Position
    transfers: tuple[Transfer, ...]


def hold(position: Position, request_id: str, order: CreditOrder, digest: str, seq: int) -> Change:
    """Reserve what the order asks for, as the custodian's message `seq`.

    Raises:
        BadValue: `bad_name`, `bad_amount`.
        SettlementError: `insufficient_available`, `insufficient_granted`.

    """
    name(request_id, "request")
    request = Request(
        id=request_id,
        kind=order.kind,
        user=name(order.user, "user"),
        asset=name(order.asset, "asset"),
        amount=positive(order.amount),
        digest=digest,
        state="held",
        request_seq=seq,
    )
    return _entered(request, position)


def ask(request: Request, seq: int) -> Request:
    """Return the request with a cancel recorded as the custodian's message `seq`.

    Raises:
        SettlementError: `final`: it is decided; `asked`: a cancel is on its way.

    """
    return msgspec.structs.replace(request, state=_next(request, "cancel"), cancel_seq=seq, version=request.version + 1)


def finish(request: Request, position: Position, decision: Decision, seq: int) -> Change:
    """Post or void the request on the exchange's answer `seq`.

    Raises:
        SettlementError: `final`: it has an answer already.

    """
    after = msgspec.structs.replace(
        request,
        state=_next(request, decision.verdict),
        answer_seq=seq,
        code=decision.code,
        reason=decision.reason,
        version=request.version + 1,
    )
    return _entered(after, position)


def releases(request: Request) -> bool:
    """Whether the request, in its state, has freed coins that may leave custody."""
    return (request.kind, request.state) in (("increase", "void"), ("decrease", "posted"))


def _next(request: Request, event: Event | Verdict) -> State:
    after = TRANSITIONS.get((request.state, event))
    if after is None:
        code = "asked" if request.state == "asked" else "final"
        raise SettlementError(code, f"request {request.id} is {request.state}: {event} is too late")
    return after


def _entered(request: Request, position: Position) -> Change:
    move = MOVES.get((request.kind, request.state))
    if move is None:
        return Change(request, position, ())
    transfer = within(request.user, request.asset, request.amount, *move)
    return Change(request, moved(position, *move, request.amount), (transfer,))
