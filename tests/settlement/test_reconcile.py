from decimal import Decimal

import msgspec
import pytest

from heliograph.model.settlement import Leg, OrderKind, Report
from heliograph.settlement import cycle as cycles
from heliograph.settlement.credit import Request, State
from heliograph.settlement.cycle import Cycle, Place
from heliograph.settlement.ledger import Position
from heliograph.settlement.link import custodian, exchange
from heliograph.settlement.netting import Flow
from heliograph.settlement.reconcile import (
    CustodianBooks,
    ExchangeBooks,
    Figure,
    Holding,
    Line,
    Reconciliation,
    Trader,
    reconciled,
)
from heliograph.settlement.trading import Account
from heliograph.settlement.verification import Terms
from tests.settlement.two_sides import walk

D = Decimal
ANN = ("ann", "BTC")
REPORT = Report(50, (Leg("1-1", "ann", "BTC", "-4"), Leg("1-2", "bob", "BTC", "4")))
SOLD = Account(limit=D(1), settling=D(4))
BOUGHT = Account(arriving=D(4))


def request(kind: OrderKind, amount: str, state: State = "held") -> Request:
    return Request("r1", kind, *ANN, D(amount), "", state, 1)


def row(kind: OrderKind, amount: str, state: exchange.RowState) -> exchange.Row:
    return exchange.Row("r1", "", kind, *ANN, D(amount), 0, state, 1)


def compared(
    position: Position,
    account: Account,
    requests: tuple[Request, ...] = (),
    rows: tuple[exchange.Row, ...] = (),
    ours: tuple[Cycle, ...] = (),
    theirs: tuple[Cycle, ...] = (),
    bought: Account | None = None,
) -> Reconciliation:
    traders = [Trader(*ANN, account)] + ([Trader("bob", "BTC", bought)] if bought is not None else [])
    return reconciled(
        CustodianBooks((Holding(*ANN, position),), requests, ours, custodian.Cursor()),
        ExchangeBooks(tuple(traders), rows, theirs, exchange.Cursor()),
    )


def told(found: Reconciliation, place: Place = ANN) -> dict[Figure, list[tuple[str, str, Decimal]]]:
    return {
        line.figure: [(cause.code, cause.id, cause.amount) for cause in line.causes]
        for line in found.lines
        if (line.user, line.asset) == place and line.causes
    }


def test_books_that_agree_have_lines_and_no_causes() -> None:
    found = compared(Position(available=D(3), granted=D(5), settling=D(1)), Account(limit=D(5), settling=D(1)))
    assert found.lines == (
        Line("ann", "BTC", "credit", D(5), D(5), D(0), ()),
        Line("ann", "BTC", "settling", D(1), D(1), D(0), ()),
    )
    assert found.agreed
    assert found.unexplained == 0


@pytest.mark.parametrize(
    ("position", "account"),
    [
        (Position(granted=D(5)), Account(limit=D("5.000000000000000001"))),
        (Position(granted=D(5)), Account(settling=D(5))),
        (Position(held=D(5)), Account()),
        (Position(returning=D(5)), Account(limit=D(5))),
        (Position(), Account(limit=D(5))),
        (Position(), Account(arriving=D(5))),
    ],
)
def test_a_difference_that_nothing_explains_says_so(position: Position, account: Account) -> None:
    found = compared(position, account)
    assert found.unexplained
    assert not found.agreed


@pytest.mark.parametrize("state", ["held", "asked"])
@pytest.mark.parametrize("rows", [(), (row("increase", "2", "pending"),)])
def test_a_request_in_flight_holds_coins(state: State, rows: tuple[exchange.Row, ...]) -> None:
    found = compared(Position(held=D(2)), Account(), (request("increase", "2", state),), rows)
    assert told(found) == {"held": [("in_flight_request", "r1", D(2))]}
    found = compared(Position(returning=D(2)), Account(limit=D(2)), (request("decrease", "2", state),))
    assert told(found) == {"returning": [("in_flight_request", "r1", D(2))]}


