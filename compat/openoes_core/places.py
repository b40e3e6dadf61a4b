"""Where a link is: the two servers, the parties' keys, and the file that the exchange remembers in.

Without further settings the parties' signing keys lie on the custodian's primary, from where they reach the replica:
whoever reads those servers may then speak for both, as in the development profile. `settlement.custodian_key` with
`settlement.exchange_public_key` on one side, and `settlement.exchange_key` with `settlement.custodian_public_key` on
the other, end that: each side then holds a PEM file of its own.
"""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis

from heliograph import errors as house
from heliograph.bus.endpoint import Endpoint
from heliograph.bus.link_keys import part
from heliograph.model.settlement import BadValue, name
from heliograph.settlement.keyring import PublicKey, Signer
from openoes_core.configuration import Configuration
from openoes_core.connection import RedisConnectionManager
from openoes_core.errors import (
    ConfigurationError,
    ConnectionError,  # noqa: A004 - the seeds' name
    OpenOESError,
    SettlementError,
    TimeoutError,  # noqa: A004 - the seeds' name
    ValidationError,
)
from openoes_core.fields import text

REGISTRY: Final = "openoes:links"
"""The custodian's stream of the custodians that have a link, which the exchange reads on its replica."""
HOUSE: Final = "house"
"""The exchange's own account, where the settings do not say (`settlement.house`)."""
CUSTODIAN: Final = "custodian"
"""What a custodian is called where nobody says."""
KEYED: Final = "keyed"
"""What stands for the birth of a link whose parties have keys of their own."""
_PLACE: Final = "openoes:place"
_FIELDS: Final = ("born", "custodian_key", "exchange_key")


class Place(NamedTuple):
    """The two servers of a link."""

    primary: Endpoint
    replica: Endpoint

    @property
    def one(self) -> bool:
        """Whether both are one server: the development profile, where each side acts for the other where it must."""
        return _address(self.primary) == _address(self.replica)


class Identity(NamedTuple):
    """What both parties of a link know of it."""

    link: str
    born: str
    custodian_key: str
    """The custodian's own key as PEM; empty where only its owner has it."""
    exchange_key: str


def place_of(manager: RedisConnectionManager) -> Place:
    """Return where a connection manager's servers are.

    Raises:
        ConfigurationError: its clients are of a kind that no link can run on, such as a mock.

    """
    return Place(endpoint_of(manager.get_wsp_client()), endpoint_of(manager.get_replica_client()))


def endpoint_of(client: redis.Redis) -> Endpoint:
    """Return where a client's server is.

    Raises:
        ConfigurationError: it is of a kind that no link can run on, such as a mock.

    """
    found = client.connection_pool.connection_kwargs
    if type(client).__module__.split(".")[0] not in ("redis", "valkey") or not ("host" in found or "path" in found):
        raise ConfigurationError(f"a {type(client).__name__} is no server that credit could be settled on")
    tls = issubclass(client.connection_pool.connection_class, redis.SSLConnection)
    return Endpoint(
        host=str(found.get("host", "")),
        port=int(found.get("port", 6379)),
        path=str(found.get("path", "")),
        tls=tls,
        ca_file=found.get("ssl_ca_certs"),
        certificate_file=found.get("ssl_certfile"),
        key_file=found.get("ssl_keyfile"),
        username=found.get("username") or None,
        password=found.get("password") or None,
        db=int(found.get("db") or 0),
    )


def link_key(custodian: str) -> str:
    """Return the primary's hash of what both parties know of a custodian's link."""
    return f"link:{part(custodian)}:introduced"


def introduced(client: redis.Redis, custodian: str, config: Configuration) -> Identity:
    """Return a custodian's link, which is made if there is none, and let the exchange know of it.

    A custodian with a key of its own makes nothing known: the exchange has its name and key in the settings.

    Args:
        client: of the custodian's primary.
        custodian: its name.
        config: the settings.

    Raises:
        OpenOESError: the server refused or is away; `ValidationError`: nobody is called that.

    """
    with sdk_errors():
        name(custodian, "custodian")
    if config.get("settlement.custodian_key"):
        return Identity(custodian, KEYED, "", "")
    key = link_key(custodian)
    try:
        if client.hexists(key, "born") and client.xlen(REGISTRY):
            return identity_of(custodian, {text(k): text(v) for k, v in client.hgetall(key).items()})
        pipeline = client.pipeline()
        made = (uuid.uuid4().hex, Signer.generate("custodian-1").pem(), Signer.generate("exchange-1").pem())
        for field, value in zip(_FIELDS, made, strict=True):
            pipeline.hsetnx(key, field, value)  # type: ignore[arg-type]
        pipeline.set(_PLACE, uuid.uuid4().hex, nx=True)
        pipeline.xadd(REGISTRY, {"data": custodian})
        pipeline.hgetall(key)
        return identity_of(custodian, {text(k): text(v) for k, v in pipeline.execute()[-1].items()})
    except redis.RedisError as e:
        raise ConnectionError(f"the link of {custodian} cannot be introduced: {e}") from e


def identity_of(custodian: str, fields: Mapping[str, str]) -> Identity:
    """Read what both parties know of a link."""
    return Identity(custodian, *(fields[field] for field in _FIELDS))


