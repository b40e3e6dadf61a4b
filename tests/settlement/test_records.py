from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.bus import link_keys
from heliograph.errors import SettlementError
from heliograph.settlement.credit import Request
from heliograph.settlement.ledger import Position, Transfer
from heliograph.settlement.link.custodian import Cursor, Writer
from heliograph.settlement.records import (
    Body,
    Cause,
    Contra,
    body_text,
    credit_of,
    fields_of,
    owner_of,
    read_body,
    record_of,
    transfers_of,
)

AMOUNTS = st.decimals(0, 10**19, places=18)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


class Nested(msgspec.Struct, frozen=True):
    parts: tuple[tuple[str, int], ...]
    why: str | None
    on: bool
    until: int | None = None


@given(st.builds(Position, *[AMOUNTS] * 6))
def test_a_position_is_the_same_after_the_trip(position: Position) -> None:
    fields = fields_of(position)
    assert record_of(Position, fields | {"version": "7", "more": "x"}) == position
    assert all(set(text) <= set("0123456789.") for text in fields.values())
    assert Decimal(fields["held"]) == position.held


@given(
    st.builds(
        Request,
        id=NAMES,
        kind=st.sampled_from(["increase", "decrease", "pledge"]),
        user=NAMES,
        asset=NAMES,
        amount=AMOUNTS,
        digest=st.text("0123456789abcdef", max_size=64),
        state=st.sampled_from(["held", "asked", "posted", "void"]),
        request_seq=st.integers(0, 2**53),
        reason=st.text(st.characters(codec="utf-8")),
    )
)
def test_a_request_is_the_same_after_the_trip(request: Request) -> None:
    assert record_of(Request, fields_of(request)) == request


@pytest.mark.parametrize(
    "value",
    [
        Cursor(5, "ab", 4, 3, 2, "cd"),
        Writer(3, "ef"),
        Contra(Decimal("-0.000000000000000001"), Decimal("1E+3")),
        credit_of("u", "a", Decimal("0E-18"), 4, 1_999_999_999),
        Nested((("a", 1), ("b", 2)), None, True),
        Nested((), "null", False, 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_is_kept_is_the_same_after_the_trip(value: msgspec.Struct) -> None:
    assert record_of(type(value), fields_of(value)) == value


def test_amounts_are_plain_digits() -> None:
    assert fields_of(Contra(Decimal("-0.000000000000000001"), Decimal("1E+3"))) == {
        "outside": "-0.000000000000000001",
        "clearing": "1000",
    }
    assert fields_of(credit_of("u", "a", Decimal("0E-18"), 4, 1_999_999_999)) == {
        "user_id": "u",
        "asset": "a",
        "amount": "0",
        "timestamp": "1",
        "last_updated": "1",
        "answer_seq": "4",
    }


@pytest.mark.parametrize(
    "broken",
    [
        {"held": "NaN"},
        {"held": "inf"},
        {"held": "1e3"},
        {"held": "1.0"},
        {"held": "+1"},
        {"held": "x"},
        {"held": ""},
        {"held": "9" * 100_000},
    ],
    ids=lambda fields: str(fields)[:30],
)
def test_what_is_no_amount_is_corrupt(broken: dict[str, str]) -> None:
    with pytest.raises(SettlementError) as caught:
        record_of(Position, fields_of(Position()) | broken, "the key")
    assert caught.value.code == "corrupt"
    assert "the key" in str(caught.value)


def test_a_field_that_is_missing_has_no_default() -> None:
    fields = fields_of(Cursor(5, "ab", 4, 3, 2, "cd"))
    del fields["recorded"]
    with pytest.raises(SettlementError, match="lacks recorded") as caught:
        record_of(Cursor, fields, "the key")
    assert caught.value.code == "corrupt"
    with pytest.raises(SettlementError, match="the key"):
        record_of(Cursor, fields | {"recorded": "five"}, "the key")
    with pytest.raises(SettlementError, match="the key"):
        record_of(Nested, {"parts": "[", "on": "true"}, "the key")


def test_an_entrys_body_is_the_same_text_for_the_same_step() -> None:
    transfers = (Transfer("BTC", Decimal("0.000000000000000001"), "available", "a", "held", "a"),)
    text = body_text(Cause("order", "r", 3, "ab"), 2, transfers, {"k": {"f": "ü"}})
    assert text == (
        '{"cause":{"kind":"order","id":"r","seq":3,"digest":"ab"},"applied":2,'
        '"transfers":[["BTC","0.000000000000000001","available","a","held","a"]],"records":{"k":{"f":"ü"}}}'
    )
    body = read_body(text)
    assert transfers_of(body) == list(transfers)
    assert read_body(body_text(Cause("freeze", ""), 0, (), {})) == Body(Cause("freeze", ""), 0)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"cause":{"kind":"k","id":""}}', '{"cause":{"kind":"k","id":""},"applied":"0"}', "\ud800"]
)
def test_a_body_that_is_none_is_corrupt(text: str) -> None:
    with pytest.raises(SettlementError) as caught:
        read_body(text)
    assert caught.value.code == "corrupt"


def test_a_transfer_of_no_amount_is_corrupt() -> None:
    text = '{"cause":{"kind":"k","id":""},"applied":0,"transfers":[["BTC","1e3","held","a","granted","a"]]}'
    with pytest.raises(SettlementError, match="not an amount") as caught:
        transfers_of(read_body(text))
    assert caught.value.code == "corrupt"


@given(NAMES, NAMES, NAMES)
def test_a_balances_key_tells_whose_it_is(link: str, user: str, asset: str) -> None:
    assert owner_of(link, link_keys.position(link, user, asset)) == (user, asset)
    assert owner_of(link, link_keys.contra(link, asset)) == (asset,)
    assert owner_of(link, link_keys.request(link, user)) is None
    assert owner_of(link + "x", link_keys.contra(link, asset)) is None
