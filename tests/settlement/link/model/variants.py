"""Plausible simplifications of the protocol, each a project function or a rule replaced, each of which breaks it."""

from typing import Any, NamedTuple

import msgspec

from heliograph.model.settlement import Decision
from heliograph.settlement.credit import Request, finish, releases
from heliograph.settlement.ledger import Position, credited
from heliograph.settlement.link import custodian
from heliograph.settlement.link.custodian import Applied, Cursor
from heliograph.settlement.link.sequence import Arrival, Place
from tests.settlement.link.model.cases import ONE, TWO_USERS, UP_DOWN
from tests.settlement.link.model.search import Verdict
from tests.settlement.link.model.world import MAILBOX, PROCESSES, Case, Fault, Order, Rules


class Variant(NamedTuple):
    """Changed rules, the smallest case that refutes them, and how."""

    rules: Rules
    case: Case
    verdict: Verdict
    breach: str


def in_memory_apply(
    cursor: Cursor, request: Request, position: Position, decision: Decision, arrival: Arrival
) -> Applied:
    """Apply whatever the process takes for the next answer: neither the cursor, the chain nor the request says no."""
    after = msgspec.structs.replace(
        cursor, applied=arrival.seq, applied_digest=arrival.digest, trimmed=max(cursor.trimmed, arrival.ack)
    )
    if position.held < request.amount and request.kind == "increase":
        # Done before: books that only add up what answers say do it once more.
        position = credited(position, "held", request.amount)
    again = msgspec.structs.replace(request, state="held", answer_seq=0)
    return Applied(after, finish(again, position, decision, arrival.seq))


def _any_higher(cursor: Cursor, seq: int) -> Place:
    return "next" if seq > cursor.applied else "duplicate"


def _never(*_: Any) -> bool:
    return False


def _refuted(orders: tuple[Order, ...], faults: tuple[Fault, ...], budget: int, breach: str, **changed: Any) -> Variant:
    verdict: Verdict = "dead end" if breach == _DEAD_END else "unsafe"
    return Variant(Rules(**changed), Case("refuted", orders, 0, faults, budget), verdict, breach)


_TWICE = "a request took effect twice"
_UNPLEDGED = "the exchange lets a user trade on credit that is not pledged"
_UNKNOWN = "the exchange holds a request that the custodian does not know"
_DEAD_END = "no final world can be reached any more"

REFUTED: dict[str, Variant] = {
    "expiry_releases_without_asking": _refuted(ONE, (), 0, _UNPLEDGED, expiry="release"),
    "expiry_voids_unpublished_after_failover": _refuted(ONE, ("failover",), 1, _UNPLEDGED, expiry="void unpublished"),
    "decrease_releases_on_send": _refuted(UP_DOWN, (), 0, _UNPLEDGED, decrease="on send"),
    "credit_read_from_lagging_replica": _refuted(UP_DOWN, (), 0, _UNPLEDGED, limit="R"),
    "effect_then_cursor": _refuted(ONE, ("crash",), 1, _TWICE, cursor="after effect", apply=in_memory_apply),
    "cursor_then_effect": _refuted(ONE, ("crash",), 1, _DEAD_END, cursor="before effect", apply=in_memory_apply),
    "gap_is_skipped": _refuted(TWO_USERS, (), 0, _DEAD_END, next_answer=_any_higher, apply=in_memory_apply),
    "stale_custodian_unfenced": _refuted(
        ONE, ("stale",), 1, _TWICE, cursor="memory", fenced=_never, apply=in_memory_apply
    ),
    "custodian_memory_survives_failover": _refuted(
        ONE, ("failover",), 1, _DEAD_END, cursor="memory", apply=in_memory_apply
    ),
    "epoch_number_reused_after_failover": _refuted(
        ONE, ("failover", "stale", "crash"), 3, _TWICE, cursor="memory", owner="none", apply=in_memory_apply
    ),
    "stale_exchange_decides_from_memory": _refuted(ONE, ("stale",), 1, _UNPLEDGED, pending="memory"),
    "decision_and_outbox_apart": _refuted(ONE, ("crash",), 1, _DEAD_END, outbox="apart"),
    "inbox_cursor_in_replica_group": _refuted(ONE, ("wipe",), 1, _UNPLEDGED, inbox="group on R"),
    "wipe_noticed_only_at_next_write": _refuted(ONE, ("wipe",), 1, _DEAD_END, resend="at next write"),
    "rollback_keeps_key_so_no_nil": _refuted(TWO_USERS, ("rollback",), 1, _DEAD_END, resend="when nil"),
    "single_key_exhausted": _refuted(ONE, ("brick",), 1, _DEAD_END, keys=1),
    "reader_follows_last_id": _refuted(TWO_USERS, ("brick", "wipe"), 2, _DEAD_END, reader="after last id"),
    "requests_trimmed_by_length": _refuted(TWO_USERS, (), 0, _DEAD_END, trim="by length"),
    "publish_before_sibling_has_it": _refuted(
        ONE, ("failover",), 1, _UNKNOWN, publishable=lambda cursor, _siblings: cursor.recorded
    ),
    "wait_satisfied_by_the_exchange_replica": _refuted(ONE, ("failover",), 1, _UNKNOWN, witness="also R"),
    "prune_on_applied_before_failover": _refuted(
        ONE, ("failover",), 1, "the exchange pruned a message that is not applied", acked="applied"
    ),
    "payout_before_sibling_has_it": _refuted(
        UP_DOWN,
        ("failover",),
        1,
        "the ledger claims funds that have left custody",
        payable=lambda request, _siblings: releases(request),
    ),
    "promoted_sibling_vouches_for_the_old_primary": _refuted(
        ONE, ("split",), 2, _UNKNOWN, of_ours=lambda _mine, _found: True
    ),
    "writer_goes_on_after_reconnect": Variant(
        Rules(reconnect="goes on"), Case("refuted", TWO_USERS, 0, ("failover",), 2, siblings=2), "unsafe", _UNKNOWN
    ),
}
"""By the name of the test. The last two are rules that this project adds to the protocol that it was designed with."""

CONTROLS: tuple[tuple[str, Rules, Case], ...] = (
    (
        "no fence, cursor compared on P",
        Rules(fenced=_never),
        Case("", UP_DOWN, 1, PROCESSES, 2),
    ),
    (
        "fence, cursor in memory, no fail-over",
        Rules(cursor="memory", apply=in_memory_apply),
        Case("", UP_DOWN, 1, PROCESSES, 2),
    ),
    (
        "unpublished requests voided, no fail-over",
        Rules(expiry="void unpublished"),
        Case("", UP_DOWN, 0, (*PROCESSES, *MAILBOX), 1),
    ),
    (
        "publish, acknowledge, pay at once, no fail-over",
        Rules(
            publishable=lambda cursor, _siblings: cursor.recorded,
            acked="applied",
            payable=lambda request, _siblings: releases(request),
        ),
        Case("", UP_DOWN, 1, (*PROCESSES, *MAILBOX), 1),
    ),
    (
        "effect before cursor, but what is final stays so",
        Rules(cursor="after effect"),
        Case("", ONE, 1, ("crash",), 2),
    ),
    (
        "two custodians that trust their memory, but the project's apply on P's cursor",
        Rules(cursor="memory", fenced=_never, apply=custodian.apply),
        Case("", ONE, 0, ("stale",), 1),
    ),
)
"""Variants that hold as far as they are searched: they show which guard carries the weight."""
