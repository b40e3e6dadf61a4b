"""Settlement reports and their confirmations, as both parties of the seeds see them."""

import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Self

from heliograph.settlement.faces import signed
from openoes_core.amount import Amount, amount
from openoes_core.errors import ValidationError
from openoes_core.fields import to_json, to_message

CYCLE: Final = "cycle-"
"""How the SDK's own cycles begin, so that a report tells whether it is one's part."""
COMPLETED: Final = "completed"
FAILED: Final = "failed"

_NEXT: Final[Mapping[str, frozenset[str]]] = {
    "pending": frozenset({"processing", COMPLETED, FAILED}),
    "processing": frozenset({COMPLETED, FAILED}),
    COMPLETED: frozenset(),
    FAILED: frozenset(),
}


class SettlementReport:
    """What one user bought and sold over a cycle. It is live: what becomes of it is seen here.

    Args:
        report_id: its id.
        user_id: whose.
        timestamp: when, in seconds since the epoch.
        eod_time: the cut-off as ISO 8601.
        assets_bought: each with `asset_id` and `amount`.
        assets_sold: the same.
        net_position: by asset, what the user's holding changes by.
        settlement_instructions: addresses.
        raw_data: the wire's fields, where it was read.

    Raises:
        ValidationError: an amount is none, or not positive.

    """

    STATUS_PENDING: ClassVar[str] = "pending"
    STATUS_PROCESSING: ClassVar[str] = "processing"
    STATUS_COMPLETED: ClassVar[str] = COMPLETED
    STATUS_FAILED: ClassVar[str] = FAILED

    def __init__(
        self,
        report_id: str,
        user_id: str,
        timestamp: int,
        eod_time: str,
        assets_bought: Sequence[Mapping[str, Any]],
        assets_sold: Sequence[Mapping[str, Any]],
        net_position: Mapping[str, Any],
        settlement_instructions: Mapping[str, Any],
        raw_data: Mapping[str, Any] | None = None,
    ) -> None:
        self.report_id = report_id
        self.user_id = user_id
        self.timestamp = int(timestamp)
        self.eod_time = eod_time
        self.assets_bought = [_leg(each) for each in assets_bought]
        self.assets_sold = [_leg(each) for each in assets_sold]
        self.net_position = {asset: amount(value, asset) for asset, value in net_position.items()}
        self.settlement_instructions = dict(settlement_instructions)
        self.raw_data = None if raw_data is None else dict(raw_data)
        self.custodian_id: str | None = None
        self.status = self.STATUS_PENDING
        self.processing_timestamp: int | None = None
        self.completion_timestamp: int | None = None
        self.failure_reason: str | None = None

    @classmethod
    def from_stream_data(cls, data: Mapping[Any, Any]) -> Self:
        """Read the wire's fields.

        Raises:
            ValidationError: one is missing, or cannot be used.

        """
        fields = to_message(data)
        try:
            told = json.loads(fields["data"])
            assets = told.get("assets", {})
            made = cls(
                fields["report_id"],
                str(told["user_id"]),
                int(fields.get("timestamp", "0")),
                str(told.get("eod_time", "")),
                assets.get("bought", ()),
                assets.get("sold", ()),
                told.get("net_position", {}),
                told.get("settlement_instructions", {}),
                fields,
            )
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as e:
            raise ValidationError(f"no settlement report: {type(e).__name__}: {e}", code="bad_body") from e
        made.custodian_id = told.get("custodian")
        return made

    @property
    def legs(self) -> list[tuple[str, Amount]]:
        """Every asset with what the user's holding changes by, sold ones first."""
        sold = [(each["asset_id"], -each["amount"]) for each in self.assets_sold]
        return sold + [(each["asset_id"], each["amount"]) for each in self.assets_bought]

    @property
    def asset(self) -> str:
        """The asset of the first leg, empty without any."""
        return self.legs[0][0] if self.legs else ""

    @property
    def amount(self) -> Amount:
        """What the holding of the first leg's asset changes by."""
        return self.legs[0][1] if self.legs else Amount(0)

    @property
    def cycle(self) -> str | None:
        """The settlement cycle that it is a part of, None if it is none's."""
        stem = self.report_id.removeprefix("settlement-").removesuffix(f"-{self.user_id}")
        return stem if stem.startswith(CYCLE) else None

    def reference(self, asset: str) -> str:
        """Return the transaction id of what its settlement does in an asset."""
        return f"settlement:{self.report_id}:{self.user_id}:{asset}"

    def differs(self, moved: Iterable[Mapping[str, Any]]) -> str:
        """Return how what a confirmation says was moved differs from the legs, empty if it does not."""
        try:
            told = sorted((str(each["asset_id"]), abs(amount(each["amount"]))) for each in moved)
        except (LookupError, TypeError, ValidationError) as e:
            return f"the legs cannot be read: {e}"
        mine = sorted((asset, abs(net)) for asset, net in self.legs)
        return "" if told == mine else f"{_words(told)} was moved, and {_words(mine)} reported"

    def to_dict(self) -> dict[str, Any]:
        """Return its parts."""
        names = (
            "report_id user_id timestamp eod_time assets_bought assets_sold net_position settlement_instructions "
            "status processing_timestamp completion_timestamp failure_reason"
        )
        return {name: getattr(self, name) for name in names.split()}

    def to_stream_data(self) -> dict[str, str]:
        """Return the wire's fields.

        Raises:
            ValidationError: something in it has no place on the wire.

        """
        data = {
            "user_id": self.user_id,
            **({"custodian": self.custodian_id} if self.custodian_id else {}),
            "eod_time": self.eod_time,
            "assets": {"bought": self.assets_bought, "sold": self.assets_sold},
            "net_position": {asset: signed(net) for asset, net in self.net_position.items()},
            "settlement_instructions": self.settlement_instructions,
        }
        return {
            "type": "settlement",
            "report_id": self.report_id,
            "timestamp": str(self.timestamp),
            "data": to_json(data, "data"),
        }

    def mark_processing(self) -> None:
        """Say that it is being worked on.

        Raises:
            ValidationError: it is decided.

        """
        self._become(self.STATUS_PROCESSING)
        self.processing_timestamp = self.processing_timestamp or int(time.time())

    def mark_completed(self) -> None:
        """Say that it settled.

        Raises:
            ValidationError: it failed.

        """
        self._become(self.STATUS_COMPLETED)
        self.completion_timestamp = self.completion_timestamp or int(time.time())

    def mark_failed(self, reason: str) -> None:
        """Say that it did not settle.

        Raises:
            ValidationError: it did.

        """
        self._become(self.STATUS_FAILED)
        self.failure_reason = self.failure_reason or reason
        self.completion_timestamp = self.completion_timestamp or int(time.time())

    def is_pending(self) -> bool:
        """Tell whether nobody has worked on it."""
        return self.status == self.STATUS_PENDING

    def is_processing(self) -> bool:
        """Tell whether it is being worked on."""
        return self.status == self.STATUS_PROCESSING

    def is_completed(self) -> bool:
        """Tell whether it settled."""
        return self.status == self.STATUS_COMPLETED

    def is_failed(self) -> bool:
        """Tell whether it did not settle."""
        return self.status == self.STATUS_FAILED

    def _become(self, status: str) -> None:
        if status != self.status and status not in _NEXT[self.status]:
            raise ValidationError(f"a {self.status} report does not become {status}", field="status", code="final")
        self.status = status

    def __repr__(self) -> str:
        return f"SettlementReport({self.report_id!r}, {_words(self.legs)}, {self.status})"


