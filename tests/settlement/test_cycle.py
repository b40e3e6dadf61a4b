from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from heliograph.errors import SettlementError
from heliograph.model.settlement import Confirmation, Leg, LegOutcome, Report
from heliograph.settlement import cycle as cycles
from heliograph.settlement import trading
from heliograph.settlement.cycle import NEXT, Cycle, Entry, Side, State, Step
from heliograph.settlement.ledger import Position, Transfer
from heliograph.settlement.verification import Fault, Terms

D = Decimal
TERMS = Terms(users={"ann", "bob", "cid", "dan"}, assets={"BTC", "USD"})
REPORT = Report(
    50,
    (
        Leg("1-1", "ann", "BTC", "5"),
        Leg("1-2", "bob", "BTC", "-5"),
        Leg("1-3", "cid", "BTC", "0.5"),
        Leg("1-4", "dan", "BTC", "-0.5"),
        Leg("1-5", "ann", "USD", "-40"),
        Leg("1-6", "bob", "USD", "40"),
        Leg("1-7", "cid", "USD", "-9"),
        Leg("1-8", "dan", "USD", "9"),
    ),
)
POSITIONS = {
    ("bob", "BTC"): Position(granted=D(6)),
    ("dan", "BTC"): Position(granted=D(1)),
    ("ann", "USD"): Position(available=D(1), granted=D(40)),
    ("cid", "USD"): Position(granted=D(10)),
}
UNTIL = 1000


def code(act: Callable[[], object]) -> str:
    with pytest.raises(SettlementError) as refused:
        act()
    return refused.value.code


def received(positions: dict[tuple[str, str], Position] | None = None, terms: Terms = TERMS) -> Step:
    return cycles.received(None, "c1", REPORT, "digest", UNTIL, terms, POSITIONS if positions is None else positions)


def after(step: Step) -> dict[tuple[str, str], Position]:
    return {**POSITIONS, **step.positions}


def done(cycle: Cycle, positions: dict[tuple[str, str], Position]) -> Step:
    return cycles.executed(cycles.decided(cycle, UNTIL), positions)


def outcomes(cycle: Cycle) -> dict[str, str]:
    return {leg.leg_id: leg.code or leg.state for leg in cycle.legs}


def test_a_report_is_held_verified_and_settled() -> None:
    step = received()
    assert step.cycle.state == "verified"
    assert step.positions["bob", "BTC"] == Position(granted=D(1), settling=D(5))
    assert len(step.transfers) == 4
    last = done(step.cycle, after(step))
    assert last.cycle.state == "confirmed"
    assert not any(leg.held for leg in last.cycle.legs)
    assert [step.cycle.version, last.cycle.version] == [1, 3]
    assert last.positions == {
        ("ann", "BTC"): Position(available=D(5)),
        ("bob", "BTC"): Position(granted=D(1)),
        ("cid", "BTC"): Position(available=D("0.5")),
        ("dan", "BTC"): Position(granted=D("0.5")),
        ("ann", "USD"): Position(available=D(1)),
        ("bob", "USD"): Position(available=D(40)),
        ("cid", "USD"): Position(granted=D(1)),
        ("dan", "USD"): Position(available=D(9)),
    }
    assert Transfer("BTC", D(5), "settling", "bob", "clearing", "") in last.transfers
    assert Transfer("BTC", D(5), "clearing", "", "available", "ann") in last.transfers
    said = cycles.confirmation(last.cycle)
    assert (said.report, said.attempt) == ("digest", 1)
    assert said.outcomes == tuple(LegOutcome(f"1-{n}", "settled") for n in range(1, 9))


def test_sellers_pay_before_buyers_are_paid() -> None:
    step = received()
    kinds = [transfer.credit == "clearing" for transfer in done(step.cycle, after(step)).transfers]
    assert kinds == sorted(kinds, reverse=True)


def test_nothing_settles_before_the_window_ends() -> None:
    step = received()
    assert code(lambda: cycles.decided(step.cycle, UNTIL - 1)) == "window_open"
    assert cycles.decided(step.cycle, UNTIL).state == "executing"
    assert code(lambda: cycles.executed(step.cycle, after(step))) == "verified"
    assert code(lambda: cycles.confirmation(step.cycle)) == "verified"


