from decimal import Decimal

import msgspec
import pytest

from heliograph.errors import SettlementError
from heliograph.model.settlement import Cancel, CreditOrder, Decision, OrderKind
from heliograph.settlement.link.exchange import (
    Cursor,
    Row,
    advance,
    answered,
    decide,
    expired,
    next_request,
    prune,
    sendable,
    slot,
    start,
    take_cancel,
    take_order,
    usable,
)
from heliograph.settlement.link.sequence import Arrival, Slot

FIRST = Arrival(seq=1, ack=0, prev="", digest="m1")
SECOND = Arrival(seq=2, ack=0, prev="m1", digest="m2")
ZERO, FIVE = Decimal(0), Decimal(5)


def pending(kind: OrderKind = "increase", expires_ns: int = 0) -> Row:
    order = CreditOrder(kind, "alice", "BTC", "2.5", expires_ns=expires_ns)
    row = take_order(Cursor(), None, FIRST, "q1", order, "digest").row
    assert row is not None
    return row


def code_of(refused: pytest.ExceptionInfo[SettlementError]) -> str:
    return refused.value.code


def test_an_order_is_pending_and_the_cursor_says_so() -> None:
    taken = take_order(Cursor(), None, FIRST, "q1", CreditOrder("increase", "alice", "BTC", "2.5"), "digest")
    assert taken.cursor == Cursor(inbox=1, inbox_digest="m1")
    assert taken.row == Row("q1", "digest", "increase", "alice", "BTC", Decimal("2.5"), 0, "pending", 1)
    assert (taken.answer, taken.refused) == (None, "")


def test_a_known_id_is_ignored_and_with_other_content_refused() -> None:
    after = Cursor(inbox=1, inbox_digest="m1")
    order = CreditOrder("increase", "alice", "BTC", "2.5")
    same = take_order(after, pending(), SECOND, "q1", order, "digest")
    other = take_order(after, pending(), SECOND, "q1", order, "another")
    assert (same.cursor.inbox, same.row, same.refused) == (2, None, "")
    assert (other.cursor.inbox, other.row, other.refused) == (2, None, "conflict")


def test_messages_are_taken_in_turn_of_one_history() -> None:
    assert [next_request(Cursor(inbox=2), seq) for seq in (2, 3, 4)] == ["duplicate", "next", "wait"]
    cursor = Cursor(inbox=1, inbox_digest="m1", last=1)
    for wrong, code in (
        (FIRST, "duplicate"),
        (Arrival(3, 0, "m2", "m3"), "too_early"),
        (Arrival(2, 0, "other", "m2"), "broken_chain"),
        (Arrival(2, 2, "m1", "m2"), "foreign_ack"),
    ):
        with pytest.raises(SettlementError) as refused:
            advance(cursor, wrong)
        assert code_of(refused) == code


def test_a_cancel_rejects_what_is_pending_in_the_next_slot() -> None:
    cursor = Cursor(inbox=1, inbox_digest="m1", last=7)
    taken = take_cancel(cursor, pending(), SECOND, Cancel("waited long enough"), now_ns=9)
    assert taken.cursor == msgspec.structs.replace(cursor, inbox=2, inbox_digest="m2")
    assert taken.answer == Decision("rejected", "cancelled", "waited long enough", 9)
    assert taken.row is not None
    assert (taken.row.state, taken.row.answer_seq, taken.row.decided_ns) == ("rejected", 8, 9)


def test_a_cancel_of_what_is_decided_changes_nothing() -> None:
    row = decide(Cursor(inbox=1), pending(), ZERO, "accepted", 5).row
    taken = take_cancel(Cursor(inbox=1, inbox_digest="m1", last=1), row, SECOND, Cancel(), now_ns=9)
    assert (taken.row, taken.answer, taken.refused, taken.cursor.inbox) == (None, None, "", 2)


def test_a_cancel_of_nothing_is_told() -> None:
    assert take_cancel(Cursor(), None, FIRST, Cancel(), now_ns=9).refused == "unknown_request"