class SettlementConfirmation:
    """The custodian's word on a report.

    Args:
        settlement_id: the report.
        user_id: whose.
        timestamp: when, in seconds since the epoch.
        status: `completed` or `failed`.
        details: `assets_transferred`, or a `failure_reason`.

    """

    STATUS_COMPLETED: ClassVar[str] = COMPLETED
    STATUS_FAILED: ClassVar[str] = FAILED

    def __init__(
        self,
        settlement_id: str,
        user_id: str,
        timestamp: int,
        status: str,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.settlement_id = settlement_id
        self.user_id = user_id
        self.timestamp = int(timestamp)
        self.status = status
        self.details = None if details is None else dict(details)

    @classmethod
    def from_stream_data(cls, data: Mapping[Any, Any]) -> Self:
        """Read the wire's fields.

        Raises:
            ValidationError: one is missing, or cannot be used.

        """
        fields = to_message(data)
        try:
            details = json.loads(fields["details"]) if fields.get("details") else None
            if details is not None and not isinstance(details, dict):
                raise TypeError("the details are no object")
            stamp = int(fields.get("timestamp", "0"))
            return cls(fields["settlement_id"], fields["user_id"], stamp, fields["status"], details)
        except (LookupError, TypeError, ValueError, RecursionError) as e:
            raise ValidationError(f"no settlement confirmation: {type(e).__name__}: {e}", code="bad_body") from e

    def to_dict(self) -> dict[str, Any]:
        """Return its parts."""
        names = ("settlement_id", "user_id", "timestamp", "status", "details")
        return {name: getattr(self, name) for name in names}

    def to_stream_data(self) -> dict[str, str]:
        """Return the wire's fields."""
        fields = {
            "type": "confirmation",
            "settlement_id": self.settlement_id,
            "user_id": self.user_id,
            "timestamp": str(self.timestamp),
            "status": self.status,
        }
        return fields if self.details is None else {**fields, "details": to_json(self.details, "details")}

    def is_completed(self) -> bool:
        """Tell whether the report settled."""
        return self.status == self.STATUS_COMPLETED

    def is_failed(self) -> bool:
        """Tell whether it did not."""
        return self.status == self.STATUS_FAILED


def of_legs(
    report_id: str, user: str, custodian: str, cut_off_ns: int, legs: Iterable[tuple[str, Any]]
) -> SettlementReport:
    """Return a report of what a user's holdings change by."""
    nets = [(asset, amount(net)) for asset, net in legs]
    made = SettlementReport(
        report_id,
        user,
        cut_off_ns // 1_000_000_000,
        iso(cut_off_ns // 1_000_000_000),
        [{"asset_id": asset, "amount": net} for asset, net in nets if net > 0],
        [{"asset_id": asset, "amount": -net} for asset, net in nets if net < 0],
        dict(nets),
        {},
    )
    made.custodian_id = custodian
    return made


def new_report_id(user: str) -> str:
    """Return the id of a report, which no other has, however many are made in a second."""
    return f"settlement-{int(time.time())}-{uuid.uuid4().hex[:12]}-{user}"


def new_cycle_id() -> str:
    """Return the id of a settlement cycle."""
    return f"{CYCLE}{int(time.time())}-{uuid.uuid4().hex[:12]}"


def iso(second: int) -> str:
    """Return a time as the seeds' reports have it."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _leg(given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        asset, moved = str(given["asset_id"]), amount(given["amount"])
    except LookupError as e:
        raise ValidationError(f"a leg without {e}", field="asset_id") from e
    if moved <= 0:
        raise ValidationError("what was bought or sold is positive", field="amount", value=moved, code="bad_amount")
    return {**given, "asset_id": asset, "amount": moved}


def _words(legs: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{net} {asset}" for asset, net in legs) or "nothing"
