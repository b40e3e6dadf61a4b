"""TLS: the SDK's settings and clients, on the one server at hand that has it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from openoes_core import (
    Configuration,
    RedisConnectionManager,
    StreamPublisher,
    check_connection,
    create_redis_client,
    get_acl_list,
    setup_exchange_acl,
)

from heliograph.bus.embedded import Server
from heliograph.bus.endpoint import Tls
from heliograph.sim.authority import Authority
from tests.bus.certificates import certify, with_tls
from tests.conftest import binary_of


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return certify(tmp_path_factory.mktemp("tls"), "node", Authority())


@pytest.fixture(scope="module")
def server(files: Tls) -> Iterator[Server]:
    with Server(binary=with_tls(binary_of("redis-7.0")), tls=files) as server:
        yield server


def settings(server: Server, files: Tls, *, certificate: bool = True) -> dict[str, Any]:
    shown = {"ssl_certfile": files.certificate_file, "ssl_keyfile": files.key_file} if certificate else {}
    return {"host": "127.0.0.1", "port": server.port, "ssl": True, "ssl_ca_certs": files.ca_file, **shown}


def test_d42_settings_from_a_file_reach_a_server_over_tls(server: Server, files: Tls, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    Configuration({"wsp_redis": settings(server, files)}).save_to_file(path)
    with RedisConnectionManager(Configuration.from_file(path).get_wsp_redis_config()) as manager:
        assert StreamPublisher(manager.get_wsp_client(), "s").publish({"a": 1})


def test_d42_without_a_certificate_or_tls_nobody_is_served(server: Server, files: Tls) -> None:
    for each in (settings(server, files, certificate=False), {"host": "127.0.0.1", "port": server.port}):
        client = create_redis_client(**each)
        assert check_connection(client) is False
        client.close()


def test_d42_users_are_set_up_and_tried_over_tls(server: Server, files: Tls) -> None:
    admin = create_redis_client(**settings(server, files))
    assert setup_exchange_acl(admin, "ex", "pw") is True
    assert {user["username"] for user in get_acl_list(admin)} == {"default", "ex"}
    exchange = create_redis_client(**settings(server, files), username="ex", password="pw")
    assert exchange.xadd("exchange:stream:mine", {"a": "1"})
    with pytest.raises(redis.exceptions.NoPermissionError):
        exchange.set("k", "v")
    for client in (exchange, admin):
        client.close()
