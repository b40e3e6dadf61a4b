"""How much credit is too much: per user, per link, per day, and what collateral counts for after its haircut.

A limit that is None does not bind; an asset without limits of its own goes by the default, and without a default it is
refused. What is bounded per day is what one user moved in any 24 hours, counted by whole hours and never too little.
"""

from collections.abc import Mapping
from decimal import ROUND_DOWN, Context, Decimal
from typing import Final

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.numbers import DIGITS_MAX
from heliograph.settlement.ledger import EXACT, UNIT, ZERO, bounded, total

WHOLE_BPS: Final = 10_000
HOUR_NS: Final = 3_600 * 10**9
DAY_HOURS: Final = 24
_DOWN: Final = Context(prec=4 * DIGITS_MAX, rounding=ROUND_DOWN)


class AssetLimits(msgspec.Struct, frozen=True):
    """What is allowed in one asset.

    Args:
        haircut_bps: how much of the value does not count as collateral, in hundredths of a percent.
        user_max: the credit of one user.
        link_max: the credit of all users together.
        day_max: what one user may ask for, increases and decreases together, in any 24 hours.

    """

    haircut_bps: int = 0
    user_max: Decimal | None = None
    link_max: Decimal | None = None
    day_max: Decimal | None = None


class Limits(msgspec.Struct, frozen=True):
    """What is allowed on a link.

    Args:
        assets: by asset.
        default: for every other asset; None refuses them.
        worth_max: what the credit of one user may be worth after haircuts, in the currency of the prices.

    """

    assets: Mapping[str, AssetLimits] = {}
    default: AssetLimits | None = None
    worth_max: Decimal | None = None

    def of(self, asset: str) -> AssetLimits:
        """Return the limits of an asset.

        Raises:
            SettlementError: `unknown_asset`: there are none, and no default.

        """
        found = self.assets.get(asset, self.default)
        if found is None:
            raise SettlementError("unknown_asset", f"{asset!r} has no limits on this link")
        return found


class Velocity(msgspec.Struct, frozen=True):
    """What one user moved in one asset lately, by hour since the epoch: at most 25 of them."""

    hours: tuple[tuple[int, Decimal], ...] = ()


def checked(limits: Limits) -> Limits:
    """Return the limits if they make sense.

    Raises:
        SettlementError: `bad_limits`: a haircut that is not between nothing and all, or a limit that is no amount.

    """
    for asset, each in (*limits.assets.items(), ("default", limits.default or AssetLimits())):
        if not 0 <= each.haircut_bps <= WHOLE_BPS:
            raise SettlementError("bad_limits", f"{asset}: a haircut of {each.haircut_bps} of {WHOLE_BPS} bps")
        for value in (each.user_max, each.link_max, each.day_max):
            _sensible(asset, value)
    _sensible("worth_max", limits.worth_max)
    return limits


def allow_increase(limits: AssetLimits, amount: Decimal, user_credit: Decimal, link_credit: Decimal) -> None:
    """Let more credit pass.

    Args:
        limits: of the asset.
        amount: how much more.
        user_credit: what the user has, asked for and not yet answered included.
        link_credit: what all users together have, likewise.

    Raises:
        SettlementError: `over_user_limit`, `over_link_limit`.

    """
    for code, has, most in (
        ("over_user_limit", user_credit, limits.user_max),
        ("over_link_limit", link_credit, limits.link_max),
    ):
        if most is not None and (after := EXACT.add(has, amount)) > most:
            raise SettlementError(code, f"{after:f} of credit, of {most:f} allowed")


def moved(limits: AssetLimits, velocity: Velocity, amount: Decimal, now_ns: int) -> Velocity:
    """Let an increase or a decrease pass, and count it.

    Raises:
        SettlementError: `over_day_limit`.

    """
    # A clock that was set back counts towards the newest hour: no movement is forgotten for it.
    hour = max(now_ns // HOUR_NS, velocity.hours[-1][0] if velocity.hours else 0)
    recent = tuple(each for each in velocity.hours if each[0] >= hour - DAY_HOURS)
    after = EXACT.add(total(part for _, part in recent), amount)
    if limits.day_max is not None and after > limits.day_max:
        raise SettlementError("over_day_limit", f"{after:f} in a day, of {limits.day_max:f} allowed")
    if recent and recent[-1][0] == hour:
        return Velocity((*recent[:-1], (hour, EXACT.add(recent[-1][1], amount))))
    return Velocity((*recent, (hour, amount)))


def after_haircut(amount: Decimal, haircut_bps: int) -> Decimal:
    """Return what an amount counts for as collateral, rounded down to the finest unit."""
    return _DOWN.quantize(EXACT.multiply(amount, Decimal(WHOLE_BPS - haircut_bps).scaleb(-4)), UNIT)


def worth(limits: Limits, credit: Mapping[str, Decimal], prices: Mapping[str, Decimal]) -> Decimal:
    """Return what a user's credit is worth after haircuts, in the prices' currency, rounded down.

    Args:
        limits: with the haircuts.
        credit: by asset.
        prices: by asset, of one unit.

    Raises:
        SettlementError: `no_price`, `unknown_asset`.

    """
    parts: list[Decimal] = []
    for asset, amount in credit.items():
        if not amount:
            continue
        price = prices.get(asset)
        if price is None or not price.is_finite() or price < 0:
            raise SettlementError("no_price", f"no price of {asset!r}")
        counts = after_haircut(amount, limits.of(asset).haircut_bps)
        parts.append(_DOWN.quantize(_DOWN.multiply(counts, price), UNIT))
    return total(parts)


def allow_worth(limits: Limits, value: Decimal) -> None:
    """Let a user's credit of this worth pass.

    Raises:
        SettlementError: `over_worth_limit`.

    """
    if limits.worth_max is not None and value > limits.worth_max:
        raise SettlementError("over_worth_limit", f"credit worth {value:f}, of {limits.worth_max:f} allowed")


def _sensible(what: str, value: Decimal | None) -> None:
    if value is None:
        return
    if not value.is_finite() or value < ZERO:
        raise SettlementError("bad_limits", f"{what}: a limit of {value}")
    bounded(value)
