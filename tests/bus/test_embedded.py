import asyncio
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from heliograph.bus import embedded
from heliograph.bus.connection import connect
from heliograph.bus.embedded import PORTS, Server, binary_version, find_binary
from heliograph.bus.endpoint import parse_url
from heliograph.errors import BusError, ConfigError


def test_it_is_found_started_and_gone(any_binary: Path) -> None:
    with Server(binary=any_binary) as server:
        pid, directory = server.pid, server.directory
        assert re.fullmatch(rf"redis://127\.0\.0\.1:{server.port}/0", server.url)
        assert server.port in PORTS
        assert (directory / "server.log").exists()
        os.kill(pid, 0)
    assert not directory.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(BusError, match="not running"):
        _ = server.pid


async def test_it_keeps_its_data_and_port_over_kill_9(any_binary: Path, tmp_path: Path) -> None:
    async with Server(binary=any_binary, directory=tmp_path, appendfsync="always") as server:
        async with connect(server.url) as client:
            await client.xadd("s", {"data": "1"})
        port, pid = server.port, server.pid
        await server.restart()
        assert (server.port, server.pid == pid) == (port, False)
        async with connect(server.url) as client:
            assert await client.xlen("s") == 1
    async with Server(binary=any_binary, directory=tmp_path) as server, connect(server.url) as client:
        assert await client.xlen("s") == 1


async def test_it_can_be_started_again_after_it_ended_by_itself(valkey: Server) -> None:
    port = valkey.port
    async with connect(valkey.url) as client:
        await client.shutdown(nosave=True)
    await valkey.restart()
    assert valkey.port == port
    async with connect(valkey.url) as client:
        assert await client.ping()


def test_a_stopped_server_is_gone_too(valkey: Server) -> None:
    os.kill(valkey.pid, signal.SIGSTOP)
    valkey.kill()
    valkey.start()


async def test_a_port_that_somebody_took_first_is_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], embedded.free_port()])
        monkeypatch.setattr(embedded, "free_port", lambda: next(ports))
        async with Server() as server, connect(server.url) as client:
            assert server.port != taken.getsockname()[1]
            assert await client.ping()


async def test_a_given_port_that_is_taken_is_waited_for() -> None:
    port = embedded.free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(BusError, match=r"stayed taken|already in use"):
            await Server(port=port, ready_timeout_s=0.2).__aenter__()
        starting = asyncio.ensure_future(Server(port=port).__aenter__())
        await asyncio.sleep(0)
    server = await starting
    assert server.port == port
    server.stop()


async def test_a_replica_copies_its_primary_and_takes_writes(mirrored: tuple[Server, Server]) -> None:
    primary, replica = mirrored
    async with connect(primary.url) as upper, connect(replica.url) as lower:
        entry = await upper.xadd("CI:s", {"data": "1"})
        while not await lower.exists("CI:s"):  # noqa: ASYNC110 (replication makes no event that we could wait for)
            await asyncio.sleep(0.001)
        assert (await lower.xrange("CI:s"))[0][0] == entry
        await lower.xadd("exchange:stream:A", {"data": "2"})
        assert await lower.xlen("exchange:stream:A") == 1
        assert await upper.exists("exchange:stream:A") == 0


async def test_a_cancelled_start_leaves_no_server(tmp_path: Path) -> None:
    server = Server(directory=tmp_path)
    starting = asyncio.ensure_future(server.__aenter__())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    with pytest.raises(BusError, match="not running"):
        _ = server.pid


def test_one_command_can_be_asked_for_and_a_refusal_is_the_servers(any_binary: Path) -> None:
    with Server(binary=any_binary) as server, Server(binary=any_binary) as other:
        assert server.ask("SET", "k", "v" * 100_000) == b"OK"
        assert len(server.ask("GET", "k")) == 100_000
        with pytest.raises(BusError) as caught:
            server.ask("XADD", "k", "*", "a", "b")
        assert caught.value.code == "WRONGTYPE"
        other.follow(server)
        assert other.ask("ROLE")[:3] == [b"slave", b"127.0.0.1", server.port]
        other.kill()
        other.start()
        assert other.ask("ROLE")[0] == b"slave", "it still knows whom to follow"
        other.follow(None)
        assert other.ask("ROLE")[0] == b"master"
        server.kill()
        with pytest.raises(BusError, match="refused"):
            server.ask("PING")


def test_users_and_settings_of_any_bytes_are_taken_and_nobody_else_may_read_them(
    any_binary: Path, tmp_path: Path
) -> None:
    secret = 'a "quoted" \\ secret'
    directory = tmp_path / "a folder"
    acl = ["user default off", "user root on nopass ~* &* +@all"]
    with Server(
        binary=any_binary, directory=directory, acl=acl, login=("root", "any"), replication_login=("copy", secret)
    ) as server:
        assert server.ask("CONFIG", "GET", "masterauth") == [b"masterauth", secret.encode()]
        assert server.endpoint == parse_url(server.url, username="root", password="any")
        server.login = None
        with pytest.raises(BusError, match="give a user and password"):
            server.ask("PING")
    files = [path for path in directory.iterdir() if path.name in ("server.conf", "users.acl")]
    assert [path.stat().st_mode & 0o077 for path in files] == [0, 0]
    with pytest.raises(BusError, match="give a user and password"):
        Server(binary=any_binary, directory=directory, acl=acl).start()


def test_a_bad_setting_is_said_with_the_servers_own_words() -> None:
    with pytest.raises(BusError, match="nonsense"):
        Server(options=[("nonsense", "1")]).start()
    with pytest.raises(ConfigError, match="no executable server at /nowhere"):
        Server(binary=Path("/nowhere")).start()
    with pytest.raises(BusError, match="ended with code"):
        Server(binary=Path("/bin/false")).start()


def test_what_is_on_the_path_is_used_where_nothing_is_packaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "_packaged_binary", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"heliograph\[embedded\]"):
        find_binary()
    for name, version in (("redis-server", "6.0.16"), ("valkey-server", "8.1.1")):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho 'Server v={version} sha=0'\n")
        path.chmod(0o755)
        if name == "redis-server":
            with pytest.raises(ConfigError):
                find_binary()
    assert find_binary() == tmp_path / "valkey-server"
    assert binary_version(tmp_path / "redis-server") == (6, 0, 16)
    assert binary_version(Path("/bin/false")) == ()


def test_a_restart_runs_the_same_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Server(directory=tmp_path) as server:
        monkeypatch.setattr("heliograph.bus.embedded.find_binary", _found)
        server.kill()
        server.start()
        assert server.pid


def _found(setting: Path | None = None) -> Path:
    assert setting is not None, "looked for a program anew"
    return setting
