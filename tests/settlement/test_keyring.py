"""Keys that sign for a range of messages."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from heliograph.errors import ConfigError, SettlementError
from heliograph.settlement.keyring import Keyring, PublicKey, Signer

SIGNER = Signer.generate("desk-1")


def _refused(keyring: Keyring, name: str, seq: int, content: bytes, signature: str) -> str:
    with pytest.raises(SettlementError) as refused:
        keyring.verify(name, seq, content, signature)
    return refused.value.code


def test_a_signature_holds_for_its_content_alone() -> None:
    keyring = Keyring([SIGNER.public()])
    signature = SIGNER.sign(b"five")
    keyring.verify("desk-1", 1, b"five", signature)
    assert _refused(keyring, "desk-1", 1, b"fivf", signature) == "bad_signature"
    assert _refused(keyring, "desk-1", 1, b"five", "not base64!") == "bad_signature"
    assert _refused(keyring, "desk-2", 1, b"five", signature) == "unknown_key"
    assert _refused(Keyring([Signer.generate("desk-1").public()]), "desk-1", 1, b"five", signature) == "bad_signature"


def test_a_rotated_key_signs_only_its_own_range() -> None:
    new = Signer.generate("desk-2")
    old = SIGNER.public()
    keyring = Keyring([PublicKey(old.name, old.key, 1, 7), new.public(8)])
    keyring.verify("desk-1", 7, b"x", SIGNER.sign(b"x"))
    keyring.verify("desk-2", 8, b"x", new.sign(b"x"))
    assert _refused(keyring, "desk-1", 8, b"x", SIGNER.sign(b"x")) == "revoked_key"
    assert _refused(keyring, "desk-2", 7, b"x", new.sign(b"x")) == "revoked_key"


def test_the_same_content_has_the_same_signature() -> None:
    assert SIGNER.sign(b"x") == SIGNER.sign(b"x")


def test_a_private_key_survives_its_file() -> None:
    again = Signer.from_pem("desk-1", SIGNER.pem())
    assert again.public() == SIGNER.public()


def test_what_is_no_ed25519_key_is_refused_by_name() -> None:
    elliptic = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for pem in (b"", b"nonsense", elliptic):
        with pytest.raises(ConfigError, match="desk-1"):
            Signer.from_pem("desk-1", pem)
    for key in ("", "!!", base64.b64encode(b"short").decode()):
        with pytest.raises(ConfigError, match="desk-1"):
            Keyring([PublicKey("desk-1", key)])
    with pytest.raises(ConfigError, match="two keys"):
        Keyring([SIGNER.public(), SIGNER.public()])
