from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.book import Level
from heliograph.model.numbers import Amounts
from heliograph.venues.levels import check_order, to_levels

AMOUNTS = st.decimals(0, 10**9, allow_nan=False, places=8)
PRICES = st.lists(st.integers(1, 10**9).map(Decimal), unique=True, max_size=20)


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=20))
def test_levels_keep_their_digits_and_their_order(pairs: list[Level]) -> None:
    made = to_levels([(format(price, "f"), quantity) for price, quantity in pairs], Amounts(100))
    assert [(format(p, "f"), str(q)) for p, q in made] == [(format(p, "f"), str(q)) for p, q in pairs]


@pytest.mark.parametrize("text", ["-1", "NaN", "Infinity", "1e99", "x", "9" * 39])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises((ArithmeticError, ValueError)):
        to_levels([(text, Decimal(1))], Amounts(10))


@pytest.mark.parametrize("quantity", [Decimal(-1), Decimal("NaN"), Decimal("Infinity"), Decimal("9" * 39)])
def test_a_quantity_that_is_none_is_refused(quantity: Decimal) -> None:
    with pytest.raises((ArithmeticError, ValueError)):
        to_levels([("1", quantity)], Amounts(10))


@given(PRICES, PRICES)
def test_sides_are_in_order_best_prices_first_and_not_otherwise(bids: list[Decimal], asks: list[Decimal]) -> None:
    falling, rising = [(p, p) for p in sorted(bids, reverse=True)], [(p, p) for p in sorted(asks)]
    check_order(falling, rising)
    if len(bids) > 1:
        with pytest.raises(ValueError, match="order"):
            check_order(falling[::-1], rising)
    if rising:
        with pytest.raises(ValueError, match="order"):
            check_order(falling, [rising[0], *rising])
