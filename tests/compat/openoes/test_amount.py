"""Money at the seeds' names."""

import copy
import json
import pickle
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openoes_core import Amount, EventPublisher, StreamPublisher, ValidationError
from openoes_testing import MockRedisClient

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**18), max_value=10**18, places=8)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)
NO_AMOUNTS: list[Any] = [
    "nan", "NaN", "inf", "-Infinity", "+inf", "1e5", "1E-8", "", " ", "ten", "1_000", "1,5", "0x10", "٣", "1" * 39,
    float("nan"), float("inf"), -float("inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), 10**38, 1e300,
    True, None, [], b"1",
]  # fmt: skip


@given(DECIMALS, DECIMALS)
def test_its_arithmetic_is_exact(left: Decimal, right: Decimal) -> None:
    with localcontext(prec=80):
        assert Decimal(Amount(left) + right) == left + right
        assert Decimal(left - Amount(right)) == left - right
        assert Decimal(Amount(left) * Amount(right)) == left * right
    assert (Amount(left) < right, Amount(left) == right) == (left < right, left == right)


@given(DECIMALS, FLOATS)
def test_a_float_counts_as_what_python_prints_for_it(left: Decimal, right: float) -> None:
    printed = Decimal(repr(right))
    with localcontext(prec=400):
        assert Decimal(Amount(left) + right) == left + printed or len((left + printed).as_tuple().digits) > 76
    assert (Amount(left) < right) == (left < printed)
    assert (right == Amount(left)) == (left == printed)
    assert (Amount(left) >= right) == (left >= printed)


def test_callers_write_floats_beside_it() -> None:
    balance = Amount("0.1")
    assert balance + 0.2 == 0.3
    assert 1.0 - balance == Amount("0.9")
    balance += 1.5
    assert isinstance(balance, Amount)
    assert isinstance(-balance, Amount)
    assert (str(balance), f"{balance:.4f}", float(balance), round(balance, 1)) == ("1.6", "1.6000", 1.6, 1.6)
    assert sum([Amount("1"), Amount("2")]) == 3
    assert Amount(10) / 4 == 2.5
    assert 7.5 // Amount(2) == 3
    assert 7.5 % Amount(2) == 1.5
    assert abs(Amount("-2")) == 2
    assert Amount("1") != "1"
    assert {Amount("1.50"): "x"}[Decimal("1.5")] == "x"


def test_its_text_never_has_an_exponent() -> None:
    assert (str(Amount(1e-8)), repr(Amount(Decimal("1E+3")))) == ("0.00000001", "Amount('1000')")
    assert f"{Amount('0.00000001') * 10}" == "0.00000010"


def test_it_survives_copies_and_pickles() -> None:
    for again in (copy.deepcopy(Amount("1.10")), pickle.loads(pickle.dumps(Amount("1.10")))):
        assert (type(again), str(again)) == (Amount, "1.10")


@pytest.mark.parametrize("value", NO_AMOUNTS, ids=repr)
def test_d18_neither_inf_nor_nan_nor_anything_else_that_is_no_number_is_an_amount(value: Any) -> None:
    with pytest.raises(ValidationError):
        Amount(value)


def test_d18_arithmetic_does_not_lead_to_them_either() -> None:
    with pytest.raises(ValidationError):
        Amount(1) + float("nan")
    with pytest.raises(ValidationError):
        Amount(1) + float("inf")
    with pytest.raises(ZeroDivisionError):
        Amount(1) / 0
    with pytest.raises(TypeError):
        Amount(1) + "1"  # type: ignore[operator]


@pytest.mark.parametrize("value", ["nan", "+inf", float("nan"), float("inf"), "1e5"], ids=repr)
def test_d18_none_of_them_reaches_the_wire(value: Any) -> None:
    client = MockRedisClient()
    with pytest.raises(ValidationError):
        EventPublisher(client, "s").publish_credit_request("c", "u", "BTC", value, "10")
    with pytest.raises(ValidationError):
        EventPublisher(client, "s").publish_credit_response("c", "u", "BTC", "1", value, "r", "accepted")
    if isinstance(value, float):
        with pytest.raises(ValidationError):
            StreamPublisher(client, "s").publish({"amount": value})
        with pytest.raises(ValidationError):
            StreamPublisher(client, "s").publish({"nested": {"amount": value}})
    assert client.xlen("s") == 0


def test_d19_no_exponent_reaches_the_wire() -> None:
    client = MockRedisClient()
    StreamPublisher(client, "s").publish({"a": 1e-08, "b": Decimal("1E+3"), "c": {"d": Amount("0.00000001")}})
    ((_, fields),) = client.xrange("s")
    assert (fields["a"], fields["b"], json.loads(fields["c"])) == ("0.00000001", "1000", {"d": "0.00000001"})
    EventPublisher(client, "e").publish_credit_request("c", "u", "BTC", 1e-08, 10.0)
    ((_, fields),) = client.xrange("e")
    data = json.loads(fields["data"])
    assert (data["c_change"], data["ci"]) == ("+0.00000001", "10.0")
