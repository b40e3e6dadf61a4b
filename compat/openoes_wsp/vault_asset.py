"""Some coins in the vault: a lot, as the seeds see it."""

import time
from typing import Any, ClassVar

from openoes_core.amount import Amount, amount
from openoes_core.errors import ValidationError

from heliograph.clock import NS_PER_S
from heliograph.settlement.vault import TRANSITIONS, Lot, Status


class VaultAsset:
    """A lot. It is live: what the vault does to it is seen here.

    Args:
        vault_id: its id.
        user_id: whose.
        asset: of what.
        amount: how much, positive.
        chain: on which chain.
        address: on which address there.
        status: `locked`, `unlocked` or `pending`.
        timestamp: when it came, in seconds since the epoch; None: now.
        pledge_request_id: the pledge that it is locked for.

    Raises:
        ValidationError: a value cannot be used.

    """

    STATUS_LOCKED: ClassVar[str] = "locked"
    STATUS_UNLOCKED: ClassVar[str] = "unlocked"
    STATUS_PENDING: ClassVar[str] = "pending"

    def __init__(
        self,
        vault_id: str,
        user_id: str,
        asset: str,
        amount: Any,
        chain: str,
        address: str,
        status: str = "locked",
        timestamp: int | None = None,
        pledge_request_id: str | None = None,
    ) -> None:
        self.vault_id = vault_id
        self.user_id = user_id
        self.asset = asset
        self.amount = positive(amount)
        self.chain = chain
        self.address = address
        self.status = status_of(status)
        self.timestamp = int(time.time()) if timestamp is None else int(timestamp)
        self.pledge_request_id = pledge_request_id
        self.unlock_timestamp: int | None = None

    @classmethod
    def from_lot(cls, lot: Lot) -> "VaultAsset":
        """Return a lot as the seeds see it."""
        made = cls(lot.id, lot.user, lot.asset, lot.amount, lot.chain, lot.address, lot.status)
        made.refresh(lot)
        return made

    def refresh(self, lot: Lot) -> None:
        """Take over what the vault has of it."""
        self.amount, self.status = Amount(lot.amount), lot.status
        self.timestamp = lot.at_ns // NS_PER_S
        self.pledge_request_id = lot.pledge or None
        self.unlock_timestamp = lot.changed_ns // NS_PER_S if lot.status == "unlocked" else None

    def to_dict(self) -> dict[str, Any]:
        """Return its parts."""
        return {
            "vault_id": self.vault_id,
            "user_id": self.user_id,
            "asset": self.asset,
            "amount": self.amount,
            "chain": self.chain,
            "address": self.address,
            "status": self.status,
            "timestamp": self.timestamp,
            "pledge_request_id": self.pledge_request_id,
            "unlock_timestamp": self.unlock_timestamp,
        }

    def lock(self) -> None:
        """Be locked: of this object alone; a vault's lot is locked by its vault."""
        self._become("locked")
        self.unlock_timestamp = None

    def unlock(self) -> None:
        """Be unlocked: of this object alone; a vault's lot is unlocked by its vault."""
        self._become("unlocked")
        self.unlock_timestamp = int(time.time())

    def mark_pending(self) -> None:
        """Say that it has not arrived; only of a lot that no vault holds.

        Raises:
            ValidationError: it has.

        """
        self._become("pending")

    def is_locked(self) -> bool:
        """Tell whether it is locked."""
        return self.status == self.STATUS_LOCKED

    def is_unlocked(self) -> bool:
        """Tell whether it is unlocked."""
        return self.status == self.STATUS_UNLOCKED

    def is_pending(self) -> bool:
        """Tell whether it has not arrived."""
        return self.status == self.STATUS_PENDING

    def _become(self, status: Status) -> None:
        if self.status != status and (self.status, status) not in TRANSITIONS:
            raise ValidationError(f"a {self.status} lot does not become {status}", field="status", code="final")
        self.status = status

    def __repr__(self) -> str:
        return f"VaultAsset({self.vault_id!r}, {self.user_id!r}, {self.amount} {self.asset}, {self.status})"


def positive(value: Any) -> Amount:
    """Read an amount that coins can have.

    Raises:
        ValidationError: it is none.

    """
    found = amount(value)
    if found <= 0:
        raise ValidationError("an amount is positive", field="amount", value=value, code="bad_amount")
    return found


def status_of(text: str) -> Status:
    """Read a lot's status.

    Raises:
        ValidationError: it is none.

    """
    for status in ("locked", "unlocked", "pending"):
        if text == status:
            return status
    raise ValidationError("a lot is locked, unlocked or pending", field="status", value=text)
