"""The exchange's account of one user in one asset: what the credit lets the user trade on, and what trading did to it.

- `limit`: accepted credit that no reported sale has taken;
- `settling`: sold and reported, not yet confirmed;
- `arriving`: bought and reported, not yet confirmed;
- `unreported`: the sum of the trades that no report has taken, positive if more was bought than sold.

What the user may trade is limit + unreported. A report takes trades out of `unreported`: sales move from the limit to
`settling`, purchases to `arriving`. A settled purchase lies in custody, free, and is no business of the exchange's
until it is pledged; what was excluded or disputed is unreported again.

So the limit never exceeds what the custodian has pledged and is not settling, whatever is in flight; limit + settling
exceeds all that is pledged only by what the custodian has paid to the buyers and this side has not read yet; and no
figure but `unreported` is ever below zero. A decrease takes nothing that unreported sales need, or the next report
could not be paid.
"""

from decimal import Decimal

import msgspec

from heliograph.errors import SettlementError
from heliograph.settlement.ledger import EXACT, ZERO, bounded


class Account(msgspec.Struct, frozen=True):
    """One user's figures in one asset at the exchange."""

    limit: Decimal = ZERO
    settling: Decimal = ZERO
    arriving: Decimal = ZERO
    unreported: Decimal = ZERO

    @property
    def usable(self) -> Decimal:
        """What the user may trade."""
        return EXACT.add(self.limit, self.unreported)

    @property
    def returnable(self) -> Decimal:
        """What of the credit may be given back: unreported sales keep what they will be paid from."""
        return EXACT.add(self.limit, min(ZERO, self.unreported))


def increased(account: Account, amount: Decimal) -> Account:
    """Return the account after an accepted increase of its credit.

    Raises:
        SettlementError: `bad_amount`, `too_large`.

    """
    _positive(amount)
    return _checked(account, limit=EXACT.add(account.limit, amount))


def decreased(account: Account, amount: Decimal) -> Account:
    """Return the account after an accepted decrease of its credit.

    Raises:
        SettlementError: `bad_amount`; `insufficient_limit`: the credit is less; `in_use`: it was sold.

    """
    _positive(amount)
    if amount > account.limit:
        raise SettlementError("insufficient_limit", f"the credit is {account.limit:f}, less than {amount:f}")
    if amount > account.returnable:
        raise SettlementError("in_use", f"{account.returnable:f} is not sold, less than {amount:f}")
    return _checked(account, limit=EXACT.subtract(account.limit, amount))


def traded(account: Account, amount: Decimal) -> Account:
    """Return the account after a trade: `amount` was bought if positive, sold if negative.

    Raises:
        SettlementError: `bad_amount`; `insufficient_usable`: more was sold than the user may trade; `too_large`.

    """
    _signed(amount)
    after = EXACT.add(account.usable, amount)
    if after < 0:
        raise SettlementError("insufficient_usable", f"{account.usable:f} may be traded, {amount:f} was asked")
    return _checked(account, unreported=EXACT.add(account.unreported, amount))


def reported(account: Account, net: Decimal) -> Account:
    """Return the account after a report took trades that sum to `net`.

    Raises:
        SettlementError: `bad_amount`; `insufficient_limit`: the credit no longer covers the sale; `in_use`: what was
            bought is sold again by trades that the report does not take; `too_large`.

    """
    _signed(net)
    left = EXACT.subtract(account.unreported, net)
    if net < 0:
        limit = EXACT.add(account.limit, net)
        if limit < 0:
            raise SettlementError("insufficient_limit", f"the credit is {account.limit:f}, and {net:f} was sold")
        return _checked(account, limit=limit, settling=EXACT.subtract(account.settling, net), unreported=left)
    if EXACT.add(account.limit, left) < 0:
        raise SettlementError("in_use", f"of {net:f} that was bought, later trades sold again what is not credit")
    return _checked(account, arriving=EXACT.add(account.arriving, net), unreported=left)


def settled(account: Account, net: Decimal) -> Account:
    """Return the account after the custodian settled a reported leg of `net`.

    Raises:
        SettlementError: `bad_amount`; `not_reported`: no report of that much is unconfirmed.

    """
    _unconfirmed(account, net)
    if net < 0:
        return _checked(account, settling=EXACT.add(account.settling, net))
    return _checked(account, arriving=EXACT.subtract(account.arriving, net))


def rolled(account: Account, net: Decimal) -> Account:
    """Return the account after the custodian excluded or disputed a reported leg of `net`: its trades are unreported.

    Raises:
        SettlementError: `bad_amount`; `not_reported`: no report of that much is unconfirmed; `too_large`.

    """
    after = settled(account, net)
    unreported = EXACT.add(after.unreported, net)
    if net < 0:
        return _checked(after, limit=EXACT.subtract(after.limit, net), unreported=unreported)
    return _checked(after, unreported=unreported)


def _unconfirmed(account: Account, net: Decimal) -> None:
    _signed(net)
    has = account.settling if net < 0 else account.arriving
    if has < net.copy_abs():
        raise SettlementError("not_reported", f"{has:f} is reported and unconfirmed, less than {net.copy_abs():f}")


def _positive(amount: Decimal) -> None:
    if not amount.is_finite() or amount <= 0:
        raise SettlementError("bad_amount", f"a change of credit is positive, not {amount}")


def _signed(amount: Decimal) -> None:
    if not amount.is_finite() or amount == 0:
        raise SettlementError("bad_amount", f"a trade or a net is a number other than zero, not {amount}")


def _checked(account: Account, **figures: Decimal) -> Account:
    for figure in figures.values():
        bounded(figure)
    return msgspec.structs.replace(account, **figures)
