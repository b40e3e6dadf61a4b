import hashlib
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.errors import SettlementError
from heliograph.model.settlement import BadValue, Leg, Report
from heliograph.settlement.netting import (
    Change,
    Flow,
    Netting,
    changes_digest,
    excluded,
    flows,
    imbalance,
    net,
    report,
    signed,
)

D = Decimal


def code(act: Callable[[], object]) -> str:
    with pytest.raises(SettlementError) as refused:
        act()
    return refused.value.code


def trade(ref: str, buyer: str, seller: str, amount: str, price: str) -> list[Change]:
    """One trade of BTC against USD: four changes."""
    paid = D(amount) * D(price)
    return [
        Change(f"{ref}:a", buyer, "BTC", D(amount), 1),
        Change(f"{ref}:b", seller, "BTC", -D(amount), 1),
        Change(f"{ref}:c", buyer, "USD", -paid, 1),
        Change(f"{ref}:d", seller, "USD", paid, 1),
    ]


def legs(netting: Netting) -> dict[tuple[str, str], Decimal]:
    return {(each.user, each.asset): each.amount for each in netting.nets}


def test_trades_become_one_net_per_user_and_asset() -> None:
    changes = [*trade("1", "ann", "bob", "3", "10"), *trade("2", "bob", "ann", "1", "20")]
    assert legs(net(changes, "c1.1", 9, "house")) == {
        ("ann", "BTC"): D(2),
        ("bob", "BTC"): D(-2),
        ("ann", "USD"): D(-10),
        ("bob", "USD"): D(10),
    }


def test_a_net_of_zero_is_no_leg_and_its_changes_stay_unreported() -> None:
    changes = [*trade("1", "ann", "bob", "3", "10"), *trade("2", "bob", "ann", "3", "20")]
    netting = net(changes, "c1.1", 9, "house")
    assert legs(netting) == {("ann", "USD"): D(30), ("bob", "USD"): D(-30)}
    assert not [ref for each in netting.nets for ref in each.refs if ref.endswith(("a", "b"))]


def test_a_net_tells_which_changes_it_was_made_of() -> None:
    changes = [*trade("1", "ann", "bob", "3", "10"), *trade("2", "ann", "bob", "1", "20")]
    first = net(changes, "c1.1", 9, "house").nets[0]
    assert (first.user, first.asset, first.refs) == ("ann", "BTC", ("1:a", "2:a"))
    assert first.digest == changes_digest([changes[4], changes[0]])


def test_the_digest_is_of_a_documented_text() -> None:
    changes = [Change("b", "ann", "BTC", D("-1.50"), 7), Change("a", "ann", "BTC", D("1E+2"), 8)]
    text = b'[["a","ann","BTC","100",8],["b","ann","BTC","-1.5",7]]'
    assert changes_digest(changes) == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        Change("2", "ann", "BTC", D(1), 1),
        Change("1", "bob", "BTC", D(1), 1),
        Change("1", "ann", "USD", D(1), 1),
        Change("1", "ann", "BTC", D("1.000000000000000001"), 1),
        Change("1", "ann", "BTC", D(1), 2),
    ],
)
def test_the_digest_covers_all_of_a_change(other: Change) -> None:
    assert changes_digest([Change("1", "ann", "BTC", D(1), 1)]) != changes_digest([other])


def test_changes_that_do_not_balance_are_no_trades() -> None:
    assert code(lambda: net(trade("1", "ann", "bob", "3", "10")[:3], "c1.1", 9, "house")) == "unbalanced"


def test_a_change_counts_once() -> None:
    changes = trade("1", "ann", "bob", "3", "10")
    assert code(lambda: net([*changes, *changes], "c1.1", 9, "house")) == "duplicate_change"


def test_a_small_net_rolls_on_and_the_house_advances_it() -> None:
    changes = [*trade("1", "ann", "bob", "5", "10"), *trade("2", "ann", "cid", "0.01", "10")]
    netting = net(changes, "c1.1", 9, "house", {"BTC": D(1)}, {"BTC": D("0.1")})
    assert netting.rolled == (("cid", "BTC"),)
    assert legs(netting) == {
        ("ann", "BTC"): D("5.01"),
        ("bob", "BTC"): D(-5),
        ("house", "BTC"): D("-0.01"),
        ("ann", "USD"): D("-50.1"),
        ("bob", "USD"): D(50),
        ("cid", "USD"): D("0.1"),
    }
    taken, stays = netting.advances
    assert (taken.user, taken.amount, stays.amount) == ("house", D("-0.01"), D("0.01"))
    assert [each.refs for each in netting.nets if each.user == "house"] == [(taken.ref,)]


