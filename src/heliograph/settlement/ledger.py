"""The custodian's books: every movement debits one account and credits another, so nothing appears or vanishes.

A user's coins in one asset lie in six accounts, none ever below zero:

- `available`: in the vault, free;
- `held`: pledged, while the exchange has not answered;
- `granted`: pledged, and mirrored as credit at the exchange;
- `returning`: granted, while the exchange has not answered a decrease;
- `settling`: granted and sold, while a settlement is verified and disputed;
- `leaving`: on the way out of custody, until every sibling of the primary knows.

Two contra accounts per asset may be negative: `outside`, the world that coins come from and go to, and `clearing`,
through which a settlement's sellers pay its buyers. All accounts of an asset sum to zero, always.

So the credit inventory is granted + returning, what is pledged is held + granted + returning + settling, and
credit <= pledged <= vault cannot be broken while no account is below zero.

Every amount is a multiple of 1E-18 and below 1E+20, sums over a user's accounts and contra accounts included: so each
fits in 38 digits, and what is written as text can be read again.
"""

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final, Literal

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.numbers import DIGITS_MAX
from heliograph.model.settlement import SCALE_MAX

Account = Literal["available", "held", "granted", "returning", "settling", "leaving", "outside", "clearing"]
ACCOUNTS: Final[tuple[Account, ...]] = ("available", "held", "granted", "returning", "settling", "leaving")
"""A user's accounts, in the order to show them."""
CONTRAS: Final[tuple[Account, ...]] = ("outside", "clearing")
"""Accounts that no user owns, and that may be negative."""

EXACT: Final = Context(prec=2 * DIGITS_MAX, traps=[Inexact, Overflow])
"""Arithmetic that raises rather than rounds, wide enough to sum whatever `bounded` lets in."""
ZERO: Final = Decimal(0)
UNIT: Final = Decimal((0, (1,), -SCALE_MAX))
"""The finest step of an amount."""
_SCALED: Final = Context(prec=DIGITS_MAX, traps=[Inexact, InvalidOperation, Overflow])


class Position(msgspec.Struct, frozen=True):
    """One user's accounts in one asset."""

    available: Decimal = ZERO
    held: Decimal = ZERO
    granted: Decimal = ZERO
    returning: Decimal = ZERO
    settling: Decimal = ZERO
    leaving: Decimal = ZERO

    @property
    def credit(self) -> Decimal:
        """The credit inventory: what the exchange may let the user trade on."""
        return EXACT.add(self.granted, self.returning)

    @property
    def pledged(self) -> Decimal:
        """What is promised to the exchange, answered or not."""
        return total((self.held, self.granted, self.returning, self.settling))

    @property
    def vault(self) -> Decimal:
        """All that lies in custody."""
        return total((self.available, self.held, self.granted, self.returning, self.settling, self.leaving))


