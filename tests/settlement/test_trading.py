from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from heliograph.errors import SettlementError
from heliograph.settlement.trading import Account, decreased, increased, reported, rolled, settled, traded

D = Decimal
MOST = D("99999999999999999999.999999999999999999")


def code(act: Callable[[], object]) -> str:
    with pytest.raises(SettlementError) as refused:
        act()
    return refused.value.code


def test_credit_is_what_may_be_traded() -> None:
    account = increased(Account(), D(5))
    assert account.usable == 5
    assert code(lambda: traded(account, D("-5.000000000000000001"))) == "insufficient_usable"
    assert traded(account, D(-5)).usable == 0


def test_what_was_bought_may_be_sold_again_before_it_settles() -> None:
    account = traded(Account(), D(3))
    assert traded(account, D(-3)) == Account()


def test_what_was_bought_is_no_credit_to_give_back() -> None:
    account = traded(increased(Account(), D(2)), D(3))
    assert account.returnable == 2
    assert code(lambda: decreased(account, D(3))) == "insufficient_limit"
    assert decreased(account, D(2)) == Account(unreported=D(3))


def test_what_was_sold_stays_until_it_is_paid() -> None:
    account = traded(increased(Account(), D(5)), D(-4))
    assert code(lambda: decreased(account, D(2))) == "in_use"
    assert decreased(account, D(1)).usable == 0


def test_a_sale_is_reported_out_of_the_limit_and_settled() -> None:
    account = reported(traded(increased(Account(), D(5)), D(-4)), D(-4))
    assert account == Account(limit=D(1), settling=D(4))
    assert settled(account, D(-4)) == Account(limit=D(1))


def test_all_of_the_limit_may_be_sold() -> None:
    account = reported(traded(increased(Account(), D(5)), D(-5)), D(-5))
    assert account == Account(settling=D(5))


def test_a_purchase_is_reported_and_then_lies_in_custody() -> None:
    account = reported(traded(increased(Account(), D(5)), D(4)), D(4))
    assert account == Account(limit=D(5), arriving=D(4))
    assert settled(account, D(4)) == Account(limit=D(5))


@pytest.mark.parametrize("net", [D(-4), D(4)])
def test_what_was_excluded_is_as_if_never_reported(net: Decimal) -> None:
    before = traded(increased(Account(), D(5)), net)
    assert rolled(reported(before, net), net) == before


def test_a_report_takes_no_sale_that_the_credit_does_not_cover() -> None:
    account = Account(limit=D(2), unreported=D(-2))
    assert code(lambda: reported(account, D(-3))) == "insufficient_limit"


def test_a_report_takes_no_purchase_that_later_trades_sold_again() -> None:
    account = traded(traded(Account(), D(5)), D(-5))
    assert code(lambda: reported(account, D(5))) == "in_use"
    assert reported(increased(account, D(5)), D(5)).usable == 0


@pytest.mark.parametrize("step", [settled, rolled])
def test_nothing_is_confirmed_that_was_not_reported(step: Callable[[Account, Decimal], Account]) -> None:
    account = Account(limit=D(9), settling=D(3), arriving=D(2), unreported=D(9))
    assert code(lambda: step(account, D(-4))) == "not_reported"
    assert code(lambda: step(account, D(3))) == "not_reported"


@pytest.mark.parametrize("text", ["0", "NaN", "Infinity", "-Infinity"])
def test_what_is_no_amount_changes_nothing(text: str) -> None:
    account = Account(limit=D(9), settling=D(9), arriving=D(9))
    for step in (increased, decreased, traded, reported, settled, rolled):
        assert code(lambda step=step: step(account, D(text))) == "bad_amount"


def test_a_change_of_credit_has_no_sign() -> None:
    assert code(lambda: increased(Account(), D(-1))) == "bad_amount"
    assert code(lambda: decreased(Account(limit=D(1)), D(-1))) == "bad_amount"


def test_every_digit_counts() -> None:
    account = increased(Account(), MOST)
    assert code(lambda: increased(account, D("1E-18"))) == "too_large"
    assert traded(account, D("-1E-18")).usable == D("99999999999999999999.999999999999999998")


AMOUNTS = st.decimals(min_value="0.000000000000000001", max_value=100, places=18)


class Trading(RuleBasedStateMachine):
    """Credit, trades, reports and their outcomes, at random, against plain sums."""

    def __init__(self) -> None:
        super().__init__()
        self.account = Account()
        self.pledged = D(0)
        self.owned = D(0)
        """What the user has: pledged, and gained by trades that are not settled."""
        self.reports: list[Decimal] = []
        self.trades: list[Decimal] = []

    @rule(amount=AMOUNTS)
    def increase(self, amount: Decimal) -> None:
        self.account = increased(self.account, amount)
        self.pledged += amount
        self.owned += amount

    @rule(amount=AMOUNTS)
    def decrease(self, amount: Decimal) -> None:
        refused = amount > self.account.returnable
        if refused:
            assert code(lambda: decreased(self.account, amount)) in ("insufficient_limit", "in_use")
        else:
            self.account = decreased(self.account, amount)
            self.pledged -= amount
            self.owned -= amount

    @rule(amount=AMOUNTS, sign=st.sampled_from([-1, 1]))
    def trade(self, amount: Decimal, sign: int) -> None:
        change = amount if sign > 0 else amount.copy_negate()
        if self.account.usable + change < 0:
            assert code(lambda: traded(self.account, change)) == "insufficient_usable"
        else:
            self.account = traded(self.account, change)
            self.owned += change
            self.trades.append(change)

    @rule()
    def report_all(self) -> None:
        """A report that takes every unreported trade is never refused."""
        if self.account.unreported:
            self.reports.append(self.account.unreported)
            self.account = reported(self.account, self.account.unreported)
            self.trades.clear()

    @precondition(lambda self: self.trades)
    @rule(data=st.data())
    def report_up_to_a_cut_off(self, data: st.DataObject) -> None:
        taken = data.draw(st.integers(min_value=1, max_value=len(self.trades)))
        net = sum(self.trades[:taken], D(0))
        left = self.account.unreported - net
        if not net:
            return
        if self.account.limit + min(net, D(0)) < 0 or self.account.limit + min(net, D(0)) + left < 0:
            assert code(lambda: reported(self.account, net)) in ("insufficient_limit", "in_use")
        else:
            self.account = reported(self.account, net)
            self.reports.append(net)
            del self.trades[:taken]

    @precondition(lambda self: self.reports)
    @rule(data=st.data(), excluded=st.booleans())
    def confirm(self, data: st.DataObject, *, excluded: bool) -> None:
        net = self.reports.pop(data.draw(st.integers(min_value=0, max_value=len(self.reports) - 1)))
        if excluded:
            self.account = rolled(self.account, net)
            self.trades.append(net)
        else:
            self.account = settled(self.account, net)
            self.owned -= max(net, D(0))
            self.pledged += min(net, D(0))

    @invariant()
    def nothing_but_the_unreported_is_below_zero(self) -> None:
        account = self.account
        assert min(account.limit, account.settling, account.arriving, account.usable, account.returnable) >= 0

    @invariant()
    def credit_and_what_settles_are_what_is_pledged(self) -> None:
        assert self.account.limit + self.account.settling == self.pledged

    @invariant()
    def every_trade_is_unreported_or_in_a_report(self) -> None:
        account = self.account
        assert account.usable + account.settling + account.arriving == self.owned + sum(
            (net.copy_abs() for net in self.reports if net < 0), D(0)
        )
        assert account.unreported == sum(self.trades, D(0))


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=80, stateful_step_count=30)