def test_what_rolled_on_meets_what_the_house_advanced_in_the_next_cycle() -> None:
    changes = [*trade("1", "ann", "bob", "5", "10"), *trade("2", "ann", "cid", "0.01", "10")]
    first = net(changes, "c1.1", 9, "house", {"BTC": D(1)}, {"BTC": D("0.1")})
    refs = {ref for each in first.nets for ref in each.refs}
    left = [change for change in (*changes, *first.advances) if change.ref not in refs]
    assert legs(net(left, "c2.1", 10, "house")) == {("cid", "BTC"): D("-0.01"), ("house", "BTC"): D("0.01")}


def test_small_nets_do_not_roll_if_the_house_cannot_advance_them() -> None:
    changes = trade("1", "ann", "bob", "0.01", "1000")
    changes += [*trade("2", "bob", "cid", "0.02", "1000"), *trade("3", "ann", "cid", "5", "1000")]
    netting = net(changes, "c1.1", 9, "house", {"BTC": D("0.009")}, {"BTC": D("6")})
    assert len(netting.rolled) == 3, "the sum of all is zero: nothing is to be advanced"
    assert net(changes, "c1.1", 9, "house", {}, {"BTC": D("0.02")}).rolled == ()
    netting = net(changes, "c1.1", 9, "house", {"BTC": D("0.01")}, {"BTC": D("0.02")})
    assert netting.rolled == (("bob", "BTC"),), "what the house buys for bob it owes him out of its credit"
    sold = [Change("9", "dan", "BTC", D("-0.01"), 1), Change("10", "ann", "BTC", D("0.01"), 1)]
    netting = net(sold, "c1.1", 9, "house", {"BTC": D("0.009")}, {"BTC": D("0.02")})
    assert len(netting.rolled) == 2
    sold.append(Change("11", "ann", "BTC", D(5), 1))
    sold.append(Change("12", "eve", "BTC", D(-5), 1))
    assert net(sold, "c1.1", 9, "house", {"BTC": D("0.009")}, {"BTC": D("0.02")}).rolled == ()
    assert net(sold, "c1.1", 9, "house", {"BTC": D("0.01")}, {"BTC": D("0.02")}).rolled == (("dan", "BTC"),)


def test_a_net_that_reaches_the_threshold_does_not_roll() -> None:
    changes = trade("1", "ann", "bob", "0.1", "10")
    assert net(changes, "c1.1", 9, "house", {"BTC": D(1)}, {"BTC": D("0.1")}).rolled == ()


def test_who_is_held_back_rolls_on_with_everything() -> None:
    changes = [*trade("1", "ann", "bob", "5", "10"), *trade("2", "cid", "dan", "1", "10")]
    netting = net(changes, "c1.2", 9, "house", {"BTC": D(5), "USD": D(50)}, held_back=("bob",))
    assert netting.rolled == (("bob", "BTC"), ("bob", "USD"))
    assert legs(netting)["house", "BTC"] == -5
    assert legs(netting)["house", "USD"] == 50
    assert not imbalance(Flow(each.user, each.asset, each.amount) for each in netting.nets)


def test_the_house_is_asked_for_no_more_than_it_has() -> None:
    changes = trade("1", "ann", "bob", "5", "10")
    assert code(lambda: net(changes, "c1.2", 9, "house", {"BTC": D("4.9")}, held_back=("bob",))) == "house_short"
    assert code(lambda: net(changes, "c1.2", 9, "ann", held_back=("ann",))) == "bad_house"


def test_a_house_without_credit_holds_back_the_counterpart_too() -> None:
    changes = [*trade("1", "ann", "bob", "5", "10"), *trade("2", "cid", "dan", "1", "10")]
    nets = [Flow(each.user, each.asset, each.amount) for each in net(changes, "c1.1", 9, "house").nets]
    netting = net(changes, "c1.2", 9, "house", held_back=excluded(nets, ["bob"]))
    assert {each.user for each in netting.nets} == {"cid", "dan"}
    assert netting.advances == ()


