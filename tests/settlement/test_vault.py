from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from heliograph.errors import SettlementError
from heliograph.model.settlement import BadValue, name
from heliograph.settlement import vault
from heliograph.settlement.ledger import Position
from heliograph.settlement.vault import Lot, Moved, Status

D = Decimal


def code(act: Callable[[], object]) -> str:
    with pytest.raises(SettlementError) as refused:
        act()
    return refused.value.code


def lot(lot_id: str, amount: str, at_ns: int = 0, status: Status = "locked") -> Lot:
    return Lot(lot_id, "ann", "BTC", D(amount), "bitcoin", "bc1q", status, at_ns)


def what(lots: tuple[Lot, ...]) -> list[tuple[str, str, Decimal]]:
    return [(each.id.partition(vault.SPLIT)[0], each.status, each.amount) for each in lots]


def test_the_oldest_lots_are_unlocked_first_and_the_last_is_split() -> None:
    lots = (lot("new", "5", 30), lot("old", "2", 10), lot("middle", "4", 20))
    step = vault.unlocked(lots, D(3), 99)
    assert what(step.parts) == [("old", "unlocked", D(2)), ("middle", "unlocked", D(1))]
    assert what(step.lots) == [
        ("new", "locked", D(5)), ("old", "unlocked", D(2)), ("middle", "locked", D(3)), ("middle", "unlocked", D(1)),
    ]  # fmt: skip
    assert sorted(each.id for each in step.written) == sorted(["old", "middle", step.parts[1].id])
    assert {each.changed_ns for each in step.parts} == {99}
    assert step.removed == ()


def test_a_whole_lot_is_not_split() -> None:
    step = vault.unlocked((lot("a", "2", 1), lot("b", "3", 2)), D(2), 99)
    assert what(step.lots) == [("a", "unlocked", D(2)), ("b", "locked", D(3))]
    assert [each.id for each in step.written] == ["a"]


def test_lots_of_one_nanosecond_go_in_the_order_in_which_they_came() -> None:
    step = vault.unlocked((lot("b", "2", 7), lot("a", "2", 7)), D(2), 99)
    assert [each.id for each in step.parts] == ["b"]


def test_parts_keep_where_their_coins_lie_and_have_ids_of_their_own() -> None:
    first = vault.unlocked((lot("a", "9"),), D(1), 5)
    second = vault.unlocked(first.lots, D(1), 5)
    third = vault.locked(second.lots, D("1.5"), 5)
    ids = [each.id for each in third.lots]
    assert len(set(ids)) == len(ids) == 4
    assert {(each.chain, each.address, each.user, each.asset) for each in third.lots} == {
        ("bitcoin", "bc1q", "ann", "BTC")
    }


def test_a_part_that_is_gone_leaves_its_name_unused() -> None:
    first = vault.unlocked((lot("a", "9"),), D(1), 5)
    gone = vault.taken(first.lots, D(1), "unlocked")
    again = vault.unlocked(gone.lots, D(1), 5)
    assert first.parts[0].id != again.parts[0].id


def test_ids_do_not_grow_with_parts_of_parts() -> None:
    lots = (lot("a", "100"),)
    for step in range(20):
        lots = vault.unlocked(lots, D(2), step).lots
        lots = vault.locked(lots, D(1), step).lots
    assert max(len(each.id) for each in lots) < 40
    assert vault.held(lots) == 100
    assert len({each.id for each in lots}) == len(lots)


@pytest.mark.parametrize(
    ("lots", "amount", "credit", "why"),
    [
        ((), "1", None, "nothing_locked"),
        ((lot("a", "5", 0, "unlocked"), lot("b", "5", 0, "pending")), "1", None, "nothing_locked"),
        ((lot("a", "5"),), "5.000000000000000001", None, "insufficient_locked"),
        ((lot("a", "5"),), "5", "4.999999999999999999", "insufficient_credit"),
        ((lot("a", "5"),), "5", "NaN", "insufficient_credit"),
        ((lot("a", "5"),), "5", "Infinity", "insufficient_credit"),
        ((lot("a", "5"),), "0", None, "bad_amount"),
        ((lot("a", "5"),), "-1", None, "bad_amount"),
        ((lot("a", "5"),), "NaN", None, "bad_amount"),
        ((lot("a", "5"),), "Infinity", None, "bad_amount"),
    ],
)
def test_the_policy_refuses_with_a_code(lots: tuple[Lot, ...], amount: str, credit: str | None, why: str) -> None:
    given = None if credit is None else D(credit)
    assert code(lambda: vault.unlocked(lots, D(amount), 9, given)) == why


