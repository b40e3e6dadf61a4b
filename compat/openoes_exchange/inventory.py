"""Credit inventories: what the exchange may let a user trade on, and the rules by which it is changed."""

import threading
import time
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Self

import redis
from openoes_core.amount import Amount, amount
from openoes_core.booking import Booking
from openoes_core.configuration import Configuration
from openoes_core.errors import ValidationError
from openoes_core.fields import to_message
from openoes_core.keys import KeyManager
from openoes_core.places import Place, endpoint_of


class CreditInventory:
    """One user's credit in one asset, as an object by itself.

    Args:
        user_id: whose.
        asset: in which asset.
        amount: how much, not below zero.
        timestamp: when it changed, in seconds since the epoch; None: now.

    Raises:
        ValidationError: the amount is none, or below zero.

    """

    def __init__(self, user_id: str, asset: str, amount: Any = 0.0, timestamp: int | None = None) -> None:
        self.user_id = user_id
        self.asset = asset
        self.amount = not_negative(amount)
        self.timestamp = int(time.time()) if timestamp is None else int(timestamp)

    def increase(self, amount: Any) -> Amount:
        """Add to it, and return what it is then.

        Raises:
            ValidationError: the amount is none, or not positive.

        """
        return self._become(self.amount + positive(amount))

    def decrease(self, amount: Any) -> Amount:
        """Take from it, and return what it is then.

        Raises:
            ValidationError: the amount is none, not positive, or more than there is.

        """
        return self._become(self.amount - positive(amount))

    def to_dict(self) -> dict[str, str]:
        """Return its parts, all of them texts."""
        return {
            "user_id": self.user_id,
            "asset": self.asset,
            "amount": format(self.amount, "f"),
            "timestamp": str(self.timestamp),
        }

    @classmethod
    def from_dict(cls, data: Mapping[Any, Any]) -> Self:
        """Read its parts, decoded or not.

        Raises:
            ValidationError: one is missing, or cannot be used.

        """
        fields = to_message(data)
        for field in ("user_id", "asset", "amount"):
            if field not in fields:
                raise ValidationError("an inventory without this", field=field)
        stamp = fields.get("timestamp") or "0"
        return cls(fields["user_id"], fields["asset"], fields["amount"], int(Decimal(stamp)))

    def _become(self, value: Any) -> Amount:
        if value < 0:
            raise ValidationError(
                f"the credit is {self.amount}", field="amount", value=value, code="insufficient_credit"
            )
        self.amount, self.timestamp = Amount(value), int(time.time())
        return self.amount

    def __eq__(self, other: object) -> bool:
        mine = (self.user_id, self.asset, self.amount)
        return isinstance(other, CreditInventory) and mine == (other.user_id, other.asset, other.amount)

    def __hash__(self) -> int:
        return hash((self.user_id, self.asset))

    def __repr__(self) -> str:
        return f"CreditInventory({self.user_id!r}, {self.asset!r}, {self.amount})"

    def __str__(self) -> str:
        return f"{self.amount} {self.asset}"


class CreditInventoryManager:
    """Inventories on a server of one's own, or in memory without one.

    Args:
        client: of the custodian's server, where one acts for both sides; None: in memory.
        config: the settings.

    """

    def __init__(self, client: redis.Redis | None = None, config: Configuration | None = None) -> None:
        self.client = client
        self._config = config or Configuration()
        self._kept: dict[tuple[str, str], CreditInventory] = {}
        self._changing = threading.RLock()

    def get_inventory(self, user_id: str, asset: str) -> CreditInventory | None:
        """Return an inventory, None if there is none."""
        if self.client is None:
            with self._changing:
                found = self._kept.get((user_id, asset))
                return None if found is None else CreditInventory(user_id, asset, found.amount, found.timestamp)
        return mirrored(self.client, user_id, asset)

    def update_inventory(self, inventory: CreditInventory) -> bool:
        """Make an inventory what this one says.

        Raises:
            OpenOESError: the server refused, or is away.

        """
        with self._changing:
            if self.client is None:
                kept = CreditInventory(inventory.user_id, inventory.asset, inventory.amount, inventory.timestamp)
                self._kept[inventory.user_id, inventory.asset] = kept
                return True
            found = self.get_inventory(inventory.user_id, inventory.asset)
            now = Amount(0) if found is None else found.amount
            self._book(inventory.user_id, inventory.asset, inventory.amount - now)
        return True

    def increase_inventory(self, user_id: str, asset: str, amount: Any) -> CreditInventory:
        """Add to an inventory, which is made if there is none, and return it.

        Raises:
            ValidationError: the amount is none, or not positive.
            OpenOESError: the server refused, or is away.

        """
        by = positive(amount)
        if self.client is not None:
            return CreditInventory(user_id, asset, self._book(user_id, asset, by))
        with self._changing:
            found = self._kept.setdefault((user_id, asset), CreditInventory(user_id, asset))
            found.increase(by)
            return CreditInventory(user_id, asset, found.amount, found.timestamp)

    def decrease_inventory(self, user_id: str, asset: str, amount: Any) -> CreditInventory | None:
        """Take from an inventory, and return it; None if there is not so much, and nothing changed.

        Raises:
            ValidationError: the amount is none, or not positive.
            OpenOESError: the server refused, or is away.

        """
        by = positive(amount)
        if self.client is not None:
            try:
                return CreditInventory(user_id, asset, self._book(user_id, asset, -by))
            except ValidationError as e:
                if e.code.startswith(("insufficient", "in_use")):
                    return None
                raise
        with self._changing:
            found = self._kept.get((user_id, asset))
            if found is None or found.amount < by:
                return None
            found.decrease(by)
            return CreditInventory(user_id, asset, found.amount, found.timestamp)

    def _book(self, user_id: str, asset: str, by: Any) -> Amount:
        assert self.client is not None
        endpoint = endpoint_of(self.client)
        booking = Booking(Place(endpoint, endpoint), self.client, self._config)
        try:
            return Amount(booking.change(user_id, asset, Decimal(by)))
        finally:
            booking.close()


