"""Settings: a file, the environment, and what each of them means.

Every setting has one home, a default and a sentence. The variables that the OHLCV connector's document names are read
under their names (`CONNECTOR_…`); ours are `HELIOGRAPH_…`. Stronger wins: command line, environment, `.env`, the TOML
file, the default. An unknown key fails, and the error says which one was probably meant.
"""

import difflib
import io
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

import annotated_types
import msgspec
from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from heliograph.errors import ConfigError

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
SECONDS_MAX: Final = 10_000_000
"""Some hundred days: whoever means "never" may say so much; infinity is no time that a loop could wait for."""


class Unit(msgspec.Struct, frozen=True):
    """What a setting's number counts."""

    name: str


Seconds = Annotated[float, Field(le=SECONDS_MAX), Unit("seconds")]
Symbols = Annotated[int, Unit("symbols")]
Connections = Annotated[int, Unit("connections")]
Failures = Annotated[int, Unit("failures")]
Attempts = Annotated[int, Unit("attempts")]
Events = Annotated[int, Unit("events")]
Slots = Annotated[int, Unit("slots")]
Entries = Annotated[int, Unit("entries")]
Port = Annotated[int, Field(ge=0, le=65535), Unit("port")]


class ConnectorSettings(BaseSettings):
    """The OHLCV connector's settings, each under its documented variable name with the prefix `CONNECTOR_`."""

    model_config = SettingsConfigDict(env_prefix="CONNECTOR_", extra="forbid", frozen=True)

    inactivity_timeout: Seconds = Field(3.0, gt=0, description="Seconds without a frame after which REST is asked")
    reconnect_delay: Seconds = Field(1.0, ge=0, description="First pause before a reconnect, in seconds; it grows")
    rest_timeout: Seconds = Field(5.0, gt=0, description="Seconds that a REST request may take")
    ws_ping_interval: Seconds = Field(20.0, gt=0, description="Seconds between our WebSocket pings")
    ws_ping_timeout: Seconds = Field(20.0, gt=0, description="Seconds that a pong may take")
    stream_idle_timeout: Seconds = Field(10.0, gt=0, description="Seconds without a quote after which a stream ends")
    max_symbol_per_ws: Symbols = Field(50, gt=0, description="Symbols on one WebSocket connection")
    log_level: LogLevel = Field("INFO", description="How much is logged: DEBUG, INFO, WARNING, ERROR or CRITICAL")
    circuit_breaker_failure_threshold: Failures = Field(5, gt=0, description="Failures in a row that open the breaker")
    circuit_breaker_recovery_timeout: Seconds = Field(30.0, gt=0, description="Seconds the breaker stays open at first")
    circuit_breaker_half_open_calls: Attempts = Field(1, gt=0, description="Attempts that a half-open breaker allows")
    closed_queue_maxsize: Events = Field(1000, gt=0, description="Events that the keep-every lane holds")
    open_queue_maxsize: Slots = Field(0, ge=0, description="Slots of the latest-wins lane; 0: one for each instrument")
    deduplication_window_seconds: Seconds = Field(120.0, gt=0, description="How long a delivered event is remembered")
    deduplication_max_entries: Events = Field(10000, gt=0, description="How many delivered events are remembered")
    rest_pool_connections: Connections = Field(10, gt=0, description="REST connections to one host at most")
    rest_pool_maxsize: Connections = Field(20, gt=0, description="REST connections in all at most")
    wss_host: str = Field("127.0.0.1", description="Address that the WebSocket server listens on")
    wss_port: Port = Field(8765, description="Port that the WebSocket server listens on; 0: a free one")
    wss_log_level: LogLevel = Field("INFO", description="How much the WebSocket server logs")
    wss_subscribe_timeout: Seconds = Field(10.0, gt=0, description="Seconds that a client has to subscribe")
    wss_health_check_port: Port = Field(8766, description="Port of the probes; 0: a free one")
    wss_health_check_enabled: bool = Field(True, description="Whether the probes are served")


