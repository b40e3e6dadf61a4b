import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.bus.connection import connect
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_pair import Pair
from heliograph.errors import BusError


@pytest.fixture(scope="module")
def pair(server_binary: Path) -> Iterator[Pair]:
    with Pair(binary=server_binary, siblings=1) as servers:
        yield servers


async def _settings(server: Server, *names: str) -> dict[str, str]:
    async with connect(server.url) as client:
        return {name: (await client.config_get(name))[name] for name in names}


async def test_what_the_primary_has_its_copies_have_and_the_replica_takes_more(pair: Pair) -> None:
    async with connect(pair.primary.url) as upper, connect(pair.replica.url) as lower:
        await upper.hset("CI:u:BTC", "amount", "5")
        await pair.linked()
        assert await lower.hget("CI:u:BTC", "amount") == b"5"
        await lower.xadd("exchange:stream:A", {"data": "2"})
        assert await upper.exists("exchange:stream:A") == 0
    async with connect(pair.siblings[0].url) as beside:
        assert await beside.hget("CI:u:BTC", "amount") == b"5"
    with pytest.raises(BusError) as caught:
        async with connect(pair.siblings[0].url) as beside:
            await beside.set("x", "y")
    assert caught.value.code == "READONLY"


async def test_each_is_set_for_its_part(pair: Pair) -> None:
    names = ("appendonly", "appendfsync", "replica-priority", "repl-backlog-size", "replica-read-only")
    always = {"appendonly": "yes", "appendfsync": "always", "repl-backlog-size": str(64 << 20)}
    primary, replica, sibling = [await _settings(s, *names) for s in (pair.primary, pair.replica, *pair.siblings)]
    assert primary.items() >= always.items()
    assert sibling == always | {"replica-priority": "100", "replica-read-only": "yes"}
    assert (replica["appendonly"], replica["replica-priority"], replica["replica-read-only"]) == ("no", "0", "no")


async def test_each_restarts_by_itself_and_the_primarys_restart_wipes_what_the_replica_had_alone(pair: Pair) -> None:
    async with connect(pair.primary.url) as upper:
        await upper.set("kept", "1")
    for server in (*pair.siblings, pair.replica, pair.primary):
        async with connect(pair.replica.url) as lower:
            await lower.xadd("exchange:stream:B", {"data": "1"})
        await server.restart()
        await pair.linked()
        for other in (pair.primary, pair.replica, *pair.siblings):
            async with connect(other.url) as client:
                assert await client.get("kept") == b"1"
    async with connect(pair.replica.url) as lower:
        assert await lower.exists("exchange:stream:B") == 0


async def test_a_sibling_takes_the_primarys_place_for_good(server_binary: Path) -> None:
    async with Pair(binary=server_binary, siblings=2) as pair:
        old, new = pair.primary, pair.siblings[0]
        async with connect(old.url) as upper, connect(pair.replica.url) as lower:
            await upper.set("kept", "1")
            await lower.set("local", "1")
            await pair.linked()
        await asyncio.to_thread(old.kill)
        await pair.promote(new)
        assert pair.primary is new
        assert len(pair.siblings) == 1
        async with connect(new.url) as upper:
            await upper.set("more", "2")
        for server in (new, pair.replica):
            await server.restart()
        await pair.linked()
        async with connect(pair.replica.url) as lower:
            assert [await lower.get(key) for key in ("kept", "more")] == [b"1", b"2"]
        folders = [server.directory for server in (old, new, pair.replica, *pair.siblings)]
        assert all(folder.exists() for folder in folders)
    assert not any(folder.exists() for folder in folders), "nothing is left behind"


async def test_users_of_its_own_and_a_login_to_replicate_by(server_binary: Path) -> None:
    users = [
        "user default off",
        "user root on >hush-1 ~* &* +@all",
        "user copy on >hush-2 -@all +psync +replconf +ping",
    ]
    login, copying = ("root", "hush-1"), ("copy", "hush-2")
    acl = {"primary": users, "replica": users[:2]}
    with Pair(binary=server_binary, acl=acl, login=login, replication_login=copying) as pair:  # type: ignore[arg-type]
        assert pair.primary.ask("ACL", "WHOAMI") == b"root"
        pair.primary.ask("SET", "kept", "1")
        pair.replica.ask("ACL", "SETUSER", "later", "on", ">x")
        assert pair.replica.ask("ACL", "SAVE") == b"OK"
        await pair.replica.restart()
        await pair.linked()
        assert pair.replica.ask("GET", "kept") == b"1"
        assert b"later" in pair.replica.ask("ACL", "USERS"), "a restart kept the users that had been saved"
        assert "hush" not in pair.primary.url
        assert (pair.replica.directory / "server.conf").stat().st_mode & 0o077 == 0
        pair.primary.login = None
        with pytest.raises(BusError, match="give a user and password"):
            pair.primary.ask("PING")


def test_folders_stay_where_they_are_given(server_binary: Path, tmp_path: Path) -> None:
    with Pair(binary=server_binary, directory=tmp_path, siblings=1) as pair:
        pair.primary.ask("SET", "kept", "1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["primary", "replica", "sibling-0"]
    with Pair(binary=server_binary, directory=tmp_path) as pair:
        assert pair.replica.ask("GET", "kept") == b"1"


def test_a_copy_that_cannot_link_is_told_and_leaves_no_server(server_binary: Path, tmp_path: Path) -> None:
    acl = {"primary": ["user default on nopass ~* &* +@all -psync -sync"]}
    pair = Pair(binary=server_binary, directory=tmp_path, acl=acl, link_timeout_s=0.3)  # type: ignore[arg-type]
    with pytest.raises(BusError, match=r"did not link within 0\.3 s"):
        pair.start()
    for server in (pair.primary, pair.replica):
        with pytest.raises(BusError, match="not running"):
            _ = server.pid
