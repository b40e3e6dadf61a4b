"""Generators, validators and the wire agree."""

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from openoes_core import Event
from openoes_testing import (
    AccountGenerator,
    AccountValidator,
    CreditRequestGenerator,
    CreditRequestValidator,
    DataGenerator,
    DataGenerators,
    EventGenerator,
    EventValidator,
    MockRedisClient,
    ResponseValidators,
    SettlementGenerator,
    SettlementValidator,
    Validator,
)

REQUEST = CreditRequestGenerator.generate_credit_request
REPORT = SettlementGenerator.generate_settlement_report
WIRE = {
    "request": {"custodian", "request_id", "uid", "timestamp", "asset", "c_change", "ci"},
    "response": {
        "custodian",
        "request_id",
        "uid",
        "timestamp",
        "asset",
        "c_change",
        "ci",
        "status",
        "reject_reason",
    },
    "report": {"type", "report_id", "timestamp", "data"},
    "confirmation": {"type", "settlement_id", "user_id", "timestamp", "status", "details"},
}
GENERATED: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "request": (REQUEST, CreditRequestValidator.validate_credit_request),
    "decrease": (lambda: REQUEST(is_increase=False), CreditRequestValidator.validate_credit_request),
    "response": (
        lambda: CreditRequestGenerator.generate_credit_response(REQUEST()),
        CreditRequestValidator.validate_credit_response,
    ),
    "rejection": (
        lambda: CreditRequestGenerator.generate_credit_response(REQUEST(), status="rejected"),
        CreditRequestValidator.validate_credit_response,
    ),
    "approval": (
        lambda: CreditRequestGenerator.generate_credit_response(REQUEST(), status="approved"),
        CreditRequestValidator.validate_credit_response,
    ),
    "trade": (SettlementGenerator.generate_trade, SettlementValidator.validate_trade),
    "report": (REPORT, SettlementValidator.validate_settlement_report),
    "position": (lambda: REPORT()["positions"][0], SettlementValidator.validate_position),
    "confirmation": (
        lambda: SettlementGenerator.generate_settlement_confirmation(REPORT()),
        SettlementValidator.validate_settlement_confirmation,
    ),
    "confirmed": (
        lambda: SettlementGenerator.generate_settlement_confirmation(REPORT(), status="confirmed"),
        SettlementValidator.validate_settlement_confirmation,
    ),
    "failed": (
        lambda: SettlementGenerator.generate_settlement_confirmation(REPORT(), status="failed"),
        SettlementValidator.validate_settlement_confirmation,
    ),
    "event": (EventGenerator.generate_event, EventValidator.validate_event),
    "account": (AccountGenerator.generate_account_entry, AccountValidator.validate_account_entry),
    "inventory": (
        AccountGenerator.generate_credit_inventory_entry,
        AccountValidator.validate_credit_inventory_entry,
    ),
    **{
        status: (
            lambda status=status: AccountGenerator.generate_vault_asset(status=status),
            AccountValidator.validate_vault_asset,
        )
        for status in ("locked", "unlocked", "pending")
    },
}


@pytest.mark.parametrize("kind", sorted(GENERATED))
def test_d41_what_is_generated_is_valid_and_can_be_written_as_json(kind: str) -> None:
    generate, validate = GENERATED[kind]
    for _ in range(50):
        made = generate()
        assert validate(made) == {"success": True, "errors": []}
        json.dumps(made)


@pytest.mark.parametrize("kind", ["request", "decrease", "response", "rejection", "approval"])
def test_d41_a_generated_credit_message_is_the_wires(kind: str) -> None:
    generate, validate = GENERATED[kind]
    made = generate()
    wire = DataGenerators.to_wire(made)
    names = WIRE["request" if kind in ("request", "decrease") else "response"]
    assert set(wire) - {"chain", "address"} == names
    assert all(isinstance(value, str) for value in wire.values())
    assert wire["c_change"][0] == ("-" if kind == "decrease" else "+")
    assert abs(Decimal(wire["c_change"])) == Decimal(repr(made["amount"]))
    assert (wire["uid"], wire["custodian"]) == (made["user_id"], made["custodian_id"])
    assert len(wire["timestamp"]) == 10
    assert wire.get("status") in (None, "accepted", "rejected")
    assert validate(wire) == {"success": True, "errors": []}
    client = MockRedisClient()
    client.xadd("s", wire)
    assert [fields for _, fields in client.xrange("s")] == [wire]


