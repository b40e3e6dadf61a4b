"""What an answer of a venue's REST interface amounts to, beyond its content: a no, a wait, or what is left of a budget.

Pure: the shell does the waiting.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.connect.backoff import retry_after_s
from heliograph.errors import VenueRejected, VenueUnreachable
from heliograph.venues.contract import Limits, Market, Refusal

COUNT_DIGITS_MAX: Final = 18
SHARE_FIRST: Final = 8
"""A venue that does not say how long to stay away is left alone for this part of its window first."""
FIRST_S_MIN: Final = 1.0
"""But for a second at least, or for all of a window that is shorter."""
WINDOWS_MAX: Final = 8
"""And, if it goes on refusing, for so many windows at most."""
RESET_S_MAX: Final = 60.0
"""A window that is said to end later than this ends in somebody's clock, not in the venue's rules."""


class Told(msgspec.Struct, frozen=True):
    """What an answer's headers say of a budget; None where they say nothing."""

    used: int | None
    """Weight that the venue has counted in the present window."""
    left: int | None
    """Requests that are left of what was asked."""
    limit: int | None
    """Out of how many."""
    reset_s: float | None
    """How long until there are more, in seconds."""


def read_headers(limits: Limits, headers: Mapping[str, str], now_ns: int) -> Told:
    """Read what a venue's answer says of its budgets; what is not a number says nothing.

    Args:
        limits: which headers those are.
        headers: the answer's.
        now_ns: the time of day, for a venue that names an instant.

    """
    names = limits.headers
    reset = _count(headers, names.reset)
    reset_s = None
    if reset is not None:
        reset_s = min(max(0.0, reset * names.reset_unit_s - now_ns / NS_PER_S), RESET_S_MAX)
    return Told(
        _count(headers, limits.weight_header), _count(headers, names.left), _count(headers, names.limit), reset_s
    )


def too_often(limits: Limits, status: int | None, code: str | None, reason: str) -> Refusal | None:
    """Return the declared refusal that an answer is, if it is one for having been asked too often."""
    words = reason.lower()
    for refusal in limits.refusals:
        if refusal.status in (None, status) and refusal.code in (None, code) and refusal.words in words:
            return refusal
    return None


def unsaid_wait_s(window_s: float, in_a_row: int) -> float:
    """Return how long to stay away from a venue that refuses and does not say for how long, in seconds.

    What it has counted leaves its window bit by bit, so that there is room long before a whole window has passed. Each
    refusal in a row doubles the wait: four of them cost as much as one window, and who is refused for another reason
    than a spent budget asks ever less often.

    Args:
        window_s: how long a spent budget takes to be full again, in seconds.
        in_a_row: refusals, this one included.

    """
    first_s = max(window_s / SHARE_FIRST, min(window_s, FIRST_S_MIN))
    return min(first_s * 2.0 ** (min(max(in_a_row, 1), 16) - 1), window_s * WINDOWS_MAX)


def judge(
    market: Market,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    unsaid_s: float,
    reset_s: float | None,
) -> VenueRejected | VenueUnreachable | None:
    """Return what an answer is other than what was asked for; None: it is that.

    A rejection is the venue's clear no. Everything else may go well the next time: of the kind `limited` where we asked
    too often, which always says for how long to stay away.

    Args:
        market: who answered.
        status: HTTP's.
        headers: the answer's.
        body: the answer's.
        unsaid_s: how long to stay away where neither it nor its documentation says, in seconds.
        reset_s: how long a spent budget takes to be full again by the answer itself, if it says so.

    """
    success = 200 <= status < 300
    if success and market.success_code is None:
        return None
    error = market.parse_error(status, body)
    if success and error.code in (market.success_code, str(status)):  # The status for what is no envelope.
        return None
    refusal = too_often(market.limits, status, error.code, error.reason)
    wait_s = retry_after_s(headers.get("Retry-After"))
    what = f"status {status}" if error.code == str(status) else f"status {status}, code {error.code}"
    if refusal is not None:
        waits_s = (wait_s, refusal.wait_s, reset_s, unsaid_s)
        first_s = next(said_s for said_s in waits_s if said_s)
        return VenueUnreachable(market.venue, f"asked too often: {what}", first_s, kind="limited", status=status)
    if error.code not in market.limits.passing_codes and (success or 400 <= status < 500):
        return VenueRejected(market.venue, error.code, error.reason)
    return VenueUnreachable(market.venue, what, wait_s, kind="http_status", status=status)


def _count(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "") if name else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= COUNT_DIGITS_MAX else None
