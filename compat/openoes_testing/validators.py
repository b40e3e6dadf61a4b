"""Whether a message is one: in the wire's names, in the generators', or in both, and then they must agree.

A result is a dict of `success` and `errors`, and true or false like its `success`, so that `assert` means what it says.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from openoes_core.amount import Amount, amount
from openoes_core.errors import ValidationError
from openoes_core.event import Event

Data = Mapping[str, Any]
_REQUEST_STATUS: Final = ("pending", "accepted", "rejected", "timeout")
_RESPONSE_STATUS: Final = ("accepted", "rejected", "approved")
_CONFIRMATION_STATUS: Final = ("completed", "failed", "confirmed", "rejected")
_REPORT_STATUS: Final = ("pending", "processing", "completed", "failed")
_VAULT_STATUS: Final = ("locked", "unlocked", "pending")
_USER: Final = ("user_id", "uid")
_CUSTODIAN: Final = ("custodian_id", "custodian")


class Result(dict[str, Any]):
    """What a validator found."""

    def __init__(self, errors: Iterable[str]) -> None:
        found = list(errors)
        super().__init__(success=not found, errors=found)

    def __bool__(self) -> bool:
        return bool(self["success"])


class Validator:
    """Questions about one field."""

    @staticmethod
    def validate_required_fields(data: Data, required_fields: Iterable[str]) -> list[str]:
        """Return the names of those that are missing."""
        return [name for name in required_fields if data.get(name) is None]

    @staticmethod
    def validate_field_type(data: Data, field: str, expected_type: type | tuple[type, ...]) -> bool:
        """Tell whether a field is of a type; True and False are no numbers."""
        value = data.get(field)
        kinds = expected_type if isinstance(expected_type, tuple) else (expected_type,)
        return isinstance(value, bool) <= (bool in kinds) and isinstance(value, kinds)

    @staticmethod
    def validate_field_regex(data: Data, field: str, pattern: str) -> bool:
        """Tell whether a field is a text that a regular expression describes whole."""
        value = data.get(field)
        return isinstance(value, str) and re.fullmatch(pattern, value) is not None

    @staticmethod
    def validate_field_range(data: Data, field: str, min_value: Any = None, max_value: Any = None) -> bool:
        """Tell whether a field is a number, finite, and not outside of bounds."""
        number = _number(data.get(field))
        return (
            number is not None
            and (min_value is None or number >= min_value)
            and (max_value is None or number <= max_value)
        )

    @staticmethod
    def validate_field_in_list(data: Data, field: str, valid_values: Iterable[Any]) -> bool:
        """Tell whether a field is one of these."""
        return field in data and data[field] in list(valid_values)


class _Findings:
    """What is wrong with one message."""

    def __init__(self, data: Any) -> None:
        self.errors: list[str] = []
        self.data: Data = data if isinstance(data, Mapping) else {}
        self.require(isinstance(data, Mapping), "not a dict")

    def require(self, held: object, error: str) -> None:
        if not held:
            self.errors.append(error)

    def texts(self, *names: str | tuple[str, ...]) -> None:
        """Ask for texts that are not empty, each by one of its names; under two names it is one text."""
        for each in names:
            named = (each,) if isinstance(each, str) else each
            found = {name: self.data[name] for name in named if self.data.get(name) is not None}
            self.require(found, f"{' or '.join(named)} is missing")
            for name, value in found.items():
                self.require(isinstance(value, str) and value, f"{name} is no text")
            self.require(len({str(value) for value in found.values()}) <= 1, f"{' and '.join(named)} differ")

    def number(self, name: str, *, least: int | None = None, required: bool = True) -> Amount | None:
        value = self.data.get(name)
        if value is None:
            self.require(not required, f"{name} is missing")
            return None
        number = _number(value)
        self.require(number is not None, f"{name} is no finite number")
        if number is not None and least is not None:
            self.require(number >= least, f"{name} is below {least}")
        return number

    def positive(self, name: str, *, required: bool = True) -> Amount | None:
        number = self.number(name, required=required)
        self.require(number is None or number > 0, f"{name} is not above 0")
        return number

    def time(self, name: str = "timestamp") -> None:
        value = self.data.get(name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        self.require(whole or (isinstance(value, str) and value.isdecimal()), f"{name} is no time")

    def one_of(self, name: str, values: tuple[str, ...], *, required: bool = True) -> None:
        if required or self.data.get(name) is not None:
            self.require(self.data.get(name) in values, f"{name} is none of {', '.join(values)}")

    def each(self, name: str, validate: Callable[[Any], Result]) -> None:
        values = self.data.get(name)
        if not isinstance(values, list | tuple):
            self.errors.append(f"{name} is no list")
            return
        for number, value in enumerate(values):
            self.errors += [f"{name}[{number}]: {error}" for error in validate(value)["errors"]]

    def result(self) -> Result:
        return Result(self.errors)


class CreditRequestValidator(Validator):
    """Credit requests and their answers."""

    @classmethod
    def validate_credit_request(cls, request: Data) -> Result:
        """Validate a request."""
        found = _Findings(request)
        found.texts("request_id", _USER, _CUSTODIAN, "asset")
        found.time()
        found.one_of("status", _REQUEST_STATUS, required=False)
        change = _change(found)
        found.number("ci", least=0, required=False)
        if change is not None and change > 0:
            found.texts("chain", "address")
        return found.result()

    @classmethod
    def validate_credit_response(cls, response: Data) -> Result:
        """Validate an answer, whole."""
        found = _Findings(response)
        found.texts("request_id", _USER, "asset")
        found.time()
        _change(found)
        _answer(found)
        return found.result()


class SettlementValidator(Validator):
    """Settlement reports and their confirmations."""

    @classmethod
    def validate_settlement_report(cls, report: Data) -> Result:
        """Validate a report."""
        found = _Findings(report)
        found.texts(("settlement_id", "report_id"))
        found.one_of("status", _REPORT_STATUS, required=False)
        if "type" in found.data or "data" in found.data:
            _wire_report(found)
        if "data" not in found.data or "trades" in found.data:
            found.texts("user_id", "settlement_date")
            found.each("trades", cls.validate_trade)
            found.each("positions", cls.validate_position)
            if not found.errors:
                _positions(found)
        return found.result()

    @classmethod
    def validate_trade(cls, trade: Data) -> Result:
        """Validate a trade."""
        found = _Findings(trade)
        found.texts("trade_id", "user_id", "buy_asset", "sell_asset")
        found.positive("buy_amount")
        found.positive("sell_amount")
        found.require(found.data.get("buy_asset") != found.data.get("sell_asset"), "buy_asset and sell_asset are one")
        return found.result()

    @classmethod
    def validate_position(cls, position: Data) -> Result:
        """Validate a position."""
        found = _Findings(position)
        found.texts("asset")
        found.number("amount")
        return found.result()

    @classmethod
    def validate_settlement_confirmation(cls, confirmation: Data) -> Result:
        """Validate a confirmation."""
        found = _Findings(confirmation)
        found.texts("settlement_id", "user_id")
        found.time()
        found.one_of("status", _CONFIRMATION_STATUS)
        if "type" in found.data:
            found.one_of("type", ("confirmation",))
        details = _object(found, "details") if found.data.get("details") is not None else {}
        legs = _Findings(details)
        if "assets_transferred" in details:
            legs.each("assets_transferred", _leg)
        found.errors += [f"details: {error}" for error in legs.errors]
        return found.result()


class EventValidator(Validator):
    """Events."""

    @classmethod
    def validate_event(cls, event: Data) -> Result:
        """Validate an event's parts, in a dict or as a stream's entry holds them."""
        found = _Findings(event)
        found.texts("event_id", "event_type", "source")
        found.time()
        if not found.errors:
            try:
                Event.from_dict(found.data)
            except ValidationError as e:
                found.errors.append(str(e))
        return found.result()


class AccountValidator(Validator):
    """What the two sides have on their books."""

    @classmethod
    def validate_account_entry(cls, entry: Data) -> Result:
        """Validate an account's entry: the balance is what is available and what is reserved."""
        found = _Findings(entry)
        found.texts("user_id", "asset")
        parts = [found.number(name, least=0) for name in ("balance", "available", "reserved")]
        known = [part for part in parts if part is not None]
        if len(known) == len(parts):
            found.require(known[0] == known[1] + known[2], "balance is not available + reserved")
        return found.result()

    @classmethod
    def validate_credit_inventory_entry(cls, entry: Data) -> Result:
        """Validate a credit inventory's entry."""
        found = _Findings(entry)
        found.texts("user_id", "asset")
        found.number("amount", least=0)
        return found.result()

    @classmethod
    def validate_vault_asset(cls, asset: Data) -> Result:
        """Validate a lot of a vault."""
        found = _Findings(asset)
        found.texts("vault_id", "user_id", "asset", "chain", "address")
        found.positive("amount")
        found.one_of("status", _VAULT_STATUS)
        return found.result()


