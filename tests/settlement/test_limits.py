from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.errors import SettlementError
from heliograph.settlement import limits
from heliograph.settlement.limits import HOUR_NS, AssetLimits, Limits, Velocity

D = Decimal


def code(act: Callable[[], object]) -> str:
    with pytest.raises(SettlementError) as refused:
        act()
    return refused.value.code


def test_a_limit_may_be_reached_and_not_exceeded() -> None:
    asset = AssetLimits(user_max=D(10), link_max=D(100))
    limits.allow_increase(asset, D(3), D(7), D(97))
    assert code(lambda: limits.allow_increase(asset, D("3.000000000000000001"), D(7), D(90))) == "over_user_limit"
    assert code(lambda: limits.allow_increase(asset, D("3.000000000000000001"), D(1), D(97))) == "over_link_limit"
    limits.allow_increase(AssetLimits(), D(10**19), D(10**19), D(10**19))


def test_a_limit_of_nothing_forbids_everything() -> None:
    assert code(lambda: limits.allow_increase(AssetLimits(user_max=D(0)), D("1E-18"), D(0), D(0))) == "over_user_limit"


def test_an_asset_without_limits_goes_by_the_default_or_is_refused() -> None:
    own, rest = AssetLimits(user_max=D(1)), AssetLimits(user_max=D(2))
    assert Limits({"BTC": own}, rest).of("BTC") is own
    assert Limits({"BTC": own}, rest).of("ETH") is rest
    assert code(lambda: Limits({"BTC": own}).of("ETH")) == "unknown_asset"


def test_a_day_is_any_24_hours() -> None:
    asset = AssetLimits(day_max=D(10))
    velocity = limits.moved(asset, Velocity(), D(6), 5 * HOUR_NS + 1)
    velocity = limits.moved(asset, velocity, D(4), 5 * HOUR_NS + 2)
    assert velocity == Velocity(((5, D(10)),))
    for later in (5 * HOUR_NS + 3, 29 * HOUR_NS, 30 * HOUR_NS - 1):
        assert code(lambda now=later: limits.moved(asset, velocity, D("1E-18"), now)) == "over_day_limit"
    assert limits.moved(asset, velocity, D(10), 30 * HOUR_NS) == Velocity(((30, D(10)),))


def test_every_hour_of_a_day_counts() -> None:
    assert HOUR_NS == 3_600_000_000_000
    asset, velocity = AssetLimits(day_max=D(10)), Velocity()
    for hour in (1, 2, 3, 3, 3):
        velocity = limits.moved(asset, velocity, D(2), hour * HOUR_NS)
    assert velocity == Velocity(((1, D(2)), (2, D(2)), (3, D(6))))
    assert code(lambda: limits.moved(asset, velocity, D("1E-18"), 3 * HOUR_NS)) == "over_day_limit"
    assert limits.moved(asset, velocity, D(2), 26 * HOUR_NS) == Velocity(((2, D(2)), (3, D(6)), (26, D(2))))


def test_a_clock_that_was_set_back_forgets_nothing() -> None:
    asset = AssetLimits(day_max=D(10))
    velocity = limits.moved(asset, Velocity(), D(6), 50 * HOUR_NS)
    assert code(lambda: limits.moved(asset, velocity, D(5), 10 * HOUR_NS)) == "over_day_limit"
    assert limits.moved(asset, velocity, D(4), 10 * HOUR_NS) == Velocity(((50, D(10)),))


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 0, HOUR_NS // 2, HOUR_NS, 8 * HOUR_NS, 23 * HOUR_NS]), st.integers(1, 5)),
        max_size=40,
    )
)
@settings(max_examples=80)
def test_no_24_hours_see_more_than_the_limit(steps: list[tuple[int, int]]) -> None:
    asset, velocity, now_ns = AssetLimits(day_max=D(10)), Velocity(), 0
    passed: list[tuple[int, int]] = []
    for wait, amount in steps:
        now_ns += wait
        try:
            velocity = limits.moved(asset, velocity, D(amount), now_ns)
        except SettlementError:
            continue
        passed.append((now_ns, amount))
        assert len(velocity.hours) <= limits.DAY_HOURS + 1
    for start, _ in passed:
        assert sum(amount for at, amount in passed if start <= at < start + 24 * HOUR_NS) <= 10


def test_a_haircut_is_taken_off_and_rounded_down() -> None:
    assert limits.after_haircut(D(10), 0) == 10
    assert limits.after_haircut(D(10), 1250) == D("8.75")
    assert limits.after_haircut(D(10), 10_000) == 0
    assert limits.after_haircut(D("0.000000000000000001"), 1) == 0
    assert limits.after_haircut(D("99999999999999999999.999999999999999999"), 1) == (
        D("99989999999999999999.999999999999999999")
    )


def test_credit_is_worth_its_price_after_its_haircut() -> None:
    table = Limits({"BTC": AssetLimits(1000), "USD": AssetLimits()}, worth_max=D(1_000_000))
    prices = {"BTC": D(60_000), "USD": D(1)}
    assert limits.worth(table, {"BTC": D(2), "USD": D(5), "ETH": D(0)}, prices) == 108_005
    assert limits.worth(table, {"USD": D("0.000000000000000003")}, {"USD": D("0.5")}) == D("1E-18")
    assert limits.worth(table, {"BTC": D(2), "USD": D(5)}, {"BTC": D(0), "USD": D(1)}) == 5
    limits.allow_worth(table, D(1_000_000))
    assert code(lambda: limits.allow_worth(table, D("1000000.01"))) == "over_worth_limit"
    limits.allow_worth(Limits(), D(10**19))


@pytest.mark.parametrize("price", [None, "NaN", "Infinity", "-1"])
def test_without_a_price_nothing_is_worth_anything(price: str | None) -> None:
    prices = {} if price is None else {"BTC": D(price)}
    assert code(lambda: limits.worth(Limits(default=AssetLimits()), {"BTC": D(1)}, prices)) == "no_price"


@pytest.mark.parametrize(
    "table",
    [
        Limits({"BTC": AssetLimits(10_001)}),
        Limits(default=AssetLimits(-1)),
        Limits({"BTC": AssetLimits(user_max=D("NaN"))}),
        Limits({"BTC": AssetLimits(link_max=D("Infinity"))}),
        Limits(default=AssetLimits(day_max=D(-1))),
        Limits(worth_max=D(-1)),
    ],
)
def test_limits_that_make_no_sense_are_refused(table: Limits) -> None:
    assert code(lambda: limits.checked(table)) == "bad_limits"


def test_limits_that_make_sense_are_taken() -> None:
    table = Limits({"BTC": AssetLimits(10_000, D(0), D(5), D(1))}, AssetLimits(), D(7))
    assert limits.checked(table) is table
