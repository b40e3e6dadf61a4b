"""Changes of credit inventories under transaction ids."""

import time
import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Self

from openoes_core.amount import Amount
from openoes_core.booking import Booking
from openoes_core.configuration import Configuration
from openoes_core.connection import RedisConnectionManager
from openoes_core.errors import ValidationError
from openoes_core.fields import text, to_message
from openoes_core.places import configuration_of, place_of

from heliograph.bus.link_keys import part, unpart
from openoes_exchange.inventory import CreditInventory, mirrored, not_negative, positive


class CreditInventoryEntry:
    """One user's credit in one asset, as an object by itself.

    Args:
        user_id: whose.
        asset: in which asset.
        amount: how much, not below zero.
        timestamp: when it was made, in seconds since the epoch; None: now.
        last_updated: when it changed.
        transaction_id: of the last change.

    Raises:
        ValidationError: the amount is none, or below zero.

    """

    def __init__(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        timestamp: int | None = None,
        last_updated: int | None = None,
        transaction_id: str | None = None,
    ) -> None:
        self.user_id = user_id
        self.asset = asset
        self.amount = not_negative(amount)
        self.timestamp = int(time.time()) if timestamp is None else int(timestamp)
        self.last_updated = self.timestamp if last_updated is None else int(last_updated)
        self.transaction_id = transaction_id

    def update(self, amount: Any, transaction_id: str | None = None) -> None:
        """Make it this much.

        Raises:
            ValidationError: the amount is none, or below zero.

        """
        self._become(not_negative(amount), transaction_id)

    def increase(self, amount: Any, transaction_id: str | None = None) -> None:
        """Add to it.

        Raises:
            ValidationError: the amount is none, or not positive.

        """
        self._become(self.amount + positive(amount), transaction_id)

    def decrease(self, amount: Any, transaction_id: str | None = None) -> None:
        """Take from it.

        Raises:
            ValidationError: the amount is none, not positive, or more than there is.

        """
        after = self.amount - positive(amount)
        if after < 0:
            raise ValidationError(f"the credit is {self.amount}", field="amount", code="insufficient_credit")
        self._become(after, transaction_id)

    def to_dict(self) -> dict[str, Any]:
        """Return its parts."""
        names = ("user_id", "asset", "amount", "timestamp", "last_updated", "transaction_id")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_dict(cls, data: Mapping[Any, Any]) -> Self:
        """Read its parts, decoded or not.

        Raises:
            ValidationError: one is missing, or cannot be used.

        """
        fields = to_message({name: value for name, value in data.items() if value is not None})
        inventory = CreditInventory.from_dict(fields)
        return cls(
            inventory.user_id,
            inventory.asset,
            inventory.amount,
            inventory.timestamp,
            int(Decimal(fields["last_updated"])) if fields.get("last_updated") else None,
            fields.get("transaction_id") or None,
        )

    def _become(self, value: Any, transaction_id: str | None) -> None:
        self.amount, self.last_updated = Amount(value), int(time.time())
        self.transaction_id = transaction_id or self.transaction_id

    def __repr__(self) -> str:
        return f"CreditInventoryEntry({self.user_id!r}, {self.asset!r}, {self.amount})"