def test_an_answer_that_is_not_applied_explains_what_it_will_do() -> None:
    increase, decrease = (request("increase", "2"),), (request("decrease", "2"),)
    found = compared(Position(held=D(2)), Account(limit=D(2)), increase, (row("increase", "2", "accepted"),))
    assert told(found) == {"held": [("unapplied_answer", "r1", D(2))], "credit": [("unapplied_answer", "r1", D(-2))]}
    found = compared(Position(held=D(2)), Account(), increase, (row("increase", "2", "rejected"),))
    assert told(found) == {"held": [("unapplied_answer", "r1", D(2))]}
    found = compared(Position(returning=D(2)), Account(), decrease, (row("decrease", "2", "accepted"),))
    assert told(found) == {
        "returning": [("unapplied_answer", "r1", D(2))], "credit": [("unapplied_answer", "r1", D(2))],
    }  # fmt: skip
    found = compared(Position(returning=D(2)), Account(limit=D(2)), decrease, (row("decrease", "2", "rejected"),))
    assert told(found) == {"returning": [("unapplied_answer", "r1", D(2))]}


def test_a_request_explains_its_own_amount_and_no_more() -> None:
    found = compared(Position(held=D(3)), Account(), (request("increase", "2"),))
    assert told(found) == {"held": [("in_flight_request", "r1", D(2)), ("unexplained", "", D(1))]}
    assert found.unexplained == 1


@pytest.mark.parametrize("state", ["posted", "void"])
def test_a_final_request_explains_nothing(state: State) -> None:
    found = compared(Position(granted=D(2)), Account(), (request("increase", "2", state),))
    assert told(found) == {"credit": [("unexplained", "", D(2))]}


def test_a_pledge_moves_nothing() -> None:
    assert compared(Position(), Account(), (request("pledge", "2"),), (row("pledge", "2", "accepted"),)).agreed


def sent() -> Cycle:
    return cycles.proposed(cycles.calculated(cycles.cut(cycles.opened("c1"), 40), REPORT, "digest"))


def taken(granted: str, returning: str = "0") -> cycles.Step:
    positions = {ANN: Position(granted=D(granted), returning=D(returning))}
    terms = Terms({"ann", "bob"}, {"BTC"})
    return cycles.received(None, "c1", REPORT, "digest", 9, terms, positions)


def done(step: cycles.Step) -> cycles.Step:
    return cycles.executed(cycles.decided(step.cycle, 9), step.positions)


def test_a_report_that_is_not_applied_explains_what_the_exchange_set_aside() -> None:
    found = compared(Position(granted=D(5)), SOLD, theirs=(sent(),), bought=BOUGHT)
    assert told(found) == {
        "credit": [("unapplied_answer", "c1", D(4))], "settling": [("unapplied_answer", "c1", D(-4))],
    }  # fmt: skip
    assert told(found, ("bob", "BTC")) == {"arriving": [("in_settlement", "c1", D(-4))]}


def test_what_both_hold_agrees_while_it_settles() -> None:
    step = taken("5")
    found = compared(step.positions[ANN], SOLD, ours=(step.cycle,), theirs=(sent(),))
    assert told(found) == {}


def test_a_leg_that_waits_is_not_held_yet() -> None:
    step = taken("1", "4")
    found = compared(
        Position(granted=D(1), returning=D(4)),
        SOLD,
        (request("decrease", "4"),),
        ours=(step.cycle,),
        theirs=(sent(),),
    )
    assert told(found) == {
        "returning": [("in_flight_request", "r1", D(4))],
        "credit": [("in_settlement", "c1", D(4))],
        "settling": [("in_settlement", "c1", D(-4))],
    }


def test_what_was_paid_is_unread_at_the_exchange() -> None:
    last = done(taken("5"))
    found = compared(last.positions[ANN], SOLD, ours=(last.cycle,), theirs=(sent(),), bought=BOUGHT)
    assert told(found) == {"settling": [("in_settlement", "c1", D(-4))]}
    assert found.unexplained == 0


