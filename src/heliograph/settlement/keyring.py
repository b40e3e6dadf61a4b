"""Who may sign what: Ed25519 keys, each for a range of one party's message numbers.

A key is valid by the sequence and not by a clock, so that rotation and revocation mean the same on both sides, at any
time and for ever: a message that was once accepted is accepted again after a wipe. To rotate, give both sides the new
key and let the old one end at the last number that it signed. To revoke, let it end at the last number that is trusted.
"""

import base64
from collections.abc import Iterable
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from heliograph.errors import ConfigError, SettlementError

KEY_BYTES: Final = 32


class PublicKey(msgspec.Struct, frozen=True):
    """One key of the other party.

    Args:
        name: how envelopes call it.
        key: the 32 bytes, in base64.
        from_seq: the first message that it may sign.
        until_seq: the last; None while it is in use.

    """

    name: str
    key: str
    from_seq: int = 1
    until_seq: int | None = None


class Signer:
    """One's own key and its name.

    Args:
        name: how envelopes call it.
        key: the private key.

    """

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self.name = name
        self._key = key

    @classmethod
    def from_pem(cls, name: str, pem: bytes) -> "Signer":
        """Read the private key from an unencrypted PEM (PKCS #8).

        Raises:
            ConfigError: it is none.

        """
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as e:
            raise ConfigError(f"the signing key {name!r} is no PEM: {e}") from e
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"the signing key {name!r} is not an Ed25519 key")
        return cls(name, key)

    @classmethod
    def generate(cls, name: str) -> "Signer":
        """Make a new key."""
        return cls(name, Ed25519PrivateKey.generate())

    def pem(self) -> bytes:
        """Return the private key as an unencrypted PEM (PKCS #8): keep it where only its owner reads."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def public(self, from_seq: int = 1) -> PublicKey:
        """Return what the other party needs to know of the key."""
        return PublicKey(self.name, base64.b64encode(self._key.public_key().public_bytes_raw()).decode(), from_seq)

    def sign(self, content: bytes) -> str:
        """Return the signature in base64; the same content has the same signature."""
        return base64.b64encode(self._key.sign(content)).decode()


class Keyring:
    """The other party's keys.

    Args:
        keys: all that it has used and uses.

    Raises:
        ConfigError: a key is not one, or a name stands twice.

    """

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._keys: dict[str, tuple[PublicKey, Ed25519PublicKey]] = {}
        for key in keys:
            if key.name in self._keys:
                raise ConfigError(f"two keys have the name {key.name!r}")
            try:
                loaded = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.key, validate=True))
            except ValueError as e:
                raise ConfigError(f"the public key {key.name!r} is not {KEY_BYTES} bytes in base64: {e}") from e
            self._keys[key.name] = (key, loaded)

    def verify(self, name: str, seq: int, content: bytes, signature: str) -> None:
        """Make sure that the key of that name signed the content, as message `seq`.

        Raises:
            SettlementError: `unknown_key`, `revoked_key` (the key does not cover `seq`), `bad_signature`.

        """
        known = self._keys.get(name)
        if known is None:
            raise SettlementError("unknown_key", f"no key of the name {name[:60]!r}")
        key, loaded = known
        if seq < key.from_seq or (key.until_seq is not None and seq > key.until_seq):
            raise SettlementError("revoked_key", f"the key {name!r} may not sign message {seq}")
        try:
            loaded.verify(base64.b64decode(signature, validate=True), content)
        except (InvalidSignature, ValueError):
            raise SettlementError("bad_signature", f"message {seq} is not signed by {name!r}") from None
