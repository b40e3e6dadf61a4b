"""Users' money at the exchange, in a file of the exchange's own."""

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Self

from openoes_core.amount import Amount, amount
from openoes_core.configuration import Configuration
from openoes_core.connection import RedisConnectionManager
from openoes_core.errors import SettlementError, ValidationError
from openoes_core.fields import to_message
from openoes_core.places import configuration_of, place_of, sdk_errors, wallets_path

from heliograph.clock import NS_PER_S
from heliograph.settlement import wallet
from heliograph.settlement.wallet import Wallet
from heliograph.settlement.wallets import Kept, Wallets
from openoes_exchange.inventory import not_negative, positive

Step = Callable[[Wallet], Wallet]


class AccountEntry:
    """One user's money in one asset, as an object by itself: balance = available + reserved.

    Args:
        user_id: whose.
        asset: in which asset.
        balance: all of it.
        available: what is free.
        reserved: what is set aside.
        timestamp: when it was made, in seconds since the epoch; None: now.
        last_updated: when it changed.
        transaction_id: of the last change.

    Raises:
        ValidationError: an amount is none or below zero, or they do not sum.

    """

    def __init__(
        self,
        user_id: str,
        asset: str,
        balance: Any,
        available: Any,
        reserved: Any = 0.0,
        timestamp: int | None = None,
        last_updated: int | None = None,
        transaction_id: str | None = None,
    ) -> None:
        self.user_id = user_id
        self.asset = asset
        self._wallet = _put(balance, available, reserved)
        self.timestamp = int(time.time()) if timestamp is None else int(timestamp)
        self.last_updated = self.timestamp if last_updated is None else int(last_updated)
        self.transaction_id = transaction_id

    @property
    def balance(self) -> Amount:
        """All of it."""
        return Amount(self._wallet.balance)

    @property
    def available(self) -> Amount:
        """What is free."""
        return Amount(self._wallet.available)

    @property
    def reserved(self) -> Amount:
        """What is set aside."""
        return Amount(self._wallet.reserved)

    @classmethod
    def of(cls, user_id: str, asset: str, kept: Kept) -> Self:
        """Return an account as the file has it."""
        made = cls(
            user_id,
            asset,
            kept.wallet.balance,
            kept.wallet.available,
            kept.wallet.reserved,
            kept.made_ns // NS_PER_S,
            kept.changed_ns // NS_PER_S,
            kept.last or None,
        )
        made._wallet = kept.wallet
        return made

    def update(
        self, balance: Any, available: Any = None, reserved: Any = None, transaction_id: str | None = None
    ) -> None:
        """Make it these figures; what is not said stays, or follows.

        Raises:
            ValidationError: an amount is none or below zero, or they do not sum.

        """
        self._become(
            lambda now: _put(balance, available, now.reserved if reserved is None else reserved), transaction_id
        )

    def increase_balance(self, amount: Any, increase_available: bool = True, transaction_id: str | None = None) -> None:
        """Add to it.

        Raises:
            ValidationError: the amount is none, or not positive.

        """
        self._become(lambda now: wallet.increased(now, positive(amount), free=increase_available), transaction_id)

    def decrease_balance(self, amount: Any, decrease_available: bool = True, transaction_id: str | None = None) -> None:
        """Take from what is free, or from what is set aside.

        Raises:
            ValidationError: the amount is none, not positive, or more than there is.

        """
        self._become(lambda now: wallet.decreased(now, positive(amount), free=decrease_available), transaction_id)

    def reserve(self, amount: Any, transaction_id: str | None = None) -> None:
        """Set some of what is free aside.

        Raises:
            ValidationError: the amount is none, not positive, or more than there is.

        """
        self._become(lambda now: wallet.reserved(now, positive(amount)), transaction_id)

    def release_reservation(self, amount: Any, transaction_id: str | None = None) -> None:
        """End a reservation: what was used of it is gone, the rest is free.

        Raises:
            ValidationError: the amount is none, not positive, or more than was set aside.

        """
        self._become(lambda now: wallet.released(now, positive(amount)), transaction_id)

    def to_dict(self) -> dict[str, Any]:
        """Return its parts."""
        names = "user_id asset balance available reserved timestamp last_updated transaction_id"
        return {name: getattr(self, name) for name in names.split()}

    @classmethod
    def from_dict(cls, data: Mapping[Any, Any]) -> Self:
        """Read its parts, decoded or not.

        Raises:
            ValidationError: one is missing, or cannot be used.

        """
        fields = to_message({name: value for name, value in data.items() if value is not None})
        try:
            return cls(
                fields["user_id"],
                fields["asset"],
                fields["balance"],
                fields["available"],
                fields.get("reserved", "0"),
                int(fields["timestamp"]) if "timestamp" in fields else None,
                int(fields["last_updated"]) if "last_updated" in fields else None,
                fields.get("transaction_id"),
            )
        except (LookupError, ValueError) as e:
            raise ValidationError(f"no account: {type(e).__name__}: {e}") from e

    def _become(self, step: Step, transaction_id: str | None) -> None:
        with _validated():
            self._wallet = step(self._wallet)
        self.last_updated = int(time.time())
        self.transaction_id = transaction_id or self.transaction_id

    def __repr__(self) -> str:
        return f"AccountEntry({self.user_id!r}, {self.asset!r}, {self.available} + {self.reserved} reserved)"