def named(config: Configuration) -> list[Identity] | None:
    """Return the links that an exchange with keys of its own has, None if it learns of them on its replica.

    Raises:
        ConfigurationError: it has a key, and no custodians are named.

    """
    custodians = config.get("settlement.custodians")
    if not config.get("settlement.exchange_key"):
        return None
    if not isinstance(custodians, list) or not custodians:
        raise ConfigurationError("with keys of one's own the custodians are named", parameter="settlement.custodians")
    return [Identity(str(custodian), KEYED, "", "") for custodian in custodians]


def journal_path(config: Configuration, identity: Identity) -> Path:
    """Return the file that the exchange remembers a link in; its directory is made."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    directory = Path(config.get("settlement.journal_directory") or Path(state) / "heliograph" / "openoes")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    safe = "".join(c if c.isalnum() or c in "-_" else f"%{ord(c):02X}" for c in identity.link)
    return directory / f"{safe[:100]}-{identity.born}.sqlite"


def custodian_keys(config: Configuration, identity: Identity) -> tuple[Signer, PublicKey]:
    """Return the custodian's signer and the exchange's key.

    Raises:
        ConfigurationError: a file is none of a key, or only one of the two settings is there.

    """
    return _keys(config, "custodian", "exchange", identity.custodian_key, identity.exchange_key)


def exchange_keys(config: Configuration, identity: Identity) -> tuple[Signer, PublicKey]:
    """Return the exchange's signer and the custodian's key.

    Raises:
        ConfigurationError: a file is none of a key, or only one of the two settings is there.

    """
    return _keys(config, "exchange", "custodian", identity.exchange_key, identity.custodian_key)


def _keys(config: Configuration, mine: str, theirs: str, own: str, other: str) -> tuple[Signer, PublicKey]:
    path, public = config.get(f"settlement.{mine}_key"), config.get(f"settlement.{theirs}_public_key")
    if bool(path) != bool(public):
        lacking = f"settlement.{theirs}_public_key" if path else f"settlement.{mine}_key"
        raise ConfigurationError("one's own key and the other party's go together", parameter=lacking)
    with sdk_errors():
        if path:
            try:
                pem = Path(path).read_bytes()
            except OSError as e:
                raise ConfigurationError(f"cannot read {path}: {e.strerror}", f"settlement.{mine}_key") from e
            return Signer.from_pem(f"{mine}-1", pem), PublicKey(f"{theirs}-1", str(public))
        return (
            Signer.from_pem(f"{mine}-1", own.encode()),
            Signer.from_pem(f"{theirs}-1", other.encode()).public(),
        )


@contextmanager
def sdk_errors() -> Iterator[None]:
    """Turn the house's errors into the SDK's.

    Raises:
        OpenOESError: one of its kinds, with the code.

    """
    try:
        yield
    except (house.HeliographError, BadValue) as e:
        raise sdk_error(e) from e


def sdk_error(error: Exception) -> OpenOESError:
    """Return one of the house's errors as the SDK's."""
    told = str(error)
    if isinstance(error, house.SettlementError):
        told = told.removesuffix(f" ({error.code})")
    match error:
        case BadValue():
            return ValidationError(told, code=error.code)
        case house.SettlementError(code="timeout"):
            return TimeoutError(told, code="timeout")
        case house.SettlementError():
            return SettlementError(told, code=error.code)
        case house.ConfigError():
            return ConfigurationError(told)
        case house.BusError():
            return ConnectionError(told, code=error.code or "")
        case house.OutcomeUnknown():
            return SettlementError(told, code="outcome_unknown")
    return OpenOESError(told)


def configuration_of(value: Any) -> Configuration:
    """Return what a caller gave as settings: a configuration, a dict of sections, or the defaults for None."""
    if isinstance(value, Configuration):
        return value
    return Configuration(value if isinstance(value, Mapping) else None)


def _address(endpoint: Endpoint) -> tuple[object, ...]:
    host = "127.0.0.1" if endpoint.host in ("localhost", "::1") else endpoint.host
    return host, endpoint.port, endpoint.path, endpoint.db


def wallets_path(config: Configuration, place: Place, manager: RedisConnectionManager) -> Path:
    """Return the file that the exchange keeps its accounts in; it belongs to the data on the servers.

    Raises:
        OpenOESError: the server refused, or is away.

    """
    if named(config) is not None:
        return journal_path(config, Identity("accounts", KEYED, "", ""))
    born = None
    try:
        client = manager.get_wsp_client()
        client.set(_PLACE, uuid.uuid4().hex, nx=True)
        born = client.get(_PLACE)
    except redis.RedisError as e:
        if place.one:
            raise ConnectionError(f"the accounts cannot be found: {e}") from e
    if born is None:
        try:
            born = manager.get_replica_client().get(_PLACE)
        except redis.RedisError as e:
            raise ConnectionError(f"the accounts cannot be found: {e}") from e
    if born is None:
        raise ConfigurationError("the accounts belong to a custodian's data, and there are none yet", code="unlinked")
    born = text(born)
    return journal_path(config, Identity("accounts", born, "", ""))