@pytest.mark.parametrize("kind", ["report", "confirmation", "confirmed", "failed"])
def test_d41_a_generated_settlement_message_is_the_wires(kind: str) -> None:
    generate, validate = GENERATED[kind]
    wire = DataGenerators.to_wire(generate())
    assert set(wire) == WIRE["report" if kind == "report" else "confirmation"]
    assert validate(wire) == {"success": True, "errors": []}
    assert wire.get("status") in (None, "completed", "failed")


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "nan", "1e5", "ten", 0, -1, None, [], "9" * 50], ids=repr)
def test_d41_what_is_no_amount_is_not_valid(value: Any) -> None:
    assert not CreditRequestValidator.validate_credit_request({**REQUEST(), "amount": value, "c_change": None})
    assert not SettlementValidator.validate_trade({**SettlementGenerator.generate_trade(), "buy_amount": value})
    assert not AccountValidator.validate_vault_asset({**AccountGenerator.generate_vault_asset(), "amount": value})
    entry = AccountGenerator.generate_credit_inventory_entry()
    assert bool(AccountValidator.validate_credit_inventory_entry({**entry, "amount": value})) is (
        value == 0 and value is not False
    )


BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("request", {"request_id": None}),
    ("request", {"user_id": ""}),
    ("request", {"uid": "another"}),
    ("request", {"custodian": "another"}),
    ("request", {"chain": None}),
    ("request", {"address": ""}),
    ("request", {"timestamp": "today"}),
    ("request", {"timestamp": True}),
    ("request", {"status": "banana"}),
    ("request", {"c_change": "+0.00000001"}),
    ("request", {"c_change": "0", "amount": None}),
    ("request", {"is_increase": False}),
    ("request", {"ci": "-1"}),
    ("response", {"status": "pending"}),
    ("response", {"status": None}),
    ("response", {"request_id": 5}),
    ("response", {"ci": "inf"}),
    ("rejection", {"reject_reason": ""}),
    ("trade", {"buy_asset": "BTC", "sell_asset": "BTC"}),
    ("trade", {"trade_id": None}),
    ("position", {"asset": None}),
    ("position", {"amount": "nan"}),
    ("report", {"settlement_id": "another"}),
    ("report", {"positions": []}),
    ("report", {"trades": "none"}),
    ("report", {"trades": [{}]}),
    ("report", {"data": "{"}),
    ("report", {"data": "[]"}),
    ("report", {"type": "banana"}),
    ("report", {"status": "banana"}),
    ("confirmation", {"status": "banana"}),
    ("confirmation", {"user_id": None}),
    ("confirmation", {"details": "5"}),
    ("confirmation", {"details": json.dumps({"assets_transferred": [{"asset_id": "BTC", "amount": "nan"}]})}),
    ("event", {"event_type": "Banana"}),
    ("event", {"data": None}),
    ("event", {"source": ""}),
    ("account", {"balance": 1e9}),
    ("account", {"reserved": -1.0}),
    ("locked", {"status": "banana"}),
    ("locked", {"vault_id": None}),
]


@pytest.mark.parametrize(("kind", "change"), BROKEN, ids=lambda value: str(value)[:40])
def test_d41_what_is_broken_is_not_valid_and_it_is_said_why(kind: str, change: dict[str, Any]) -> None:
    generate, validate = GENERATED[kind]
    result = validate({**generate(), **change})
    assert not result
    assert result["success"] is False
    assert result["errors"]
    assert all(isinstance(error, str) for error in result["errors"])


@pytest.mark.parametrize("value", [None, 5, "text", [], {}], ids=repr)
@pytest.mark.parametrize("kind", sorted(GENERATED))
def test_d41_nothing_that_is_given_to_a_validator_makes_it_raise(kind: str, value: Any) -> None:
    assert not GENERATED[kind][1](value)


def test_a_net_position_that_the_legs_do_not_add_up_to_is_not_valid() -> None:
    wire = SettlementGenerator.to_wire(REPORT())
    data = json.loads(wire["data"])
    asset = next(iter(data["net_position"]))
    data["net_position"][asset] = "+12345"
    assert not SettlementValidator.validate_settlement_report({**wire, "data": json.dumps(data)})


def test_an_answer_of_which_a_part_is_at_hand() -> None:
    assert ResponseValidators.validate_credit_response({"status": "accepted", "ci": "10.0"})
    assert not ResponseValidators.validate_credit_response({"status": "accepted", "ci": "nan"})
    assert not ResponseValidators.validate_credit_response({"ci": "10.0"})
    assert not ResponseValidators.validate_credit_response({"status": "perhaps", "ci": "10.0"})


