import asyncio
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from heliograph.errors import ConfigError
from heliograph.sim.authority import Authority
from heliograph.sim.doors import Doors


@pytest.fixture
async def runner() -> AsyncIterator[web.ServerRunner]:
    async def hello(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="hello")

    running = web.ServerRunner(web.Server(hello), handle_signals=False, shutdown_timeout=0.1)
    await running.setup()
    yield running
    await running.cleanup()


async def _said(url: str, tls: ssl.SSLContext | bool = True) -> str:
    async with aiohttp.ClientSession() as http, http.get(url, ssl=tls) as answer:
        return await answer.text()


async def test_the_same_is_served_in_plain_text_and_encrypted(runner: web.ServerRunner) -> None:
    authority = Authority()
    doors = Doors("127.0.0.1", 0, authority.server_context())
    await doors.open(runner)
    assert await _said(f"http://127.0.0.1:{doors.port}") == "hello"
    assert await _said(f"https://127.0.0.1:{doors.tls_port}", authority.client_context()) == "hello"


async def test_a_closed_door_refuses_and_opens_again_on_the_same_ports(runner: web.ServerRunner) -> None:
    doors = Doors("127.0.0.1", 0, Authority().server_context())
    await doors.open(runner)
    ports = doors.port, doors.tls_port
    await doors.close()
    assert doors.closed
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
    await doors.open(runner)
    assert (doors.port, doors.tls_port) == ports
    assert await _said(f"http://127.0.0.1:{doors.port}") == "hello"


async def test_a_port_that_is_taken_is_named(runner: web.ServerRunner) -> None:
    first = Doors("127.0.0.1", 0)
    await first.open(runner)
    with pytest.raises(ConfigError, match=f"127.0.0.1:{first.port}: Address already in use"):
        await Doors("127.0.0.1", first.port).open(runner)
    assert first.tls_port == 0