class BusSettings(BaseSettings):
    """Where the server is, and how much market data it keeps; the variables' prefix is `HELIOGRAPH_`."""

    model_config = SettingsConfigDict(env_prefix="HELIOGRAPH_", extra="forbid", frozen=True)

    valkey_url: str | None = Field(None, description="redis:// or rediss:// URL of the server; none: an embedded one")
    valkey_ca: Path | None = Field(
        None, description="Certificate of the authority that the server's TLS is believed by"
    )
    valkey_cert: Path | None = Field(None, description="Our certificate, for a server that asks its clients for one")
    valkey_key: Path | None = Field(None, description="That certificate's key; none: it is in the certificate's file")
    valkey_binary: Path | None = Field(None, description="The server program to embed, instead of the one found")
    stream_maxlen: Entries = Field(10_000, gt=0, description="Entries kept in each market data stream, about")
    feed_maxlen: Entries = Field(100_000, gt=0, description="Entries kept in each merged feed, about")
    feed_lease: Seconds = Field(6.0, ge=1, description="Seconds after which a feed worker that is not heard of is dead")


class RepairSettings(BaseSettings):
    """How a feed mends its record; the variables' prefix is `HELIOGRAPH_REPAIR_`."""

    model_config = SettingsConfigDict(env_prefix="HELIOGRAPH_REPAIR_", extra="forbid", frozen=True)

    gap_grace: Seconds = Field(3.0, ge=0, description="Seconds to wait for a missing candle before REST is asked")
    dedupe: bool = Field(True, description="Whether what was delivered is dropped when it comes again")
    backfill: bool = Field(True, description="Whether what is missing is asked for")


_WHOSE: Final = "Password of the user that the {} is, or `#` and its SHA-256 in hexadecimal"


class AclSettings(BaseSettings):
    """The passwords of the bus's roles; the variables' prefix is `HELIOGRAPH_ACL_`."""

    model_config = SettingsConfigDict(env_prefix="HELIOGRAPH_ACL_", extra="forbid", frozen=True)

    admin: SecretStr | None = Field(None, description=_WHOSE.format("servers' administrator"))
    custodian: SecretStr | None = Field(None, description=_WHOSE.format("custodian"))
    exchange: SecretStr | None = Field(None, description=_WHOSE.format("exchange"))
    auditor: SecretStr | None = Field(None, description=_WHOSE.format("auditor"))
    replication: SecretStr | None = Field(None, description=_WHOSE.format("replica, at its primary,"))
    gateway: SecretStr | None = Field(None, description=_WHOSE.format("gateway"))
    feed: SecretStr | None = Field(None, description=_WHOSE.format("feed"))


class SettlementSettings(BaseSettings):
    """One party's end of a settlement link; the variables' prefix is `HELIOGRAPH_SETTLEMENT_`."""

    model_config = SettingsConfigDict(env_prefix="HELIOGRAPH_SETTLEMENT_", extra="forbid", frozen=True)

    link: str | None = Field(None, description="Name of the link, the same at both parties")
    primary: str | None = Field(None, description="URL of the custodian's primary, as its user")
    replica: str | None = Field(None, description="URL of the exchange's replica, as this party's user")
    replica_writer: str | None = Field(
        None, description="The same as the exchange's user that appends; none: as the one that reads"
    )
    siblings: str = Field("", description="URLs of all other replicas that may be promoted, separated by spaces")
    key: Path | None = Field(None, description="Our private key, from `heliograph settle keys`: NAME.pem")
    peer_keys: Path | None = Field(None, description="File of the other party's public keys, one a line")
    custodian_name: str = Field("custodian", description="The custodian's name on the streams for onlookers")
    assets: str = Field("", description="Assets that settle at the custodian, separated by spaces; none: all")
    dispute_window: Seconds = Field(60.0, ge=0, description="Seconds in which the custodian may dispute a report")
    control_socket: Path = Field(
        Path("custodian.sock"), description="Unix socket on which a running custodian takes commands"
    )
    payer: Path | None = Field(None, description="Program that pays a withdrawal out; none: people do")
    journal: Path | None = Field(None, description="The file that the exchange keeps its state in")
    house: str = Field("house", description="The exchange's own account, which takes part as a user")
    decide: Literal["manual", "accept", "limits"] = Field(
        "manual", description="Who decides on credit: a person, nobody, or the limits"
    )
    limits: Path | None = Field(None, description="TOML file of the limits that credit is decided by")