@pytest.mark.parametrize(("kind", "granted"), [("increase", "2.5"), ("decrease", "-2.5"), ("pledge", "0")])
def test_an_acceptance_changes_the_limit_by_the_amount(kind: OrderKind, granted: str) -> None:
    decided = decide(Cursor(inbox=1, last=3), pending(kind), FIVE, "accepted", 7, code="dropped", reason="fine")
    assert decided.granted == Decimal(granted)
    assert decided.answer == Decision("accepted", "", "fine", 7)
    assert (decided.row.state, decided.row.answer_seq) == ("accepted", 4)


@pytest.mark.parametrize("kind", ["increase", "decrease", "pledge"])
def test_a_rejection_changes_no_limit_and_has_a_code(kind: OrderKind) -> None:
    decided = decide(Cursor(inbox=1), pending(kind), FIVE, "rejected", 7)
    assert decided.granted == ZERO
    assert decided.answer == Decision("rejected", "policy", "", 7)


def test_a_request_is_decided_once() -> None:
    row = decide(Cursor(inbox=1), pending(), ZERO, "rejected", 7).row
    with pytest.raises(SettlementError) as refused:
        decide(Cursor(inbox=1, last=1), row, ZERO, "accepted", 8)
    assert code_of(refused) == "decided"


def test_past_its_deadline_a_request_is_only_rejected() -> None:
    row = pending(expires_ns=100)
    assert not expired(row, 100)
    assert not expired(pending(), 10**19)
    assert decide(Cursor(inbox=1), row, ZERO, "accepted", 100).answer.verdict == "accepted"
    late = decide(Cursor(inbox=1), row, ZERO, "accepted", 101)
    assert (late.row.state, late.answer.code, late.granted) == ("rejected", "expired", ZERO)


def test_a_decrease_needs_what_it_takes_away() -> None:
    row = pending("decrease")
    assert decide(Cursor(inbox=1), row, Decimal("2.5"), "accepted", 7).row.state == "accepted"
    with pytest.raises(SettlementError) as refused:
        decide(Cursor(inbox=1), row, Decimal("2.4"), "accepted", 7)
    assert code_of(refused) == "insufficient_limit"
    assert decide(Cursor(inbox=1), row, ZERO, "rejected", 7).row.state == "rejected"


def test_an_answer_carries_the_inbox_and_the_digest_before() -> None:
    cursor = Cursor(inbox=4, last=2, last_digest="a2")
    assert slot(cursor) == Slot(seq=3, ack=4, prev="a2")
    assert answered(cursor, "a3") == Cursor(inbox=4, last=3, last_digest="a3")


def test_what_is_not_acknowledged_may_be_sent_again_and_the_rest_is_forgotten() -> None:
    cursor = Cursor(last=5, pruned=2)
    assert list(sendable(cursor)) == [3, 4, 5]
    assert list(sendable(prune(cursor, 4))) == [5]
    assert prune(cursor, 1) == cursor
    assert not sendable(prune(cursor, 5))


def test_an_acknowledgement_of_what_was_never_said_freezes() -> None:
    with pytest.raises(SettlementError) as refused:
        prune(Cursor(last=5), 6)
    assert code_of(refused) == "foreign_journal"


def test_the_mirror_only_lowers_the_limit_and_its_past_is_ignored() -> None:
    assert usable(FIVE, None) == FIVE
    assert usable(FIVE, Decimal(9), answer_seq=3, seen=3) == FIVE
    assert usable(FIVE, Decimal(2), answer_seq=3, seen=3) == Decimal(2)
    assert usable(FIVE, Decimal(2), answer_seq=2, seen=3) == FIVE


def test_a_start_with_the_wrong_journal_freezes() -> None:
    cursor = Cursor(inbox=4, last=5, pruned=2)
    start(cursor, acked=5, first=None)
    start(cursor, acked=0, first=5)
    for acked, first in ((6, None), (5, 6)):
        with pytest.raises(SettlementError) as refused:
            start(cursor, acked, first)
        assert code_of(refused) == "foreign_journal"
