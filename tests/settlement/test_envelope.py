"""Messages as bytes: one spelling, one signature, and a code for whatever is wrong."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import SettlementError
from heliograph.model.settlement import (
    ENVELOPE_BYTES_MAX,
    Body,
    Cancel,
    Confirmation,
    CreditOrder,
    Decision,
    Envelope,
    Leg,
    LegOutcome,
    Report,
    Stream,
)
from heliograph.settlement.envelope import digest, opened, seal
from heliograph.settlement.keyring import Keyring, PublicKey, Signer

SIGNER = Signer.generate("c1")
KEYRING = Keyring([SIGNER.public()])
ORDER = CreditOrder("increase", "user123", "BTC", "5", "Bitcoin", "bc1q")
EVERY_BODY: list[tuple[Stream, Body]] = [
    ("request", ORDER),
    ("request", Cancel("deadline")),
    ("request", Confirmation("ab" * 32, 1, (LegOutcome("1", "settled"), LegOutcome("2", "excluded", "frozen")))),
    ("answer", Decision("accepted", decided_ns=7)),
    ("answer", Decision("rejected", "policy", "not today")),
    ("answer", Report(9, (Leg("1", "user123", "BTC", "-0.5", "cd" * 32), Leg("2", "house", "BTC", "0.5")))),
]


def _resigned(**changes: object) -> bytes:
    """A message with other content than its maker could give it, rightly signed."""
    first = msgspec.json.decode(seal(SIGNER, "acme", "request", 1, "r1", ORDER, 0, "").raw, type=Envelope)
    bare = msgspec.structs.replace(first, sig="", **changes)
    return msgspec.json.encode(msgspec.structs.replace(bare, sig=SIGNER.sign(msgspec.json.encode(bare))))


def _refused(raw: bytes, link: str = "acme", stream: Stream = "request", keyring: Keyring = KEYRING) -> str:
    with pytest.raises(SettlementError) as refused:
        opened(raw, link, stream, keyring)
    return refused.value.code


@pytest.mark.parametrize(("stream", "body"), EVERY_BODY)
def test_what_is_sealed_opens_to_the_same(stream: Stream, body: Body) -> None:
    sealed = seal(SIGNER, "acme", stream, 3, "r1", body, 2, "ef" * 32)
    message = opened(sealed.raw, "acme", stream, KEYRING)
    assert (message.body, message.digest) == (body, sealed.digest)
    assert (message.envelope.seq, message.envelope.ack, message.envelope.prev) == (3, 2, "ef" * 32)


def test_a_message_is_the_same_bytes_each_time() -> None:
    assert seal(SIGNER, "a", "request", 1, "r", ORDER, 0, "") == seal(SIGNER, "a", "request", 1, "r", ORDER, 0, "")


def test_no_changed_byte_is_accepted() -> None:
    raw = seal(SIGNER, "acme", "request", 1, "r1", ORDER, 0, "").raw
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(SettlementError):
            opened(changed, "acme", "request", KEYRING)


def test_another_spelling_of_the_same_content_is_refused() -> None:
    raw = seal(SIGNER, "acme", "request", 1, "r1", ORDER, 0, "").raw
    assert _refused(raw.replace(b'"seq":1', b'"seq": 1')) == "malformed"
    assert _refused(raw + b" ") == "malformed"


def test_a_message_of_another_link_sequence_or_party_is_refused() -> None:
    raw = seal(SIGNER, "acme", "request", 1, "r1", ORDER, 0, "").raw
    assert _refused(raw, link="other") == "wrong_link"
    assert _refused(raw, stream="answer") == "wrong_stream"
    assert _refused(raw, keyring=Keyring([Signer.generate("c2").public()])) == "unknown_key"
    assert _refused(raw, keyring=Keyring([Signer.generate("c1").public()])) == "bad_signature"
    ended = PublicKey("c1", SIGNER.public().key, 1, 0)
    assert _refused(raw, keyring=Keyring([ended])) == "revoked_key"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"seq": 0}, "bad_seq"),
        ({"seq": -1}, "bad_seq"),
        ({"seq": 2**60}, "bad_seq"),
        ({"ack": -1}, "bad_seq"),
        ({"prev": "xyz"}, "malformed"),
        ({"id": ""}, "bad_name"),
        ({"id": "a b"}, "bad_name"),
        ({"kind": "cancel"}, "bad_body"),
        ({"body": "{}"}, "bad_body"),
        ({"body": "["}, "bad_body"),
        ({"body": '{"type":"decision","verdict":"accepted"}'}, "bad_body"),
        ({"body": ""}, "bad_body"),
    ],
)
def test_rightly_signed_nonsense_is_refused_with_its_code(changes: dict[str, object], code: str) -> None:
    assert _refused(_resigned(**changes)) == code


@pytest.mark.parametrize("amount", ["NaN", "inf", "1e9", "0", "-5", "+5", "5." + "1" * 19, "٥", ""])
def test_no_amount_but_plain_positive_digits_is_accepted(amount: str) -> None:
    body = msgspec.json.encode(msgspec.structs.replace(ORDER, amount=amount)).decode()
    assert _refused(_resigned(body=body)) == "bad_amount"


@pytest.mark.parametrize(
    "body",
    [
        msgspec.structs.replace(ORDER, expires_ns=-1),
        msgspec.structs.replace(ORDER, address="x" * 513),
        Cancel("x" * 513),
        Confirmation("not hex", 1, ()),
        Confirmation("ab" * 32, 0, ()),
        Decision("rejected"),
        Decision("accepted", "policy"),
        Report(9, (Leg("1", "u", "BTC", "0"),)),
        Report(9, (Leg("1", "u", "BTC", "NaN"),)),
        Report(9, (Leg("1", "u", "BTC", "1", "zz"),)),
    ],
)
def test_a_body_that_no_honest_party_sends_is_refused(body: Body) -> None:
    stream: Stream = "answer" if isinstance(body, Decision | Report) else "request"
    raw = seal(SIGNER, "acme", stream, 1, "r1", body, 0, "").raw
    assert _refused(raw, stream=stream) == "bad_body"


def test_an_oversized_message_is_neither_made_nor_read() -> None:
    legs = tuple(Leg(str(n), "user", "BTC", "1", "ab" * 32) for n in range(3_000))
    with pytest.raises(SettlementError) as refused:
        seal(SIGNER, "acme", "answer", 1, "c1", Report(1, legs), 0, "")
    assert refused.value.code == "oversized"
    assert _refused(b" " * (ENVELOPE_BYTES_MAX + 1)) == "oversized"


@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise_anything_else(raw: bytes) -> None:
    with contextlib.suppress(SettlementError):
        opened(raw, "acme", "request", KEYRING)


def test_the_digest_is_of_all_the_bytes() -> None:
    sealed = seal(SIGNER, "acme", "request", 1, "r1", ORDER, 0, "")
    assert sealed.digest == digest(sealed.raw)
