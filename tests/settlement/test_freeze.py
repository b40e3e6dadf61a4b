from collections.abc import Callable
from itertools import product
from typing import get_args

import msgspec
import pytest

from heliograph.errors import SettlementError
from heliograph.model.settlement import BadValue
from heliograph.settlement import freeze as freezes
from heliograph.settlement.freeze import DELEGATION, DIRECTIONS, Action, Direction, Freeze, Level

ORDER = Freeze("link", "all", "court", "officer-1", "an order", since_ns=10)
WAYS: dict[str, set[str]] = {
    "inbound": {"deposit", "pledge", "increase", "buy"},
    "outbound": {"withdraw", "decrease", "sell"},
}
FREE = {"read", "receipt", "cancel"}


def code(act: Callable[[], object]) -> str:
    with pytest.raises(SettlementError) as refused:
        act()
    return refused.value.code


def blocked(freeze: Freeze, user: str = "ann", asset: str = "BTC", now_ns: int = 10) -> set[str]:
    return {each for each in DIRECTIONS if freezes.blocking([freeze], each, user, asset, now_ns)}


@pytest.mark.parametrize("direction", get_args(Direction))
def test_a_direction_is_closed_and_the_other_stays_open(direction: Direction) -> None:
    order = msgspec.structs.replace(ORDER, direction=direction)
    assert blocked(order) == (WAYS["inbound"] | WAYS["outbound"] if direction == "all" else WAYS[direction])


@pytest.mark.parametrize(("level", "direction"), list(product(get_args(Level), get_args(Direction))))
def test_nothing_stops_reads_receipts_and_cancels(level: Level, direction: Direction) -> None:
    order = msgspec.structs.replace(ORDER, level=level, direction=direction, user="ann", asset="BTC")
    assert not blocked(order) & FREE
    for action in FREE:
        freezes.allow([order], action, "ann", "BTC", 10)


@pytest.mark.parametrize(
    ("level", "places"),
    [
        ("link", {"ann BTC", "ann USD", "bob BTC", "bob USD"}),
        ("party", {"ann BTC", "ann USD"}),
        ("asset", {"ann BTC", "bob BTC"}),
        ("account", {"ann BTC"}),
    ],
)
def test_a_level_freezes_what_it_names(level: Level, places: set[str]) -> None:
    order = msgspec.structs.replace(
        ORDER,
        level=level,
        user="ann" if level in ("party", "account") else "",
        asset="BTC" if level in ("asset", "account") else "",
    )
    (order,) = freezes.frozen((), order)
    found = {f"{user} {asset}" for user in ("ann", "bob") for asset in ("BTC", "USD") if blocked(order, user, asset)}
    assert found == places


def test_a_freeze_holds_from_its_beginning_until_its_end() -> None:
    order = msgspec.structs.replace(ORDER, until_ns=20)
    assert [bool(blocked(order, now_ns=now)) for now in (9, 10, 19, 20)] == [False, True, True, False]
    assert blocked(ORDER, now_ns=2**62)


def test_a_refusal_has_the_code_of_its_freeze() -> None:
    assert code(lambda: freezes.allow([ORDER], "withdraw", "ann", "BTC", 10)) == "court"


def test_around_a_cut_off_credit_does_not_change_and_all_else_does() -> None:
    order = freezes.cut_off("c1", "custodian", 10, 20)
    assert blocked(order) == DELEGATION
    assert code(lambda: freezes.allow([order], "decrease", "ann", "BTC", 10)) == "cut_off"
    assert not blocked(order, now_ns=20)


def test_freezes_of_one_place_and_code_replace_each_other() -> None:
    held = freezes.frozen((), ORDER)
    held = freezes.frozen(held, freezes.cut_off("c1", "custodian", 10, 20))
    held = freezes.frozen(held, msgspec.structs.replace(ORDER, why="another"))
    assert [each.why for each in held] == ["the cut-off of c1", "another"]
    held = freezes.lifted(held, ORDER.place)
    assert [each.code for each in held] == ["cut_off"]
    assert code(lambda: freezes.lifted(held, ORDER.place)) == "not_frozen"


def test_no_two_accounts_share_a_place() -> None:
    places = {
        Freeze("account", "all", "x", "me", "", 0, 0, user, asset).place
        for user, asset in (("a:b", "c"), ("a", "b:c"), ("a%3Ab", "c"))
    }
    assert len(places) == 3


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"user": "ann"}, "bad_freeze"),
        ({"asset": "BTC"}, "bad_freeze"),
        ({"level": "party", "user": "ann", "asset": "BTC"}, "bad_freeze"),
        ({"level": "asset", "user": "ann", "asset": "BTC"}, "bad_freeze"),
        ({"until_ns": 10}, "bad_freeze"),
        ({"level": "party"}, "bad_name"),
        ({"level": "account", "user": "ann"}, "bad_name"),
        ({"who": ""}, "bad_name"),
        ({"code": ""}, "bad_name"),
    ],
)
def test_a_freeze_that_says_not_what_it_freezes_is_none(fields: dict[str, str], why: str) -> None:
    with pytest.raises((SettlementError, BadValue)) as refused:
        freezes.frozen((), msgspec.structs.replace(ORDER, **fields))
    assert refused.value.code == why


def test_every_action_has_its_way() -> None:
    assert set(DIRECTIONS) == set(get_args(Action))
    assert {action for action, way in DIRECTIONS.items() if way is None} == FREE
