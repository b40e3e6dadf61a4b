"""The seeds' wire, field by field.

Source: section 3.2 of the facts about the settlement SDK.
"""

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.bus import link_keys
from heliograph.clock import NS_PER_S
from heliograph.model.settlement import BadValue, Confirmation, CreditOrder, Decision, Leg, LegOutcome, Report
from heliograph.settlement import faces

AT_NS = 1_700_000_000 * NS_PER_S
INCREASE = CreditOrder("increase", "user123", "BTC", "10", "Bitcoin", "bc1q")
REPORT = Report(
    AT_NS,
    (
        Leg("1", "ann", "BTC", "0.5"),
        Leg("2", "ann", "USDT", "-30000"),
        Leg("3", "house", "BTC", "-0.5"),
        Leg("4", "house", "USDT", "30000"),
    ),
)


def test_an_increase_has_the_seeds_fields() -> None:
    face = faces.of_order("ledger", "req-1", INCREASE, Decimal("2.5"), AT_NS)
    assert face.stream == link_keys.CREDIT_REQUESTS
    assert face.fields == {
        "custodian": "ledger",
        "request_id": "req-1",
        "uid": "user123",
        "timestamp": "1700000000",
        "asset": "BTC",
        "c_change": "+10",
        "ci": "12.5",
        "chain": "Bitcoin",
        "address": "bc1q",
    }


def test_a_decrease_is_signed_and_names_no_address() -> None:
    face = faces.of_order("ledger", "req-1", CreditOrder("decrease", "u", "BTC", "2"), Decimal(5), AT_NS)
    assert (face.fields["c_change"], face.fields["ci"]) == ("-2", "3")
    assert "chain" not in face.fields


@pytest.mark.parametrize(
    ("decision", "status", "reason"),
    [
        (Decision("accepted", decided_ns=AT_NS), "accepted", ""),
        (Decision("rejected", "policy", "not today", AT_NS), "rejected", "not today"),
        (Decision("rejected", "expired", "", AT_NS), "rejected", "expired"),
    ],
)
def test_an_answer_repeats_the_request_and_says_why_not(decision: Decision, status: str, reason: str) -> None:
    face = faces.of_decision("ledger", "req-1", INCREASE, decision, Decimal(10))
    assert face.stream == link_keys.CREDIT_RESPONSES
    assert (face.fields["status"], face.fields["reject_reason"], face.fields["c_change"]) == (status, reason, "+10")


def test_a_pledge_and_its_answer_have_faces_of_their_own() -> None:
    pledge = CreditOrder("pledge", "u", "BTC", "5", "Bitcoin", "bc1q")
    asked = faces.of_order("ledger", "p1", pledge, Decimal(0), AT_NS)
    assert (asked.stream, asked.fields["type"]) == (link_keys.PLEDGE_REQUESTS, "pledge_request")
    assert (asked.fields["amount"], asked.fields["custodian_id"]) == ("5", "ledger")
    approved = faces.of_decision("ledger", "p1", pledge, Decision("accepted", decided_ns=AT_NS), Decimal(0), "v1")
    assert (approved.fields["status"], approved.fields["vault_id"]) == ("approved", "v1")
    refused = faces.of_decision("ledger", "p1", pledge, Decision("rejected", "policy"), Decimal(0))
    assert (refused.fields["status"], refused.fields["reject_reason"]) == ("rejected", "policy")


def test_a_report_has_one_entry_a_user() -> None:
    ann, house = faces.of_report("ledger", "c1", REPORT, "2023-11-14T22:13:20Z")
    assert ann.fields["report_id"] == "settlement-c1-ann"
    data = json.loads(ann.fields["data"])
    assert data["assets"] == {
        "bought": [{"asset_id": "BTC", "amount": "0.5"}],
        "sold": [{"asset_id": "USDT", "amount": "30000"}],
    }
    assert data["net_position"] == {"BTC": "+0.5", "USDT": "-30000"}
    assert json.loads(house.fields["data"])["user_id"] == "house"


def test_a_confirmation_lists_what_moved_and_fails_by_user() -> None:
    settled = Confirmation("", 1, tuple(LegOutcome(str(n), "settled") for n in (1, 2, 3, 4)))
    entries = faces.of_confirmation("c1", REPORT.legs, settled, AT_NS)
    assert [entry.fields["status"] for entry in entries] == ["completed", "completed"]
    assert json.loads(entries[0].fields["details"])["assets_transferred"] == [
        {"asset_id": "BTC", "amount": "0.5"},
        {"asset_id": "USDT", "amount": "30000"},
    ]
    partly = Confirmation(
        "",
        1,
        (LegOutcome("1", "settled"), LegOutcome("2", "settled"), *(LegOutcome(n, "excluded", "frozen") for n in "34")),
    )
    ann, house = faces.of_confirmation("c1", REPORT.legs, partly, AT_NS)
    assert (ann.fields["status"], house.fields["status"]) == ("completed", "failed")
    assert json.loads(house.fields["details"]) == {
        "assets_transferred": [],
        "timestamp": "1700000000",
        "failure_reason": "frozen",
    }


@pytest.mark.parametrize("change", ["10", "-0.5"])
def test_the_face_of_a_request_is_read_back(change: str) -> None:
    order = CreditOrder("decrease" if change.startswith("-") else "increase", "u:1", "BTC", change.lstrip("-"))
    face = faces.of_order("ledger", "req-1", order, Decimal(20), AT_NS)
    assert faces.to_order(face.fields) == ("req-1", order)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"c_change": "NaN"}, "bad_amount"),
        ({"c_change": "+inf"}, "bad_amount"),
        ({"c_change": "0"}, "bad_amount"),
        ({"c_change": "1e-30"}, "bad_amount"),
        ({"c_change": ""}, "bad_amount"),
        ({"uid": ""}, "bad_name"),
        ({"request_id": "a b"}, "bad_name"),
    ],
)
def test_what_the_seeds_wire_must_not_say_is_refused(changes: dict[str, str], code: str) -> None:
    fields = faces.of_order("ledger", "req-1", INCREASE, Decimal(0), AT_NS).fields | changes
    with pytest.raises(BadValue) as refused:
        faces.to_order(fields)
    assert refused.value.code == code


def test_an_event_for_onlookers_has_the_seeds_fields_and_the_same_id_each_time() -> None:
    told = [faces.notification("acme", "exchange", "credit:response", "r1", {"status": "accepted"}, AT_NS)] * 2
    again = faces.notification("acme", "exchange", "credit:response", "r2", {}, AT_NS)
    assert told[0].stream == "exchange:stream:notification:acme"
    assert set(told[0].fields) == {"event_id", "event_type", "source", "timestamp", "data", "metadata"}
    assert told[0].fields["timestamp"] == "1700000000000"
    assert json.loads(told[0].fields["data"]) == {"status": "accepted"}
    assert told[0].fields["event_id"] == told[1].fields["event_id"] != again.fields["event_id"]


def test_a_missing_field_is_named() -> None:
    with pytest.raises(BadValue, match="'uid'"):
        faces.to_order({"request_id": "r"})


@given(st.dictionaries(st.sampled_from(["request_id", "uid", "asset", "c_change", "chain"]), st.text(max_size=20)))
def test_no_fields_make_it_raise_anything_else(fields: dict[str, str]) -> None:
    with contextlib.suppress(BadValue):
        faces.to_order(fields)