def test_what_is_bought_is_owed_out_of_credit() -> None:
    """The purchase lies in custody after this cycle; the user's claim is on the exchange in the next."""
    changes = trade("1", "bob", "ann", "5", "10")
    limits = {"BTC": D("4.9"), "USD": D(50)}
    assert code(lambda: net(changes, "c1.2", 9, "house", limits, held_back=("bob",))) == "house_short"
    assert net(changes, "c1.2", 9, "house", {"BTC": D(5), "USD": D(50)}, held_back=("bob",)).rolled


def test_a_report_says_every_net_in_plain_digits() -> None:
    netting = net(trade("1", "ann", "bob", "0.000000000000000003", "1E+18"), "c1.2", 9, "house")
    assert report(netting, 77, 2) == Report(
        77,
        (
            Leg("2-1", "ann", "BTC", "0.000000000000000003", netting.nets[0].digest),
            Leg("2-2", "bob", "BTC", "-0.000000000000000003", netting.nets[1].digest),
            Leg("2-3", "ann", "USD", "-3", netting.nets[2].digest),
            Leg("2-4", "bob", "USD", "3", netting.nets[3].digest),
        ),
        2,
    )
    assert report(netting, 77).attempt == 1
    assert flows(report(netting, 77).legs)[0] == Flow("ann", "BTC", D("3E-18"))


def test_the_same_changes_make_the_same_report_in_whichever_order_they_come() -> None:
    changes = [*trade("1", "cid", "ann", "3", "10"), *trade("2", "bob", "ann", "1", "20")]
    first = net(changes, "c1.1", 9, "house")
    assert [(each.asset, each.user) for each in first.nets] == sorted((each.asset, each.user) for each in first.nets)
    assert net(changes[::-1], "c1.1", 9, "house") == first


def test_a_net_is_read_with_its_sign() -> None:
    assert (signed("2.50"), signed("-2.5")) == (D("2.5"), D("-2.5"))


def test_there_is_no_report_of_nothing() -> None:
    assert code(lambda: report(net([], "c1.1", 9, "house"), 77)) == "nothing_to_settle"


@pytest.mark.parametrize("text", ["", "-", "--1", "+1", "0", "-0", "1e3", "NaN", "-Infinity", " 1", "1" * 21])
def test_a_net_is_plain_digits_with_a_sign(text: str) -> None:
    with pytest.raises(BadValue):
        signed(text)
    assert code(lambda: flows([Leg("1", "ann", "BTC", text)])) == "bad_amount"


def test_nothing_is_excluded_where_nothing_is_refused() -> None:
    assert excluded([Flow("ann", "BTC", D(1)), Flow("bob", "BTC", D(-1))], ()) == frozenset()


def test_the_counterpart_is_excluded_and_nobody_else() -> None:
    found = excluded(
        [
            Flow("ann", "BTC", D(5)), Flow("bob", "BTC", D(-5)), Flow("ann", "USD", D(-9)), Flow("bob", "USD", D(9)),
            Flow("cid", "BTC", D(1)), Flow("dan", "BTC", D(-1)), Flow("cid", "USD", D(-2)), Flow("dan", "USD", D(2)),
        ],
        ["bob"],
    )  # fmt: skip
    assert found == {"ann", "bob"}


def test_of_two_counterparts_the_first_by_name_is_excluded() -> None:
    found = excluded([Flow("cid", "BTC", D(5)), Flow("ann", "BTC", D(5)), Flow("bob", "BTC", D(-5)),
                      Flow("dan", "BTC", D(-5))], ["bob"])  # fmt: skip
    assert found == {"ann", "bob"}


def test_each_refused_user_takes_its_own_counterpart_along() -> None:
    pairs = [("ann", "bob", 5), ("cid", "dan", 3), ("eve", "fay", 3), ("gus", "hal", 1)]
    legs = [Flow(user, "BTC", D(amount * sign)) for a, b, amount in pairs for user, sign in ((a, 1), (b, -1))]
    assert excluded(legs, ["ann", "fay", "hal"]) == {"ann", "bob", "cid", "fay", "gus", "hal"}
    assert excluded(legs, ["ann", "cid", "eve"]) == {"ann", "bob", "cid", "dan", "eve", "fay"}


def test_refused_users_that_balance_take_nobody_along() -> None:
    legs = [Flow("ann", "BTC", D(5)), Flow("bob", "BTC", D(-3)), Flow("cid", "BTC", D(-2)), Flow("dan", "BTC", D(-5)),
            Flow("eve", "BTC", D(5))]  # fmt: skip
    assert excluded(legs, ["ann", "bob", "cid"]) == {"ann", "bob", "cid"}


