"""Messages of the link as bytes: sealed once, the same for ever, and refused with a code if anything is wrong.

The bytes are JSON without white space, members in the order of `Envelope`, and no other spelling of the same content is
taken. What is signed is those bytes with an empty `sig`; the digest, which the next message holds in `prev`, is the
SHA-256 of all of them.
"""

import hashlib
import re
from typing import Final

import msgspec

from heliograph.errors import SettlementError
from heliograph.model.numbers import parse
from heliograph.model.settlement import (
    ENVELOPE_BYTES_MAX,
    Body,
    Cancel,
    Confirmation,
    CreditOrder,
    Decision,
    Envelope,
    Report,
    Stream,
    name,
    positive,
)
from heliograph.settlement.keyring import Keyring, Signer

TEXT_MAX: Final = 512
"""Characters of a free text: a reason, an address."""
SEQ_MAX: Final = 2**53
NS_MAX: Final = 2**63
_DIGEST = re.compile(r"([0-9a-f]{64})?")
_NET = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,18})?")

_envelopes: Final = msgspec.json.Decoder(Envelope)
_requests: Final = msgspec.json.Decoder(CreditOrder | Cancel | Confirmation)
_answers: Final = msgspec.json.Decoder(Decision | Report)


class Sealed(msgspec.Struct, frozen=True):
    """A message that is ready to travel.

    Args:
        seq: its number.
        raw: its bytes, for good.
        digest: their SHA-256, in hexadecimal.

    """

    seq: int
    raw: bytes
    digest: str


class Opened(msgspec.Struct, frozen=True):
    """A message whose bytes, signature and content are right; whether it is the next is for its reader to say."""

    envelope: Envelope
    body: Body
    digest: str


def digest(raw: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def content(body: Body) -> str:
    """Return a body's JSON: the same for the same content, so that its digest tells a repeat from a conflict."""
    return msgspec.json.encode(body).decode()


def seal(
    signer: Signer, link: str, stream: Stream, seq: int, message_id: str, body: Body, ack: int, prev: str
) -> Sealed:
    """Return message `seq` of one sequence, signed.

    Args:
        signer: the sender's key.
        link: which custodian and exchange.
        stream: the sender's sequence.
        seq: the message's number, from 1.
        message_id: the request or cycle that it is about.
        body: what it says.
        ack: the sender's cursor in the other direction.
        prev: the digest of message seq - 1; empty for the first.

    Raises:
        SettlementError: `oversized`: cut the content into several messages.

    """
    kind = type(body).__struct_config__.tag
    bare = Envelope(link, stream, seq, str(kind), message_id, content(body), ack, prev, signer.name, "")
    signed = msgspec.structs.replace(bare, sig=signer.sign(msgspec.json.encode(bare)))
    raw = msgspec.json.encode(signed)
    if len(raw) > ENVELOPE_BYTES_MAX:
        raise SettlementError("oversized", f"a message of {len(raw)} bytes, of {ENVELOPE_BYTES_MAX} allowed")
    return Sealed(seq, raw, digest(raw))


def opened(raw: bytes, link: str, stream: Stream, keyring: Keyring) -> Opened:
    """Read a message of the other party.

    Args:
        raw: the bytes as they came.
        link: the link on which they came.
        stream: the sequence that the other party sends on it.
        keyring: the other party's keys.

    Raises:
        SettlementError: the message belongs into quarantine; the code is one of `oversized`, `malformed`,
            `wrong_link`, `wrong_stream`, `bad_seq`, `unknown_key`, `revoked_key`, `bad_signature`, `bad_body`,
            `bad_name`, `bad_amount`.

    """
    if len(raw) > ENVELOPE_BYTES_MAX:
        raise SettlementError("oversized", f"a message of {len(raw)} bytes, of {ENVELOPE_BYTES_MAX} allowed")
    try:
        envelope = _envelopes.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise SettlementError("malformed", str(e)) from None
    if msgspec.json.encode(envelope) != raw:
        raise SettlementError("malformed", "not the one spelling of its content")
    if envelope.link != link:
        raise SettlementError("wrong_link", f"a message of the link {envelope.link[:60]!r} on {link!r}")
    if envelope.stream != stream:
        raise SettlementError("wrong_stream", f"a message of the {envelope.stream} sequence among {stream}s")
    if not (0 < envelope.seq < SEQ_MAX and 0 <= envelope.ack < SEQ_MAX):
        raise SettlementError("bad_seq", f"seq {envelope.seq}, ack {envelope.ack}")
    bare = msgspec.json.encode(msgspec.structs.replace(envelope, sig=""))
    keyring.verify(envelope.key, envelope.seq, bare, envelope.sig)
    return Opened(envelope, _body(envelope), digest(raw))


def _body(envelope: Envelope) -> Body:
    """Read what an envelope holds, every value of it checked."""
    if _DIGEST.fullmatch(envelope.prev) is None:
        raise SettlementError("malformed", "prev is no digest")
    try:
        decoder = _requests if envelope.stream == "request" else _answers
        body: Body = decoder.decode(envelope.body)
        name(envelope.id, "request")
        _check(body)
    except (msgspec.DecodeError, RecursionError) as e:
        raise SettlementError("bad_body", str(e)) from None
    except ValueError as e:
        raise SettlementError(getattr(e, "code", "bad_body"), str(e)) from None
    if type(body).__struct_config__.tag != envelope.kind:
        raise SettlementError("bad_body", f"a {envelope.kind} that holds another kind")
    return body


def _check(body: Body) -> None:
    match body:
        case CreditOrder():
            name(body.user, "user")
            name(body.asset, "asset")
            positive(body.amount)
            _bounded(body.chain, body.address)
            _instant(body.expires_ns)
        case Cancel():
            _bounded(body.reason)
        case Decision():
            _bounded(body.code, body.reason)
            _instant(body.decided_ns)
            if (body.verdict == "rejected") != bool(body.code):
                raise ValueError("a rejection has a code, an acceptance none")
        case Report():
            _instant(body.cut_off_ns)
            for leg in body.legs:
                name(leg.leg_id, "leg")
                name(leg.user, "user")
                name(leg.asset, "asset")
                if _NET.fullmatch(leg.net) is None or parse(leg.net) == 0:
                    raise ValueError(f"not a net amount: {leg.net[:60]!r}")
                if _DIGEST.fullmatch(leg.trades) is None:
                    raise ValueError("trades is no digest")
        case Confirmation():
            for outcome in body.outcomes:
                name(outcome.leg_id, "leg")
                _bounded(outcome.code, outcome.reason)
            if _DIGEST.fullmatch(body.report) is None:
                raise ValueError("report is no digest")
    if isinstance(body, Report | Confirmation) and not 0 < body.attempt < SEQ_MAX:
        raise ValueError(f"attempt {body.attempt}")


def _bounded(*texts: str) -> None:
    for text in texts:
        if len(text) > TEXT_MAX:
            raise ValueError(f"a text of {len(text)} characters, of {TEXT_MAX} allowed")


def _instant(instant_ns: int) -> None:
    if not 0 <= instant_ns < NS_MAX:
        raise ValueError(f"not an instant: {instant_ns} ns")
