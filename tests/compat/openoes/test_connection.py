"""Connections to the two servers."""

import logging
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis
from openoes_core import (
    Configuration,
    ConfigurationError,
    ConnectionError,  # noqa: A004 - the seeds' name
    RedisConnectionManager,
    StreamPublisher,
    check_connection,
    create_redis_client,
    create_stream_writeable_replica_client,
    get_connection_info,
)

from heliograph.bus.embedded import Server
from tests.compat.openoes.handlers import wait_until


def _config(server: Server) -> dict[str, object]:
    return {"host": "127.0.0.1", "port": server.port, "db": 0}


def test_the_defaults_of_a_client() -> None:
    for make in (create_redis_client, create_stream_writeable_replica_client):
        kwargs = make().connection_pool.connection_kwargs
        assert (kwargs["host"], kwargs["port"], kwargs["db"], kwargs["password"]) == ("localhost", 6379, 0, None)
        assert (kwargs["socket_timeout"], kwargs["socket_connect_timeout"]) == (5, 10)
        assert (kwargs["socket_keepalive"], kwargs["health_check_interval"]) == (True, 30)
        assert kwargs["decode_responses"] is True


def test_one_configuration_is_one_server_in_both_roles(shared_valkey: Server) -> None:
    with RedisConnectionManager(_config(shared_valkey)) as manager:
        manager.get_wsp_client().set("k", "v")
        assert manager.get_replica_client().get("k") == "v"
        assert manager.wsp_client is manager.get_wsp_client()
        assert manager.replica_client is manager.get_replica_client()


def test_settings_with_a_secret_in_them_connect(shared_valkey: Server, client: redis.Redis) -> None:
    client.execute_command("ACL", "SETUSER", "pat", "on", ">0012345", "~*", "&*", "+@all")
    login = {**_config(shared_valkey), "username": "pat", "password": "0012345"}
    config = Configuration({"wsp_redis": login, "replica_redis": login})
    try:
        with RedisConnectionManager(config.get("wsp_redis"), config.get("replica_redis")) as manager:
            assert manager.get_wsp_client().acl_whoami() == manager.get_replica_client().acl_whoami() == "pat"
    finally:
        client.execute_command("ACL", "DELUSER", "pat")


def test_d36_close_is_idempotent_and_leaves_no_connection(shared_valkey: Server, client: redis.Redis) -> None:
    before = len(client.client_list())
    manager = RedisConnectionManager(_config(shared_valkey), _config(shared_valkey))
    for each in (manager.get_wsp_client(), manager.get_replica_client()):
        each.ping()
    assert len(client.client_list()) == before + 2
    manager.close()
    manager.close()
    wait_until(lambda: len(client.client_list()) == before)
    with pytest.raises(ConnectionError, match="closed"):
        manager.get_wsp_client()


def test_d36_what_works_on_connections_ends_before_them_whatever_it_raises(shared_valkey: Server) -> None:
    manager = RedisConnectionManager(_config(shared_valkey))
    ended: list[str] = []
    manager.before_close(lambda: ended.append(f"first, open: {not manager.closed}"))
    manager.before_close(lambda: 1 // 0)
    manager.before_close(lambda: ended.append("last"))
    with pytest.raises(ZeroDivisionError):
        manager.close()
    assert ended == ["last", "first, open: True"]
    assert manager.closed
    manager.close()


def test_a_client_that_was_handed_over_stays_its_owners(client: redis.Redis) -> None:
    manager = RedisConnectionManager(wsp_client=client, replica_client=client)
    assert manager.get_wsp_client() is manager.get_replica_client() is client
    manager.close()
    assert client.ping()
    with pytest.raises(ConfigurationError):
        RedisConnectionManager()


def test_a_server_tells_of_itself(client: redis.Redis) -> None:
    assert check_connection(client)
    info = get_connection_info(client)
    assert info["connected"] is True
    assert info["role"] == "master"
    assert info["connected_clients"] >= 1
    assert set(info) == {"valkey_version", "connected_clients", "used_memory_human", "role", "connected"}
    assert info["valkey_version"][0].isdigit()


def test_a_server_that_is_away_is_told_as_such() -> None:
    nobody = create_redis_client("127.0.0.1", 1)
    assert check_connection(nobody) is False
    info = get_connection_info(nobody)
    assert info["connected"] is False
    assert "ConnectionError" in info["error"]


def test_d37_nothing_is_tried_again_behind_the_callers_back(shared_valkey: Server) -> None:
    begun_s = time.monotonic()
    with pytest.raises(redis.AuthenticationError):
        create_redis_client("127.0.0.1", shared_valkey.port, "wrong", username="nobody").ping()
    with pytest.raises(redis.ConnectionError):
        create_redis_client("127.0.0.1", 1).ping()
    assert time.monotonic() - begun_s < 2


def test_d02_a_publish_whose_reply_is_lost_is_not_sent_twice(client: redis.Redis, shared_valkey: Server) -> None:
    heard = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def relay() -> None:
            while True:
                try:
                    down, _ = listener.accept()
                except OSError:
                    return
                with down, socket.create_connection(("127.0.0.1", shared_valkey.port)) as up:
                    while data := down.recv(65536):
                        up.sendall(data)
                        reply = up.recv(65536)
                        if b"XADD" in data:
                            heard.set()
                            break
                        down.sendall(reply)

        thread = threading.Thread(target=relay, daemon=True)
        thread.start()
        cut = create_redis_client("127.0.0.1", listener.getsockname()[1])
        with pytest.raises(ConnectionError):
            StreamPublisher(cut, "s").publish({"n": 1})
        assert heard.is_set()
        cut.close()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert client.xlen("s") == 1


def test_d01_d39_importing_does_nothing_and_every_exported_name_is_there() -> None:
    script = """
import logging, os, socket, sys, threading
sys.path[:0] = sys.argv[1:]
before = dict(os.environ)
def refuse(*a, **k): raise AssertionError("a socket was opened by an import")
socket.socket.connect = refuse
for name in ("openoes_core", "openoes_testing", "sdk_ce.redis_mirror_core", "sdk_ce.redis_mirror_testing"):
    module = __import__(name, fromlist=["*"])
    for exported in module.__all__:
        assert getattr(module, exported) is not None, (name, exported)
assert dict(os.environ) == before
assert threading.active_count() == 1
assert not logging.getLogger().handlers and logging.getLogger().level == logging.WARNING
"""
    compat = Path(__file__).parents[3] / "compat"
    done = subprocess.run([sys.executable, "-c", script, str(compat)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_d39_a_configuration_sets_no_logging_up() -> None:
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    Configuration({"logging": {"level": "DEBUG"}})
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)
