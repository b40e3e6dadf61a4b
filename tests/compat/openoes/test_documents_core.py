"""The documents' examples of core and testing, as printed, on a real primary and its replica."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from openoes_core import KeyManager, OpenOESError, RedisConnectionManager, create_redis_client

from heliograph.bus.embedded_pair import Pair
from tests.compat.openoes.documents import DOCUMENTS, FOLDER, SEEDS, examples, play
from tests.compat.openoes.handlers import wait_until


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture
def primary(pair: Pair) -> Iterator[redis.Redis]:
    client = create_redis_client("127.0.0.1", pair.primary.port)
    yield client
    client.flushall()
    client.close()


@pytest.fixture
def replica(pair: Pair) -> Iterator[redis.Redis]:
    client = create_redis_client("127.0.0.1", pair.replica.port)
    yield client
    client.close()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_our_copies_are_the_documents_to_the_letter(document: str) -> None:
    if not SEEDS.exists():
        pytest.skip("the documents are not beside the checkout")
    assert examples(FOLDER / f"{document}.txt") == examples(SEEDS / f"{document}.md")
    assert len(examples(SEEDS / f"{document}.md")) == 19


@pytest.mark.parametrize("document", DOCUMENTS)
def test_example_3_consumes_a_stream_and_acknowledges(
    document: str, primary: redis.Redis, replica: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = KeyManager.credit_request_stream()
    primary.xadd(stream, {"request_id": f"before-{document}"})
    wait_until(lambda: replica.xlen(stream))
    names: dict[str, Any] = {"redis_client": replica}
    thread = threading.Thread(target=play, args=(document, 3, names))
    thread.start()
    said = ""

    def heard(text: str) -> bool:
        nonlocal said
        said += capsys.readouterr().out
        return text in said

    wait_until(lambda: heard(f"Received message: {{'request_id': 'before-{document}'}}"))
    primary.xadd(stream, {"request_id": "during"})
    wait_until(lambda: heard("Received message: {'request_id': 'during'}"))
    wait_until(lambda: not replica.xpending_range(stream, "my-app", "-", "+", 10))
    assert [each["name"] for each in replica.xinfo_consumers(stream, "my-app")] == ["consumer-1"]
    assert thread.is_alive()
    names["stream_processor"].stop()
    thread.join(10)
    assert not thread.is_alive()
    replica.xgroup_destroy(stream, "my-app")


def _config(pair: Pair) -> dict[str, dict[str, Any]]:
    servers = {"wsp_config": pair.primary, "replica_config": pair.replica}
    return {name: {"host": "127.0.0.1", "port": server.port} for name, server in servers.items()}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_example_4_makes_clients_and_closes_them(document: str, pair: Pair, primary: redis.Redis) -> None:
    before = len(primary.client_list())
    names = play(document, 4, {**_config(pair)})
    kwargs = names["connection_manager"].get_replica_client().connection_pool.connection_kwargs
    assert (kwargs["host"], kwargs["password"]) == ("replica.example.com", "password")
    assert names["wsp_client"].connection_pool.connection_kwargs["port"] == pair.primary.port
    with pytest.raises(OpenOESError, match="closed"):
        names["manager"].get_wsp_client()
    assert len(primary.client_list()) == before


@pytest.mark.parametrize("document", DOCUMENTS)
def test_example_4_as_a_program_would_go_on(
    document: str, pair: Pair, primary: redis.Redis, replica: redis.Redis
) -> None:
    names = play(document, 4, {**_config(pair)})
    manager_type: type[RedisConnectionManager] = type(names["manager"])
    with manager_type(*_config(pair).values()) as manager:
        manager.get_wsp_client().set(f"mirrored-{document}", "yes")
        wait_until(lambda: manager.get_replica_client().get(f"mirrored-{document}") == "yes")
    assert primary.get(f"mirrored-{document}") == replica.get(f"mirrored-{document}") == "yes"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_example_5_makes_keys_and_reads_them(document: str) -> None:
    names = play(document, 5)
    assert (names["ci_key"], names["stream_key"]) == ("CI:user123:BTC", "exchange:stream:pledge:user123")
    assert names["key_info"] == {"type": "credit_inventory", "user_id": "user123", "asset": "BTC"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_example_6_really_sets_and_really_tests(document: str, pair: Pair, primary: redis.Redis) -> None:
    names = play(document, 6, {"wsp_config": _config(pair)["wsp_config"]})
    try:
        manager = names["acl_manager"]
        assert manager.test_exchange_permissions(names["exchange_client"], "exchange:stream:test") is True
        assert primary.keys("*") == [], "nothing was written to find that out"
        exchange = create_redis_client("127.0.0.1", pair.primary.port, "password", username="exchange")
        assert exchange.xadd("exchange:stream:test", {"a": "1"})
        for forbidden in (lambda: exchange.hset("CI:u:BTC", "amount", "9"), lambda: exchange.config_get("*")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                forbidden()
        wsp = create_redis_client("127.0.0.1", pair.primary.port, "password", username="wsp")
        assert wsp.hset("CI:u:BTC", "amount", "5") == 1
        assert exchange.hget("CI:u:BTC", "amount") == "5"
        for client in (exchange, wsp, names["admin_client"]):
            client.close()
    finally:
        primary.execute_command("ACL", "DELUSER", "exchange", "wsp")


@pytest.mark.parametrize(("document", "prefix"), list(zip(DOCUMENTS, ("OPENOES_", "REDIS_MIRROR_"), strict=True)))
def test_example_7_reads_settings_from_everywhere(
    document: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"wsp_redis": {"host": "from-the-file"}}))
    monkeypatch.setenv(f"{prefix}WSP_REDIS__HOST", "from-the-environment")
    monkeypatch.setenv(f"{prefix}WSP_REDIS__PASSWORD", "0012345")
    monkeypatch.setenv("WSP_REDIS_HOST", "from-production")
    names = play(document, 7)
    assert (names["wsp_host"], names["log_level"]) == ("from-the-environment", "INFO")
    assert names["config"].get("wsp_redis.host") == "new-host.example.com"
    assert names["config"].get("wsp_redis.password") == "0012345"
    assert names["prod_config"].get("wsp_redis.host") == "from-production"
    assert (names["dev_config"].get("wsp_redis.db"), names["test_config"].get("wsp_redis.db")) == (0, 1)
    assert names["dev_config"].get("wsp_redis.host") == "localhost"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_example_16_needs_no_server(document: str) -> None:
    client = play(document, 16)["mock_client"]
    assert client.xrange("test:stream")[0][1] == {"field": "value"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_example_17_makes_data_up(document: str) -> None:
    names = play(document, 17)
    request = names["credit_request"]
    assert (request["user_id"], request["asset"], request["amount"]) == (names["user_id"], "BTC", 10.0)
    assert (request["uid"], request["c_change"], request["is_increase"]) == (names["user_id"], "+10.0", True)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_example_18_plays_a_story(document: str) -> None:
    names = play(document, 18)
    assert names["scenario"].run()["response"]["status"] == "accepted"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_example_19_validates(document: str) -> None:
    names = play(document, 19)
    assert not names["ResponseValidators"].validate_credit_response({**names["credit_response"], "status": "banana"})
