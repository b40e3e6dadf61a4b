"""What a custodian and an exchange say to one another, and the envelope that it travels in.

Two numbered one-way sequences: *requests* from the custodian to the exchange, *answers* from the exchange to the
custodian. Amounts are decimal text on the wire, fixed point, positive, at most 38 digits.
"""

import re
from decimal import Decimal
from typing import Final, Literal

import msgspec

from heliograph.errors import BadValue as BadValue
from heliograph.model.numbers import fixed, parse

Stream = Literal["request", "answer"]
"""`request` flows from the custodian to the exchange, `answer` the other way."""
OrderKind = Literal["increase", "decrease", "pledge"]
"""A pledge asks the exchange to accept coins as collateral and moves no balance; an increase asks for credit."""
Verdict = Literal["accepted", "rejected"]

ENVELOPE_BYTES_MAX: Final = 262_144
"""A report of some two thousand legs; a larger cycle is reported in parts."""
SCALE_MAX: Final = 18
"""Digits after the point: wei is the finest unit in use."""
_NAME = re.compile(r"[!-~]{1,128}")
_AMOUNT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,18})?")


def name(text: str, what: str = "name") -> str:
    """Return the name of a party, user, asset or request if it is one.

    Raises:
        BadValue: `bad_name`: empty, longer than 128, or not printable ASCII without spaces.

    """
    if _NAME.fullmatch(text) is None:
        raise BadValue("bad_name", f"not the name of a {what}: {text[:60]!r}")
    return text


def positive(text: str) -> Decimal:
    """Read an amount that moves: plain digits, positive, at most 20 before the point and 18 after it.

    Raises:
        BadValue: `bad_amount`: a sign, an exponent, NaN, infinity, zero, or too many digits.

    """
    if _AMOUNT.fullmatch(text) is None:
        raise BadValue("bad_amount", f"not a positive amount in plain digits: {text[:60]!r}")
    value = parse(text)
    if value == 0:
        raise BadValue("bad_amount", "an amount of zero")
    return value


def amount_text(value: Decimal) -> str:
    """Render an amount for the wire: fixed point, no sign of a positive number, no trailing zeros after the point."""
    text = fixed(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


class CreditOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="request"):
    """What the custodian asks of the exchange.

    Args:
        kind: what is asked.
        user: whose credit.
        asset: in which asset.
        amount: how much, always positive: the kind tells the direction.
        chain: where the coins lie, for an increase or a pledge.
        address: the coins' address there.
        expires_ns: after which instant of the exchange's clock it may only be rejected; 0 never.

    """

    kind: OrderKind
    user: str
    asset: str
    amount: str
    chain: str = ""
    address: str = ""
    expires_ns: int = 0


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="cancel"):
    """The custodian takes a request back if it is not decided; the request's id is the envelope's."""

    reason: str = ""


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="decision"):
    """The exchange's one answer to a request, whose id is the envelope's.

    Args:
        verdict: yes or no.
        code: why not, as a code; empty if accepted.
        reason: why not, in words.
        decided_ns: the exchange's clock.

    """

    verdict: Verdict
    code: str = ""
    reason: str = ""
    decided_ns: int = 0


class Leg(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one user's account in one asset changed by over a cycle: sold if negative, bought if positive.

    Args:
        leg_id: unique in its report.
        user: whose account.
        asset: in which asset.
        net: signed decimal text, never zero.
        trades: the digest of the account changes that the net was calculated from, in hexadecimal.

    """

    leg_id: str
    user: str
    asset: str
    net: str
    trades: str = ""


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="report"):
    """The exchange's calculation of a settlement cycle, whose id is the envelope's.

    Per asset the nets of all legs sum to zero: what users gained, others (the exchange's own account among them) lost.

    Args:
        cut_off_ns: the last instant that is in it.
        legs: who gained and lost what.
        attempt: 1, and one more each time that a disputed calculation is made again.

    """

    cut_off_ns: int
    legs: tuple[Leg, ...]
    attempt: int = 1


class LegOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the custodian did about one leg."""

    leg_id: str
    outcome: Literal["settled", "excluded", "disputed"]
    code: str = ""
    reason: str = ""


class Confirmation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="confirmation"):
    """The custodian's word on a report, leg by leg; the cycle's id is the envelope's.

    Args:
        report: the digest of the report's content that is confirmed, in hexadecimal.
        attempt: which attempt it was.
        outcomes: one per leg of the report, in its order.

    """

    report: str
    attempt: int
    outcomes: tuple[LegOutcome, ...]


Body = CreditOrder | Cancel | Confirmation | Decision | Report
"""The content of an envelope."""

REQUEST_BODIES: Final = (CreditOrder, Cancel, Confirmation)
ANSWER_BODIES: Final = (Decision, Report)


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=False):
    """One message of the link; for a given (link, stream, seq) its bytes never change.

    Args:
        link: which custodian and exchange.
        stream: which of the two sequences.
        seq: its place there, from 1, without holes.
        kind: the body's tag.
        id: the request or the cycle that it is about.
        body: the body's JSON, as text.
        ack: the sender's cursor in the opposite direction when the message was made.
        prev: the digest of message seq - 1 of this sequence, in hexadecimal; empty for the first.
        key: the name of the key that signed it.
        sig: the Ed25519 signature of all else, in base64.

    """

    link: str
    stream: Stream
    seq: int
    kind: str
    id: str
    body: str
    ack: int
    prev: str
    key: str
    sig: str