def test_a_decided_cycle_settles_once() -> None:
    step = received()
    last = done(step.cycle, after(step))
    assert code(lambda: cycles.decided(last.cycle, UNTIL)) == "confirmed"
    assert code(lambda: cycles.executed(last.cycle, last.positions)) == "confirmed"


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        (Terms({"ann", "cid", "dan"}, {"BTC", "USD"}), "unknown_user"),
        (Terms(TERMS.users, TERMS.assets, {("bob", "USD"): Fault("frozen", "a court")}), "frozen"),
    ],
)
def test_a_refused_leg_takes_its_user_and_the_counterpart_along(terms: Terms, why: str) -> None:
    step = received(terms=terms)
    last = done(step.cycle, after(step))
    found = outcomes(last.cycle)
    assert why in (found["1-2"], found["1-6"])
    assert {found["1-2"], found["1-6"]} <= {why, "user_excluded"}
    assert {key: value for key, value in found.items() if key not in ("1-2", "1-6")} == {
        "1-1": "counterpart_excluded", "1-5": "counterpart_excluded",
        "1-3": "settled", "1-4": "settled", "1-7": "settled", "1-8": "settled",
    }  # fmt: skip
    assert last.cycle.state == "confirmed"
    assert last.positions["ann", "USD"] == POSITIONS["ann", "USD"], "what was held is granted again"
    assert ("ann", "BTC") not in last.positions


def test_more_sold_than_granted_is_excluded() -> None:
    step = received({**POSITIONS, ("bob", "BTC"): Position(available=D(9), held=D(9), granted=D("4.99"))})
    assert outcomes(step.cycle)["1-2"] == "insufficient_credit"
    assert ("bob", "BTC") not in step.positions
    assert step.cycle.state == "verified"


def test_a_leg_without_a_position_has_no_credit() -> None:
    assert outcomes(received({}).cycle)["1-2"] == "insufficient_credit"


def test_coins_that_an_unanswered_decrease_holds_are_waited_for() -> None:
    positions = {**POSITIONS, ("bob", "BTC"): Position(granted=D(2), returning=D(3))}
    step = received(positions)
    assert step.cycle.state == "proposed"
    assert outcomes(step.cycle)["1-2"] == "returning"
    same = cycles.retried(step.cycle, positions)
    assert (same.cycle, same.transfers) == (step.cycle, ())
    again = cycles.retried(step.cycle, {("bob", "BTC"): Position(granted=D(5))})
    assert again.positions == {("bob", "BTC"): Position(settling=D(5))}
    assert again.cycle.state == "verified"
    assert again.cycle.version == step.cycle.version + 1
    assert outcomes(again.cycle)["1-2"] == "ready"


def test_what_still_waits_at_the_end_is_excluded() -> None:
    positions = {**POSITIONS, ("bob", "BTC"): Position(granted=D(2), returning=D(3))}
    step = received(positions)
    last = done(step.cycle, {**positions, **step.positions})
    assert outcomes(last.cycle)["1-2"] == "returning"
    assert cycles.confirmation(last.cycle).outcomes[1].outcome == "excluded"
    assert ("bob", "BTC") not in last.positions
    assert last.cycle.state == "confirmed"


def test_the_end_holds_what_can_be_held_at_last() -> None:
    positions = {**POSITIONS, ("bob", "BTC"): Position(granted=D(2), returning=D(3))}
    step = received(positions)
    answered = {**step.positions, ("bob", "BTC"): Position(granted=D(5))}
    assert code(lambda: cycles.concluded(step.cycle, answered, UNTIL - 1)) == "window_open"
    last = cycles.concluded(step.cycle, answered, UNTIL)
    assert set(outcomes(last.cycle).values()) == {"settled"}
    assert last.positions["bob", "BTC"] == Position()
    held, paid = last.transfers[0], Transfer("BTC", D(5), "settling", "bob", "clearing", "")
    assert (held.debit, held.credit, held.amount) == ("granted", "settling", D(5))
    assert paid in last.transfers[1:]
    assert code(lambda: cycles.concluded(last.cycle, last.positions, UNTIL)) == "confirmed"


def test_a_disputed_leg_does_not_settle_and_its_coins_come_back() -> None:
    step = received()
    cycle = cycles.disputed(step.cycle, "1-2", "not_my_trade", "never sold", UNTIL - 1)
    assert cycle.state == "disputed"
    last = done(cycle, after(step))
    assert cycles.confirmation(last.cycle).outcomes[1] == LegOutcome("1-2", "disputed", "not_my_trade", "never sold")
    assert last.positions["bob", "BTC"] == POSITIONS["bob", "BTC"]
    assert outcomes(last.cycle)["1-3"] == "settled"


def test_a_retracted_dispute_leaves_no_trace() -> None:
    step = received()
    cycle = cycles.disputed(step.cycle, "1-1", "x", "y", 0)
    cycle = cycles.disputed(cycle, "1-2", "x", "y", 0)
    cycle = cycles.disputed(cycle, "1-3", "x", "y", 0)
    cycle = cycles.retracted(cycles.retracted(cycle, "1-1", 1), "1-3", 1)
    assert cycle.state == "disputed"
    cycle = cycles.retracted(cycle, "1-2", 1)
    assert msgspec.structs.replace(cycle, version=1) == step.cycle


