"""A pledge: coins that a user offers as collateral, and the exchange's answer to the offer.

::

    pending ──▶ submitted ──▶ approved | rejected
       └──▶ failed                                    it never left the custodian

A pledge moves no balance. What is approved or rejected stays so. A submitted pledge does not fail: only the exchange's
answer ends it, since it may be on its way.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.settlement import BadValue, name, positive

State = Literal["pending", "submitted", "approved", "rejected", "failed"]
Event = Literal["submit", "approve", "reject", "fail"]
TEXT_MAX: Final = 512
"""Characters of a chain's name or an address."""

TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    ("pending", "submit"): "submitted",
    ("pending", "fail"): "failed",
    ("submitted", "approve"): "approved",
    ("submitted", "reject"): "rejected",
}
"""All that can happen to a pledge. `approved`, `rejected` and `failed` have no way out."""


class Pledge(msgspec.Struct, frozen=True):
    """One pledge, as the custodian keeps it for ever.

    Args:
        id: the request's; the same id is the same pledge.
        custodian: who holds the coins.
        user: whose.
        asset: of which asset.
        amount: how much, positive.
        chain: on which chain.
        address: on which address there.
        at_ns: when it was made.
        state: where it is.
        answered_ns: when the exchange answered; 0 while it has not.
        vault_id: where the exchange keeps it; empty unless it is approved.
        code: why it was rejected or failed.
        reason: the same in words.
        version: 1, and one more at each change.

    """

    id: str
    custodian: str
    user: str
    asset: str
    amount: Decimal
    chain: str
    address: str
    at_ns: int
    state: State = "pending"
    answered_ns: int = 0
    vault_id: str = ""
    code: str = ""
    reason: str = ""
    version: int = 1


def pledged(
    pledge_id: str, custodian: str, user: str, asset: str, amount: str, chain: str, address: str, at_ns: int
) -> Pledge:
    """Return a pledge that has not left the custodian.

    Raises:
        BadValue: `bad_name`, `bad_amount`.

    """
    return Pledge(
        id=name(pledge_id, "pledge"),
        custodian=name(custodian, "custodian"),
        user=name(user, "user"),
        asset=name(asset, "asset"),
        amount=positive(amount),
        chain=_text(chain, "chain"),
        address=_text(address, "address"),
        at_ns=at_ns,
    )


def submitted(pledge: Pledge) -> Pledge:
    """Return the pledge after it was recorded for sending.

    Raises:
        SettlementError: `final`, `submitted`.

    """
    return _after(pledge, "submit")


def failed(pledge: Pledge, code: str, reason: str) -> Pledge:
    """Return a pledge that could not be sent.

    Raises:
        SettlementError: `final`, `submitted`: it may be on its way.

    """
    return _after(pledge, "fail", code=code, reason=reason)


def approved(pledge: Pledge, vault_id: str, answered_ns: int) -> Pledge:
    """Return the pledge after the exchange took it.

    Raises:
        BadValue: `bad_name`: the vault has no name.
        SettlementError: `final`, `pending`.

    """
    return _after(pledge, "approve", vault_id=name(vault_id, "vault"), answered_ns=answered_ns)


def rejected(pledge: Pledge, code: str, reason: str, answered_ns: int) -> Pledge:
    """Return the pledge after the exchange refused it.

    Raises:
        SettlementError: `final`, `pending`.

    """
    return _after(pledge, "reject", code=code, reason=reason, answered_ns=answered_ns)


def matched(pledge: Pledge, user: str, asset: str, amount: Decimal) -> Pledge:
    """Return the pledge if an answer that names these is its own: an id alone proves nothing.

    Raises:
        SettlementError: `mismatch`.

    """
    if (pledge.user, pledge.asset, pledge.amount) != (user, asset, amount):
        raise SettlementError("mismatch", f"the answer to {pledge.id} is about {amount} {asset} of {user!r}")
    return pledge


def _text(text: str, what: str) -> str:
    """Chains have spaces in their names, and addresses may be longer than a name."""
    if not 0 < len(text) <= TEXT_MAX or not text.isprintable():
        raise BadValue("bad_name", f"not a {what}: {text[:60]!r}")
    return text


def _after(pledge: Pledge, event: Event, **fields: object) -> Pledge:
    state = TRANSITIONS.get((pledge.state, event))
    if state is None:
        code = pledge.state if pledge.state in ("pending", "submitted") else "final"
        raise SettlementError(code, f"pledge {pledge.id} is {pledge.state}: it cannot {event}")
    return msgspec.structs.replace(pledge, state=state, version=pledge.version + 1, **fields)
