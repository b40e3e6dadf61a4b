"""Levels of books: pairs of a price's text and a quantity, checked and made ours."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise

from heliograph.model.book import Level
from heliograph.model.numbers import BOUND, NOT_AN_AMOUNT, ZERO, Amounts, fits


def to_levels(raw: Iterable[tuple[str, Decimal]], prices: Amounts) -> list[Level]:
    """Make levels; raise `ArithmeticError` or `ValueError` if one cannot be."""
    made: list[Level] = []
    for text, quantity in raw:
        if not ZERO <= fits(quantity) < BOUND:
            raise ValueError(NOT_AN_AMOUNT)
        made.append((prices[text], quantity))
    return made


def check_order(bids: Iterable[Level], asks: Iterable[Level]) -> None:
    """Raise `ValueError` unless both sides are in order, best prices first, and no price stands twice."""
    falling = all(a[0] > b[0] for a, b in pairwise(bids))
    if not falling or not all(a[0] < b[0] for a, b in pairwise(asks)):
        raise ValueError("levels that are not in order")