class ResponseValidators:
    """Answers of which only a part may be at hand: what is there must be right."""

    @classmethod
    def validate_credit_response(cls, response: Data) -> Result:
        """Validate a credit answer, of which the status at least is there."""
        found = _Findings(response)
        _change(found, required=False)
        _answer(found)
        return found.result()

    @classmethod
    def validate_settlement_confirmation(cls, confirmation: Data) -> Result:
        """Validate a settlement's confirmation."""
        return SettlementValidator.validate_settlement_confirmation(confirmation)


def _number(value: Any) -> Amount | None:
    try:
        return amount(value)
    except ValidationError:
        return None


def _change(found: _Findings, *, required: bool = True) -> Amount | None:
    """Return by how much credit is to change, signed."""
    change = found.number("c_change", required=False)
    size = found.positive("amount", required=False)
    if change is None and size is None:
        found.require(not required, "amount or c_change is missing")
        return None
    if change is not None:
        found.require(change != 0, "c_change is 0")
        found.require(size is None or size == abs(change), "amount and c_change differ")
    increase = found.data.get("is_increase")
    if change is None:
        assert size is not None
        return size if increase in (None, True) else -size
    found.require(increase is None or increase == (change > 0), "is_increase and c_change differ")
    return change


def _answer(found: _Findings) -> None:
    found.one_of("status", _RESPONSE_STATUS)
    found.number("ci", least=0, required=False)
    if found.data.get("status") == "rejected" and "reject_reason" in found.data:
        found.texts("reject_reason")


