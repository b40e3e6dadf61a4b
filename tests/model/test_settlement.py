"""The values that a custodian and an exchange exchange."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.settlement import BadValue, amount_text, name, positive


@pytest.mark.parametrize(
    "text",
    ["", "0", "0.0", "-1", "+1", "1e3", "1E3", "NaN", "inf", "Infinity", " 1", "1 ", "1.", ".5", "0x1", "1_000", "١",
     "1" * 21, "1." + "1" * 19, "1,5"],
)  # fmt: skip
def test_an_amount_is_positive_and_in_plain_digits(text: str) -> None:
    with pytest.raises(BadValue) as refused:
        positive(text)
    assert refused.value.code == "bad_amount"


@given(st.decimals(min_value="0.000000000000000001", max_value="99999999999999999999", places=18))
def test_an_amount_survives_the_wire_to_the_last_digit(value: Decimal) -> None:
    assert positive(amount_text(value)) == value


@pytest.mark.parametrize(("value", "text"), [("10.500", "10.5"), ("1E+3", "1000"), ("0.00", "0"), ("100", "100")])
def test_an_amount_is_written_without_exponent_and_without_trailing_zeros(value: str, text: str) -> None:
    assert amount_text(Decimal(value)) == text


@pytest.mark.parametrize("text", ["", "a b", "a\n", "ü", "x" * 129, "\x00"])
def test_a_name_is_printable_and_bounded(text: str) -> None:
    with pytest.raises(BadValue) as refused:
        name(text)
    assert refused.value.code == "bad_name"


def test_a_name_may_hold_what_separates_keys() -> None:
    assert name("desk:1%") == "desk:1%"
