"""From trades to the legs of a report, and back out of it again; per asset everything sums to zero.

The exchange's own account, *the house*, takes part as a user. A leg that does not go into a report (too small, or its
user is held back) may leave the others out of balance, so the house advances what is missing: one change of that amount
is added to what the house settles, and one of the opposite amount stays for a later cycle, where it meets the users'.

The custodian cannot ask the house to advance anything: it may only leave legs out. `excluded` says whose.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.settlement import BadValue, Leg, Report, amount_text, positive
from heliograph.settlement.ledger import EXACT, ZERO, bounded, total

_NOTHING: Final[Mapping[str, Decimal]] = {}


class Change(msgspec.Struct, frozen=True):
    """What one trade, fee or correction did to one user's account in one asset.

    Args:
        ref: unique at the exchange, for ever.
        user: whose account.
        asset: in which asset.
        amount: bought if positive, sold if negative.
        at_ns: when, by the exchange's clock.

    """

    ref: str
    user: str
    asset: str
    amount: Decimal
    at_ns: int


class Flow(msgspec.Struct, frozen=True):
    """How much one user gains, or loses if negative, in one asset."""

    user: str
    asset: str
    net: Decimal


class Net(msgspec.Struct, frozen=True):
    """One leg to be.

    Args:
        user: whose account.
        asset: in which asset.
        amount: the sum of the changes, never zero.
        digest: of the changes, in hexadecimal.
        refs: the changes' references, in order.

    """

    user: str
    asset: str
    amount: Decimal
    digest: str
    refs: tuple[str, ...]


class Netting(msgspec.Struct, frozen=True):
    """A calculation.

    Args:
        nets: what goes into the report, by asset and user.
        advances: changes of the house's that are to be booked with it, one pair an asset that sums to zero; the first
            of a pair is in the house's net, the second stays unreported.
        rolled: whose nets stay unreported although they are not zero.

    """

    nets: tuple[Net, ...]
    advances: tuple[Change, ...] = ()
    rolled: tuple[tuple[str, str], ...] = ()


def signed(text: str) -> Decimal:
    """Read a net: plain digits, not zero, with a minus sign if it was sold.

    Raises:
        BadValue: `bad_amount`.

    """
    return positive(text[1:]).copy_negate() if text.startswith("-") else positive(text)


def changes_digest(changes: Iterable[Change]) -> str:
    """Return the SHA-256, in hexadecimal, that both sides make of the same changes, in whichever order they have them.

    It is taken over the JSON array of [ref, user, asset, amount, at_ns], by ref, each amount in plain digits.
    """
    rows = [(c.ref, c.user, c.asset, amount_text(c.amount), c.at_ns) for c in sorted(changes, key=lambda c: c.ref)]
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()


def imbalance(flows: Iterable[Flow | Change]) -> dict[str, Decimal]:
    """Return, per asset, the sum of what is not balanced; empty if everything is."""
    sums: dict[str, Decimal] = {}
    for flow in flows:
        amount = flow.net if isinstance(flow, Flow) else flow.amount
        sums[flow.asset] = EXACT.add(sums.get(flow.asset, ZERO), amount)
    return {asset: amount for asset, amount in sums.items() if amount}


def excluded(flows: Sequence[Flow], refused: Collection[str]) -> frozenset[str]:
    """Return the users to leave out so that what remains sums to zero in each asset, the refused among them.

    A user is left out with all legs: nobody pays for what does not come. If that leaves a remainder, these are left out
    too, whichever first makes all assets sum to zero:

    1. the first user by name whose legs are exactly the remainder;
    2. for each refused user, by name, the first user by name whose legs are exactly the opposite;
    3. every user with a leg in an asset that does not sum to zero, again and again until all do.

    Only nets are known here, so who traded with whom is not; the rule is fixed, and both sides can follow it.
    """
    users: dict[str, dict[str, Decimal]] = {}
    for flow in flows:
        sums = users.setdefault(flow.user, {})
        sums[flow.asset] = EXACT.add(sums.get(flow.asset, ZERO), flow.net)
    out = set(refused)
    left = imbalance(flow for flow in flows if flow.user not in out)
    if left:
        places: dict[frozenset[tuple[str, Decimal]], list[str]] = {}
        for user in sorted(users.keys() - out):
            places.setdefault(frozenset(users[user].items()), []).append(user)
        same = places.get(frozenset(left.items()))
        more = set(same[:1]) if same else _opposites(users, places, sorted(out & users.keys()))
        if not imbalance(flow for flow in flows if flow.user not in out and flow.user not in more):
            out |= more
    while left := imbalance(flow for flow in flows if flow.user not in out):
        out.update(flow.user for flow in flows if flow.asset in left)
    return frozenset(out)


def net(
    changes: Iterable[Change],
    run: str,
    at_ns: int,
    house: str,
    house_limits: Mapping[str, Decimal] = _NOTHING,
    thresholds: Mapping[str, Decimal] = _NOTHING,
    held_back: Collection[str] = (),
) -> Netting:
    """Calculate the legs of a report.

    Args:
        changes: all that may go into it; per asset they sum to zero.
        run: names this calculation, cycle and attempt; it is in the references of what the house advances.
        at_ns: the time of what the house advances.
        house: the exchange's own account.
        house_limits: per asset, the house's credit; without a rolled leg it is not looked at.
        thresholds: per asset, what a net must reach so as not to roll on. If the house cannot advance the small nets
            of an asset, none of them rolls.
        held_back: users whose nets roll on, whatever their size. Those that `excluded` says need no advance.

    Raises:
        SettlementError: `duplicate_change`; `unbalanced`: the changes do not sum to zero; `bad_house`: the house is
            to be held back; `house_short`: it cannot advance what is held back; `too_large`.

    """
    if house in held_back:
        raise SettlementError("bad_house", f"{house!r} is the house: it advances what is held back")
    accounts = _accounts(changes)
    sums = {place: bounded(total(c.amount for c in held)) for place, held in accounts.items()}
    rolled: list[tuple[str, str]] = []
    advances: list[Change] = []
    for asset in sorted({asset for _, asset in sums}):
        nets = {user: amount for (user, of), amount in sums.items() if of == asset and amount and user != house}
        wanted = {user for user in nets if user in held_back}
        small = {user for user, amount in nets.items() if amount.copy_abs() < thresholds.get(asset, ZERO)}
        own, limit = sums.get((house, asset), ZERO), house_limits.get(asset, ZERO)
        if _affords(limit, own, total(nets[user] for user in wanted | small)):
            wanted |= small
        elif wanted and not _affords(limit, own, total(nets[user] for user in wanted)):
            raise SettlementError("house_short", f"{house!r} has too little {asset} to advance what is held back")
        rolled += [(user, asset) for user in sorted(wanted)]
        advances += _advanced(run, at_ns, Flow(house, asset, total(nets[user] for user in wanted)))
    for taken in advances[::2]:
        accounts.setdefault((house, taken.asset), []).append(taken)
    return Netting(_nets(accounts, frozenset(rolled)), tuple(advances), tuple(rolled))


def report(netting: Netting, cut_off_ns: int, attempt: int = 1) -> Report:
    """Return the report of a calculation.

    Raises:
        SettlementError: `nothing_to_settle`.

    """
    if not netting.nets:
        raise SettlementError("nothing_to_settle", "all nets are zero or roll on")
    legs = tuple(
        Leg(f"{attempt}-{index}", each.user, each.asset, amount_text(each.amount), each.digest)
        for index, each in enumerate(netting.nets, 1)
    )
    return Report(cut_off_ns, legs, attempt)


def flows(legs: Iterable[Leg]) -> tuple[Flow, ...]:
    """Return what the legs of a report move.

    Raises:
        SettlementError: `bad_amount`: a net is not one.

    """
    try:
        return tuple(Flow(leg.user, leg.asset, signed(leg.net)) for leg in legs)
    except BadValue as e:
        raise SettlementError(e.code, str(e)) from None


def _opposites(
    users: Mapping[str, Mapping[str, Decimal]],
    places: Mapping[frozenset[tuple[str, Decimal]], Sequence[str]],
    refused: Iterable[str],
) -> set[str]:
    found: set[str] = set()
    for user in refused:
        mirror = frozenset((asset, amount.copy_negate()) for asset, amount in users[user].items())
        found.update([other for other in places.get(mirror, ()) if other not in found][:1])
    return found


def _accounts(changes: Iterable[Change]) -> dict[tuple[str, str], list[Change]]:
    accounts: dict[tuple[str, str], list[Change]] = {}
    seen: set[str] = set()
    for change in changes:
        if change.ref in seen:
            raise SettlementError("duplicate_change", f"the change {change.ref!r} is there twice")
        seen.add(change.ref)
        accounts.setdefault((change.user, change.asset), []).append(change)
    if left := imbalance(change for held in accounts.values() for change in held):
        what = ", ".join(f"{amount:f} {asset}" for asset, amount in sorted(left.items()))
        raise SettlementError("unbalanced", f"the changes do not sum to zero: {what}")
    return accounts


def _affords(limit: Decimal, own: Decimal, rolled: Decimal) -> bool:
    """Whether the house can settle `own + rolled` in this cycle and the opposite of `rolled` in a later one.

    What it buys in this one lies in custody afterwards: it is no credit that a later sale could be paid from.
    """
    left = EXACT.add(limit, min(ZERO, EXACT.add(own, rolled)))
    return left >= 0 and EXACT.subtract(left, rolled) >= 0


def _advanced(run: str, at_ns: int, flow: Flow) -> tuple[Change, ...]:
    if not flow.net:
        return ()
    return (
        Change(f"advance:{run}:{flow.asset}", flow.user, flow.asset, flow.net, at_ns),
        Change(f"return:{run}:{flow.asset}", flow.user, flow.asset, flow.net.copy_negate(), at_ns),
    )


def _nets(accounts: Mapping[tuple[str, str], list[Change]], rolled: Collection[tuple[str, str]]) -> tuple[Net, ...]:
    nets: list[Net] = []
    for user, asset in sorted(accounts, key=lambda place: (place[1], place[0])):
        held = accounts[user, asset]
        amount = bounded(total(change.amount for change in held))
        if amount and (user, asset) not in rolled:
            refs = tuple(sorted(change.ref for change in held))
            nets.append(Net(user, asset, amount, changes_digest(held), refs))
    return tuple(nets)
