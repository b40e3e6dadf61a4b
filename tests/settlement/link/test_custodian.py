from decimal import Decimal

import pytest

from heliograph.errors import SettlementError
from heliograph.model.settlement import CreditOrder, Decision
from heliograph.settlement.credit import Request
from heliograph.settlement.ledger import Position
from heliograph.settlement.link.custodian import (
    Cursor,
    Writer,
    acknowledgeable,
    advance,
    apply,
    cancel,
    expire,
    fenced,
    next_answer,
    of_ours,
    payable,
    publish,
    publishable,
    record,
    recorded,
    slot,
    take_over,
)
from heliograph.settlement.link.sequence import Arrival, Slot

VAULT = Position(available=Decimal(10))
INCREASE = CreditOrder("increase", "alice", "BTC", "2.5")
ACCEPTED, REJECTED = Decision("accepted"), Decision("rejected", "policy")


def held(request_id: str = "q1", order: CreditOrder = INCREASE) -> tuple[Request, Position]:
    change = record(Cursor(), None, VAULT, request_id, order, "digest")
    assert change is not None
    return change.request, change.position


def arrival(seq: int, *, ack: int = 0, prev: str = "") -> Arrival:
    return Arrival(seq=seq, ack=ack, prev=prev, digest=f"answer {seq}")


def code_of(refused: pytest.ExceptionInfo[SettlementError]) -> str:
    return refused.value.code


def test_an_order_is_held_as_the_next_message_and_nothing_is_granted() -> None:
    change = record(Cursor(recorded=4, recorded_digest="m4"), None, VAULT, "q1", INCREASE, "digest")
    assert change is not None
    assert (change.request.state, change.request.request_seq) == ("held", 5)
    assert change.position == Position(available=Decimal("7.5"), held=Decimal("2.5"))


def test_the_next_envelope_carries_both_cursors_and_the_digest_before() -> None:
    cursor = Cursor(recorded=4, recorded_digest="m4", applied=2, applied_digest="a2")
    assert slot(cursor) == Slot(seq=5, ack=2, prev="m4")
    assert slot(recorded(cursor, "m5")) == Slot(seq=6, ack=2, prev="m5")


def test_the_same_order_again_records_nothing() -> None:
    request, position = held()
    assert record(Cursor(recorded=1), request, position, "q1", INCREASE, "digest") is None


def test_an_id_with_other_content_is_a_conflict() -> None:
    request, position = held()
    with pytest.raises(SettlementError) as refused:
        record(Cursor(recorded=1), request, position, "q1", INCREASE, "another")
    assert code_of(refused) == "conflict"


def test_a_cancel_asks_and_releases_nothing() -> None:
    request, _ = held()
    asked = cancel(Cursor(recorded=1), request)
    assert (asked.state, asked.cancel_seq, asked.amount) == ("asked", 2, request.amount)


def test_a_deadline_records_one_cancel_once_it_is_past() -> None:
    request, _ = held()
    cursor = Cursor(recorded=1)
    assert expire(cursor, request, expires_ns=100, now_ns=100) is None
    assert expire(cursor, request, expires_ns=0, now_ns=10**18) is None
    asked = expire(cursor, request, expires_ns=100, now_ns=101)
    assert asked is not None
    assert asked.state == "asked"
    assert expire(recorded(cursor, "m2"), asked, expires_ns=100, now_ns=102) is None


def test_a_message_is_published_once_every_sibling_has_it() -> None:
    cursor = Cursor(recorded=5, published=1)
    assert publishable(cursor, [Cursor(recorded=5), Cursor(recorded=3)]) == 3
    assert publish(cursor, 3) == Cursor(recorded=5, published=3)
    assert publish(Cursor(recorded=5, published=4), 3).published == 4


def test_a_sibling_that_gives_no_answer_holds_everything_back() -> None:
    cursor = Cursor(recorded=5, published=1, applied=5)
    assert publishable(cursor, [Cursor(recorded=5), None]) == 1
    assert acknowledgeable(cursor, 1, [Cursor(applied=5), None]) == 1


def test_without_a_sibling_the_primary_is_enough() -> None:
    cursor = Cursor(recorded=5, published=1, applied=4)
    assert publishable(cursor, []) == 5
    assert acknowledgeable(cursor, 1, []) == 4


