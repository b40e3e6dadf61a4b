"""What the settings say of one party's end of a link, as what its services and commands want."""

import base64
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from heliograph import app, config
from heliograph.bus.endpoint import Endpoint, parse_url
from heliograph.clock import NS_PER_S
from heliograph.config import BusSettings, SettlementSettings
from heliograph.errors import BadValue, ConfigError, SettlementError
from heliograph.model.settlement import name
from heliograph.settlement.custodian import CustodianSettings
from heliograph.settlement.exchange import ExchangeSettings
from heliograph.settlement.exchange_journal import ExchangeJournal, Policy
from heliograph.settlement.keyring import KEY_BYTES, Keyring, PublicKey, Signer
from heliograph.settlement.limits import AssetLimits, Limits, checked

T = TypeVar("T")

KEY_FORM: Final = "NAME KEY [FIRST[-LAST]]"
"""One line of a file of public keys: how envelopes call it, base64, which messages it may sign."""


class Party:
    """One party's settings, each of them asked for when it is needed.

    Args:
        file: a TOML file of settings.

    Raises:
        ConfigError: the settings cannot be read.

    """

    def __init__(self, file: Path | None = None) -> None:
        self.settings = config.load(SettlementSettings, file)
        self._bus = config.load(BusSettings, file)

    @property
    def link(self) -> str:
        """The link's name."""
        link = _set(self.settings.link, "link")
        try:
            return name(link, "link")
        except BadValue as e:
            raise ConfigError(str(e)) from None

    @property
    def primary(self) -> Endpoint:
        """The custodian's primary."""
        return self._endpoint(_set(self.settings.primary, "primary"))

    @property
    def replica(self) -> Endpoint:
        """The exchange's replica."""
        return self._endpoint(_set(self.settings.replica, "replica"))

    @property
    def journal(self) -> Path:
        """The exchange's file."""
        return _set(self.settings.journal, "journal")

    @property
    def control(self) -> Path:
        """Where a running custodian listens."""
        return self.settings.control_socket

    def signer(self) -> Signer:
        """Read our private key."""
        path = _set(self.settings.key, "key")
        return Signer.from_pem(path.stem, _read(path))

    def peers(self) -> tuple[PublicKey, ...]:
        """Read the other party's public keys."""
        return read_keys(_set(self.settings.peer_keys, "peer_keys"))

    def custodian(self) -> CustodianSettings:
        """Return the custodian's end of the link.

        Raises:
            ConfigError: what it needs is not set, or cannot be used.

        """
        return CustodianSettings(
            link=self.link,
            primary=self.primary,
            replica=self.replica,
            signer=self.signer(),
            keys=self.peers(),
            name=self.settings.custodian_name,
            siblings=tuple(self._endpoint(url) for url in self.settings.siblings.split()),
            assets=frozenset(self.settings.assets.split()) or None,
            window_ns=round(self.settings.dispute_window * NS_PER_S),
        )

    def exchange(self) -> ExchangeSettings:
        """Return the exchange's end of the link.

        Raises:
            ConfigError: what it needs is not set, or cannot be used.

        """
        writer = self.settings.replica_writer
        return ExchangeSettings(
            link=self.link,
            replica=self.replica,
            journal=self.journal,
            signer=self.signer(),
            keys=self.peers(),
            writer=None if writer is None else self._endpoint(writer),
            custodian=self.settings.custodian_name,
            policy=self.policy,
        )

    @property
    def policy(self) -> Policy:
        """How the exchange nets a cycle."""
        return Policy(self.settings.house)

    def limits(self) -> Limits:
        """Read the file of limits that credit is decided by.

        Raises:
            ConfigError: it cannot be read, or is no such file.

        """
        path = _set(self.settings.limits, "limits")
        try:
            asked = msgspec.toml.decode(_read(path), type=_Limits)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            raise ConfigError(f"{path} is no file of limits: {e}", ('[assets.BTC] with user_max = "5"',)) from e
        limits = Limits(
            {asset: each.limits() for asset, each in asked.assets.items()},
            None if asked.default is None else asked.default.limits(),
        )
        try:
            return checked(limits)
        except SettlementError as e:
            raise ConfigError(f"{path}: {e}") from None

    def journal_to_sign(self) -> ExchangeJournal:
        """Return the exchange's journal, to be entered, for what makes messages.

        Raises:
            ConfigError: it is not there, or what it needs is not set.

        """
        return ExchangeJournal(self._there(), self.link, self.signer(), Keyring(self.peers()))

    def journal_to_read(self) -> ExchangeJournal:
        """Return the same for what makes no messages, and so needs no keys."""
        return ExchangeJournal(self._there(), self.link, Signer.generate("reader"), Keyring(()))

    def _there(self) -> Path:
        if not self.journal.exists():
            raise ConfigError(f"there is no journal {self.journal}: `heliograph serve exchange` makes it")
        return self.journal

    def _endpoint(self, url: str) -> Endpoint:
        return parse_url(app.server_url(self._bus, url) or url)


class _AssetLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user_max: Decimal | None = None
    link_max: Decimal | None = None
    day_max: Decimal | None = None

    def limits(self) -> AssetLimits:
        return AssetLimits(user_max=self.user_max, link_max=self.link_max, day_max=self.day_max)


class _Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of limits: haircuts are not in it, since they count for nothing without prices."""

    assets: dict[str, _AssetLimits] = {}
    default: _AssetLimits | None = None


def read_keys(path: Path) -> tuple[PublicKey, ...]:
    """Read a file of public keys; empty lines and those that begin with # are left out.

    Raises:
        ConfigError: it cannot be read, or a line is no key.

    """
    keys = []
    for number, line in enumerate(_read(path).decode(errors="replace").splitlines(), 1):
        if not (words := line.split()) or words[0].startswith("#"):
            continue
        try:
            keys.append(_key(words))
        except ValueError as e:
            raise ConfigError(f"line {number} of {path} is no public key: {e}", (KEY_FORM,)) from None
    if not keys:
        raise ConfigError(f"there is no key in {path}", (KEY_FORM,))
    Keyring(keys)
    return tuple(keys)


def key_line(key: PublicKey) -> str:
    """Return a public key as a line of such a file."""
    if key.until_seq is not None:
        return f"{key.name} {key.key} {key.from_seq}-{key.until_seq}"
    return f"{key.name} {key.key}" + (f" {key.from_seq}" if key.from_seq > 1 else "")


def _key(words: list[str]) -> PublicKey:
    if not 2 <= len(words) <= 3:
        raise ValueError(f"{len(words)} words")
    if len(base64.b64decode(words[1], validate=True)) != KEY_BYTES:
        raise ValueError(f"not {KEY_BYTES} bytes in base64")
    first, _, last = (words[2] if len(words) == 3 else "1").partition("-")
    return PublicKey(name(words[0], "key"), words[1], int(first), int(last) if last else None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise ConfigError(f"{path} cannot be read: {e.strerror}") from e


def _set(value: T | None, field: str) -> T:
    """Return a setting that is needed."""
    if value is None:
        variable = f"HELIOGRAPH_SETTLEMENT_{field.upper()}"
        raise ConfigError(f"{variable} is not set", (variable, f"{field} in the table [settlement] of a TOML file"))
    return value