class VenueKey(BaseSettings):
    """An API key to a venue: both parts of it, or neither."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    key: SecretStr | None = Field(None, description="The id of an API key; without one the venue tells nothing")
    secret: SecretStr | None = Field(None, description="The secret of that key")


class LunoKey(VenueKey):
    """The key to Luno; the variables' prefix is `HELIOGRAPH_LUNO_`."""

    model_config = SettingsConfigDict(env_prefix="HELIOGRAPH_LUNO_", extra="forbid", frozen=True)


KEYS: Final[Mapping[str, type[VenueKey]]] = {"luno": LunoKey}
"""The venues that a key can be given to."""

SECTIONS: Final[Mapping[str, type[BaseSettings]]] = {
    "connector": ConnectorSettings,
    "bus": BusSettings,
    "repair": RepairSettings,
    "acl": AclSettings,
    "settlement": SettlementSettings,
    **KEYS,
}

OUTSIDE: Final[Mapping[str, str]] = {
    "HELIOGRAPH_CONFIG": "The TOML file of settings, where no command line names one",
    "HELIOGRAPH_ENDPOINT": "http://host:port that the compatibility package uses instead of the venues' own addresses",
}
"""Variables that are read without being settings."""

_OF_TESTS: Final = frozenset(
    {"HELIOGRAPH_CAPTURES", "HELIOGRAPH_CONFORMANCE", "HELIOGRAPH_FAULTS", "HELIOGRAPH_FAULTS_SEED"}
)


class Setting(msgspec.Struct, frozen=True):
    """One setting, as people are told of it."""

    section: str
    """The TOML file's table."""
    name: str
    """The key in that table."""
    variable: str
    default: str
    """As a source would write it; empty where there is none."""
    unit: str
    """Empty where it is no number."""
    accepted: str
    """Its bounds or its choices; empty where any text will do."""
    meaning: str


Section = TypeVar("Section", bound=BaseSettings)