def _object(found: _Findings, name: str) -> dict[str, Any]:
    value = found.data.get(name)
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        parsed = None
    found.require(isinstance(parsed, dict), f"{name} is no JSON object")
    return parsed if isinstance(parsed, dict) else {}


def _wire_report(found: _Findings) -> None:
    found.one_of("type", ("settlement",))
    found.time()
    inside = _Findings(_object(found, "data"))
    inside.texts("user_id", "eod_time")
    assets = inside.data.get("assets")
    sides = _Findings(assets)
    sides.each("bought", _leg)
    sides.each("sold", _leg)
    net = inside.data.get("net_position")
    inside.require(isinstance(net, dict), "net_position is no object")
    found.errors += [f"data: {error}" for error in (*inside.errors, *sides.errors)]
    if isinstance(net, dict) and not sides.errors:
        computed: dict[str, Decimal] = {}
        for side, sign in (("bought", 1), ("sold", -1)):
            for leg in sides.data[side]:
                computed[leg["asset_id"]] = computed.get(leg["asset_id"], Decimal(0)) + sign * amount(leg["amount"])
        stated = {asset: _number(value) for asset, value in net.items()}
        found.require(stated == computed, "data: net_position is not what the legs net to")


def _positions(found: _Findings) -> None:
    net: dict[str, Decimal] = {}
    for trade in found.data["trades"]:
        for asset, sign in (("buy", 1), ("sell", -1)):
            name = trade[f"{asset}_asset"]
            net[name] = net.get(name, Decimal(0)) + sign * amount(trade[f"{asset}_amount"])
    stated = {position["asset"]: amount(position["amount"]) for position in found.data["positions"]}
    found.require(stated == net, "positions are not what the trades net to")


def _leg(leg: Any) -> Result:
    found = _Findings(leg)
    found.texts("asset_id")
    found.positive("amount")
    return found.result()
