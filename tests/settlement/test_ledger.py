from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from heliograph.errors import SettlementError
from heliograph.settlement.ledger import (
    ACCOUNTS,
    Account,
    Books,
    Position,
    Transfer,
    bounded,
    credited,
    debited,
    moved,
    total,
    within,
)

MOST = Decimal("99999999999999999999.999999999999999999")
AMOUNTS = st.one_of(
    st.decimals(min_value="0.000000000000000001", max_value=10, places=18),
    st.decimals(min_value=1, max_value=10**6, places=8),
    st.sampled_from([Decimal(1), Decimal("1E+3"), Decimal("0.10"), MOST]),
)
OWNERS = st.tuples(st.sampled_from(["ann", "bob"]), st.sampled_from(["BTC", "USD"]))


def code(act: Callable[[], object]) -> str:
    with pytest.raises(SettlementError) as refused:
        act()
    return refused.value.code


def test_a_movement_leaves_one_account_and_reaches_another() -> None:
    assert moved(Position(available=Decimal(10)), "available", "held", Decimal("2.5")) == Position(
        available=Decimal("7.5"), held=Decimal("2.5")
    )


def test_a_movement_is_what_left_and_what_came() -> None:
    position = Position(available=MOST, held=Decimal(0))
    for amount in (Decimal("1E-18"), MOST):
        assert moved(position, "available", "held", amount) == (
            credited(debited(position, "available", amount), "held", amount)
        )
    assert moved(position, "available", "available", MOST) == position
    assert code(lambda: moved(position, "held", "held", Decimal(1))) == "insufficient_held"
    assert code(lambda: moved(position, "available", "held", Decimal(0))) == "bad_amount"


def test_an_account_never_goes_below_zero() -> None:
    assert code(lambda: debited(Position(held=Decimal(1)), "held", Decimal("1.000000000000000001"))) == (
        "insufficient_held"
    )
    assert debited(Position(held=Decimal(1)), "held", Decimal(1)) == Position()


@pytest.mark.parametrize("text", ["0", "-1", "NaN", "sNaN", "Infinity", "-Infinity", "1E-19", "1E+20"])
def test_only_an_amount_that_books_can_hold_moves(text: str) -> None:
    position = Position(available=Decimal(5))
    assert code(lambda: debited(position, "available", Decimal(text))) == "bad_amount"
    assert code(lambda: credited(position, "available", Decimal(text))) == "bad_amount"


def test_a_vault_beyond_38_digits_is_refused_wherever_its_coins_lie() -> None:
    position = Position(granted=MOST)
    assert code(lambda: credited(position, "available", Decimal("0.000000000000000001"))) == "too_large"
    assert bounded(position.vault) == MOST


def test_sums_of_38_digits_are_exact() -> None:
    """Python's own context would round them to 28."""
    half = Decimal("12345678901234567890.123456789012345678")
    position = Position(granted=half, returning=half, available=half)
    assert position.credit == Decimal("24691357802469135780.246913578024691356")
    assert position.vault == Decimal("37037036703703703670.370370367037037034")
    assert total([half, half.copy_negate(), half]) == half


def test_what_is_pledged_is_all_that_the_exchange_was_promised() -> None:
    position = Position(*(Decimal(10**n) for n in range(6)))
    assert position.credit == Decimal(1100)
    assert position.pledged == Decimal(11110)
    assert position.vault == Decimal(111111)


def test_the_books_take_all_movements_of_a_commit_or_none() -> None:
    books = Books()
    books.post([Transfer("BTC", MOST, "outside", "", "available", "ann")])
    before = (dict(books.positions), dict(books.contras))
    steps = [
        within("ann", "BTC", Decimal(1), "available", "held"),
        within("ann", "BTC", Decimal(2), "held", "granted"),
    ]
    assert code(lambda: books.post(steps)) == "insufficient_held"
    assert (books.positions, books.contras) == before
    assert books.contras == {("outside", "BTC"): MOST.copy_negate()}
    assert books.sums() == {"BTC": 0}


