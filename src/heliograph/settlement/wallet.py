"""A user's money at the exchange in one asset: what is free, and what is reserved.

Whoever uses reserved money takes it from the reservation, and later releases the reservation as a whole: what was used
is retired then, and only the rest is free again. So the reservation remembers how much of it was used.
"""

from decimal import Decimal

import msgspec

from heliograph.errors import SettlementError
from heliograph.settlement.ledger import EXACT, ZERO, bounded


class Wallet(msgspec.Struct, frozen=True):
    """One user's money in one asset; nothing is ever below zero.

    Args:
        available: free.
        reserved: set aside and not used.
        used: of reservations that are not released yet.

    """

    available: Decimal = ZERO
    reserved: Decimal = ZERO
    used: Decimal = ZERO

    @property
    def balance(self) -> Decimal:
        """All that there is."""
        return EXACT.add(self.available, self.reserved)


def put(balance: Decimal, available: Decimal | None, reserved: Decimal) -> Wallet:
    """Return a wallet of these figures; without `available`, what is not reserved is.

    Raises:
        SettlementError: `bad_amount`; `unbalanced`: they do not sum.

    """
    free = EXACT.subtract(balance, reserved) if available is None else available
    if EXACT.add(free, reserved) != balance:
        raise SettlementError("unbalanced", f"{free:f} available and {reserved:f} reserved are not {balance:f}")
    return _checked(Wallet(free, reserved))


def increased(wallet: Wallet, amount: Decimal, *, free: bool = True) -> Wallet:
    """Return the wallet with more in it, free or reserved.

    Raises:
        SettlementError: `bad_amount`, `too_large`.

    """
    _positive(amount)
    if free:
        return _checked(msgspec.structs.replace(wallet, available=EXACT.add(wallet.available, amount)))
    return _checked(msgspec.structs.replace(wallet, reserved=EXACT.add(wallet.reserved, amount)))


def decreased(wallet: Wallet, amount: Decimal, *, free: bool = True) -> Wallet:
    """Return the wallet with less in it: of what is free, or of what is reserved.

    Raises:
        SettlementError: `bad_amount`, `insufficient_available`, `insufficient_reserved`.

    """
    _positive(amount)
    if free:
        return _checked(msgspec.structs.replace(wallet, available=_less(wallet.available, amount, "available")))
    reserved = _less(wallet.reserved, amount, "reserved")
    return _checked(msgspec.structs.replace(wallet, reserved=reserved, used=EXACT.add(wallet.used, amount)))


def reserved(wallet: Wallet, amount: Decimal) -> Wallet:
    """Return the wallet with some of what is free set aside.

    Raises:
        SettlementError: `bad_amount`, `insufficient_available`.

    """
    _positive(amount)
    available = _less(wallet.available, amount, "available")
    return _checked(msgspec.structs.replace(wallet, available=available, reserved=EXACT.add(wallet.reserved, amount)))


def released(wallet: Wallet, amount: Decimal) -> Wallet:
    """Return the wallet with a reservation ended: what was used of it is gone, the rest is free.

    Raises:
        SettlementError: `bad_amount`, `insufficient_reserved`.

    """
    _positive(amount)
    retired = min(wallet.used, amount)
    rest = EXACT.subtract(amount, retired)
    return _checked(
        Wallet(
            EXACT.add(wallet.available, rest),
            _less(wallet.reserved, rest, "reserved"),
            EXACT.subtract(wallet.used, retired),
        )
    )


def synced(wallet: Wallet, balance: Decimal) -> Wallet:
    """Return the wallet with another balance, reservations as they are.

    Raises:
        SettlementError: `bad_amount`; `below_reserved`: the balance does not cover them.

    """
    if not balance.is_finite() or balance < 0:
        raise SettlementError("bad_amount", f"a balance is not below zero: {balance}")
    if balance < wallet.reserved:
        raise SettlementError("below_reserved", f"{wallet.reserved:f} is reserved, more than {balance:f}")
    return _checked(msgspec.structs.replace(wallet, available=EXACT.subtract(balance, wallet.reserved)))


def _less(has: Decimal, amount: Decimal, what: str) -> Decimal:
    if has < amount:
        raise SettlementError(f"insufficient_{what}", f"{has:f} is {what}, less than {amount:f}")
    return EXACT.subtract(has, amount)


def _positive(amount: Decimal) -> None:
    if not amount.is_finite() or amount <= 0:
        raise SettlementError("bad_amount", f"an amount is positive, not {amount}")
    bounded(amount)


def _checked(wallet: Wallet) -> Wallet:
    if min(wallet.available, wallet.reserved, wallet.used) < 0:
        raise SettlementError("bad_amount", "no figure is below zero")
    bounded(wallet.balance)
    bounded(wallet.used)
    return wallet
