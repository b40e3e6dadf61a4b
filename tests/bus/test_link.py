import asyncio
import socket

import pytest

from heliograph.bus import resp
from heliograph.bus.connection import connect
from heliograph.bus.embedded import Server
from heliograph.bus.endpoint import parse_url
from heliograph.bus.link import last_id, open_link, run_id
from heliograph.errors import BusError


async def test_replies_come_to_those_who_asked_in_order(any_server: Server) -> None:
    link = await open_link(parse_url(any_server.url), name="test", timeout_s=5)
    answers = await asyncio.gather(*(link.request("ECHO", str(n)) for n in range(1000)))
    assert answers == [b"%d" % n for n in range(1000)]
    heard: list[tuple[object, str | None]] = []
    payload = resp.command("MULTI") + resp.command("ECHO") + resp.command("EXEC")
    link.send(payload, 3, lambda reply, error: heard.append((reply, error)))
    assert await link.request("ECHO", "after") == b"after"
    assert heard
    assert heard[0][1] is not None
    assert "wrong number of arguments" in heard[0][1]  # The first error, not the last one's EXECABORT.
    link.abort("done")


async def test_what_is_unanswered_when_the_connection_ends_is_an_error(any_server: Server) -> None:
    ended = asyncio.Event()
    link = await open_link(parse_url(any_server.url), name="test", timeout_s=5, ended=ended.set)
    blocked = asyncio.ensure_future(link.request("XREAD", "BLOCK", 0, "STREAMS", "none", "$"))
    await asyncio.sleep(0)
    await asyncio.to_thread(any_server.kill)
    with pytest.raises(BusError, match="ended before the reply"):
        await blocked
    await ended.wait()
    assert link.lost is not None
    with pytest.raises(BusError, match=r"the server closed the connection|reset"):
        await link.request("PING")


async def test_the_servers_own_id_changes_with_its_start(any_server: Server) -> None:
    seen = set()
    for _ in range(2):
        link = await open_link(parse_url(any_server.url), name="test", timeout_s=5)
        seen.add(await run_id(link))
        seen.add(await run_id(link))
        link.abort("done")
        await any_server.restart()
    assert len(seen) == 2
    assert None not in seen


async def test_a_streams_last_id_outlives_its_entries(any_server: Server) -> None:
    link = await open_link(parse_url(any_server.url), name="test", timeout_s=5)
    assert await last_id(link, "s") == (0, 0)
    await link.request("XADD", "s", "5-7", "data", "x")
    await link.request("XTRIM", "s", "MAXLEN", 0)
    assert await last_id(link, "s") == (5, 7)
    link.abort("done")


async def test_a_link_is_refused_or_silent_and_says_which(any_server: Server) -> None:
    async with connect(any_server.url) as client:
        await client.execute_command("ACL", "SETUSER", "me", "on", ">hush-1", "+@all")
    with pytest.raises(BusError, match="the user or password is wrong") as caught:
        await open_link(parse_url(any_server.url, username="me", password="hush-2"), name="test", timeout_s=5)
    assert caught.value.code == "WRONGPASS"
    assert "hush" not in str(caught.value)
    with pytest.raises(BusError, match="No such file"):
        await open_link(parse_url("unix:///nowhere/valkey.sock"), name="test", timeout_s=5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = parse_url(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(BusError, match=r"no answer within 0\.05 s"):
            await open_link(endpoint, name="test", timeout_s=0.05)


async def test_what_is_not_resp_ends_the_link() -> None:
    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(chat, "127.0.0.1", 0) as server:
        endpoint = parse_url(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(BusError):
            await open_link(endpoint, name="test", timeout_s=5)


async def test_a_unix_socket_and_another_database_work(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("s") / "v.sock"
    with Server(options=[("unixsocket", str(path))]):
        link = await open_link(parse_url(f"unix://{path}?db=3"), name="test", timeout_s=5)
        assert await link.request("SET", "a", "1") == b"OK"
        assert b"db=3" in str(await link.request("CLIENT", "LIST")).encode()
        link.abort("done")
        async with connect(f"unix://{path}?db=3") as client:
            assert await client.get("a") == b"1"
