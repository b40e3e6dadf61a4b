"""Settings of the SDK: one schema for a dict, a JSON file and the environment."""

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from openoes_core.errors import ConfigurationError

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})
_TYPES: Final[Mapping[str, type]] = {
    "port": int,
    "db": int,
    "decode_responses": bool,
    "socket_timeout": float,
    "socket_connect_timeout": float,
    "socket_keepalive": bool,
    "health_check_interval": int,
    "max_connections": int,
    "retry_on_timeout": bool,
    "protocol": int,
    "ssl": bool,
    "ssl_check_hostname": bool,
    "batch_size": int,
    "block_ms": int,
    "max_retry_count": int,
    "retry_delay_ms": int,
    "stream_patterns": list,
}
"""What the keys of the schema hold, wherever they stand. Every other key is text and stays to the letter: a password
`0012345` has two leading zeros, and `no` is a word."""
_SECRETS: Final = ("password", "secret", "token")


class Secret(str):
    """A text that shows itself to nobody who prints or logs the settings it is in, and is an ordinary text to use."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Configuration:
    """The settings that the SDK's objects are made from.

    Nothing is shared: what goes in and what comes out are copies.

    Args:
        config: sections and keys that differ from the defaults.

    Raises:
        ConfigurationError: a value is not of its key's type.

    """

    GROUP_PREFIX: ClassVar[str] = "openoes"

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self._config = _merged(_defaults(self.GROUP_PREFIX), _checked(config or {}, ""))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read a JSON file of sections.

        Raises:
            ConfigurationError: it cannot be read, or a value is not of its key's type.

        """
        try:
            config = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as e:
            raise ConfigurationError(f"cannot read {os.fspath(path)}: {e.strerror}", parameter="path") from e
        except ValueError as e:
            raise ConfigurationError(f"{os.fspath(path)} is not JSON: {e}", parameter="path") from e
        if not isinstance(config, dict):
            raise ConfigurationError(f"{os.fspath(path)} holds no JSON object of sections", parameter="path")
        return cls(config)

    @classmethod
    def from_env(cls, prefix: str = "OPENOES_") -> Self:
        """Read `<prefix><SECTION>__<KEY>` from the environment, such as `OPENOES_WSP_REDIS__HOST`.

        Raises:
            ConfigurationError: a value is not of its key's type.

        """
        config: dict[str, Any] = {}
        for name, text in os.environ.items():
            if name.startswith(prefix) and len(name) > len(prefix):
                _put(config, name[len(prefix) :].lower().split("__"), text)
        return cls(config)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value by its dotted name, a whole section by its own, or `default` where there is none."""
        found: Any = self._config
        for name in key.split("."):
            if not isinstance(found, dict) or name not in found:
                return default
            found = found[name]
        return copy.deepcopy(found)

    def set(self, key: str, value: Any) -> None:
        """Set a value, or a whole section, by its dotted name.

        Raises:
            ConfigurationError: the value is not of its key's type, or the name leads through something that is no
                section.

        """
        names = key.split(".")
        checked = _value(names[-1], value, key)
        config = copy.deepcopy(self._config)
        _put(config, names, checked)
        self._config = config

    def get_wsp_redis_config(self) -> dict[str, Any]:
        """Return how to reach the custodian's primary."""
        return self._section("wsp_redis")

    def get_replica_redis_config(self) -> dict[str, Any]:
        """Return how to reach the exchange's stream-writeable replica."""
        return self._section("replica_redis")

    def get_replica_config(self) -> dict[str, Any]:
        """Return the same as `get_replica_redis_config`."""
        return self.get_replica_redis_config()

    def get_acl_config(self) -> dict[str, Any]:
        """Return the names and passwords of the two parties' users."""
        return self._section("acl")

    def get_streams_config(self) -> dict[str, Any]:
        """Return how streams are consumed."""
        return self._section("streams")

    def get_logging_config(self) -> dict[str, Any]:
        """Return the level and format for the application to set its logging up with; the SDK itself sets nothing."""
        return self._section("logging")

    def to_dict(self) -> dict[str, Any]:
        """Return all settings."""
        return copy.deepcopy(self._config)

    def save_to_file(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file that `from_file` reads, for its owner's eyes only: it holds the passwords.

        Raises:
            ConfigurationError: it cannot be written.

        """
        try:
            text = json.dumps(self._config, indent=2)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(text + "\n")
        except OSError as e:
            raise ConfigurationError(f"cannot write {os.fspath(path)}: {e.strerror}", parameter="path") from e
        except TypeError as e:
            raise ConfigurationError(f"settings that JSON cannot hold: {e}") from e

    def _section(self, name: str) -> dict[str, Any]:
        section = self.get(name, {})
        if not isinstance(section, dict):
            raise ConfigurationError("not a section of keys and values", parameter=name)
        return section

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._config!r})"


class ConfigurationProfile:
    """Settings for the usual places."""

    KIND: ClassVar[type[Configuration]] = Configuration

    @classmethod
    def development(cls) -> Configuration:
        """Return settings for one server on this machine in both roles."""
        return cls.KIND({"logging": {"level": "DEBUG"}})

    @classmethod
    def testing(cls) -> Configuration:
        """Return settings for database 1 of a server on this machine, with short waits."""
        return cls.KIND(
            {
                "wsp_redis": {"db": 1},
                "replica_redis": {"db": 1},
                "streams": {
                    "consumer_group_prefix": f"{cls.KIND.GROUP_PREFIX}_test",
                    "batch_size": 5,
                    "block_ms": 1000,
                    "max_retry_count": 2,
                    "retry_delay_ms": 1000,
                },
                "logging": {"level": "DEBUG"},
            }
        )

    @classmethod
    def production(cls) -> Configuration:
        """Return settings from the environment: `WSP_REDIS_HOST`, `REPLICA_REDIS_PASSWORD`, `EXCHANGE_USERNAME`, ….

        Raises:
            ConfigurationError: a value is not of its key's type.

        """
        config: dict[str, Any] = {}
        for section, prefix in (("wsp_redis", "WSP_REDIS_"), ("replica_redis", "REPLICA_REDIS_")):
            config[section] = {"socket_timeout": 10, "socket_connect_timeout": 15, "health_check_interval": 30}
            for key in ("host", "port", "password", "db"):
                _take(config, section, key, prefix + key.upper())
        for party in ("exchange", "wsp"):
            for key in ("username", "password"):
                _take(config, "acl", f"{party}_{key}", f"{party}_{key}".upper())
        _take(config, "logging", "level", "LOG_LEVEL")
        return cls.KIND(config)


def _take(config: dict[str, Any], section: str, key: str, variable: str) -> None:
    if variable in os.environ:
        config.setdefault(section, {})[key] = os.environ[variable]


def _defaults(group_prefix: str) -> dict[str, Any]:
    server = {"host": "localhost", "port": 6379, "password": Secret(), "db": 0, "decode_responses": True}
    return {
        "wsp_redis": dict(server),
        "replica_redis": dict(server),
        "acl": {
            "exchange_username": "exchange",
            # A password that stands in a manual is none, so there is no default: who sets users up names it.
            "exchange_password": Secret(),
            "wsp_username": "wsp",
            "wsp_password": Secret(),
            "stream_patterns": ["exchange:stream:*", "mirror:credit:response", "mirror:settlement:*:response"],
        },
        "streams": {
            "consumer_group_prefix": group_prefix,
            "batch_size": 10,
            "block_ms": 2000,
            "max_retry_count": 3,
            "retry_delay_ms": 5000,
        },
        "logging": {"level": "INFO", "format": "%(asctime)s - %(name)s - %(levelname)s - %(message)s"},
    }


def _put(config: dict[str, Any], names: list[str], value: Any) -> None:
    here = config
    for name in names[:-1]:
        inner = here.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ConfigurationError("not a section of keys and values", parameter=name)
        here = inner
    here[names[-1]] = value


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        inner = merged.get(name)
        merged[name] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def _checked(config: Mapping[str, Any], place: str) -> dict[str, Any]:
    return {name: _value(name, value, f"{place}{name}") for name, value in config.items()}


def _value(name: str, value: Any, place: str) -> Any:
    if isinstance(value, Mapping):
        return _checked(value, f"{place}.")
    if isinstance(value, str) and any(word in name for word in _SECRETS):
        return Secret(value)
    kind = _TYPES.get(name)
    if kind is None or value is None:
        return copy.deepcopy(value)
    try:
        return _typed(kind, value)
    except (TypeError, ValueError):
        words = {int: "a whole number", float: "a number", bool: "true or false", list: "a list of texts"}[kind]
        raise ConfigurationError(f"{value!r} is not {words}", parameter=place) from None


def _typed(kind: type, value: Any) -> Any:
    if kind is bool:
        text = str(value).strip().lower()
        if text not in _TRUE | _FALSE:
            raise ValueError(text)
        return text in _TRUE
    if kind is list:
        if isinstance(value, str):
            value = json.loads(value) if value.lstrip().startswith("[") else value.split(",")
        if isinstance(value, Mapping):
            raise TypeError(value)
        return [str(item).strip() for item in value]
    if isinstance(value, bool):
        raise TypeError(value)
    number = kind(value)
    if kind is int and isinstance(value, float) and number != value:
        raise ValueError(value)
    return number
