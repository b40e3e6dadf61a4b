import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.venues.faults import FAULTS, REASON_MAX, reason_of


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(frame: bytes) -> None:
    said = ""
    try:
        Decimal(msgspec.json.decode(frame, type=dict[str, str])["a"])
    except FAULTS as e:
        said = reason_of(e)
    assert len(said) <= REASON_MAX


def test_json_that_nests_without_end_is_one_of_them() -> None:
    with pytest.raises(FAULTS) as caught:
        msgspec.json.decode(b"[" * 100_000)
    assert reason_of(caught.value) == "nested too deeply"


def test_a_number_that_is_none_is_said_in_words_and_a_long_reason_is_cut() -> None:
    with pytest.raises(FAULTS) as caught:
        Decimal("x")
    assert reason_of(caught.value) == "not a number of at most 38 digits"
    assert reason_of(ValueError("x" * 1000)) == "x" * REASON_MAX
    assert reason_of(json.JSONDecodeError("no", "", 0)).startswith("no")