def test_all_that_is_locked_may_be_unlocked_up_to_the_credit() -> None:
    assert what(vault.unlocked((lot("a", "5"),), D(5), 9, D(5)).lots) == [("a", "unlocked", D(5))]


def test_coins_are_locked_for_a_pledge_and_lose_it_when_unlocked() -> None:
    step = vault.locked((lot("a", "5", 0, "unlocked"),), D(3), 9, "pledge-1")
    assert [(each.status, each.pledge) for each in step.lots] == [("unlocked", ""), ("locked", "pledge-1")]
    assert {each.pledge for each in vault.unlocked(step.lots, D(3), 10).lots} == {""}
    assert code(lambda: vault.locked(step.lots, D(3), 9)) == "insufficient_unlocked"


def test_all_that_is_unlocked_may_be_locked() -> None:
    assert what(vault.locked((lot("a", "5", 0, "unlocked"),), D(5), 9).lots) == [("a", "locked", D(5))]
    assert lot("a", "5").changed_ns == 0


def test_what_is_taken_out_is_gone() -> None:
    lots = (lot("a", "2", 1, "unlocked"), lot("b", "5", 2, "unlocked"), lot("c", "9", 0))
    step = vault.taken(lots, D(3), "unlocked")
    assert what(step.lots) == [("b", "unlocked", D(4)), ("c", "locked", D(9))]
    assert step.removed == ("a",)
    assert [each.id for each in step.written] == ["b"]
    assert [each.amount for each in step.parts] == [D(2), D(1)]
    assert code(lambda: vault.taken(lots, D(8), "unlocked")) == "insufficient_unlocked"
    assert code(lambda: vault.taken(lots, D(10), "locked")) == "insufficient_locked"
    assert what(vault.taken(lots, D(9), "locked").lots) == [("a", "unlocked", D(2)), ("b", "unlocked", D(5))]


@pytest.mark.parametrize("before", ["locked", "unlocked", "pending"])
@pytest.mark.parametrize("status", ["locked", "unlocked", "pending"])
def test_a_lot_turns_as_the_table_says(before: Status, status: Status) -> None:
    lots = (lot("a", "1"), lot("b", "2", 0, before))
    if (before, status) in vault.TRANSITIONS:
        step = vault.turned(lots, "b", status, 9)
        assert what(step.lots) == [("a", "locked", D(1)), ("b", status, D(2))]
        assert step.written == step.parts == step.lots[1:]
        assert step.parts[0].changed_ns == 9
    else:
        assert code(lambda: vault.turned(lots, "b", status, 9)) == before


def test_coins_that_arrived_do_not_leave_for_pending() -> None:
    assert not any(after == "pending" for _, after in vault.TRANSITIONS)
    assert code(lambda: vault.turned((lot("a", "1"),), "b", "unlocked", 9)) == "unknown_lot"


def test_lots_of_one_nanosecond_have_ids_of_their_own() -> None:
    lots: tuple[Lot, ...] = ()
    for _ in range(5):
        lots = vault.added(lots, lot(vault.fresh_id(lots, "ann", "BTC", 7), "1", 7))
    assert len({each.id for each in lots}) == 5
    assert lots[0].id == "vault-7-ann-BTC"


def test_no_two_users_and_assets_share_an_id() -> None:
    pairs = [("a-b", "c"), ("a", "b-c"), ("a%2Db", "c"), ("a", "b%2Dc"), ("u" * 128, "x"), ("u" * 127 + "v", "x")]
    ids = {vault.fresh_id((), user, asset, 7) for user, asset in pairs}
    assert len(ids) == len(pairs)
    longest = msgspec.structs.replace(lot(vault.fresh_id((), "u" * 128, "-" * 128, 2**63), "9"), user="u" * 128)
    assert name(longest.id)
    assert name(vault.unlocked(vault.added((), longest), D(1), 1).parts[0].id)


def test_a_lot_is_added_once_to_its_owners_lots() -> None:
    lots = vault.added((), lot("a", "1"))
    assert code(lambda: vault.added(lots, lot("a", "2"))) == "exists"
    assert code(lambda: vault.added(lots, lot("a-split-1", "2"))) == "bad_id"
    assert code(lambda: vault.added(lots, msgspec.structs.replace(lot("b", "1"), user="bob"))) == "wrong_owner"
    assert code(lambda: vault.added(lots, msgspec.structs.replace(lot("b", "1"), asset="ETH"))) == "wrong_owner"
    for text in ("0", "-1", "NaN", "Infinity"):
        assert code(lambda text=text: vault.added(lots, lot("b", text))) == "bad_amount"
    assert code(lambda: vault.added(lots, lot("b", "99999999999999999999"))) == "too_large"
    with pytest.raises(BadValue):
        vault.added((), lot("a b", "1"))


