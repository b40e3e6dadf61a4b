"""A user's money at the exchange."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import SettlementError
from heliograph.settlement import wallet
from heliograph.settlement.wallet import Wallet

D = Decimal
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["increase", "increase_reserved", "decrease", "use", "reserve", "release", "sync"]),
        st.integers(min_value=0, max_value=12),
    ),
    max_size=30,
)


def _code(error: pytest.ExceptionInfo[SettlementError]) -> str:
    return error.value.code


def test_d28_what_was_used_of_a_reservation_does_not_come_back() -> None:
    used = wallet.decreased(wallet.reserved(Wallet(D(10)), D(4)), D(4), free=False)
    assert (used.balance, used.available, used.reserved) == (6, 6, 0)
    assert wallet.released(used, D(4)) == Wallet(D(6))


def test_d28_a_release_retires_what_was_used_first_and_frees_the_rest() -> None:
    used = wallet.decreased(wallet.reserved(Wallet(D(10)), D(4)), D(1), free=False)
    assert wallet.released(used, D(4)) == Wallet(D(9))
    with pytest.raises(SettlementError) as refused:
        wallet.released(used, D("4.1"))
    assert _code(refused) == "insufficient_reserved"


def test_d28_a_balance_below_what_is_reserved_is_refused() -> None:
    held = wallet.reserved(Wallet(D(10)), D(4))
    assert wallet.synced(held, D(4)) == Wallet(D(0), D(4))
    with pytest.raises(SettlementError) as refused:
        wallet.synced(held, D("3.9"))
    assert _code(refused) == "below_reserved"
    with pytest.raises(SettlementError):
        wallet.synced(held, D(-1))


@pytest.mark.parametrize("amount", [D(0), D(-1), D("NaN"), D("Infinity"), D("1E-19"), D("1E+20")])
def test_no_step_takes_what_is_no_amount(amount: Decimal) -> None:
    for step in (wallet.increased, wallet.decreased, wallet.reserved, wallet.released):
        with pytest.raises(SettlementError):
            step(Wallet(D(10), D(10)), amount)


def test_figures_that_do_not_sum_are_refused() -> None:
    assert wallet.put(D(10), None, D(3)) == Wallet(D(7), D(3))
    with pytest.raises(SettlementError) as refused:
        wallet.put(D(10), D(8), D(3))
    assert _code(refused) == "unbalanced"
    with pytest.raises(SettlementError):
        wallet.put(D(1), None, D(3))


@given(steps=STEPS)
def test_d28_nothing_is_ever_below_zero_and_only_deposits_and_uses_change_the_balance(
    steps: list[tuple[str, int]],
) -> None:
    now = Wallet()
    for kind, size in steps:
        amount = D(size)
        before = now
        try:
            match kind:
                case "increase":
                    now = wallet.increased(now, amount)
                case "increase_reserved":
                    now = wallet.increased(now, amount, free=False)
                case "decrease":
                    now = wallet.decreased(now, amount)
                case "use":
                    now = wallet.decreased(now, amount, free=False)
                case "reserve":
                    now = wallet.reserved(now, amount)
                case "release":
                    now = wallet.released(now, amount)
                case "sync":
                    now = wallet.synced(now, amount)
        except SettlementError:
            assert now is before
            continue
        by = {"increase": 1, "increase_reserved": 1, "decrease": -1, "use": -1}.get(kind, 0) * amount
        assert now.balance == (amount if kind == "sync" else before.balance + by)
        assert min(now.available, now.reserved, now.used) >= 0