def test_a_sibling_cannot_be_ahead_of_the_primary_and_nothing_is_taken_back() -> None:
    cursor = Cursor(recorded=5, published=4, applied=4)
    assert publishable(cursor, [Cursor(recorded=9)]) == 5
    assert publishable(cursor, [Cursor(recorded=2)]) == 4
    assert acknowledgeable(cursor, 3, [Cursor(applied=9)]) == 4
    assert acknowledgeable(cursor, 3, [Cursor(applied=2)]) == 3


def test_what_is_not_recorded_is_not_published() -> None:
    with pytest.raises(SettlementError) as refused:
        publish(Cursor(recorded=5), 6)
    assert code_of(refused) == "too_early"


def test_an_answer_is_applied_in_its_turn_or_not_at_all() -> None:
    assert [next_answer(Cursor(applied=2), seq) for seq in (2, 3, 4)] == ["duplicate", "next", "wait"]


def test_an_answer_takes_effect_together_with_its_cursor() -> None:
    request, position = held()
    done = apply(Cursor(recorded=1, published=1), request, position, ACCEPTED, arrival(1, ack=1))
    assert done.cursor == Cursor(recorded=1, published=1, trimmed=1, applied=1, applied_digest="answer 1")
    assert (done.change.request.state, done.change.request.answer_seq) == ("posted", 1)
    assert done.change.position == Position(available=Decimal("7.5"), granted=Decimal("2.5"))


def test_a_late_acceptance_of_an_asked_request_posts_it() -> None:
    request, position = held()
    asked = cancel(Cursor(recorded=1), request)
    done = apply(Cursor(recorded=2, published=2), asked, position, ACCEPTED, arrival(1, ack=1))
    assert done.change.request.state == "posted"


def test_the_trim_never_goes_back() -> None:
    cursor = Cursor(recorded=5, published=5, trimmed=4, applied=1, applied_digest="answer 1")
    assert advance(cursor, arrival(2, ack=3, prev="answer 1")).trimmed == 4


def test_what_the_exchange_has_counts_as_published_though_a_fail_over_forgot_that() -> None:
    assert advance(Cursor(recorded=5, published=1), arrival(1, ack=3)).published == 3


def test_answers_of_another_history_are_refused() -> None:
    cursor = Cursor(recorded=5, applied=1, applied_digest="answer 1")
    for wrong, code in (
        (arrival(2, prev="other"), "broken_chain"),
        (arrival(2, prev="answer 1", ack=6), "foreign_ack"),
        (arrival(1), "duplicate"),
        (arrival(3), "too_early"),
    ):
        with pytest.raises(SettlementError) as refused:
            advance(cursor, wrong)
        assert code_of(refused) == code


def test_an_answer_about_nothing_or_something_final_has_no_effect() -> None:
    request, position = held()
    cursor = Cursor(recorded=1)
    with pytest.raises(SettlementError) as refused:
        apply(cursor, None, position, ACCEPTED, arrival(1))
    assert code_of(refused) == "unknown_request"
    done = apply(cursor, request, position, REJECTED, arrival(1))
    with pytest.raises(SettlementError) as refused:
        apply(done.cursor, done.change.request, done.change.position, ACCEPTED, arrival(2, prev="answer 1"))
    assert code_of(refused) == "final"


def test_released_funds_leave_once_every_sibling_has_the_release() -> None:
    request, position = held()
    void = apply(Cursor(recorded=1), request, position, REJECTED, arrival(1)).change.request
    assert payable(void, [])
    assert payable(void, [void, void])
    assert not payable(void, [void, request])
    assert not payable(void, [void, None])
    assert not payable(request, [])


def test_a_take_over_changes_epoch_and_owner_and_fences_the_one_before() -> None:
    first = take_over(None, "a")
    second = take_over(first, "b")
    assert (first, second) == (Writer(1, "a"), Writer(2, "b"))
    assert fenced(first, second)
    assert fenced(first, None)
    assert not fenced(second, second)
    # After a fail-over the epoch alone would let two of them pass.
    assert fenced(take_over(first, "c"), second)


def test_a_sibling_proves_something_only_while_its_writer_is_ours() -> None:
    mine = Writer(2, "b")
    assert of_ours(mine, Writer(2, "b"))
    assert not of_ours(mine, Writer(1, "a")), "it lacks our take-over: wait for it"
    assert not of_ours(mine, Writer(3, "c")), "it was promoted, and somebody else writes there"
    assert not of_ours(mine, None)
