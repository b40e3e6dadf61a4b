"""A request for credit as its custodian sees it, and the exchange's answer."""

import time
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from openoes_core.amount import Amount, amount
from openoes_core.errors import ValidationError
from openoes_core.fields import to_message

from heliograph.settlement.faces import signed

FINAL = frozenset({"accepted", "rejected", "timeout"})


class CreditRequest:
    """A request for more or less credit.

    It is live: what becomes of the request is seen here. What is final here stays so; an answer that comes after a
    timeout is in `late_status`.

    Args:
        custodian_id: who asks.
        user_id: for whom.
        asset: of what.
        c_change: by how much, negative for a decrease.
        ci: the credit inventory after it.
        chain: the chain of the coins.
        address: their address.
        request_id: its id; None makes one.
        timestamp: when, in seconds since the epoch; None: now.

    Raises:
        ValidationError: a value cannot be used.

    """

    STATUS_PENDING: ClassVar[str] = "pending"
    STATUS_ACCEPTED: ClassVar[str] = "accepted"
    STATUS_REJECTED: ClassVar[str] = "rejected"
    STATUS_TIMEOUT: ClassVar[str] = "timeout"

    def __init__(
        self,
        custodian_id: str,
        user_id: str,
        asset: str,
        c_change: Any,
        ci: Any,
        chain: str | None = None,
        address: str | None = None,
        request_id: str | None = None,
        timestamp: int | None = None,
    ) -> None:
        self.custodian_id = custodian_id
        self.user_id = user_id
        self.asset = asset
        self.change = amount(c_change, "c_change")
        self.c_change = signed(self.change)
        self.ci = format(amount(ci, "ci"), "f")
        self.chain = chain
        self.address = address
        self.request_id = request_id or f"req-{uuid.uuid4()}"
        self.timestamp = int(time.time()) if timestamp is None else int(timestamp)
        self.status = self.STATUS_PENDING
        self.reject_reason = ""
        self.response_timestamp: int | None = None
        self.new_balance: Amount | None = None
        """The credit inventory after the answer."""
        self.late_status: str | None = None
        """What the answer was, where it came after the timeout."""

    @property
    def amount(self) -> Amount:
        """How much, without its sign."""
        return abs(self.change)

    @property
    def response(self) -> "CreditResponse | None":
        """The answer, None while there is none."""
        if not (self.is_accepted() or self.is_rejected()):
            return None
        return CreditResponse.from_stream_data(
            {
                **self.to_dict(),
                "ci": self.ci if self.new_balance is None else self.new_balance,
                "timestamp": self.response_timestamp or self.timestamp,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the request in the wire's fields, with its status."""
        return {**self.to_stream_data(), "status": self.status, "reject_reason": self.reject_reason}

    def to_stream_data(self) -> dict[str, str]:
        """Return the wire's fields."""
        optional = (("chain", self.chain), ("address", self.address))
        return {
            "custodian": self.custodian_id,
            "request_id": self.request_id,
            "uid": self.user_id,
            "timestamp": str(self.timestamp),
            "asset": self.asset,
            "c_change": self.c_change,
            "ci": self.ci,
            **{name: value for name, value in optional if value},
        }

    def update_from_response(self, response: Mapping[str, Any]) -> bool:
        """Take an answer, if it is this request's, and tell whether it changed something.

        Raises:
            ValidationError: it is another request's: its id, custodian, user, asset or change is not this one's.

        """
        told = CreditResponse.from_stream_data(response)
        if not told.answers(self):
            raise ValidationError("the answer is not this request's", field="request_id", code="mismatch")
        return self.answered(told.status, told.ci, told.reject_reason, told.timestamp)

    def answered(self, status: str, ci: Any, reject_reason: str, timestamp: int) -> bool:
        """Note the answer, and tell whether it changed something: what is final stays."""
        if self.status in FINAL:
            if self.status == self.STATUS_TIMEOUT and self.late_status is None:
                self.late_status = status
            return False
        self.status, self.reject_reason, self.response_timestamp = status, reject_reason, timestamp
        self.new_balance = amount(ci, "ci")
        return True

    def is_increase(self) -> bool:
        """Tell whether it asks for more."""
        return self.change > 0

    def is_decrease(self) -> bool:
        """Tell whether it gives some back."""
        return self.change < 0

    def is_pending(self) -> bool:
        """Tell whether it has no answer and its wait has not ended."""
        return self.status == self.STATUS_PENDING

    def is_accepted(self) -> bool:
        """Tell whether the exchange said yes in time."""
        return self.status == self.STATUS_ACCEPTED

    is_approved = is_accepted

    def is_rejected(self) -> bool:
        """Tell whether the answer is no."""
        return self.status == self.STATUS_REJECTED

    def is_timeout(self) -> bool:
        """Tell whether the wait ended first."""
        return self.status == self.STATUS_TIMEOUT

    def __repr__(self) -> str:
        return f"CreditRequest({self.request_id!r}, {self.user_id!r}, {self.c_change} {self.asset}, {self.status})"


class CreditResponse:
    """The exchange's answer to a request.

    Args:
        custodian_id: who asked.
        request_id: the request.
        user_id: for whom.
        asset: of what.
        c_change: by how much.
        ci: the credit inventory after the answer.
        status: `accepted` or `rejected`.
        reject_reason: why not.
        timestamp: when, in seconds since the epoch.

    Raises:
        ValidationError: a value cannot be used.

    """

    STATUS_ACCEPTED: ClassVar[str] = "accepted"
    STATUS_REJECTED: ClassVar[str] = "rejected"

    def __init__(
        self,
        custodian_id: str,
        request_id: str,
        user_id: str,
        asset: str,
        c_change: Any,
        ci: Any,
        status: str,
        reject_reason: str = "",
        timestamp: int | None = None,
    ) -> None:
        if status not in (self.STATUS_ACCEPTED, self.STATUS_REJECTED):
            raise ValidationError("an answer is accepted or rejected", field="status", value=status)
        self.custodian_id = custodian_id
        self.request_id = request_id
        self.user_id = user_id
        self.asset = asset
        self.c_change = amount(c_change, "c_change")
        self.ci = amount(ci, "ci")
        self.status = status
        self.reject_reason = reject_reason
        self.timestamp = int(time.time()) if timestamp is None else int(timestamp)

    @classmethod
    def from_stream_data(cls, data: Mapping[Any, Any]) -> Self:
        """Read the wire's fields.

        Raises:
            ValidationError: one is missing, or cannot be used.

        """
        fields = to_message(data)
        lacking = [
            name for name in ("custodian", "request_id", "uid", "asset", "c_change", "status") if name not in fields
        ]
        if lacking:
            raise ValidationError(f"an answer without {', '.join(lacking)}", field=lacking[0])
        return cls(
            fields["custodian"],
            fields["request_id"],
            fields["uid"],
            fields["asset"],
            fields["c_change"],
            fields.get("ci", "0"),
            fields["status"],
            fields.get("reject_reason", ""),
            int(fields["timestamp"]) if fields.get("timestamp", "").isdigit() else None,
        )

    @property
    def new_balance(self) -> Amount:
        """The credit inventory after the answer."""
        return self.ci

    def answers(self, request: CreditRequest) -> bool:
        """Tell whether it is this request's: an id alone proves nothing."""
        return (self.request_id, self.custodian_id, self.user_id, self.asset, self.c_change) == (
            request.request_id,
            request.custodian_id,
            request.user_id,
            request.asset,
            request.change,
        )

    def to_dict(self) -> dict[str, str]:
        """Return the wire's fields."""
        return {
            "custodian": self.custodian_id,
            "request_id": self.request_id,
            "uid": self.user_id,
            "timestamp": str(self.timestamp),
            "asset": self.asset,
            "c_change": signed(self.c_change),
            "ci": format(self.ci, "f"),
            "status": self.status,
            "reject_reason": self.reject_reason,
        }

    def is_accepted(self) -> bool:
        """Tell whether the exchange said yes."""
        return self.status == self.STATUS_ACCEPTED

    is_approved = is_accepted

    def is_rejected(self) -> bool:
        """Tell whether the exchange said no."""
        return self.status == self.STATUS_REJECTED
