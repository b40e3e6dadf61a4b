"""What is frozen: an account, an asset, a party or the whole link; what comes in, what goes out, or both.

A freeze says who, why and until when. It never stops anybody from reading, from taking an answer in, or from asking
for a request back: what is in flight must land.

Around a cut-off, credit does not change: `cut_off` freezes delegation alone, with a reason code of its own, so that no
decrease is on its way while the exchange calculates.
"""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.settlement import name

Level = Literal["link", "party", "asset", "account"]
"""All; one user in every asset; one asset of every user; one user in one asset."""
Direction = Literal["inbound", "outbound", "all"]
Action = Literal[
    "deposit", "pledge", "increase", "buy", "withdraw", "decrease", "sell", "read", "receipt", "cancel"
]  # fmt: skip

DIRECTIONS: Final[dict[Action, Direction | None]] = {
    "deposit": "inbound",
    "pledge": "inbound",
    "increase": "inbound",
    "buy": "inbound",
    "withdraw": "outbound",
    "decrease": "outbound",
    "sell": "outbound",
    "read": None,
    "receipt": None,
    "cancel": None,
}
"""Which way an action goes: inbound puts coins within the link's reach, outbound takes them out of it. None is free."""
DELEGATION: Final[frozenset[Action]] = frozenset(("pledge", "increase", "decrease"))
"""What changes what an exchange may count on."""
CUT_OFF: Final = "cut_off"
"""The code of the freeze around a cut-off."""


class Freeze(msgspec.Struct, frozen=True):
    """One order to freeze.

    Args:
        level: how much of the link.
        direction: which way.
        code: why, as a code: what a refused request is told.
        who: the officer or the service that ordered it.
        why: the reason in words.
        since_ns: from when on.
        until_ns: the first instant at which it no longer holds; 0 until it is lifted.
        user: at the levels party and account.
        asset: at the levels asset and account.
        delegation: whether it stops changes of credit alone.

    """

    level: Level
    direction: Direction
    code: str
    who: str
    why: str
    since_ns: int
    until_ns: int = 0
    user: str = ""
    asset: str = ""
    delegation: bool = False

    @property
    def place(self) -> str:
        """What tells it from others: a later freeze of the same place and code replaces it."""
        return f"{self.level}:{_part(self.user)}:{_part(self.asset)}:{self.code}"


class Freezes(msgspec.Struct, frozen=True):
    """All that is frozen on a link."""

    orders: tuple[Freeze, ...] = ()


def frozen(freezes: Iterable[Freeze], order: Freeze) -> tuple[Freeze, ...]:
    """Return the freezes with one more, in the place of an earlier one of the same place and code.

    Raises:
        BadValue: `bad_name`: who, code, user or asset.
        SettlementError: `bad_freeze`: the level has no such name, or it ends before it begins.

    """
    name(order.who, "person or service")
    name(order.code, "code")
    for needed, text, what in (
        (order.level in ("party", "account"), order.user, "user"),
        (order.level in ("asset", "account"), order.asset, "asset"),
    ):
        if needed:
            name(text, what)
        elif text:
            raise SettlementError("bad_freeze", f"a freeze of the level {order.level} names no {what}")
    if order.until_ns and order.until_ns <= order.since_ns:
        raise SettlementError("bad_freeze", "it ends before it begins")
    return (*(each for each in freezes if each.place != order.place), order)


def lifted(freezes: Iterable[Freeze], place: str) -> tuple[Freeze, ...]:
    """Return the freezes without one.

    Raises:
        SettlementError: `not_frozen`: there is none of that place.

    """
    before = tuple(freezes)
    after = tuple(each for each in before if each.place != place)
    if len(after) == len(before):
        raise SettlementError("not_frozen", f"nothing is frozen as {place!r}")
    return after


def cut_off(cycle_id: str, who: str, since_ns: int, until_ns: int) -> Freeze:
    """Return the freeze of a cycle: credit does not change from shortly before its cut-off until its report is here.

    Args:
        cycle_id: which cycle.
        who: the service.
        since_ns: earlier than the cut-off by what an answer takes.
        until_ns: when at the latest it ends, should no report come.

    """
    why = f"the cut-off of {cycle_id}"
    return Freeze("link", "all", CUT_OFF, who, why, since_ns, until_ns, delegation=True)


def blocking(freezes: Iterable[Freeze], action: Action, user: str, asset: str, now_ns: int) -> Freeze | None:
    """Return the first freeze that forbids an action; None if it is free."""
    way = DIRECTIONS[action]
    if way is None:
        return None
    for freeze in freezes:
        if (
            freeze.since_ns <= now_ns
            and (freeze.until_ns == 0 or now_ns < freeze.until_ns)
            and freeze.direction in (way, "all")
            and (action in DELEGATION or not freeze.delegation)
            and (freeze.level in ("link", "asset") or freeze.user == user)
            and (freeze.level in ("link", "party") or freeze.asset == asset)
        ):
            return freeze
    return None


def allow(freezes: Iterable[Freeze], action: Action, user: str, asset: str, now_ns: int) -> None:
    """Let an action pass.

    Raises:
        SettlementError: with the freeze's own code: it is frozen.

    """
    if freeze := blocking(freezes, action, user, asset, now_ns):
        raise SettlementError(freeze.code, f"{action} of {user!r} in {asset!r} is frozen by {freeze.who}: {freeze.why}")


def _part(text: str) -> str:
    return text.replace("%", "%25").replace(":", "%3A")
