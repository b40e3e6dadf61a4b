"""Coins that enter or leave custody, and the list of what is begun and not ended.

A deposit is one step. A withdrawal has two: `leaving`, from which the coins can go nowhere else, and, once every
sibling of the primary knows, `paid`. Whoever moves the coins outside does so between the two, under the withdrawal's
reference: once or many times asked, once done.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from heliograph.errors import SettlementError
from heliograph.settlement.ledger import Transfer, within

Kind = Literal["deposit", "withdrawal"]
State = Literal["done", "leaving", "paid"]


class Passage(msgspec.Struct, frozen=True):
    """One deposit or withdrawal.

    Args:
        reference: chosen by whoever asks; the same reference is the same passage, for ever.
        kind: in or out.
        user: whose coins.
        asset: which.
        amount: how much, positive.
        chain: where they lie or go.
        address: the same.
        state: how far it is; a deposit is `done` at once.
        journal: the journal entry that every sibling must have before the coins may leave.

    """

    reference: str
    kind: Kind
    user: str
    asset: str
    amount: Decimal
    chain: str
    address: str
    state: State
    journal: int = 0


class Docket(msgspec.Struct, frozen=True):
    """What is begun and not ended.

    Args:
        cycles: settlement cycles whose outcome is open, the oldest first.
        leaving: withdrawals that are not paid, the oldest first.

    """

    cycles: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()


def same(found: Passage, asked: Passage) -> Passage:
    """Return the passage that exists, if it is the one that is asked for.

    Raises:
        SettlementError: `conflict`: the reference is another's.

    """
    content = ("reference", "kind", "user", "asset", "amount", "chain", "address")
    if any(getattr(found, field) != getattr(asked, field) for field in content):
        raise SettlementError("conflict", f"{found.kind} {found.reference} exists with other content")
    return found


def entering(passage: Passage) -> Transfer:
    """Return what a deposit moves."""
    return Transfer(passage.asset, passage.amount, "outside", "", "available", passage.user)


def leaving(passage: Passage) -> Transfer:
    """Return what the first step of a withdrawal moves."""
    return within(passage.user, passage.asset, passage.amount, "available", "leaving")


def left(passage: Passage) -> Transfer:
    """Return what the second step of a withdrawal moves."""
    return Transfer(passage.asset, passage.amount, "leaving", passage.user, "outside", "")


def added(docket: Docket, *, cycle: str = "", withdrawal: str = "") -> Docket:
    """Return the docket with something begun."""
    cycles = docket.cycles if not cycle or cycle in docket.cycles else (*docket.cycles, cycle)
    return Docket(cycles, (*docket.leaving, withdrawal) if withdrawal else docket.leaving)


def ended(docket: Docket, *, cycle: str = "", withdrawal: str = "") -> Docket:
    """Return the docket without what has ended."""
    return Docket(
        tuple(name for name in docket.cycles if name != cycle),
        tuple(name for name in docket.leaving if name != withdrawal),
    )