class AccountIntegration:
    """The accounts of the exchange, each change once for its transaction id.

    Args:
        connection_manager: where the two servers are; its `close` ends this as well.
        config: the settings.

    """

    def __init__(
        self, connection_manager: RedisConnectionManager, config: Configuration | Mapping[str, Any] | None = None
    ) -> None:
        self.connection_manager = connection_manager
        self.config = configuration_of(config)
        self._wallets: Wallets | None = None
        self._opening = threading.Lock()

    @property
    def wallets(self) -> Wallets:
        """The file that the accounts are in."""
        with self._opening:
            if self._wallets is None:
                manager = self.connection_manager
                path = wallets_path(self.config, place_of(manager), manager)
                with sdk_errors():
                    self._wallets = Wallets(path).__enter__()
                manager.before_close(self.close)
            return self._wallets

    def get_account(self, user_id: str, asset: str, refresh: bool = False) -> AccountEntry | None:
        """Return an account, None if there is none; it is always read afresh."""
        del refresh
        with sdk_errors():
            kept = self.wallets.find(user_id, asset)
        return None if kept is None else AccountEntry.of(user_id, asset, kept)

    def set_account(
        self,
        user_id: str,
        asset: str,
        balance: Any,
        available: Any = None,
        reserved: Any = 0.0,
        transaction_id: str | None = None,
    ) -> AccountEntry:
        """Make an account these figures.

        Raises:
            ValidationError: an amount is none or below zero, or they do not sum.

        """
        after = _put(balance, available, reserved)
        return self._change(user_id, asset, lambda _: after, "set", after.balance, transaction_id)

    def increase_balance(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        increase_available: bool = True,
        transaction_id: str | None = None,
    ) -> AccountEntry:
        """Add to an account what the user bought; a settlement will take it.

        Raises:
            ValidationError: the amount is none, or not positive.

        """
        by = positive(amount)
        step: Step = lambda now: wallet.increased(now, by, free=increase_available)  # noqa: E731
        return self._change(user_id, asset, step, "increase", by, transaction_id, traded=True)

    def decrease_balance(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        decrease_available: bool = True,
        transaction_id: str | None = None,
    ) -> AccountEntry:
        """Take from an account what the user sold, free or set aside; a settlement will take it.

        Raises:
            ValidationError: the amount is none, not positive, or more than there is: nothing changed.

        """
        by = positive(amount)
        step: Step = lambda now: wallet.decreased(now, by, free=decrease_available)  # noqa: E731
        return self._change(user_id, asset, step, "decrease", by, transaction_id, traded=True)

    def reserve_balance(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        transaction_id: str | None = None,
    ) -> AccountEntry:
        """Set some of what is free aside.

        Raises:
            ValidationError: the amount is none, not positive, or more than is free: nothing changed.

        """
        by = positive(amount)
        return self._change(user_id, asset, lambda now: wallet.reserved(now, by), "reserve", by, transaction_id)

    def release_reservation(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        transaction_id: str | None = None,
    ) -> AccountEntry:
        """End a reservation: what was used of it is gone, the rest is free.

        Raises:
            ValidationError: the amount is none, not positive, or more than was set aside: nothing changed.

        """
        by = positive(amount)
        return self._change(user_id, asset, lambda now: wallet.released(now, by), "release", by, transaction_id)

    def get_all_accounts(self, user_id: str) -> dict[str, AccountEntry]:
        """Return a user's accounts by asset."""
        with sdk_errors():
            found = self.wallets.of(user_id)
        return {asset: AccountEntry.of(user_id, asset, kept) for asset, kept in found.items()}

    def get_accounts_for_assets(self, user_id: str, assets: Iterable[str]) -> dict[str, AccountEntry]:
        """Return a user's accounts in these assets, by asset."""
        found = {asset: self.get_account(user_id, asset) for asset in assets}
        return {asset: entry for asset, entry in found.items() if entry is not None}

    def update_account_from_credit_inventory(
        self, user_id: str, asset: str, ci_amount: Any, transaction_id: str | None = None
    ) -> AccountEntry:
        """Make an account's balance the credit inventory, and keep what is set aside.

        Raises:
            ValidationError: the amount is none or below zero, or less than is set aside: nothing changed.

        """
        to = not_negative(ci_amount)
        return self._change(user_id, asset, lambda now: wallet.synced(now, to), "sync", to, transaction_id)

    def process_settlement_update(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        is_bought: bool,
        settlement_id: str,
    ) -> AccountEntry:
        """Book what a settlement bought or sold; once for a settlement, user and asset.

        Raises:
            ValidationError: the amount is none, not positive, or more than there is: nothing changed.

        """
        by = positive(amount)
        step: Step = (lambda now: wallet.increased(now, by)) if is_bought else (lambda now: wallet.decreased(now, by))
        what = "bought" if is_bought else "sold"
        return self._change(user_id, asset, step, what, by, f"settlement:{settlement_id}")

    def apply_credit(
        self,
        user_id: str,
        asset: str,
        amount: Any,
        transaction_id: str | None = None,
    ) -> AccountEntry:
        """Add granted credit to an account, which is made if there is none.

        Raises:
            ValidationError: the amount is none, or not positive.

        """
        by = positive(amount)
        return self._change(user_id, asset, lambda now: wallet.increased(now, by), "credit", by, transaction_id)

    def close(self) -> None:
        """Close the file; a second time does nothing, and the next call opens it again."""
        with self._opening:
            if self._wallets is not None:
                self._wallets.__exit__()
                self._wallets = None

    def _change(
        self,
        user_id: str,
        asset: str,
        step: Step,
        what: str,
        moved: Decimal,
        transaction_id: str | None,
        *,
        traded: bool = False,
    ) -> AccountEntry:
        with _validated():
            kept = self.wallets.change(
                (user_id, asset),
                step,
                time.time_ns(),
                what=what,
                amount=Decimal(moved),
                reference=transaction_id or f"tx-{uuid.uuid4().hex}",
                traded=traded,
            )
        return AccountEntry.of(user_id, asset, kept)


@contextmanager
def _validated() -> Iterator[None]:
    """What the pure rules refuse is a value that cannot be used."""
    try:
        with sdk_errors():
            yield
    except SettlementError as e:
        if e.code == "journal_away":
            raise
        raise ValidationError(e.message, code=e.code) from e


def _put(balance: Any, available: Any, reserved: Any) -> Wallet:
    with _validated():
        free = None if available is None else amount(available, "available")
        return wallet.put(amount(balance, "balance"), free, amount(reserved, "reserved"))
