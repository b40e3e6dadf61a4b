from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import SettlementError
from heliograph.model.settlement import BadValue, CreditOrder, Decision, OrderKind
from heliograph.settlement.credit import MOVES, OPEN, TRANSITIONS, Change, ask, finish, hold, releases
from heliograph.settlement.ledger import Books, Position, Transfer

ACCEPTED, REJECTED = Decision("accepted"), Decision("rejected", "policy", "not today")
START = Position(available=Decimal(10), granted=Decimal(10))


def held(kind: OrderKind = "increase", amount: str = "2.5", position: Position = START) -> Change:
    return hold(position, "q1", CreditOrder(kind, "alice", "BTC", amount), "digest", 7)


def code_of(refused: pytest.ExceptionInfo[SettlementError]) -> str:
    return refused.value.code


@pytest.mark.parametrize(
    ("kind", "during", "accepted", "rejected"),
    [
        ("increase", {"available": "7.5", "held": "2.5"}, {"available": "7.5", "granted": "12.5"}, {}),
        ("decrease", {"granted": "7.5", "returning": "2.5"}, {"available": "12.5", "granted": "7.5"}, {}),
        ("pledge", {}, {}, {}),
    ],
)
def test_where_the_amount_is_while_a_request_is_open_and_when_it_is_final(
    kind: OrderKind, during: dict[str, str], accepted: dict[str, str], rejected: dict[str, str]
) -> None:
    change = held(kind)
    yes = finish(change.request, change.position, ACCEPTED, 3)
    no = finish(change.request, change.position, REJECTED, 3)
    for position, figures in ((change.position, during), (yes.position, accepted), (no.position, rejected)):
        assert position == Position(
            **{"available": Decimal(10), "granted": Decimal(10), **{a: Decimal(v) for a, v in figures.items()}}
        )
    assert (yes.request.state, no.request.state) == ("posted", "void")


def test_a_request_remembers_its_messages_and_why() -> None:
    change = held()
    asked = ask(change.request, 8)
    done = finish(asked, change.position, REJECTED, 3).request
    assert (done.request_seq, done.cancel_seq, done.answer_seq, done.version) == (7, 8, 3, 3)
    assert (done.code, done.reason) == ("policy", "not today")


def test_a_cancel_moves_nothing_and_an_acceptance_after_it_posts() -> None:
    change = held()
    asked = ask(change.request, 8)
    assert finish(asked, change.position, ACCEPTED, 3).request.state == "posted"
    with pytest.raises(SettlementError) as refused:
        ask(asked, 9)
    assert code_of(refused) == "asked"


@pytest.mark.parametrize("first", [ACCEPTED, REJECTED])
@pytest.mark.parametrize("second", [ACCEPTED, REJECTED])
def test_nothing_leaves_a_final_state(first: Decision, second: Decision) -> None:
    change = held()
    done = finish(change.request, change.position, first, 3)
    with pytest.raises(SettlementError) as refused:
        finish(done.request, done.position, second, 4)
    assert code_of(refused) == "final"
    with pytest.raises(SettlementError) as refused:
        ask(done.request, 9)
    assert code_of(refused) == "final"


def test_the_table_says_all_that_can_happen() -> None:
    assert {state for state, _ in TRANSITIONS} == OPEN
    assert {(s, e) for s in OPEN for e in ("accepted", "rejected")} <= TRANSITIONS.keys()
    assert {kind for kind, _ in MOVES} == {"increase", "decrease"}


@pytest.mark.parametrize(
    ("kind", "code"), [("increase", "insufficient_available"), ("decrease", "insufficient_granted")]
)
def test_what_is_not_there_is_not_held(kind: OrderKind, code: str) -> None:
    assert held(kind, "10").position.vault == START.vault
    with pytest.raises(SettlementError) as refused:
        held(kind, "10.000000000000000001")
    assert code_of(refused) == code


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity", "1e3", "", "1.0000000000000000001", "1" * 21])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(BadValue) as refused:
        held(amount=amount)
    assert refused.value.code == "bad_amount"


@pytest.mark.parametrize("field", ["request", "user", "asset"])
@pytest.mark.parametrize("text", ["", "x" * 129, "a b", "ünï"])
def test_what_is_no_name_is_refused(field: str, text: str) -> None:
    names = {"request": "q1", "user": "alice", "asset": "BTC", field: text}
    with pytest.raises(BadValue) as refused:
        hold(START, names["request"], CreditOrder("increase", names["user"], names["asset"], "1"), "digest", 1)
    assert refused.value.code == "bad_name"


@pytest.mark.parametrize(
    ("kind", "decision", "released"),
    [
        ("increase", ACCEPTED, False),
        ("increase", REJECTED, True),
        ("decrease", ACCEPTED, True),
        ("decrease", REJECTED, False),
        ("pledge", ACCEPTED, False),
        ("pledge", REJECTED, False),
    ],
)
def test_only_a_void_increase_and_a_posted_decrease_release(
    kind: OrderKind, decision: Decision, released: bool
) -> None:
    change = held(kind)
    assert not releases(change.request)
    assert not releases(ask(change.request, 8))
    assert releases(finish(change.request, change.position, decision, 3).request) is released


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["increase", "decrease", "pledge"]),
            st.decimals(Decimal("0.000000000000000001"), Decimal(6), places=18),
            st.sampled_from([ACCEPTED, REJECTED, None]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_the_transfers_tell_what_the_positions_say(
    script: list[tuple[OrderKind, Decimal, Decision | None, bool]],
) -> None:
    """Replaying the movements gives the position, and nothing appears, vanishes or goes below zero."""
    books = Books()
    books.post(
        [
            Transfer("BTC", Decimal(10), "outside", "", "available", "alice"),
            Transfer("BTC", Decimal(10), "outside", "", "granted", "alice"),
        ]
    )
    position = START
    for index, (kind, amount, decision, cancelled) in enumerate(script):
        order = CreditOrder(kind, "alice", "BTC", format(amount, "f"))
        try:
            change = hold(position, f"q{index}", order, "digest", index + 1)
        except SettlementError as e:
            if not e.code.startswith("insufficient_"):
                raise
            continue
        books.post(change.transfers)
        position = change.position
        if decision is not None:
            request = ask(change.request, 99) if cancelled else change.request
            done = finish(request, position, decision, index + 1)
            books.post(done.transfers)
            position = done.position
        assert books.positions["alice", "BTC"] == position
        assert position.vault == START.vault
        assert position.credit <= position.pledged <= position.vault
        assert not any(books.sums().values())
