"""Where a user's coins of one asset lie: lots, each on one address, unlocked first in, first out.

::

    pending ──▶ unlocked ⇄ locked          a pending lot has not arrived: it is in no sum of the ledger's
       └──────────────────────▲

Locked and unlocked lots together are what the ledger says lies in the vault. A lot that is only partly needed is split:
the part that moves becomes a lot of its own. Its id is that of the first lot it comes from and a digest of whose how
manieth part it is, so no clock has to tell two parts apart, and parts of parts have no longer ids. Every function takes
all lots of one user and one asset.
"""

import hashlib
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final, Literal

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.settlement import name
from heliograph.settlement.ledger import EXACT, Position, bounded, total

Status = Literal["locked", "unlocked", "pending"]
SPLIT: Final = "-split-"
"""What follows a lot's id in the ids of its parts; no lot that is added may hold it."""
STEM_MAX: Final = 96
"""Characters of an id that are the user's and the asset's own; longer names go by their digest."""

TRANSITIONS: Final[frozenset[tuple[Status, Status]]] = frozenset(
    (("pending", "unlocked"), ("pending", "locked"), ("unlocked", "locked"), ("locked", "unlocked"))
)
"""Whatever a lot can become; it ends by being taken out."""


class Lot(msgspec.Struct, frozen=True):
    """Some coins of one user.

    Args:
        id: unique for ever.
        user: whose.
        asset: of which asset.
        amount: how much, positive.
        chain: on which chain.
        address: on which address there.
        status: where they are.
        at_ns: when they came, which is the order in which they go.
        pledge: the pledge that they were locked for; empty if none.
        changed_ns: when the status last changed; 0 if never.
        splits: how many parts were split off, ever.

    """

    id: str
    user: str
    asset: str
    amount: Decimal
    chain: str
    address: str
    status: Status
    at_ns: int
    pledge: str = ""
    changed_ns: int = 0
    splits: int = 0


class Moved(msgspec.Struct, frozen=True):
    """What a step does.

    Args:
        lots: all of the user's lots of the asset after it.
        parts: the lots that moved, as they are after it, or as they were if they were taken out.
        written: which lots to write.
        removed: the ids of those that are no more.

    """

    lots: tuple[Lot, ...]
    parts: tuple[Lot, ...]
    written: tuple[Lot, ...]
    removed: tuple[str, ...] = ()


def fresh_id(lots: Iterable[Lot], user: str, asset: str, at_ns: int) -> str:
    """Return an id for a lot of this user and asset, however many come in a nanosecond.

    Args:
        lots: all of the user's lots of the asset.
        user: whose.
        asset: of which asset.
        at_ns: not before any lot that was taken out came.

    """
    stem = f"vault-{at_ns}-{_part(user)}-{_part(asset)}"
    if len(stem) > STEM_MAX:
        stem = f"vault-{at_ns}-{_short(stem)}"
    taken = {lot.id for lot in lots}
    number = 1
    while (found := stem if number == 1 else f"{stem}-{number}") in taken:
        number += 1
    return found


def added(lots: tuple[Lot, ...], lot: Lot) -> tuple[Lot, ...]:
    """Return the lots with one more.

    Raises:
        BadValue: `bad_name`.
        SettlementError: `exists`: another lot has its id; `bad_id`: it is named like a part; `wrong_owner`: the others
            are of another user or asset; `bad_amount`; `too_large`: all together.

    """
    name(lot.id, "lot")
    if SPLIT in lot.id:
        raise SettlementError("bad_id", f"{lot.id!r} is named like a part of another lot")
    if any(other.id == lot.id for other in lots):
        raise SettlementError("exists", f"there is a lot {lot.id!r}")
    if any((other.user, other.asset) != (lot.user, lot.asset) for other in lots):
        raise SettlementError("wrong_owner", f"{lot.id!r} is of another user or asset than the other lots")
    _positive(lot.amount)
    after = (*lots, lot)
    bounded(total(each.amount for each in after))
    return after


def turned(lots: tuple[Lot, ...], lot_id: str, status: Status, now_ns: int) -> Moved:
    """Change the status of one whole lot.

    Raises:
        SettlementError: `unknown_lot`; `<status>`: what it is cannot become this.

    """
    for lot in lots:
        if lot.id == lot_id:
            if (lot.status, status) not in TRANSITIONS:
                raise SettlementError(lot.status, f"lot {lot_id!r} is {lot.status} and cannot become {status}")
            after = msgspec.structs.replace(lot, status=status, changed_ns=now_ns)
            return Moved(tuple(after if each is lot else each for each in lots), (after,), (after,))
    raise SettlementError("unknown_lot", f"there is no lot {lot_id!r}")