def test_a_leg_that_waited_when_it_was_disputed_waits_again() -> None:
    positions = {**POSITIONS, ("bob", "BTC"): Position(granted=D(2), returning=D(3))}
    step = received(positions)
    cycle = cycles.retracted(cycles.disputed(step.cycle, "1-2", "x", "y", 0), "1-2", 1)
    assert cycle.state == "proposed"
    again = cycles.retried(cycle, {**after(step), ("bob", "BTC"): Position(granted=D(5))})
    assert again.positions == {("bob", "BTC"): Position(settling=D(5))}


def test_disputes_have_a_window_and_a_leg() -> None:
    step = received(terms=Terms(TERMS.users - {"bob"}, TERMS.assets))
    assert code(lambda: cycles.disputed(step.cycle, "1-3", "x", "y", UNTIL)) == "window_closed"
    assert code(lambda: cycles.disputed(step.cycle, "9-9", "x", "y", 0)) == "unknown_leg"
    assert code(lambda: cycles.disputed(step.cycle, "1-2", "x", "y", 0)) == "excluded"
    cycle = cycles.disputed(step.cycle, "1-3", "x", "y", 0)
    assert code(lambda: cycles.disputed(cycle, "1-3", "x", "y", 0)) == "disputed"
    assert code(lambda: cycles.retracted(cycle, "1-4", 0)) == "not_disputed"
    assert code(lambda: cycles.retracted(cycle, "1-3", UNTIL)) == "window_closed"
    last = done(cycle, after(step))
    assert code(lambda: cycles.disputed(last.cycle, "1-3", "x", "y", 0)) == "refused"
    assert code(lambda: cycles.retried(last.cycle, {})) == "refused"


def test_what_the_custodian_finds_wrong_is_not_the_users_to_retract() -> None:
    step = received(terms=Terms(TERMS.users, TERMS.assets, {}, {}))
    assert outcomes(step.cycle)["1-1"] == "wrong_net"
    assert code(lambda: cycles.retracted(step.cycle, "1-1", 0)) == "final"


def test_a_report_at_fault_moves_nothing_and_is_disputed_whole() -> None:
    report = Report(50, (*REPORT.legs[:7], Leg("1-8", "dan", "USD", "NaN")))
    step = cycles.received(None, "c1", report, "digest", UNTIL, TERMS, POSITIONS)
    assert (step.cycle.state, step.positions, step.transfers) == ("disputed", {}, ())
    assert code(lambda: cycles.retracted(step.cycle, "1-1", 0)) == "window_closed"
    last = cycles.executed(cycles.decided(step.cycle, 0), POSITIONS)
    assert (last.cycle.state, last.positions, last.transfers) == ("refused", {}, ())
    assert {said.code for said in cycles.confirmation(last.cycle).outcomes} == {"bad_amount"}
    assert {said.outcome for said in cycles.confirmation(last.cycle).outcomes} == {"disputed"}


def test_a_refused_report_is_calculated_again_as_the_next_attempt() -> None:
    step = received({})
    last = done(step.cycle, {})
    assert last.cycle.state == "refused"
    second = msgspec.structs.replace(REPORT, attempt=2)
    again = cycles.received(last.cycle, "c1", second, "other", 2 * UNTIL, TERMS, POSITIONS)
    assert (again.cycle.state, again.cycle.attempt, again.cycle.report) == ("verified", 2, "other")
    assert again.cycle.version == last.cycle.version + 1
    third = msgspec.structs.replace(REPORT, attempt=3)
    assert code(lambda: cycles.received(last.cycle, "c1", third, "other", 0, TERMS, POSITIONS)) == "wrong_attempt"


def test_a_report_is_taken_once() -> None:
    step = received()
    assert code(lambda: cycles.received(step.cycle, "c1", REPORT, "digest", 0, TERMS, POSITIONS)) == "repeated"
    assert code(lambda: cycles.received(step.cycle, "c1", REPORT, "other", 0, TERMS, POSITIONS)) == "conflict"
    second = msgspec.structs.replace(REPORT, attempt=2)
    assert code(lambda: cycles.received(step.cycle, "c1", second, "other", 0, TERMS, POSITIONS)) == "verified"
    assert code(lambda: cycles.received(None, "c1", second, "other", 0, TERMS, POSITIONS)) == "wrong_attempt"


def test_what_cannot_be_taken_at_all_is_answered_leg_by_leg() -> None:
    said = cycles.refusal(REPORT, "digest", "conflict", "another report of this cycle")
    assert {(each.outcome, each.code) for each in said.outcomes} == {("disputed", "conflict")}
    assert len(said.outcomes) == 8


def asked() -> Cycle:
    return cycles.proposed(cycles.calculated(cycles.cut(cycles.opened("c1"), 40), REPORT, "digest"))


