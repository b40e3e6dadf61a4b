"""Every error that Heliograph raises, as one small tree.

::

    HeliographError
    ├── ConfigError        a setting, argument or name is wrong: mend it and start again
    ├── BusError           Valkey refused, is away, or answered what it should not
    ├── DecodeError        bytes are not what their source documents
    ├── VenueUnreachable   the venue did not answer: try again later
    ├── VenueRejected      the venue answered no: trying again will not help
    ├── OutcomeUnknown     bytes left and no clear answer came: reconcile before anything else
    ├── SettlementError    a settlement rule was broken
    │   └── BadValue       a name or an amount that is none
    └── Nonconforming      a venue's codec is not what the conformance kit asks of it

Errors hold facts as attributes and build their message from them.
"""

from typing import Literal

UnreachableKind = Literal["refused", "timeout", "tls", "http_status", "limited", "protocol"]
"""Why a venue could not be reached, as a closed set that metrics can use for a label.

`refused` is no connection at all (no such host, refused, reset), `http_status` an answer that is not a success,
`limited` one that says that we asked too often, and `protocol` an end or an answer that HTTP or WebSocket do not allow.
"""


class HeliographError(Exception):
    """The root of the tree: catch it to catch all that Heliograph raises on purpose."""


class ConfigError(HeliographError):
    """A setting, argument or name that cannot be used.

    Args:
        what: what was wrong, in the user's words.
        accepted: what would have been right, in the order to show it.

    """

    def __init__(self, what: str, accepted: tuple[str, ...] = ()) -> None:
        self.what = what
        self.accepted = accepted
        super().__init__(f"{what}; accepted: {', '.join(accepted)}" if accepted else what)


class BusError(HeliographError):
    """Valkey is away, refused a command, or answered what it should not.

    Args:
        what: which server, what happened, and what to do about it.
        code: the server's own code, such as `NOAUTH`, where it gave one.

    """

    def __init__(self, what: str, code: str | None = None) -> None:
        self.code = code
        super().__init__(what)


class DecodeError(HeliographError):
    """Bytes that are not what their source documents."""


class VenueUnreachable(HeliographError):
    """The venue gave no answer, or one that asks to come back later.

    Args:
        venue: the venue's name.
        reason: what happened.
        retry_after_s: how long the venue asked to be left alone, in seconds, if it said so.
        kind: what sort of failure it was.
        status: HTTP's, where there was an answer.

    """

    def __init__(
        self,
        venue: str,
        reason: str,
        retry_after_s: float | None = None,
        *,
        kind: UnreachableKind = "protocol",
        status: int | None = None,
    ) -> None:
        self.venue = venue
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.kind = kind
        self.status = status
        wait = "" if retry_after_s is None else f", asks for {retry_after_s:g} s of silence"
        super().__init__(f"{venue} did not answer: {reason}{wait}")


class VenueRejected(HeliographError):
    """The venue's clear no.

    Args:
        venue: the venue's name.
        code: the venue's own code, as text.
        reason: the venue's own words.

    """

    def __init__(self, venue: str, code: str, reason: str) -> None:
        self.venue = venue
        self.code = code
        self.reason = reason
        super().__init__(f"{venue} refused: {reason} (code {code})")


class OutcomeUnknown(HeliographError):
    """Bytes may have arrived and no clear answer came back."""


class SettlementError(HeliographError):
    """A settlement rule was broken; `code` says which."""

    def __init__(self, code: str, what: str) -> None:
        self.code = code
        super().__init__(f"{what} ({code})")


class BadValue(SettlementError, ValueError):
    """A value that settlement does not take: a name that is none, an amount that is none; `code` says which."""


class Nonconforming(HeliographError, AssertionError):
    """A venue does not hold what every venue promises; a failed assertion to whatever runs the check.

    Args:
        place: the venue, and the market where it is one market's fault.
        claim: what should be true.
        found: what was found instead.

    """

    def __init__(self, place: str, claim: str, found: str = "") -> None:
        self.place = place
        self.claim = claim
        self.found = found
        super().__init__(f"{place}: {claim}; found: {found}" if found else f"{place}: {claim}")