def unlocked(lots: tuple[Lot, ...], amount: Decimal, now_ns: int, credit: Decimal | None = None) -> Moved:
    """Unlock an amount, the oldest lots first, the last of them split if need be.

    Args:
        lots: all of the user's lots of the asset.
        amount: how much.
        now_ns: when.
        credit: the credit inventory, if it is to be checked: no more than that is unlocked.

    Raises:
        SettlementError: `bad_amount`, `nothing_locked`, `insufficient_locked`, `insufficient_credit`.

    """
    _positive(amount)
    has = held(lots, "locked")
    if not has:
        raise SettlementError("nothing_locked", "no lot is locked")
    if has < amount:
        raise SettlementError("insufficient_locked", f"{has:f} is locked, less than {amount:f}")
    if credit is not None and (not credit.is_finite() or credit < amount):
        raise SettlementError("insufficient_credit", f"the credit inventory is {credit}, less than {amount:f}")
    return _moved(lots, "locked", amount, lambda lot: _turned(lot, "unlocked", now_ns, ""))


def locked(lots: tuple[Lot, ...], amount: Decimal, now_ns: int, pledge: str = "") -> Moved:
    """Lock an amount for a pledge, the oldest lots first, the last of them split if need be.

    Raises:
        SettlementError: `bad_amount`, `insufficient_unlocked`.

    """
    _positive(amount)
    if (has := held(lots, "unlocked")) < amount:
        raise SettlementError("insufficient_unlocked", f"{has:f} is unlocked, less than {amount:f}")
    return _moved(lots, "unlocked", amount, lambda lot: _turned(lot, "locked", now_ns, pledge))


def taken(lots: tuple[Lot, ...], amount: Decimal, status: Literal["locked", "unlocked"]) -> Moved:
    """Take an amount out: unlocked lots are paid out, locked ones are what a seller gives to the buyers.

    Raises:
        SettlementError: `bad_amount`, `insufficient_locked`, `insufficient_unlocked`.

    """
    _positive(amount)
    if (has := held(lots, status)) < amount:
        raise SettlementError(f"insufficient_{status}", f"{has:f} is {status}, less than {amount:f}")
    return _moved(lots, status, amount, lambda _: None)


def held(lots: Iterable[Lot], *statuses: Status) -> Decimal:
    """Return how much lies in lots of these statuses; of all if none is named."""
    return total(lot.amount for lot in lots if lot.status in statuses or not statuses)


def missing(lots: Iterable[Lot], position: Position) -> Decimal:
    """Return what the ledger has in the vault and no lot holds; below zero if lots hold more than the ledger."""
    return EXACT.subtract(position.vault, held(lots, "locked", "unlocked"))


def _turned(lot: Lot, status: Status, now_ns: int, pledge: str) -> Lot:
    return msgspec.structs.replace(lot, status=status, changed_ns=now_ns, pledge=pledge)


def _moved(lots: tuple[Lot, ...], status: Status, amount: Decimal, become: Callable[[Lot], Lot | None]) -> Moved:
    """Let the oldest lots of a status, up to an amount that they hold, become something else, or nothing."""
    left = amount
    changed: dict[str, Lot | None] = {}
    parts: list[Lot] = []
    # Of the same instant the first added goes first: sorted is stable.
    for lot in sorted((lot for lot in lots if lot.status == status), key=lambda lot: lot.at_ns):
        if left <= 0:
            break
        part = lot
        if lot.amount > left:
            number = lot.splits + 1
            part = msgspec.structs.replace(lot, id=_part_id(lot, number), amount=left, splits=0)
            rest = EXACT.subtract(lot.amount, left)
            changed[lot.id] = msgspec.structs.replace(lot, amount=rest, splits=number)
        left = EXACT.subtract(left, part.amount)
        after = become(part)
        changed[part.id] = after
        parts.append(after or part)
    kept = [changed.get(lot.id, lot) for lot in lots]
    known = {lot.id for lot in lots}
    kept += [lot for lot_id, lot in changed.items() if lot_id not in known]
    return Moved(
        lots=tuple(lot for lot in kept if lot is not None),
        parts=tuple(parts),
        written=tuple(lot for lot in changed.values() if lot is not None),
        removed=tuple(lot_id for lot_id, lot in changed.items() if lot is None and lot_id in known),
    )


def _positive(amount: Decimal) -> None:
    if not amount.is_finite() or amount <= 0:
        raise SettlementError("bad_amount", f"an amount is positive, not {amount}")
    bounded(amount)


def _part_id(lot: Lot, number: int) -> str:
    return f"{lot.id.partition(SPLIT)[0]}{SPLIT}{_short(f'{lot.id} {number}')}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _part(text: str) -> str:
    return text.replace("%", "%25").replace("-", "%2D")