def said(outcome: str = "settled", **others: str) -> Confirmation:
    return Confirmation(
        "digest", 1, tuple(LegOutcome(leg.leg_id, others.get(leg.user, outcome)) for leg in REPORT.legs)
    )  # fmt: skip


def test_the_exchange_cuts_off_calculates_and_proposes() -> None:
    cycle = asked()
    assert (cycle.state, cycle.cut_off_ns, cycle.attempt) == ("proposed", 50, 1)
    assert cycle.legs[1] == Entry("1-2", "bob", "BTC", D(-5))


def test_the_exchange_proposes_nothing_that_is_at_fault() -> None:
    cycle = cycles.cut(cycles.opened("c1"), 60)
    assert code(lambda: cycles.calculated(cycle, REPORT, "digest")) == "wrong_cut_off"
    cycle = cycles.cut(cycles.opened("c1"), 40)
    odd = Report(50, REPORT.legs[:7])
    assert code(lambda: cycles.calculated(cycle, odd, "digest")) == "unbalanced"
    assert code(lambda: cycles.calculated(cycle, Report(50, REPORT.legs, 2), "digest")) == "wrong_attempt"
    assert code(lambda: cycles.calculated(cycles.opened("c1"), REPORT, "digest")) == "open"


def test_the_exchange_books_what_the_custodian_says() -> None:
    cycle = cycles.answered(asked(), said(ann="excluded", bob="disputed"))
    assert cycle.state == "confirmed"
    sold = trading.Account(settling=D(5))
    assert cycles.booked(sold, cycle.legs[1]) == trading.Account(limit=D(5), unreported=D(-5))
    assert cycles.booked(trading.Account(settling=D(9)), cycle.legs[6]) == trading.Account()
    assert code(lambda: cycles.booked(sold, asked().legs[1])) == "undecided"


def test_nothing_settled_is_a_refusal_and_may_be_calculated_again() -> None:
    cycle = cycles.answered(asked(), said("disputed"))
    assert cycle.state == "refused"
    again = cycles.calculated(cycle, msgspec.structs.replace(REPORT, attempt=2), "other")
    assert (again.state, again.attempt, again.report) == ("calculated", 2, "other")
    assert cycles.closed(cycle).state == "closed"


@pytest.mark.parametrize(
    ("confirmation", "why"),
    [
        (Confirmation("other", 1, said().outcomes), "wrong_report"),
        (Confirmation("digest", 2, said().outcomes), "wrong_attempt"),
        (Confirmation("digest", 0, said().outcomes), "wrong_attempt"),
        (Confirmation("digest", 1, said().outcomes[:7]), "wrong_legs"),
        (Confirmation("digest", 1, said().outcomes[::-1]), "wrong_legs"),
        (Confirmation("digest", 1, (*said().outcomes, LegOutcome("1-9", "settled"))), "wrong_legs"),
        (said(bob="excluded"), "unbalanced"),
        (said("excluded", bob="settled"), "unbalanced"),
    ],
)
def test_a_confirmation_of_something_else_is_refused(confirmation: Confirmation, why: str) -> None:
    assert code(lambda: cycles.answered(asked(), confirmation)) == why


def test_a_confirmation_counts_once() -> None:
    cycle = cycles.answered(asked(), said())
    assert code(lambda: cycles.answered(cycle, said())) == "repeated"
    assert code(lambda: cycles.answered(cycle, said("excluded"))) == "conflict"
    before = cycles.calculated(cycles.cut(cycles.opened("c1"), 40), REPORT, "digest")
    assert code(lambda: cycles.answered(before, said())) == "calculated"
    refused = cycles.answered(asked(), said("disputed"))
    again = cycles.proposed(cycles.calculated(refused, msgspec.structs.replace(REPORT, attempt=2), "other"))
    assert code(lambda: cycles.answered(again, said())) == "wrong_attempt"


def test_a_cycle_is_closed_after_both_books_agree() -> None:
    cycle = cycles.answered(asked(), said())
    assert code(lambda: cycles.closed(cycle)) == "confirmed"
    assert code(lambda: cycles.reconciled(cycle, 1)) == "unreconciled"
    assert cycles.closed(cycles.reconciled(cycle, 0)).state == "closed"
    assert cycles.closed(cycles.cut(cycles.opened("c2"), 1)).state == "closed"


@pytest.mark.parametrize("side", ["exchange", "custodian"])
def test_every_state_leads_to_the_end_and_nothing_leaves_it(side: Side) -> None:
    table = NEXT[side]
    assert table["closed"] == ()
    for state in table:
        reached: set[State] = {state}
        while more := {each for at in reached for each in table[at]} - reached:
            reached |= more
        assert "closed" in reached
        assert reached <= set(table)


def test_a_cycle_is_stored_as_text_and_read_again() -> None:
    step = received()
    assert msgspec.json.decode(msgspec.json.encode(step.cycle), type=Cycle) == step.cycle
