"""Exact decimals, from text and to text."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.numbers import finite, fixed, parse

amounts = st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**15), max_value=10**15)


@given(amounts)
def test_text_round_trips_to_the_last_digit(value: Decimal) -> None:
    assert parse(fixed(value)).as_tuple() == value.as_tuple()


@pytest.mark.parametrize(
    ("value", "text"), [("0.00000001", "0.00000001"), ("1E+3", "1000"), ("0E-8", "0.00000000"), ("35.20", "35.20")]
)
def test_rendering_never_uses_an_exponent(value: str, text: str) -> None:
    assert fixed(Decimal(value)) == text


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", "-Infinity", "sNaN", "1" * 39, "1E+38", "12E+37", "-1E+38", "1E-39", "", "1,5", "9" * 100_000],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@given(st.builds(lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(), st.integers(-45, 45)))
def test_whatever_is_finite_can_be_read_again_from_its_text(value: Decimal) -> None:
    """Or else what one process publishes, the next refuses: 1E+38 has 39 digits."""
    try:
        finite(value)
    except ValueError:
        return
    assert parse(fixed(value)) == value


def test_finite_returns_the_very_value() -> None:
    value = Decimal("1.50")
    assert finite(value) is value
