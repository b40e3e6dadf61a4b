"""A claim of the conformance kit: it holds, or the check that makes it ends with words that say where and how."""

from heliograph.errors import Nonconforming
from heliograph.venues.contract import Market

SHOWN_MAX = 400
"""How much of what was found is repeated, in characters."""


def require(held: object, where: Market | str, claim: str, found: object = "") -> None:
    """Go on if the claim held.

    Not `assert`, which `python -O` leaves out: a kit that checks nothing must not look like one that found nothing.

    Args:
        held: whether it did.
        where: the market, or the venue's name.
        claim: what should be true, as a sentence about the venue.
        found: what was found instead.

    Raises:
        Nonconforming: it did not hold.

    """
    if not held:
        place = f"{where.venue} {where.market}" if isinstance(where, Market) else where
        raise Nonconforming(place, claim, str(found)[:SHOWN_MAX])