class Transfer(msgspec.Struct, frozen=True):
    """One movement: `amount`, positive, from one account to another of the same asset.

    Args:
        asset: of which asset.
        amount: how much.
        debit: the account that it leaves.
        debit_user: whose; empty for a contra account.
        credit: the account that it reaches.
        credit_user: whose; empty for a contra account.

    """

    asset: str
    amount: Decimal
    debit: Account
    debit_user: str
    credit: Account
    credit_user: str


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum."""
    result = ZERO
    for amount in amounts:
        result = EXACT.add(result, amount)
    return result


def bounded(value: Decimal) -> Decimal:
    """Return the value if books can hold it: a multiple of 1E-18 whose magnitude is below 1E+20.

    Raises:
        SettlementError: `too_large`: it is not.

    """
    if not _fits(value):
        raise SettlementError("too_large", f"{value:f} is beyond 20 digits and {SCALE_MAX} after the point")
    return value


def within(user: str, asset: str, amount: Decimal, debit: Account, credit: Account) -> Transfer:
    """Return the movement between two accounts of one user."""
    return Transfer(asset, amount, debit, user, credit, user)


def moved(position: Position, debit: Account, credit: Account, amount: Decimal) -> Position:
    """Return one user's accounts after a movement between two of them.

    Raises:
        SettlementError: `bad_amount`, or `insufficient_<account>`: the account that it leaves has less.

    """
    _checked(amount)
    has: Decimal = getattr(position, debit)
    if has < amount:
        raise SettlementError(f"insufficient_{debit}", f"{debit} has {has:f}, less than {amount:f}")
    if debit == credit:
        return position
    # The vault stays as it is, so this cannot be too large: what `credited` would check is left out.
    after = {debit: EXACT.subtract(has, amount), credit: EXACT.add(getattr(position, credit), amount)}
    return msgspec.structs.replace(position, **after)


def debited(position: Position, account: Account, amount: Decimal) -> Position:
    """Return a user's accounts after an amount left one of them.

    Raises:
        SettlementError: `bad_amount`, or `insufficient_<account>`: the account has less.

    """
    _checked(amount)
    has: Decimal = getattr(position, account)
    if has < amount:
        raise SettlementError(f"insufficient_{account}", f"{account} has {has:f}, less than {amount:f}")
    return msgspec.structs.replace(position, **{account: EXACT.subtract(has, amount)})


def credited(position: Position, account: Account, amount: Decimal) -> Position:
    """Return a user's accounts after an amount reached one of them.

    Raises:
        SettlementError: `bad_amount`; `too_large`: all accounts together would be beyond what `bounded` allows.

    """
    _checked(amount)
    after = msgspec.structs.replace(position, **{account: EXACT.add(getattr(position, account), amount)})
    bounded(after.vault)
    return after


def _checked(amount: Decimal) -> None:
    if not amount.is_finite() or amount <= 0:
        raise SettlementError("bad_amount", f"an amount that moves is positive, not {amount}")
    if not _fits(amount):
        raise SettlementError("bad_amount", f"{amount} is beyond 20 digits and {SCALE_MAX} after the point")


def _fits(value: Decimal) -> bool:
    try:
        _SCALED.quantize(value, UNIT)
    except ArithmeticError:
        return False
    return True


class Books:
    """All accounts, as the sum of transfers: the executable definition that an auditor replays a journal through."""

    def __init__(self) -> None:
        self.positions: dict[tuple[str, str], Position] = {}
        """By (user, asset)."""
        self.contras: dict[tuple[Account, str], Decimal] = {}
        """By (account, asset)."""

    def post(self, transfers: Iterable[Transfer]) -> None:
        """Apply movements, all or none.

        Raises:
            SettlementError: `bad_transfer`, or as `debited` and `credited` say.

        """
        positions: dict[tuple[str, str], Position] = {}
        contras: dict[tuple[Account, str], Decimal] = {}
        for transfer in transfers:
            _checked(transfer.amount)
            for account, user, contra, step in (
                (transfer.debit, transfer.debit_user, EXACT.subtract, debited),
                (transfer.credit, transfer.credit_user, EXACT.add, credited),
            ):
                if (account in CONTRAS) != (not user):
                    raise SettlementError("bad_transfer", f"{account} of {user or 'nobody'} is no account")
                if account in CONTRAS:
                    place = (account, transfer.asset)
                    has = contras.get(place, self.contras.get(place, ZERO))
                    contras[place] = bounded(contra(has, transfer.amount))
                else:
                    owner = (user, transfer.asset)
                    before = positions.get(owner) or self.positions.get(owner) or Position()
                    positions[owner] = step(before, account, transfer.amount)
        self.positions.update(positions)
        self.contras.update(contras)

    def sums(self) -> Mapping[str, Decimal]:
        """Return, per asset, the sum over all accounts, which is zero unless the books are broken."""
        totals: dict[str, Decimal] = {}
        for (_, asset), position in self.positions.items():
            totals[asset] = EXACT.add(totals.get(asset, ZERO), position.vault)
        for (_, asset), amount in self.contras.items():
            totals[asset] = EXACT.add(totals.get(asset, ZERO), amount)
        return totals