def test_lots_and_ledger_agree_or_the_difference_is_told() -> None:
    lots = (lot("a", "2"), lot("b", "3", 0, "unlocked"), lot("c", "9", 0, "pending"))
    assert vault.held(lots) == 14
    assert vault.missing(lots, Position(available=D(3), granted=D(2))) == 0
    assert vault.missing(lots, Position(available=D(3), granted=D(1), leaving=D(2))) == 1
    assert vault.missing(lots, Position()) == -5


AMOUNTS = st.decimals(min_value="0.000000000000000001", max_value=9, places=18)


class Vault(RuleBasedStateMachine):
    """Lots come, are locked, unlocked, split and taken out, at random, at three instants."""

    def __init__(self) -> None:
        super().__init__()
        self.lots: tuple[Lot, ...] = ()
        self.sums: dict[str, Decimal] = {"locked": D(0), "unlocked": D(0), "pending": D(0)}
        self.ids: set[str] = set()
        self.stored: dict[str, Lot] = {}
        """What a store holds that writes what a step says, and nothing else."""

    @rule(amount=AMOUNTS, status=st.sampled_from(["locked", "unlocked", "pending"]), at_ns=st.integers(1, 3))
    def add(self, amount: Decimal, status: Status, at_ns: int) -> None:
        new = lot(vault.fresh_id([*self.lots, *map(lot_named, self.ids)], "ann", "BTC", at_ns), "1", at_ns, status)
        new = msgspec.structs.replace(new, amount=amount)
        self.lots = vault.added(self.lots, new)
        self.sums[status] += amount
        self.stored[new.id] = new
        self.named(new.id)

    def named(self, lot_id: str) -> None:
        assert lot_id not in self.ids, "an id was used before"
        self.ids.add(lot_id)

    def commit(self, step: Moved, debit: str, credit: str, amount: Decimal) -> None:
        before = {each.id for each in self.lots}
        for part in step.parts:
            if part.id not in before:
                self.named(part.id)
        assert sum((part.amount for part in step.parts), D(0)) == amount
        self.lots = step.lots
        self.stored.update({each.id: each for each in step.written})
        for lot_id in step.removed:
            del self.stored[lot_id]
        self.sums[debit] -= amount
        if credit:
            self.sums[credit] += amount

    @rule(amount=AMOUNTS, now_ns=st.integers(1, 3))
    def unlock(self, amount: Decimal, now_ns: int) -> None:
        if self.sums["locked"] >= amount:
            self.commit(vault.unlocked(self.lots, amount, now_ns), "locked", "unlocked", amount)
        else:
            assert code(lambda: vault.unlocked(self.lots, amount, 1)) in ("nothing_locked", "insufficient_locked")

    @rule(amount=AMOUNTS, now_ns=st.integers(1, 3))
    def lock(self, amount: Decimal, now_ns: int) -> None:
        if self.sums["unlocked"] >= amount:
            self.commit(vault.locked(self.lots, amount, now_ns, "p"), "unlocked", "locked", amount)
        else:
            assert code(lambda: vault.locked(self.lots, amount, 1)) == "insufficient_unlocked"

    @rule(amount=AMOUNTS, status=st.sampled_from(["locked", "unlocked"]))
    def take(self, amount: Decimal, status: Status) -> None:
        if self.sums[status] >= amount:
            self.commit(vault.taken(self.lots, amount, status), status, "", amount)

    @precondition(lambda self: self.lots)
    @rule(which=st.integers(0, 99), status=st.sampled_from(["locked", "unlocked"]))
    def turn(self, which: int, status: Status) -> None:
        chosen = self.lots[which % len(self.lots)]
        if chosen.status != status:
            self.commit(vault.turned(self.lots, chosen.id, status, 4), chosen.status, status, chosen.amount)

    @invariant()
    def nothing_is_lost_and_every_lot_has_its_own_id(self) -> None:
        assert all(each.amount > 0 for each in self.lots)
        assert len({each.id for each in self.lots}) == len(self.lots)
        for status in ("locked", "unlocked", "pending"):
            assert vault.held(self.lots, status) == self.sums[status]

    @invariant()
    def what_is_written_is_what_there_is(self) -> None:
        assert self.stored == {each.id: each for each in self.lots}


def lot_named(lot_id: str) -> Lot:
    return lot(lot_id, "1")


TestVault = Vault.TestCase
TestVault.settings = settings(max_examples=60, stateful_step_count=30)