class CreditValidator:
    """The rules for requests.

    Args:
        approved_custodians: who may ask; None: anybody, empty: nobody.
        approved_assets: in which assets; None: in any, empty: in none.

    """

    def __init__(
        self, approved_custodians: Collection[str] | None = None, approved_assets: Collection[str] | None = None
    ) -> None:
        self.approved_custodians = None if approved_custodians is None else list(approved_custodians)
        self.approved_assets = None if approved_assets is None else list(approved_assets)

    def validate_increase(
        self,
        custodian: str,
        user_id: str,
        asset: str,
        amount: Any,
        ci: Any,
        chain: str | None = None,
        address: str | None = None,
        inventory_manager: Any = None,
    ) -> tuple[bool, str]:
        """Tell whether an increase is possible, and why not; nothing changes."""
        if (reason := self.refuses(custodian, asset)) is not None:
            return False, reason
        change, reason = read(amount)
        if change is None or reason:
            return False, reason
        if change <= 0:
            return False, "an increase is positive"
        if not chain:
            return False, "an increase needs a chain"
        if not address:
            return False, "an increase needs an address"
        return self._inventory(user_id, asset, change, ci, inventory_manager)

    def validate_decrease(
        self,
        custodian: str,
        user_id: str,
        asset: str,
        amount: Any,
        ci: Any,
        inventory_manager: Any = None,
    ) -> tuple[bool, str]:
        """Tell whether a decrease, which is negative, is possible, and why not; nothing changes."""
        if (reason := self.refuses(custodian, asset)) is not None:
            return False, reason
        change, reason = read(amount)
        if change is None or reason:
            return False, reason
        if inventory_manager is not None and inventory_manager.get_inventory(user_id, asset) is None:
            return False, f"{user_id} has no credit in {asset}"
        if change >= 0:
            return False, "a decrease is negative"
        return self._inventory(user_id, asset, change, ci, inventory_manager)

    def refuses(self, custodian: str, asset: str) -> str | None:
        """Return why nothing of this custodian's in this asset is accepted, None if it may be."""
        if self.approved_custodians is not None and custodian not in self.approved_custodians:
            return f"the custodian {custodian} is not approved"
        if self.approved_assets is not None and asset not in self.approved_assets:
            return f"the asset {asset} is not approved"
        return None

    def _inventory(self, user_id: str, asset: str, change: Amount, ci: Any, inventory_manager: Any) -> tuple[bool, str]:
        found = None if inventory_manager is None else inventory_manager.get_inventory(user_id, asset)
        before = Amount(0) if found is None else amount(found.amount)
        if inventory_manager is not None and before + change < 0:
            return False, f"the credit is {before}, less than {-change}"
        if ci is None or ci == "" or inventory_manager is None:
            return True, ""
        stated, reason = read(ci)
        if stated is None:
            return False, reason
        if stated != before + change:
            return False, f"the credit inventory would be {before + change}, not {stated}"
        return True, ""


def mirrored(client: redis.Redis, user_id: str, asset: str) -> CreditInventory | None:
    """Return an inventory as a server has it, None if it has none; decoded replies or not."""
    fields = to_message(client.hgetall(KeyManager.credit_inventory(user_id, asset)))
    if "amount" not in fields:
        return None
    return CreditInventory.from_dict({"user_id": user_id, "asset": asset, **fields})


def read(value: Any) -> tuple[Amount | None, str]:
    """Return an amount, or why it is none."""
    try:
        return amount(value), ""
    except ValidationError as e:
        return None, e.message


def positive(value: Any) -> Amount:
    """Read an amount that changes something.

    Raises:
        ValidationError: it is none, or not positive.

    """
    found = amount(value)
    if found <= 0:
        raise ValidationError("an amount is positive", field="amount", value=value, code="bad_amount")
    return found


def not_negative(value: Any) -> Amount:
    """Read an amount that somebody has.

    Raises:
        ValidationError: it is none, or below zero.

    """
    found = amount(value)
    if found < 0:
        raise ValidationError("an amount is not below zero", field="amount", value=value, code="bad_amount")
    return found
