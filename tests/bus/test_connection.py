import pytest

from heliograph.bus.connection import connect
from heliograph.bus.embedded import Server
from heliograph.bus.endpoint import parse_url
from heliograph.errors import BusError


async def test_the_client_works_and_its_errors_are_ours(any_server: Server) -> None:
    async with connect(any_server.url) as client:
        await client.set("plain", "x")
        assert await client.get("plain") == b"x"
    with pytest.raises(BusError, match="rename or delete") as caught:
        async with connect(any_server.url) as client:
            await client.xadd("plain", {"data": "x"})
    assert caught.value.code == "WRONGTYPE"


async def test_rights_and_credentials_are_told_apart(any_server: Server) -> None:
    async with connect(any_server.url) as client:
        await client.execute_command("ACL", "SETUSER", "me", "on", ">hush-1", "-@all", "+ping", "+hello", "+client")
    wrong = parse_url(any_server.url, username="me", password="hush-2")
    right = parse_url(any_server.url, username="me", password="hush-1")
    with pytest.raises(BusError, match="the user or password is wrong") as caught:
        await connect(wrong).__aenter__()
    assert caught.value.code == "WRONGPASS"
    assert "hush" not in str(caught.value)
    with pytest.raises(BusError, match="ACL lacks") as caught:
        async with connect(right) as client:
            await client.get("x")
    assert caught.value.code == "NOPERM"


async def test_a_server_that_is_away_is_named() -> None:
    with pytest.raises(BusError, match=r"redis://127\.0\.0\.1:1/0"):
        async with connect("redis://127.0.0.1:1"):
            pass