def test_contra_accounts_keep_every_digit() -> None:
    books = Books()
    fine = Decimal("11111111111111111111.111111111111111111")
    books.post([Transfer("BTC", fine, "outside", "", "available", "ann")])
    books.post([Transfer("BTC", fine, "available", "ann", "leaving", "ann")])
    books.post([Transfer("BTC", fine, "leaving", "ann", "clearing", "")])
    assert books.contras == {("outside", "BTC"): fine.copy_negate(), ("clearing", "BTC"): fine}


@pytest.mark.parametrize(
    "transfer",
    [
        Transfer("BTC", Decimal(1), "outside", "ann", "available", "ann"),
        Transfer("BTC", Decimal(1), "outside", "", "available", ""),
        Transfer("BTC", Decimal(1), "available", "", "held", "ann"),
        Transfer("BTC", Decimal(1), "available", "ann", "clearing", "ann"),
    ],
)
def test_a_contra_account_has_no_owner_and_a_users_account_has_one(transfer: Transfer) -> None:
    books = Books()
    books.post([Transfer("BTC", Decimal(9), "outside", "", "available", "ann")])
    assert code(lambda: books.post([transfer])) == "bad_transfer"


@given(AMOUNTS, AMOUNTS)
def test_there_and_back_changes_nothing(has: Decimal, amount: Decimal) -> None:
    position = Position(available=has)
    if amount > has:
        assert code(lambda: moved(position, "available", "held", amount)) == "insufficient_available"
    else:
        assert moved(moved(position, "available", "held", amount), "held", "available", amount) == position


class Ledger(RuleBasedStateMachine):
    """Coins enter, move between accounts and users, and leave, at random."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Books()

    def post(self, *transfers: Transfer) -> None:
        before = (dict(self.books.positions), dict(self.books.contras))
        code = ""
        try:
            self.books.post(transfers)
        except SettlementError as refused:
            code = refused.code
        if code:
            assert code.startswith("insufficient_") or code == "too_large"
            assert (self.books.positions, self.books.contras) == before

    @rule(owner=OWNERS, amount=AMOUNTS)
    def deposit(self, owner: tuple[str, str], amount: Decimal) -> None:
        self.post(Transfer(owner[1], amount, "outside", "", "available", owner[0]))

    @precondition(lambda self: self.books.positions)
    @rule(owner=OWNERS, amount=AMOUNTS, debit=st.sampled_from(ACCOUNTS), credit=st.sampled_from(ACCOUNTS))
    def move(self, owner: tuple[str, str], amount: Decimal, debit: Account, credit: Account) -> None:
        self.post(within(*owner, amount, debit, credit))

    @precondition(lambda self: self.books.positions)
    @rule(owner=OWNERS, debit=st.sampled_from(ACCOUNTS), credit=st.sampled_from(ACCOUNTS))
    def move_all(self, owner: tuple[str, str], debit: Account, credit: Account) -> None:
        has: Decimal = getattr(self.books.positions.get(owner, Position()), debit)
        if has:
            self.post(within(*owner, has, debit, credit))

    @precondition(lambda self: self.books.positions)
    @rule(asset=st.sampled_from(["BTC", "USD"]), amount=AMOUNTS)
    def settle(self, asset: str, amount: Decimal) -> None:
        self.post(
            Transfer(asset, amount, "settling", "ann", "clearing", ""),
            Transfer(asset, amount, "clearing", "", "available", "bob"),
        )

    @precondition(lambda self: self.books.positions)
    @rule(owner=OWNERS, amount=AMOUNTS)
    def pay_out(self, owner: tuple[str, str], amount: Decimal) -> None:
        self.post(
            within(*owner, amount, "available", "leaving"),
            Transfer(owner[1], amount, "leaving", owner[0], "outside", ""),
        )

    @invariant()
    def nothing_appears_or_vanishes(self) -> None:
        assert not any(self.books.sums().values())

    @invariant()
    def no_account_is_below_zero_and_credit_is_pledged_and_pledged_is_in_custody(self) -> None:
        for position in self.books.positions.values():
            assert all(getattr(position, account) >= 0 for account in ACCOUNTS)
            assert 0 <= position.credit <= position.pledged <= position.vault <= MOST

    @invariant()
    def a_settlement_leaves_nothing_in_clearing(self) -> None:
        assert not any(amount for (account, _), amount in self.books.contras.items() if account == "clearing")


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=30)
