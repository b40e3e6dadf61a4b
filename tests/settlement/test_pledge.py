from collections.abc import Callable
from decimal import Decimal
from itertools import product
from typing import get_args

import msgspec
import pytest

from heliograph.errors import SettlementError
from heliograph.model.settlement import BadValue
from heliograph.settlement import pledge as pledges
from heliograph.settlement.pledge import TRANSITIONS, Event, Pledge, State

NEW = pledges.pledged("p1", "vault-co", "ann", "BTC", "2.5", "bitcoin", "bc1q", 7)
STEPS: dict[Event, Callable[[Pledge], Pledge]] = {
    "submit": pledges.submitted,
    "approve": lambda pledge: pledges.approved(pledge, "vault-1", 9),
    "reject": lambda pledge: pledges.rejected(pledge, "unknown_asset", "not traded here", 9),
    "fail": lambda pledge: pledges.failed(pledge, "away", "no server"),
}


def code(act: Callable[[], object]) -> str:
    with pytest.raises(SettlementError) as refused:
        act()
    return refused.value.code


def test_a_pledge_is_submitted_and_approved() -> None:
    after = pledges.approved(pledges.submitted(NEW), "vault-1", 9)
    assert (after.state, after.vault_id, after.answered_ns, after.version) == ("approved", "vault-1", 9, 3)
    assert after.amount == Decimal("2.5")


def test_a_pledge_is_submitted_and_rejected() -> None:
    after = pledges.rejected(pledges.submitted(NEW), "unknown_asset", "not traded here", 9)
    assert (after.state, after.code, after.reason, after.vault_id) == (
        "rejected", "unknown_asset", "not traded here", "",
    )  # fmt: skip


def test_a_pledge_that_never_left_has_failed() -> None:
    after = pledges.failed(NEW, "away", "no server")
    assert (after.state, after.code, after.answered_ns) == ("failed", "away", 0)


@pytest.mark.parametrize(("state", "event"), list(product(get_args(State), get_args(Event))))
def test_nothing_happens_but_what_the_table_says(state: State, event: Event) -> None:
    pledge = msgspec.structs.replace(NEW, state=state)
    if after := TRANSITIONS.get((state, event)):
        assert STEPS[event](pledge).state == after
    else:
        refused = code(lambda: STEPS[event](pledge))
        assert refused == (state if state in ("pending", "submitted") else "final")


def test_a_submitted_pledge_waits_for_its_answer() -> None:
    assert code(lambda: pledges.failed(pledges.submitted(NEW), "timeout", "no answer")) == "submitted"


def test_an_answer_to_something_else_is_none() -> None:
    assert pledges.matched(NEW, "ann", "BTC", Decimal("2.50")) is NEW
    for user, asset, amount in (("bob", "BTC", "2.5"), ("ann", "ETH", "2.5"), ("ann", "BTC", "2.51")):
        assert code(lambda given=(user, asset, Decimal(amount)): pledges.matched(NEW, *given)) == "mismatch"


@pytest.mark.parametrize("address", ["a" * 513, "bc1q\n", "bc1q\x00"])
def test_an_address_is_printable_and_has_an_end(address: str) -> None:
    with pytest.raises(BadValue):
        pledges.pledged("p1", "vault-co", "ann", "BCH", "1", "Bitcoin Cash", address, 7)
    assert pledges.pledged("p1", "vault-co", "ann", "BCH", "1", "Bitcoin Cash", "a" * 512, 7).address
    assert pledges.pledged("p1", "vault-co", "ann", "BCH", "1", "B", "a", 7).chain == "B"


@pytest.mark.parametrize("place", range(7))
def test_a_pledge_names_everything(place: int) -> None:
    given = ["p1", "vault-co", "ann", "BTC", "2.5", "bitcoin", "bc1q"]
    given[place] = ""
    with pytest.raises(BadValue):
        pledges.pledged(*given, 7)
    with pytest.raises(BadValue):
        pledges.approved(pledges.submitted(NEW), "", 9)


@pytest.mark.parametrize("amount", ["0", "-1", "1e3", "NaN", "Infinity", "1" * 21, "0." + "1" * 19])
def test_a_pledge_is_of_a_plain_positive_amount(amount: str) -> None:
    with pytest.raises(BadValue):
        pledges.pledged("p1", "vault-co", "ann", "BTC", amount, "bitcoin", "bc1q", 7)
