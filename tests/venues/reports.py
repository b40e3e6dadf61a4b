"""Reports of orders and balances as plain values, as the expected files hold them."""

import json
from typing import Any

import msgspec

from heliograph.model.instrument import Instrument
from heliograph.model.numbers import fixed
from heliograph.model.orders import BalanceReport, OrderReport, Outcome


def plain(told: OrderReport | BalanceReport | Outcome) -> dict[str, Any]:
    """Return every field by its name: instruments are their ids, amounts decimal text, and nothing is received."""
    row = _plain(told)
    if "received_ns" in row:
        row["received_ns"] = None
    return {"kind": type(told).__name__, **row}


def answer_of(line: bytes) -> tuple[str, int, bytes] | None:
    """Take a line of recorded REST apart into what was asked, the status and the body; None if it is a frame."""
    raw = json.loads(line)
    if "request" not in raw:
        return None
    body = bytes(msgspec.json.decode(line, type=dict[str, msgspec.Raw])["body"])
    return raw["request"], raw.get("status", 200), body


def _plain(value: Any) -> Any:
    if isinstance(value, Instrument):
        return value.id
    if isinstance(value, msgspec.Struct):
        return {name: _value(getattr(value, name)) for name in value.__struct_fields__}
    return value


def _value(value: Any) -> Any:
    return fixed(value) if type(value).__name__ == "Decimal" else _plain(value)
