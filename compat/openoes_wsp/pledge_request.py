"""A pledge of coins to the exchange, and its answer."""

import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self, get_args

from openoes_core.amount import Amount, amount
from openoes_core.errors import ValidationError
from openoes_core.fields import to_message

from heliograph.settlement.pledge import TRANSITIONS, State
from openoes_wsp.vault_asset import positive

_NEXT: Final[Mapping[str, frozenset[str]]] = {
    state: frozenset(after for (before, _), after in TRANSITIONS.items() if before == state)
    for state in get_args(State)
}


class PledgeRequest:
    """A pledge. It is live: what becomes of it is seen here, and nothing overwrites what is final.

    Args:
        request_id: its id.
        user_id: whose coins.
        asset: of what.
        amount: how much, positive.
        custodian_id: who holds them.
        chain: on which chain.
        address: on which address there.
        timestamp: when, in seconds since the epoch; None: now.

    Raises:
        ValidationError: a value cannot be used.

    """

    STATUS_PENDING: ClassVar[str] = "pending"
    STATUS_SUBMITTED: ClassVar[str] = "submitted"
    STATUS_APPROVED: ClassVar[str] = "approved"
    STATUS_REJECTED: ClassVar[str] = "rejected"
    STATUS_FAILED: ClassVar[str] = "failed"

    def __init__(
        self,
        request_id: str,
        user_id: str,
        asset: str,
        amount: Any,
        custodian_id: str,
        chain: str,
        address: str,
        timestamp: int | None = None,
    ) -> None:
        self.request_id = request_id
        self.user_id = user_id
        self.asset = asset
        self.amount = positive(amount)
        self.custodian_id = custodian_id
        self.chain = chain
        self.address = address
        self.timestamp = int(time.time()) if timestamp is None else int(timestamp)
        self.status = self.STATUS_PENDING
        self.response_timestamp: int | None = None
        self.reject_reason: str | None = None
        self.vault_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return its parts."""
        names = (
            "request_id user_id asset amount custodian_id chain address timestamp status response_timestamp "
            "reject_reason vault_id"
        )
        return {name: getattr(self, name) for name in names.split()}

    def to_stream_data(self) -> dict[str, str]:
        """Return the wire's fields."""
        return {
            "type": "pledge_request",
            "request_id": self.request_id,
            "user_id": self.user_id,
            "asset": self.asset,
            "amount": format(self.amount, "f"),
            "custodian_id": self.custodian_id,
            "chain": self.chain,
            "address": self.address,
            "timestamp": str(self.timestamp),
        }

    def mark_submitted(self) -> None:
        """Say that it was sent.

        Raises:
            ValidationError: it was answered, or failed.

        """
        self._become(self.STATUS_SUBMITTED, None)

    def mark_approved(self, vault_id: str | None, timestamp: int | None = None) -> None:
        """Say that the exchange took it.

        Raises:
            ValidationError: it was not sent, or is answered otherwise.

        """
        self._become(self.STATUS_APPROVED, timestamp)
        self.vault_id = vault_id

    def mark_rejected(self, reason: str, timestamp: int | None = None) -> None:
        """Say that the exchange refused it.

        Raises:
            ValidationError: it was not sent, or is answered otherwise.

        """
        self._become(self.STATUS_REJECTED, timestamp)
        self.reject_reason = reason

    def mark_failed(self, reason: str, timestamp: int | None = None) -> None:
        """Say that it could not be sent.

        Raises:
            ValidationError: it was.

        """
        self._become(self.STATUS_FAILED, timestamp)
        self.reject_reason = reason

    def is_pending(self) -> bool:
        """Tell whether it has not been sent."""
        return self.status == self.STATUS_PENDING

    def is_submitted(self) -> bool:
        """Tell whether it was sent and not answered."""
        return self.status == self.STATUS_SUBMITTED

    def is_approved(self) -> bool:
        """Tell whether the exchange took it."""
        return self.status == self.STATUS_APPROVED

    def is_rejected(self) -> bool:
        """Tell whether the exchange refused it."""
        return self.status == self.STATUS_REJECTED

    def is_failed(self) -> bool:
        """Tell whether it could not be sent."""
        return self.status == self.STATUS_FAILED

    def is_completed(self) -> bool:
        """Tell whether nothing more happens to it."""
        return not _NEXT[self.status]

    def _become(self, status: str, timestamp: int | None) -> None:
        if status == self.status:
            return
        if status not in _NEXT[self.status]:
            raise ValidationError(f"a {self.status} pledge does not become {status}", field="status", code="final")
        self.status = status
        if status != self.STATUS_SUBMITTED:
            self.response_timestamp = int(time.time()) if timestamp is None else int(timestamp)

    def __repr__(self) -> str:
        return f"PledgeRequest({self.request_id!r}, {self.user_id!r}, {self.amount} {self.asset}, {self.status})"


class PledgeResponse:
    """The exchange's answer to a pledge.

    Args:
        request_id: the pledge.
        user_id: whose coins.
        asset: of what.
        amount: how much.
        status: `approved` or `rejected`.
        timestamp: when, in seconds since the epoch.
        vault_id: where the exchange keeps it.
        reject_reason: why not.

    Raises:
        ValidationError: a value cannot be used.

    """

    STATUS_APPROVED: ClassVar[str] = "approved"
    STATUS_REJECTED: ClassVar[str] = "rejected"

    def __init__(
        self,
        request_id: str,
        user_id: str,
        asset: str,
        amount: Any,
        status: str,
        timestamp: int | None = None,
        vault_id: str | None = None,
        reject_reason: str | None = None,
    ) -> None:
        if status not in (self.STATUS_APPROVED, self.STATUS_REJECTED):
            raise ValidationError("a pledge is approved or rejected", field="status", value=status)
        self.request_id = request_id
        self.user_id = user_id
        self.asset = asset
        self.amount: Amount = _amount(amount)
        self.status = status
        self.timestamp = int(time.time()) if timestamp is None else int(timestamp)
        self.vault_id = vault_id
        self.reject_reason = reject_reason

    @classmethod
    def from_stream_data(cls, data: Mapping[Any, Any]) -> Self:
        """Read the wire's fields.

        Raises:
            ValidationError: one is missing, or cannot be used.

        """
        fields = to_message(data)
        try:
            return cls(
                fields["request_id"],
                fields["user_id"],
                fields["asset"],
                fields["amount"],
                fields["status"],
                int(fields["timestamp"]) if "timestamp" in fields else None,
                fields.get("vault_id"),
                fields.get("reject_reason"),
            )
        except (LookupError, ValueError) as e:
            raise ValidationError(f"no answer to a pledge: {type(e).__name__}: {e}", code="bad_body") from e

    def to_dict(self) -> dict[str, Any]:
        """Return its parts."""
        names = "request_id user_id asset amount status timestamp vault_id reject_reason"
        return {name: getattr(self, name) for name in names.split()}

    def is_approved(self) -> bool:
        """Tell whether the exchange took the pledge."""
        return self.status == self.STATUS_APPROVED

    def is_rejected(self) -> bool:
        """Tell whether the exchange refused it."""
        return self.status == self.STATUS_REJECTED


def _amount(value: Any) -> Amount:
    return amount(value)
