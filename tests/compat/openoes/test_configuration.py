"""Settings: one schema for a dict, a JSON file and the environment."""

import copy
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from openoes_core import Configuration, ConfigurationError, ConfigurationProfile, create_redis_client


def test_a_partial_dict_is_laid_over_the_defaults() -> None:
    config = Configuration({"wsp_redis": {"port": 6380}})
    assert config.get("wsp_redis.port") == 6380
    assert config.get("wsp_redis.host") == "localhost"
    assert config.get_wsp_redis_config() == {
        "host": "localhost",
        "port": 6380,
        "password": "",
        "db": 0,
        "decode_responses": True,
    }
    assert config.get("replica_redis") == config.get_replica_redis_config() == config.get_replica_config()
    assert config.get_streams_config() == {
        "consumer_group_prefix": "openoes",
        "batch_size": 10,
        "block_ms": 2000,
        "max_retry_count": 3,
        "retry_delay_ms": 5000,
    }
    assert config.get("acl.stream_patterns")[0] == "exchange:stream:*"
    assert config.get_acl_config()["exchange_username"] == "exchange"
    assert config.get_logging_config()["level"] == "INFO"
    assert config.get("nothing.of.the.kind", 5) == 5
    assert config.get("wsp_redis.host.further") is None


def test_further_keywords_of_redis_py_pass_through() -> None:
    config = Configuration({"wsp_redis": {"username": "me", "ssl": True, "ssl_ca_certs": "ca.pem"}})
    client = create_redis_client(**config.get_wsp_redis_config())
    assert client.connection_pool.connection_kwargs["username"] == "me"
    assert client.connection_pool.connection_kwargs["ssl_ca_certs"] == "ca.pem"
    with pytest.raises(ConfigurationError, match="banana"):
        create_redis_client(banana=1)


def test_d05_every_profile_makes_clients_and_none_changes_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSP_REDIS_HOST", "p.example.com")
    monkeypatch.setenv("REPLICA_REDIS_PASSWORD", "0012345")
    monkeypatch.setenv("EXCHANGE_USERNAME", "ex")
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    production = ConfigurationProfile.production()
    for section in (production.get_wsp_redis_config(), production.get_replica_redis_config()):
        kwargs = create_redis_client(**section).connection_pool.connection_kwargs
        assert (kwargs["socket_timeout"], kwargs["socket_connect_timeout"]) == (10, 15)
        assert kwargs["health_check_interval"] == 30
    assert production.get("wsp_redis.host") == "p.example.com"
    assert production.get("replica_redis.password") == "0012345"
    assert production.get("acl.exchange_username") == "ex"
    assert production.get("logging.level") == "WARNING"
    development = ConfigurationProfile.development()
    kwargs = create_redis_client(**development.get_wsp_redis_config()).connection_pool.connection_kwargs
    assert (kwargs["host"], kwargs["socket_timeout"]) == ("localhost", 5)
    assert development.get("logging.level") == "DEBUG"
    testing = ConfigurationProfile.testing()
    assert (testing.get("wsp_redis.db"), testing.get("replica_redis.db")) == (1, 1)
    assert testing.get("streams.consumer_group_prefix") == "openoes_test"
    assert (testing.get("streams.batch_size"), testing.get("streams.block_ms")) == (5, 1000)


def test_d06_nothing_is_shared_between_configurations_and_their_callers() -> None:
    given: dict[str, Any] = {"wsp_redis": {"host": "a"}, "mine": {"list": [1]}}
    development = ConfigurationProfile.development()
    config = Configuration(given)
    before = copy.deepcopy(config.to_dict())
    ConfigurationProfile.testing()
    Configuration().set("wsp_redis.db", 7)
    given["mine"]["list"].append(2)
    config.to_dict()["wsp_redis"]["host"] = "changed"
    config.get("wsp_redis")["host"] = "changed"
    config.get_wsp_redis_config()["host"] = "changed"
    config.get("acl.stream_patterns").append("*")
    assert config.to_dict() == before
    assert development.get("wsp_redis.db") == 0
    assert Configuration().get("wsp_redis.db") == 0
    assert Configuration().get("acl.stream_patterns") == before["acl"]["stream_patterns"]


@pytest.mark.parametrize("secret", ["0012345", "1e9", "no", "true", "", "a:b=c", " padded "])
def test_d07_a_secret_from_the_environment_stays_to_the_letter(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENOES_WSP_REDIS__PASSWORD", secret)
    monkeypatch.setenv("OPENOES_ACL__EXCHANGE_PASSWORD", secret)
    monkeypatch.setenv("OPENOES_WSP_REDIS__USERNAME", secret)
    config = Configuration.from_env()
    for name in ("wsp_redis.password", "acl.exchange_password", "wsp_redis.username"):
        value = config.get(name)
        assert isinstance(value, str)
        assert value == secret


def test_d07_what_the_schema_types_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "MINE_WSP_REDIS__PORT": "6390",
        "MINE_WSP_REDIS__DECODE_RESPONSES": "no",
        "MINE_REPLICA_REDIS__SOCKET_TIMEOUT": "2.5",
        "MINE_ACL__STREAM_PATTERNS": "a:*, b:*",
        "MINE_LOGGING__LEVEL": "0",
        "OPENOES_WSP_REDIS__PORT": "1",
    }.items():
        monkeypatch.setenv(name, text)
    config = Configuration.from_env(prefix="MINE_")
    assert config.get("wsp_redis.port") == 6390
    assert config.get("wsp_redis.decode_responses") is False
    assert config.get("replica_redis.socket_timeout") == 2.5
    assert config.get("acl.stream_patterns") == ["a:*", "b:*"]
    assert config.get("logging.level") == "0"


@pytest.mark.parametrize(
    ("name", "value"),
    [("wsp_redis.port", "many"), ("wsp_redis.port", 1.5), ("wsp_redis.db", True), ("wsp_redis.ssl", "perhaps")],
)
def test_a_value_that_is_none_is_refused_with_its_name(name: str, value: Any) -> None:
    section, _, key = name.partition(".")
    with pytest.raises(ConfigurationError, match=name):
        Configuration({section: {key: value}})
    with pytest.raises(ConfigurationError, match=name):
        Configuration().set(name, value)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    config = Configuration({"wsp_redis": {"password": "0012345", "port": 6380}, "mine": {"a": [1, "2"]}})
    config.save_to_file(path)
    assert Configuration.from_file(path).to_dict() == config.to_dict()
    assert Configuration.from_file(str(path)).get("wsp_redis.password") == "0012345"


@pytest.mark.parametrize(
    ("text", "says"), [("{", "not JSON"), ("[1]", "no JSON object"), ('{"wsp_redis": {"port": "x"}}', "whole number")]
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        Configuration.from_file(path)
    with pytest.raises(ConfigurationError, match="No such file"):
        Configuration.from_file(tmp_path / "absent.json")


def test_d42_a_secret_is_not_shown_and_its_file_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    path.chmod(0o644)
    config = Configuration({"wsp_redis": {"password": "hunter2"}, "acl": {"wsp_password": "hunter3"}})
    shown = f"{config!r} {config} {config.to_dict()} {config.get_acl_config()} {config.get('wsp_redis')}"
    assert "hunter" not in shown
    assert config.get("wsp_redis.password") == "hunter2"
    config.save_to_file(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert json.loads(path.read_text())["wsp_redis"]["password"] == "hunter2"


def test_d42_there_is_no_default_password() -> None:
    for config in (Configuration(), ConfigurationProfile.development(), ConfigurationProfile.testing()):
        assert config.get("acl.exchange_password") == ""
        assert config.get("acl.wsp_password") == ""
