"""The SDK's older name: the same objects, and the few words that differ."""

import openoes_core
import pytest
import redis
from sdk_ce import redis_mirror_core


def test_d01_everything_of_the_newer_name_is_there_under_the_older() -> None:
    expected = {"RedisMirrorError" if name == "OpenOESError" else name for name in openoes_core.__all__}
    assert set(redis_mirror_core.__all__) == expected
    own = {"RedisMirrorError", "Configuration", "ConfigurationProfile", "get_connection_info"}
    for name in expected - own:
        assert getattr(redis_mirror_core, name) is getattr(openoes_core, name)


def test_an_error_of_one_name_is_caught_by_the_others() -> None:
    with pytest.raises(redis_mirror_core.RedisMirrorError):
        raise openoes_core.ValidationError("no")
    assert issubclass(redis_mirror_core.StreamError, redis_mirror_core.RedisMirrorError)


def test_its_own_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_MIRROR_WSP_REDIS__PORT", "6390")
    monkeypatch.setenv("OPENOES_WSP_REDIS__PORT", "6391")
    config = redis_mirror_core.Configuration.from_env()
    assert config.get("wsp_redis.port") == 6390
    assert config.get("streams.consumer_group_prefix") == "redis_mirror_ce"
    assert openoes_core.Configuration.from_env().get("wsp_redis.port") == 6391
    assert isinstance(config, openoes_core.Configuration)
    for profile in ("development", "testing", "production"):
        made = getattr(redis_mirror_core.ConfigurationProfile, profile)()
        assert isinstance(made, redis_mirror_core.Configuration)
        assert made.get("streams.consumer_group_prefix").startswith("redis_mirror_ce")
        newer = getattr(openoes_core.ConfigurationProfile, profile)()
        assert newer.get("streams.consumer_group_prefix").startswith("openoes")


def test_its_key_of_the_servers_version(client: redis.Redis) -> None:
    info = redis_mirror_core.get_connection_info(client)
    assert info["redis_version"] == openoes_core.get_connection_info(client)["valkey_version"]
    assert "valkey_version" not in info
