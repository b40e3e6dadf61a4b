"""An administrator's connection: what it learns, and how it gets in."""

import asyncio
import socket
from pathlib import Path

import pytest

from heliograph.bus.acl_admin import open_admin, open_as
from heliograph.bus.acl_roles import Place, Role, Secret, users_of
from heliograph.bus.embedded import Server, binary_version, find_binary, free_port
from heliograph.bus.endpoint import parse_url
from heliograph.errors import BusError
from tests.bus.acl_scheme import NAMES

SECRET = Secret("open sesame")


async def test_what_a_server_can_express_is_asked_not_assumed(matrix_server: Server, server_binary: Path) -> None:
    async with open_admin(parse_url(matrix_server.url)) as admin:
        version = binary_version(server_binary)
        assert admin.selectors == (version >= (7, 0))
        assert ("client|setinfo" in admin.unknown) == ((7, 0) <= version < (7, 2))
        assert ("waitaof" in admin.unknown) == (version < (7, 2))
        assert admin.user == "default"


async def test_d08_what_is_put_is_read_back_the_same_whatever_the_servers_words(matrix_server: Server) -> None:
    async with open_admin(parse_url(matrix_server.url)) as admin:
        for role in Role:
            for place in Place:
                for user in users_of(role, "someone", [place], NAMES, selectors=admin.selectors):
                    await admin.put(user, SECRET)
                    assert await admin.state(user.name) == admin.wanted(user, SECRET)
                    await admin.remove(user.name)
                    assert await admin.state(user.name) is None


async def test_d08_a_rule_that_is_refused_raises_and_changes_nothing(matrix_server: Server) -> None:
    async with open_admin(parse_url(matrix_server.url)) as admin:
        (user,) = users_of(Role.FEED, "feed", [Place.BUS], NAMES, selectors=True)
        await admin.put(user, SECRET)
        with pytest.raises(BusError, match="ACL SETUSER"):
            await admin.ask("ACL", "SETUSER", "feed", "reset", "on", "+nonsense")
        assert await admin.state("feed") == admin.wanted(user, SECRET)
        await admin.remove("feed")


async def test_the_administrator_comes_in_by_its_name_where_it_is_known_and_without_where_it_is_not() -> None:
    with Server() as server:
        endpoint = parse_url(server.url)
        async with open_admin(endpoint, "root", SECRET) as admin:
            assert admin.user == "default"
            (root,) = users_of(Role.ADMIN, "root", [Place.BUS], NAMES, selectors=True)
            await admin.put(root, SECRET)
        async with open_admin(endpoint, "root", SECRET) as admin:
            assert admin.user == "root"
            await admin.ask("ACL", "SETUSER", "default", "off")
        with pytest.raises(BusError, match="WRONGPASS"):
            async with open_admin(endpoint, "root", Secret("wrong")):
                pass


async def test_no_password_is_told_by_a_server_that_is_watched(matrix_server: Server) -> None:
    """What MONITOR shows and what ACL LIST shows is a hash at most."""
    endpoint = parse_url(matrix_server.url)
    with socket.create_connection((endpoint.host, endpoint.port), timeout=5) as watching:
        watching.sendall(b"*1\r\n$7\r\nMONITOR\r\n")
        async with open_admin(endpoint) as admin:
            (user,) = users_of(Role.FEED, "feed", [Place.BUS], NAMES, selectors=True)
            await admin.put(user, SECRET)
            (await open_as(endpoint, "feed", SECRET.text or "")).abort("done")
            await admin.ask("PING")
            listed = b" ".join(await admin.ask("ACL", "LIST"))
            await admin.remove("feed")
            await admin.ask("ECHO", "that was all")
        said = b""
        while b"that was all" not in said:
            said += watching.recv(65536)
    assert SECRET.hash.encode() in listed
    assert b"open sesame" not in said + listed


@pytest.mark.parametrize("kept", ["nowhere", "the configuration file", "users.acl"])
async def test_users_are_kept_where_a_restart_finds_them_or_it_says_so(tmp_path: Path, kept: str) -> None:
    (tmp_path / "server.conf").touch()
    (tmp_path / "users.acl").touch()
    port, binary = free_port(), find_binary()
    arguments = {"nowhere": [], "the configuration file": ["server.conf"], "users.acl": ["--aclfile", "users.acl"]}
    command = [binary, *arguments[kept], "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        while b"Ready to accept" not in await process.stdout.readline():
            assert process.returncode is None
        async with open_admin(parse_url(f"redis://127.0.0.1:{port}")) as admin:
            (user,) = users_of(Role.FEED, "feed", [Place.BUS], NAMES, selectors=True)
            await admin.put(user, SECRET)
            said = await admin.persist(settings=False)
    finally:
        process.kill()
        await process.communicate()
    assert (said or "nowhere") == kept
    written = [file for file in ("server.conf", "users.acl") if "user feed on" in (tmp_path / file).read_text()]
    assert len(written) == (kept != "nowhere")


async def test_a_replica_is_told_once_whom_it_replicates_as(matrix_server: Server) -> None:
    async with open_admin(parse_url(matrix_server.url)) as admin:
        assert await admin.replicate_as("replication", "open sesame")
        assert not await admin.replicate_as("replication", "open sesame")
        assert await admin.replicate_as("replication", "another")
        assert (await admin.ask("CONFIG", "GET", "masterauth"))[1] == b"another"
