"""The lots of a vault on the custodian's primary: added, locked and unlocked in one step with the ledger.

A lot gives coins a place. Coins that the ledger has and no lot holds are the first to be given one; what a lot holds
beyond them has arrived with it, and is booked in the same step. So it does not matter which was told first.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

import msgspec

from heliograph.bus import link_keys
from heliograph.settlement import vault
from heliograph.settlement.batch import Batch
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.desk import Needs
from heliograph.settlement.ledger import Transfer
from heliograph.settlement.records import Cause
from heliograph.settlement.vault import Lot, Moved, Status

T = TypeVar("T")


class Cellar(msgspec.Struct, frozen=True):
    """All lots of one user in one asset."""

    lots: tuple[Lot, ...] = ()


async def add(custodian: Custodian, lot: Lot) -> Lot:
    """Add a lot; the same one again is the one that there is.

    Args:
        custodian: whose vault.
        lot: with an empty id to be given one.

    Raises:
        BadValue: `bad_name`.
        SettlementError: as `vault.added` says; `exists`: another lot has its id.

    """

    def step(batch: Batch, lots: tuple[Lot, ...]) -> tuple[tuple[Lot, ...], Lot]:
        named = lot if lot.id else _named(lot, lots, batch.now_ns)
        for found in lots:
            if found.id == named.id and (found.amount, found.chain, found.address) == (
                lot.amount,
                lot.chain,
                lot.address,
            ):
                return lots, found
        after = vault.added(lots, named)
        arrived = -vault.missing(after, batch.position(lot.user, lot.asset))
        if arrived > 0:
            _arrive(batch, named, arrived)
        return after, named

    return await _changed(custodian, lot.user, lot.asset, "lot", step)


async def turn(custodian: Custodian, lot: Lot, status: Status) -> Lot:
    """Lock or unlock one lot as a whole, whatever the policy says.

    Raises:
        SettlementError: as `vault.turned` says.

    """

    def step(batch: Batch, lots: tuple[Lot, ...]) -> tuple[tuple[Lot, ...], Lot]:
        found = next((each for each in lots if each.id == lot.id), None)
        if found is not None and found.status == status:
            return lots, found
        moved = vault.turned(lots, lot.id, status, batch.now_ns)
        after, turned = moved.lots, moved.parts[0]
        arrived = -vault.missing(after, batch.position(lot.user, lot.asset))
        if arrived > 0:
            _arrive(batch, turned, arrived)
        return after, turned

    return await _changed(custodian, lot.user, lot.asset, "lot", step)


async def unlock(
    custodian: Custodian, user: str, asset: str, amount: Decimal, credit: Decimal | None = None
) -> tuple[Lot, ...]:
    """Unlock an amount, the oldest lots first, and return what moved.

    Raises:
        SettlementError: as `vault.unlocked` says.

    """

    def step(batch: Batch, lots: tuple[Lot, ...]) -> tuple[tuple[Lot, ...], tuple[Lot, ...]]:
        moved: Moved = vault.unlocked(lots, amount, batch.now_ns, credit)
        return moved.lots, moved.parts

    return await _changed(custodian, user, asset, "unlock", step)


async def look(custodian: Custodian, user: str, asset: str) -> tuple[Lot, ...]:
    """Return all lots of one user in one asset."""
    key = link_keys.lots(custodian.link, user, asset)
    return await custodian.do(
        lambda batch: (batch.record_at(Cellar, key) or Cellar()).lots, Needs(records={key: Cellar})
    )


async def _changed(
    custodian: Custodian,
    user: str,
    asset: str,
    cause: str,
    change: Callable[[Batch, tuple[Lot, ...]], tuple[tuple[Lot, ...], T]],
) -> T:
    key = link_keys.lots(custodian.link, user, asset)

    def step(batch: Batch) -> T:
        before = batch.record_at(Cellar, key) or Cellar()
        after, result = change(batch, before.lots)
        if after != before.lots:
            batch.post(Cause(cause, f"{user}/{asset}"[:128]), (), {key: Cellar(after)})
        return result

    return await custodian.do(step, Needs(positions=((user, asset),), assets=(asset,), records={key: Cellar}))


def _arrive(batch: Batch, lot: Lot, amount: Decimal) -> None:
    batch.post(Cause("deposit", lot.id), [Transfer(lot.asset, amount, "outside", "", "available", lot.user)])


def _named(lot: Lot, lots: tuple[Lot, ...], now_ns: int) -> Lot:
    return msgspec.structs.replace(lot, id=vault.fresh_id(lots, lot.user, lot.asset, now_ns))
