"""The vault: the custodian's lots, on its primary."""

import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from openoes_core.amount import Amount, amount
from openoes_core.configuration import Configuration
from openoes_core.connection import RedisConnectionManager
from openoes_core.errors import OpenOESError, SettlementError, ValidationError
from openoes_core.fields import text
from openoes_core.places import sdk_errors

from heliograph.bus import link_keys
from heliograph.model.settlement import name
from heliograph.settlement import lots
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.ledger import total
from heliograph.settlement.vault import Lot, held
from openoes_wsp.custodies import Custodies
from openoes_wsp.vault_asset import VaultAsset, positive, status_of

T = TypeVar("T")


class VaultManager:
    """The lots of one custodian.

    Args:
        connection_manager: where the two servers are.
        custodian_id: whose vault, or the settings, which may say so.
        config: the settings, where the second argument is the custodian.
        custodies: the custodian's ends of the links, where they are somebody else's to close.

    """

    def __init__(
        self,
        connection_manager: RedisConnectionManager,
        custodian_id: str | Configuration | None = None,
        *,
        config: Configuration | None = None,
        custodies: Custodies | None = None,
    ) -> None:
        self.connection_manager = connection_manager
        self._custodies = custodies or Custodies(connection_manager, custodian_id, config)
        self._owned = custodies is None
        self._handed: dict[str, VaultAsset] = {}
        self._handing = threading.Lock()

    def add_asset(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        chain: str,
        address: str,
        vault_id: str | None = None,
        status: str = "locked",
        pledge_request_id: str | None = None,
    ) -> VaultAsset:
        """Add a lot, and return it; the same one again, by its id, is the one that there is.

        Raises:
            ValidationError: a value cannot be used, or another lot has the id.
            OpenOESError: the server refused, or is away.

        """
        lot = Lot(
            id=vault_id or "",
            user=_name(user_id, "user_id"),
            asset=_name(asset, "asset"),
            amount=Decimal(positive(amount)),
            chain=chain,
            address=address,
            status=status_of(status),
            at_ns=time.time_ns(),
            pledge=pledge_request_id or "",
        )
        return self._hand(self._call(lambda custodian: lots.add(custodian, lot)))

    def lock_assets(self, user_id: str, asset: str, amount: Any, chain: str, address: str) -> list[VaultAsset]:
        """Add a locked lot, and return it in a list."""
        return [self.add_asset(user_id, asset, amount, chain, address)]

    def lock_asset(self, vault_id: str) -> bool:
        """Lock a lot as a whole; False if there is none of that id, or it cannot be locked."""
        return self._turn(vault_id, "locked")

    def unlock_asset(self, vault_id: str) -> bool:
        """Unlock a lot as a whole, whatever the policy says; False if there is none of that id."""
        return self._turn(vault_id, "unlocked")

    def unlock_assets(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        credit_inventory: Mapping[str, Any] | None = None,
    ) -> tuple[bool, list[VaultAsset], str]:
        """Unlock an amount, the oldest lots first, splitting the last; return whether, what moved, and why not."""
        return LobsterBasketPolicy(self).apply_policy(user_id, asset, amount, credit_inventory)

    def get_asset(self, vault_id: str) -> VaultAsset | None:
        """Return a lot, None if there is none of that id."""
        return next((each for each in self.get_assets() if each.vault_id == vault_id), None)

    def get_assets(
        self, user_id: str | None = None, asset: str | None = None, status: str | None = None
    ) -> list[VaultAsset]:
        """Return the lots of a user, an asset and a status, as far as these are said, oldest first."""
        found = [self._hand(lot) for lot in sorted(self._all(user_id, asset), key=lambda lot: lot.at_ns)]
        return [each for each in found if status is None or each.status == status]

    def get_user_assets(self, user_id: str) -> dict[str, list[VaultAsset]]:
        """Return a user's lots by asset."""
        by_asset: dict[str, list[VaultAsset]] = {}
        for each in self.get_assets(user_id):
            by_asset.setdefault(each.asset, []).append(each)
        return by_asset

    def get_locked_assets(self, user_id: str | None = None, asset: str | None = None) -> list[VaultAsset]:
        """Return the locked lots."""
        return self.get_assets(user_id, asset, "locked")

    def get_unlocked_assets(self, user_id: str | None = None, asset: str | None = None) -> list[VaultAsset]:
        """Return the unlocked lots."""
        return self.get_assets(user_id, asset, "unlocked")

    def get_pending_assets(self, user_id: str | None = None, asset: str | None = None) -> list[VaultAsset]:
        """Return the lots that have not arrived."""
        return self.get_assets(user_id, asset, "pending")

    def get_total_locked_amount(self, user_id: str, asset: str) -> Amount:
        """Return how much of a user's coins is locked."""
        return Amount(held(self._all(user_id, asset), "locked"))

    def get_total_unlocked_amount(self, user_id: str, asset: str) -> Amount:
        """Return how much of a user's coins is unlocked."""
        return Amount(held(self._all(user_id, asset), "unlocked"))

    def get_total_pending_amount(self, user_id: str, asset: str) -> Amount:
        """Return how much of a user's coins has not arrived."""
        return Amount(held(self._all(user_id, asset), "pending"))

    def get_total_amount(self, user_id: str, asset: str) -> Amount:
        """Return how much there is of a user's coins, locked, unlocked and pending."""
        return Amount(held(self._all(user_id, asset)))

    def get_balance(self, asset: str, user_id: str | None = None) -> Amount:
        """Return all that lies in custody of an asset, of one user or of all, as the ledger has it."""
        found = self._call(lambda custodian: custodian.positions())
        theirs = [p.vault for (user, what), p in found.items() if what == asset and user_id in (None, user)]
        return Amount(total(theirs))

    def close(self) -> None:
        """End, and leave no thread; a second time does nothing."""
        if self._owned:
            self._custodies.close()

    def unlock(self, user_id: str, asset: str, amount: Any, credit: Any = None) -> list[VaultAsset]:
        """Do as `unlock_assets` does, but raise.

        Raises:
            ValidationError: the policy refuses.
            OpenOESError: the server refused, or is away.

        """
        wanted = Decimal(positive(amount))
        limit = None if credit is None else Decimal(_amount(credit))
        try:
            moved = self._call(lambda custodian: lots.unlock(custodian, user_id, asset, wanted, limit))
        except SettlementError as e:
            raise ValidationError(e.message, code=e.code) from e
        return [self._hand(lot) for lot in moved]

    def _turn(self, vault_id: str, status: str) -> bool:
        found = self.get_asset(vault_id)
        if found is None:
            return False
        lot = next(lot for lot in self._all(found.user_id, found.asset) if lot.id == vault_id)
        try:
            self._hand(self._call(lambda custodian: lots.turn(custodian, lot, status_of(status))))
        except SettlementError:
            return False
        return True

    def _all(self, user_id: str | None, asset: str | None) -> list[Lot]:
        if user_id is not None and asset is not None:
            return list(self._call(lambda custodian: lots.look(custodian, user_id, asset)))
        link = self._custodies.custodian(None)
        prefix = link_keys.lots(link, "", "")[:-1]
        found: list[Lot] = []
        client = self.connection_manager.get_wsp_client()
        for key in sorted(text(each) for each in client.scan_iter(f"{prefix}*")):
            owner, _, what = (link_keys.unpart(part) for part in key.removeprefix(prefix).partition(":"))
            if user_id in (None, owner) and asset in (None, what):
                found += self._call(lambda custodian, owner=owner, what=what: lots.look(custodian, owner, what))  # type: ignore[misc]
        return found

    def _call(self, function: Callable[[Custodian], Awaitable[T]]) -> T:
        try:
            return self._custodies.of(self._custodies.custodian(None)).call(function)
        except SettlementError as e:
            if e.code in ("exists", "bad_id", "wrong_owner"):
                raise ValidationError(e.message, field="vault_id", code=e.code) from e
            raise

    def _hand(self, lot: Lot) -> VaultAsset:
        with self._handing:
            known = self._handed.get(lot.id)
            if known is None:
                known = self._handed[lot.id] = VaultAsset.from_lot(lot)
            else:
                known.refresh(lot)
            return known


class LobsterBasketPolicy:
    """First in, first out: what came first is unlocked first, and the last lot is split.

    Args:
        vault_manager: whose lots.

    """

    def __init__(self, vault_manager: VaultManager) -> None:
        self.vault_manager = vault_manager

    def apply_policy(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        credit_inventory: Mapping[str, Any] | None = None,
    ) -> tuple[bool, list[VaultAsset], str]:
        """Unlock an amount; return whether it was possible, what moved, and why not.

        Args:
            user_id: whose.
            asset: of what.
            amount: how much.
            credit_inventory: what the user's credit is by asset, where it is to be checked.

        """
        credit = None if credit_inventory is None else credit_inventory.get(asset)
        try:
            return True, self.vault_manager.unlock(user_id, asset, amount, credit), ""
        except ValidationError as e:
            return False, [], e.message


def _amount(value: Any) -> Amount:
    return amount(value, "credit_inventory")


def _name(value: str, field: str) -> str:
    try:
        with sdk_errors():
            return name(value, field)
    except OpenOESError as e:
        raise ValidationError(e.message, field=field, value=value, code=e.code) from e