def test_counterparts_that_mend_nothing_stay_in() -> None:
    """Two refused users cancel in one asset; that the third has no counterpart is no reason to take theirs along."""
    legs = [Flow("ann", "BTC", D(5)), Flow("fay", "BTC", D(-5)), Flow("bob", "BTC", D(-5)), Flow("gus", "BTC", D(5)),
            Flow("cid", "ETH", D(2)), Flow("dan", "ETH", D(-1)), Flow("eve", "ETH", D(-1))]  # fmt: skip
    assert excluded(legs, ["ann", "cid", "fay"]) == {"ann", "cid", "dan", "eve", "fay"}


def test_without_a_counterpart_all_of_an_unbalanced_asset_are_excluded_and_no_other() -> None:
    found = excluded(
        [
            Flow("ann", "BTC", D(3)), Flow("cid", "BTC", D(2)), Flow("bob", "BTC", D(-5)),
            Flow("cid", "ETH", D(7)), Flow("dan", "ETH", D(-7)),
            Flow("eve", "USD", D(1)), Flow("fay", "USD", D(-1)),
        ],
        ["bob"],
    )  # fmt: skip
    assert found == {"ann", "bob", "cid", "dan"}


USERS = st.sampled_from(["ann", "bob", "cid", "dan", "house"])
ASSETS = st.sampled_from(["BTC", "USD"])
AMOUNTS = st.decimals(min_value="0.000000000000000001", max_value=9, places=18)
TRADES = st.lists(st.tuples(USERS, USERS, ASSETS, AMOUNTS), max_size=12)


def made(trades: list[tuple[str, str, str, Decimal]]) -> list[Change]:
    changes = []
    for number, (buyer, seller, asset, amount) in enumerate(trades):
        changes.append(Change(f"{number}+", buyer, asset, amount, number))
        changes.append(Change(f"{number}-", seller, asset, amount.copy_negate(), number))
    return changes


@given(
    TRADES,
    st.dictionaries(ASSETS, st.decimals(min_value=0, max_value=5, places=2)),
    st.dictionaries(ASSETS, st.decimals(min_value=0, max_value=30, places=2)),
    st.frozensets(st.sampled_from(["ann", "bob"])),
)
@settings(max_examples=150)
def test_a_netting_invents_and_loses_nothing(
    trades: list[tuple[str, str, str, Decimal]],
    thresholds: dict[str, Decimal],
    limits: dict[str, Decimal],
    held_back: frozenset[str],
) -> None:
    changes = made(trades)
    try:
        netting = net(changes, "c1.1", 9, "house", limits, thresholds, held_back)
    except SettlementError as refused:
        netting, why = None, refused.code
    if netting is None:
        assert why == "house_short"
        assert held_back
        return
    assert not imbalance(Flow(each.user, each.asset, each.amount) for each in netting.nets)
    assert not imbalance(netting.advances)
    rows = {change.ref: change for change in (*changes, *netting.advances)}
    taken = [ref for each in netting.nets for ref in each.refs]
    assert len(taken) == len(set(taken))
    for each in netting.nets:
        assert each.amount == sum((rows[ref].amount for ref in each.refs), D(0)) != 0
        assert each.user not in held_back
        assert {(rows[ref].user, rows[ref].asset) for ref in each.refs} == {(each.user, each.asset)}
        if each.user == "house" and netting.advances:
            own = imbalance(change for change in changes if change.user == "house" and change.asset == each.asset)
            floor = min(own.get(each.asset, D(0)), -limits.get(each.asset, D(0)))
            assert each.amount >= floor
    assert not imbalance(change for ref, change in rows.items() if ref not in set(taken))


@given(TRADES, st.frozensets(USERS))
@settings(max_examples=150)
def test_whatever_is_refused_what_remains_sums_to_zero(
    trades: list[tuple[str, str, str, Decimal]], refused: frozenset[str]
) -> None:
    legs = [Flow(each.user, each.asset, each.amount) for each in net(made(trades), "c", 9, "nobody").nets]
    out = excluded(legs, refused)
    assert refused <= out
    assert not imbalance(leg for leg in legs if leg.user not in out)
    if not refused:
        assert not out