def test_d26_ids_of_one_moment_differ() -> None:
    assert len({REQUEST()["request_id"] for _ in range(500)}) == 500
    assert len({REPORT()["settlement_id"] for _ in range(100)}) == 100


def test_what_is_asked_for_is_what_comes() -> None:
    request = REQUEST("u", "BTC", 2.5, "c", "chain", "address", "cr-1", False)
    assert {name: request[name] for name in ("user_id", "asset", "amount", "custodian_id", "chain", "address")} == {
        "user_id": "u",
        "asset": "BTC",
        "amount": 2.5,
        "custodian_id": "c",
        "chain": "chain",
        "address": "address",
    }
    assert (request["request_id"], request["c_change"], request["status"]) == ("cr-1", "-2.5", "pending")
    response = CreditRequestGenerator.generate_credit_response(request, "rejected", None, "too much")
    assert (response["request_id"], response["reject_reason"]) == ("cr-1", "too much")
    assert len(CreditRequestGenerator.generate_credit_requests_batch(3, ["u"], ["ETH"])) == 3
    assert {r["user_id"] for r in CreditRequestGenerator.generate_credit_requests_batch(3, ["u"])} == {"u"}
    trade = SettlementGenerator.generate_trade("u", "BTC", "USDT", 1, 50_000, "t-1")
    report = REPORT("u", [trade], "s-1", "2026-01-01")
    assert (report["settlement_id"], report["report_id"], report["settlement_date"]) == ("s-1", "s-1", "2026-01-01")
    assert report["positions"] == [{"asset": "BTC", "amount": 1.0}, {"asset": "USDT", "amount": -50_000.0}]
    assert SettlementGenerator.generate_settlement_confirmation(report, "c-1")["confirmation_id"] == "c-1"
    assert {r["user_id"] for r in SettlementGenerator.generate_settlement_reports_batch(2, ["u"])} == {"u"}
    event = EventGenerator.generate_event("my:own", "me", {"a": 1}, "e-1")
    assert (Event.from_dict(event).data, event["event_id"]) == ({"a": 1}, "e-1")
    assert {e["source"] for e in EventGenerator.generate_events_batch(3, ["a:b"], ["me"])} == {"me"}
    entry = AccountGenerator.generate_account_entry("u", "BTC", balance=10.3, reserved=3.1)
    assert (entry["available"], entry["balance"]) == (7.2, 10.3)
    assert AccountGenerator.generate_account_entry(available=1.5)["balance"] == 1.5
    assert AccountGenerator.generate_credit_inventory_entry("u", "BTC", 5)["amount"] == 5
    assert AccountGenerator.generate_vault_asset("u", "BTC", 5, "unlocked")["unlock_timestamp"] is not None


def test_single_values() -> None:
    assert len(DataGenerator.generate_string(7)) == 7
    assert 1 <= DataGenerator.generate_amount(1.0, 2.0) <= 2
    assert DataGenerator.generate_id("x-").startswith("x-")
    assert len(DataGenerator.generate_id("x-")) == 10
    assert DataGenerator.generate_timestamp() > 1_600_000_000_000
    for name in ("asset", "user_id", "address", "chain", "custodian_id", "status"):
        made = getattr(DataGenerators, f"generate_{name}")()
        assert made
        assert isinstance(made, str)


def test_the_questions_about_one_field() -> None:
    data = {"a": "x1", "b": 5, "c": True, "d": None, "e": math.nan}
    assert Validator.validate_required_fields(data, ["a", "d", "z"]) == ["d", "z"]
    assert Validator.validate_field_type(data, "a", str)
    assert Validator.validate_field_type(data, "b", (int, float))
    assert not Validator.validate_field_type(data, "c", int), "True is no number"
    assert Validator.validate_field_type(data, "c", bool)
    assert not Validator.validate_field_type(data, "z", str)
    assert Validator.validate_field_regex(data, "a", r"x\d")
    assert not Validator.validate_field_regex(data, "a", "x")
    assert not Validator.validate_field_regex(data, "b", ".*")
    assert Validator.validate_field_range(data, "b", 1, 5)
    assert Validator.validate_field_range(data, "b")
    assert not Validator.validate_field_range(data, "b", 6)
    assert not Validator.validate_field_range(data, "b", None, 4.5)
    assert not Validator.validate_field_range(data, "e", 0, 1)
    assert not Validator.validate_field_range(data, "c", 0, 1)
    assert Validator.validate_field_in_list(data, "a", ["x1"])
    assert not Validator.validate_field_in_list(data, "z", [None])