class CreditInventoryProcessor:
    """Reads inventories, and changes them where this side holds the custodian's server as well.

    Args:
        connection_manager: where the two servers are; its `close` ends this as well.
        config: the settings.

    """

    def __init__(
        self, connection_manager: RedisConnectionManager, config: Configuration | Mapping[str, Any] | None = None
    ) -> None:
        self.connection_manager = connection_manager
        self.config = configuration_of(config)
        self._booking: Booking | None = None

    def get_credit_inventory(self, user_id: str, asset: str, refresh: bool = False) -> CreditInventoryEntry | None:
        """Return an inventory, None if there is none; it is always read afresh."""
        del refresh
        found = mirrored(self.connection_manager.get_replica_client(), user_id, asset)
        return None if found is None else CreditInventoryEntry.from_dict(found.to_dict())

    def set_credit_inventory(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        transaction_id: str | None = None,
    ) -> CreditInventoryEntry:
        """Make an inventory this much.

        Raises:
            ValidationError: the amount is none, or below zero.
            OpenOESError: it is not ours to change; the server refused, or is away.

        """
        found = self.get_credit_inventory(user_id, asset)
        return self._change(
            user_id, asset, not_negative(amount) - (Amount(0) if found is None else found.amount), transaction_id
        )

    def increase_credit_inventory(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        transaction_id: str | None = None,
    ) -> CreditInventoryEntry:
        """Add to an inventory, which is made if there is none; once for a transaction, user and asset.

        Raises:
            ValidationError: the amount is none, or not positive.
            OpenOESError: it is not ours to change; the server refused, or is away.

        """
        return self._change(user_id, asset, positive(amount), transaction_id)

    def decrease_credit_inventory(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        transaction_id: str | None = None,
    ) -> CreditInventoryEntry:
        """Take from an inventory; once for a transaction, user and asset.

        Raises:
            ValidationError: the amount is none, not positive, or more than there is: nothing changed.
            OpenOESError: it is not ours to change; the server refused, or is away.

        """
        return self._change(user_id, asset, -positive(amount), transaction_id)

    def process_settlement_decrease(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        settlement_id: str,
    ) -> CreditInventoryEntry:
        """Take from an inventory what a settlement sold; once for a settlement, user and asset.

        Raises:
            ValidationError: there is not so much: nothing changed.
            OpenOESError: it is not ours to change; the server refused, or is away.

        """
        return self.decrease_credit_inventory(user_id, asset, amount, f"settlement:{settlement_id}:{user_id}:{asset}")

    def get_all_credit_inventory(self, user_id: str) -> dict[str, CreditInventoryEntry]:
        """Return a user's inventories by asset."""
        client = self.connection_manager.get_replica_client()
        keys = sorted(text(key) for key in client.scan_iter(f"CI:{_literal(part(user_id))}:*"))
        return self.get_credit_inventory_for_assets(user_id, [unpart(key.split(":")[2]) for key in keys])

    def get_credit_inventory_for_assets(self, user_id: str, assets: Iterable[str]) -> dict[str, CreditInventoryEntry]:
        """Return a user's inventories in these assets, by asset."""
        found = {asset: self.get_credit_inventory(user_id, asset) for asset in assets}
        return {asset: entry for asset, entry in found.items() if entry is not None}

    def verify_double_entry(
        self,
        transaction_id: str,
        user1_id: str,
        user2_id: str,
        asset: str,
        amount: Any,
    ) -> bool:
        """Tell whether user 1 gave and user 2 got just this amount under this transaction."""
        moved = positive(amount)
        booking = self._booked()
        custodian = booking.custodian()
        given = booking.find(custodian, transaction_id, user1_id, asset, -moved)
        got = booking.find(custodian, transaction_id, user2_id, asset, moved)
        return all(leg is not None and leg.state == "posted" and leg.amount == moved for leg in (given, got))

    def update_inventory(self, user_id: str, asset: str, amount: Any) -> CreditInventoryEntry:
        """Make an inventory this much."""
        return self.set_credit_inventory(user_id, asset, amount)

    def get_inventory(self, user_id: str, asset: str) -> CreditInventoryEntry | None:
        """Return an inventory, None if there is none."""
        return self.get_credit_inventory(user_id, asset)

    def close(self) -> None:
        """End, and leave no thread; a second time does nothing."""
        if self._booking is not None:
            self._booking.close()

    def _change(self, user_id: str, asset: str, by: Any, transaction_id: str | None) -> CreditInventoryEntry:
        reference = transaction_id or uuid.uuid4().hex
        credit = self._booked().change(user_id, asset, Decimal(by), reference)
        return CreditInventoryEntry(user_id, asset, credit, transaction_id=reference)

    def _booked(self) -> Booking:
        if self._booking is None:
            manager = self.connection_manager
            self._booking = Booking(place_of(manager), manager.get_wsp_client(), self.config)
            manager.before_close(self._booking.close)
        return self._booking


def _literal(pattern: str) -> str:
    return "".join(f"\\{c}" if c in "*?[]\\" else c for c in pattern)