def load(section: type[Section], file: Path | None = None, **overrides: Any) -> Section:
    """Read one section of the settings.

    Args:
        section: one of `SECTIONS`.
        file: a TOML file with a table for each section; default: what `HELIOGRAPH_CONFIG` names, if anything.
        overrides: values that win over every source, from the command line; None means "not given".

    Raises:
        ConfigError: an unknown key, a value that is out of range, or a file that cannot be read.

    """
    table = _table(section, file)
    _refuse_unknown(section)

    class Loaded(section):  # type: ignore[valid-type,misc]  # a settings class finds its sources by its own hook
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                init_settings,
                env_settings,
                InitSettingsSource(settings_cls, _dotenv(section)),
                InitSettingsSource(settings_cls, table),
            )

    try:
        loaded = Loaded(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as e:
        raise ConfigError(_explain(section, e)) from None
    values: Section = section.model_construct(**loaded.model_dump())
    return values


def load_key(venue: str, file: Path | None = None) -> tuple[str, str] | None:
    """Read the key to a venue: its id and its secret, which nobody prints. None where there is none.

    Args:
        venue: its name.
        file: as in `load`.

    Raises:
        ConfigError: half of a key is given, or the settings cannot be read.

    """
    section = KEYS.get(venue)
    if section is None:
        return None
    held = load(section, file)
    if not held.key or not held.secret:
        if held.key or held.secret:
            names = [_variable(section, name) for name in ("key", "secret")]
            raise ConfigError(f"half of the key to {venue}", (f"{names[0]} and {names[1]}, or neither",))
        return None
    return held.key.get_secret_value(), held.secret.get_secret_value()


def described() -> Iterator[Setting]:
    """Yield every setting, in the order to show them."""
    for heading, section in SECTIONS.items():
        for name, field in section.model_fields.items():
            default = "" if field.default is None else str(field.default)
            unit = next((mark.name for mark in field.metadata if isinstance(mark, Unit)), "")
            yield Setting(
                section=heading,
                name=name,
                variable=_variable(section, name),
                default=default.lower() if isinstance(field.default, bool) else default,
                unit=unit,
                accepted=_accepted(field),
                meaning=field.description or "",
            )


def _accepted(field: FieldInfo) -> str:
    if field.annotation is bool:
        return "true or false"
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    if choices:
        return ", ".join(choices)
    bounds = []
    for mark in field.metadata:
        if isinstance(mark, annotated_types.Gt):
            bounds.append(f"above {mark.gt}")
        elif isinstance(mark, annotated_types.Ge):
            bounds.append(f"{mark.ge} or more")
        elif isinstance(mark, annotated_types.Le):
            bounds.append(f"at most {mark.le}")
    return ", ".join(sorted(bounds, key=lambda bound: bound.startswith("at most")))


def _variable(section: type[BaseSettings], name: str) -> str:
    return f"{section.model_config['env_prefix']}{name.upper()}"


def _known() -> dict[str, type[BaseSettings]]:
    return {_variable(section, name): section for section in SECTIONS.values() for name in section.model_fields}


def _refuse_unknown(section: type[BaseSettings]) -> None:
    prefix = section.model_config["env_prefix"]
    known = _known()
    for name in [*os.environ, *_dotenv_file()]:
        if name.startswith(prefix) and name not in known and name not in OUTSIDE and name not in _OF_TESTS:
            raise ConfigError(f"unknown setting {name}", _close(name, known))


def _dotenv(section: type[BaseSettings]) -> dict[str, Any]:
    prefix = section.model_config["env_prefix"]
    found = _dotenv_file()
    return {
        name: found[variable]
        for name in section.model_fields
        if (variable := f"{prefix}{name.upper()}") in found and found[variable] is not None
    }


def _dotenv_file() -> dict[str, str | None]:
    """Return what `.env` says; nothing if there is none.

    The library warns of a line that it cannot read and goes on: a setting would be lost, so such a line fails.
    """
    path = Path(".env")
    try:
        text = path.read_text() if path.is_file() else ""
    except OSError as e:
        raise ConfigError(f".env cannot be read: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise ConfigError(f".env is not text: {e}") from e
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            raise ConfigError(f"line {binding.original.line} of .env cannot be read", ("NAME=value",))
    return dotenv_values(stream=io.StringIO(text))


def _table(section: type[BaseSettings], file: Path | None) -> dict[str, Any]:
    named = os.environ.get("HELIOGRAPH_CONFIG")
    path = file or (Path(named) if named else None)
    if path is None:
        return {}
    try:
        document = tomllib.loads(path.read_text())
    except OSError as e:
        raise ConfigError(f"the settings file {path} cannot be read: {e.strerror}") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"the settings file {path} is not TOML: {e}") from e
    for name in document:
        if name not in SECTIONS:
            raise ConfigError(f"unknown table [{name}] in {path}", tuple(SECTIONS))
    (heading,) = (name for name, known in SECTIONS.items() if known is section)
    table = document.get(heading, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{heading} in {path} must be a table")
    for name in table:
        if name not in section.model_fields:
            raise ConfigError(f"unknown setting {heading}.{name} in {path}", _close(name, section.model_fields))
    return table


def _close(name: str, known: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(difflib.get_close_matches(name, known, n=3, cutoff=0.5)) or tuple(known)


def _explain(section: type[BaseSettings], error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else section.__name__
    return f"{_variable(section, name)} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"
