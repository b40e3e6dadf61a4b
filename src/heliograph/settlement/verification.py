"""The custodian's judgement of a report, before a coin moves: of the report as a whole, then of each leg.

A fault of the whole disputes every leg. A fault of one leg leaves that leg out; what else must be left out with it, so
that each asset still sums to zero, is `netting.excluded`'s to say.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.settlement import BadValue, Leg, LegOutcome, Report, name
from heliograph.settlement.ledger import total
from heliograph.settlement.netting import Change, changes_digest, flows, imbalance, signed


class Fault(msgspec.Struct, frozen=True):
    """What is wrong, as a code and in words."""

    code: str
    reason: str


class Terms(msgspec.Struct, frozen=True):
    """What a report is judged by.

    Args:
        users: whose accounts the custodian keeps on this link, the exchange's own among them.
        assets: which assets the link settles in.
        barred: by (user, asset), why a leg may not settle: a freeze, a limit.
        changes: by (user, asset), the account changes as the custodian knows them; None if it is not told of trades.

    """

    users: Collection[str]
    assets: Collection[str]
    barred: Mapping[tuple[str, str], Fault] = {}
    changes: Mapping[tuple[str, str], Sequence[Change]] | None = None


def fault(report: Report) -> Fault | None:
    """Return what is wrong with a report as a whole; None if nothing is.

    The codes: `no_legs`, `bad_attempt`, `bad_name`, `bad_amount`, `duplicate_leg`, `duplicate_account`, `unbalanced`.
    """
    if not report.legs:
        return Fault("no_legs", "a report without legs")
    if report.attempt < 1:
        return Fault("bad_attempt", f"attempt {report.attempt}")
    try:
        for leg in report.legs:
            name(leg.leg_id, "leg")
            name(leg.user, "user")
            name(leg.asset, "asset")
        moves = flows(report.legs)
    except (BadValue, SettlementError) as e:
        return Fault(e.code, str(e))
    if len({leg.leg_id for leg in report.legs}) < len(report.legs):
        return Fault("duplicate_leg", "two legs have the same id")
    if len({(leg.user, leg.asset) for leg in report.legs}) < len(report.legs):
        return Fault("duplicate_account", "two legs are of the same user and asset")
    if left := imbalance(moves):
        what = ", ".join(f"{amount:f} {asset}" for asset, amount in sorted(left.items()))
        return Fault("unbalanced", f"the legs do not sum to zero: {what}")
    return None


def judged(leg: Leg, terms: Terms) -> LegOutcome | None:
    """Return why a leg cannot settle, whatever the accounts hold; None if it can.

    The codes: `unknown_user`, `unknown_asset`, those of `terms.barred`, and, where the changes are known, `wrong_net`
    and `wrong_digest`.
    """
    place = (leg.user, leg.asset)
    if leg.user not in terms.users:
        return LegOutcome(leg.leg_id, "excluded", "unknown_user", f"no account of {leg.user!r} on this link")
    if leg.asset not in terms.assets:
        return LegOutcome(leg.leg_id, "excluded", "unknown_asset", f"{leg.asset!r} does not settle on this link")
    if barred := terms.barred.get(place):
        return LegOutcome(leg.leg_id, "excluded", barred.code, barred.reason)
    if terms.changes is not None:
        known = terms.changes.get(place, ())
        net = total(change.amount for change in known)
        if net != signed(leg.net):
            return LegOutcome(leg.leg_id, "disputed", "wrong_net", f"the trades sum to {net:f}, not to {leg.net}")
        if changes_digest(known) != leg.trades:
            return LegOutcome(leg.leg_id, "disputed", "wrong_digest", "the net was made of other trades")
    return None