def test_less_than_one_coin_settles_like_more() -> None:
    small = Report(50, (Leg("1-1", "ann", "BTC", "-0.5"), Leg("1-2", "bob", "BTC", "0.5")))
    cycle = cycles.proposed(cycles.calculated(cycles.cut(cycles.opened("c1"), 40), small, "digest"))
    found = compared(Position(granted=D(1)), Account(limit=D("0.5"), settling=D("0.5")), theirs=(cycle,),
                     bought=Account(arriving=D("0.5")))  # fmt: skip
    assert told(found, ("bob", "BTC")) == {"arriving": [("in_settlement", "c1", D("-0.5"))]}
    assert found.unexplained == 0


def test_what_was_left_out_is_granted_again_and_unread_at_the_exchange() -> None:
    step = taken("5")
    step = msgspec.structs.replace(step, cycle=cycles.disputed(step.cycle, "1-1", "mine", "", 0))
    last = done(step)
    found = compared(last.positions[ANN], SOLD, ours=(last.cycle,), theirs=(sent(),), bought=BOUGHT)
    assert told(found) == {
        "credit": [("in_settlement", "c1", D(4))], "settling": [("in_settlement", "c1", D(-4))],
    }  # fmt: skip
    assert found.unexplained == 0


def test_an_earlier_attempt_explains_nothing_of_the_next() -> None:
    last = done(taken("0"))
    assert last.cycle.state == "refused"
    second = msgspec.structs.replace(sent(), attempt=2)
    found = compared(Position(granted=D(5)), SOLD, ours=(last.cycle,), theirs=(second,), bought=BOUGHT)
    assert told(found)["credit"] == [("unapplied_answer", "c1", D(4))]


def test_an_answered_cycle_explains_nothing() -> None:
    last = done(taken("5"))
    answered = cycles.answered(sent(), cycles.confirmation(last.cycle))
    found = compared(last.positions[ANN], SOLD, ours=(last.cycle,), theirs=(answered,))
    assert told(found) == {"settling": [("unexplained", "", D(-4))]}


def test_trades_that_no_report_took_are_told() -> None:
    found = compared(Position(granted=D(5)), Account(limit=D(5), unreported=D(-2)))
    assert told(found) == {"unreported": [("unsettled_change", "", D(2))]}
    assert not found.agreed
    assert found.unexplained == 0


def test_an_account_that_its_trades_do_not_sum_to_is_unexplained() -> None:
    theirs = ExchangeBooks(
        (Trader(*ANN, Account(limit=D(5), unreported=D(-2))),), (), (), exchange.Cursor(), (Flow(*ANN, D(-3)),)
    )
    ours = CustodianBooks((Holding(*ANN, Position(granted=D(5))),), (), (), custodian.Cursor())
    assert told(reconciled(ours, theirs)) == {
        "unreported": [("unsettled_change", "", D(3)), ("unexplained", "", D(-1))]
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "codes"),
    [
        (custodian.Cursor(3, "d3", 3, 3, 2, "a2"), exchange.Cursor(3, "d3", 2, "a2", 2), ["", "", ""]),
        (
            custodian.Cursor(3, "d3", 3, 3, 1, "a1"),
            exchange.Cursor(2, "d2", 2, "a2", 0),
            ["in_flight_request", "unapplied_answer", "unacknowledged"],
        ),
        (
            custodian.Cursor(2, "d2", 2, 2, 2, "a2"),
            exchange.Cursor(3, "d3", 1, "a1", 3),
            ["unexplained", "unexplained", "unexplained"],
        ),
        (
            custodian.Cursor(3, "d3", 3, 3, 2, "a2"),
            exchange.Cursor(3, "other", 2, "other", 2),
            ["unexplained", "unexplained", ""],
        ),
    ],
)
def test_the_sequences_are_compared_by_number_and_digest(
    ours: custodian.Cursor, theirs: exchange.Cursor, codes: list[str]
) -> None:
    found = reconciled(CustodianBooks((), (), (), ours), ExchangeBooks((), (), (), theirs))
    assert [lag.code for lag in found.lags] == codes
    assert found.agreed == (codes == ["", "", ""])
    assert found.unexplained == codes.count("unexplained")


def test_books_travel_as_text() -> None:
    both = walk(3, 80)
    for books in (both.custodian_books(), both.exchange_books()):
        assert msgspec.json.decode(msgspec.json.encode(books), type=type(books)) == books
