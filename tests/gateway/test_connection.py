import asyncio
import socket
from decimal import Decimal

import aiohttp

from heliograph.gateway.connection import LATER_MESSAGES_MAX, Limits, Stage
from heliograph.gateway.hub import Hub
from heliograph.gateway.server import Server
from heliograph.model.market import Candle
from tests.gateway.samples import MINUTE_NS, OPEN_NS, candle
from tests.gateway.script import Script, client, clients, running, spot


def of(symbol: str, close: int = 1, minute: int = 0, *, closed: bool = False) -> Candle:
    return candle(instrument=spot(symbol), close=Decimal(close), open_ns=OPEN_NS + minute * MINUTE_NS, closed=closed)


async def test_a_client_hears_the_confirmation_and_then_its_quotes() -> None:
    async with running() as (_, hub, server), client(server) as one:
        assert await one.subscribe("BTCUSDT", "ETHUSDT", limit=0) == {
            "type": "subscribed",
            "exchange": "binance",
            "contract_type": "spot",
            "symbols": ["BTCUSDT", "ETHUSDT"],
            "limit": 0,
        }
        hub.push([of("BTCUSDT", 7), of("ETHUSDT", 8, closed=True)])
        first, second = await one.receive(), await one.receive()
        assert (first["type"], first["symbol"], first["close"], first["is_closed_candle"]) == (
            "quote",
            "BTCUSDT",
            7,
            False,
        )
        assert (second["symbol"], second["is_closed_candle"]) == ("ETHUSDT", True)
        assert list(first) == [
            *("type", "current_time", "timestamp", "exchange", "symbol", "contract_type"),
            *("open", "high", "low", "close", "volume", "trade_num", "is_closed_candle"),
        ]


async def test_the_limit_counts_quotes_and_then_closes_normally() -> None:
    async with running() as (script, hub, server), client(server) as one:
        await one.subscribe("BTCUSDT", "ETHUSDT", limit=3)
        hub.push([of("BTCUSDT", 1), of("ETHUSDT", 2)])
        hub.push([of("BTCUSDT", 3), of("ETHUSDT", 4)])
        messages, code = await one.until_closed()
        assert [m["close"] for m in messages] == [1, 2, 3]
        assert code == 1000
        await script.until()


async def test_a_message_in_fragments_is_one_message_and_has_the_same_bound() -> None:
    whole = b'{"exchange":"binance","contract_type":"spot","symbols":["BTCUSDT"]}'
    async with running() as (_, _, server), clients(server, 2) as (one, other):
        await fragments(one.socket, whole, 9)
        assert (await one.receive())["type"] == "subscribed"
        await fragments(other.socket, b"x" * 70_000, 7_000)
        messages, code = await other.until_closed()
        assert "accepted: at most 65536" in messages[0]["message"]
        assert code == 1008


async def fragments(ws: aiohttp.ClientWebSocketResponse, payload: bytes, size: int) -> None:
    """Send a text message as frames of `size` bytes, masked with zeros."""
    connection = ws._response.connection
    assert connection is not None
    transport = connection.transport
    assert transport is not None
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    for number, part in enumerate(parts):
        first = (0x1 if number == 0 else 0x0) | (0x80 if number == len(parts) - 1 else 0)
        length = bytes((0x80 | len(part),)) if len(part) < 126 else b"\xfe" + len(part).to_bytes(2, "big")
        transport.write(bytes((first,)) + length + bytes(4) + part)


async def test_later_messages_are_answered_and_the_stream_goes_on_until_there_are_too_many() -> None:
    async with running() as (_, hub, server), client(server) as one:
        await one.subscribe("BTCUSDT")
        for _ in range(LATER_MESSAGES_MAX):
            await one.send("again")
            assert "This connection has its subscription" in (await one.receive())["message"]
        hub.push([of("BTCUSDT", 5)])
        assert (await one.receive())["close"] == 5
        await one.send("again")
        messages, code = await one.until_closed()
        assert "Too many messages" in messages[0]["message"]
        assert code == 1008


async def test_a_client_that_says_nothing_is_told_so_and_closed() -> None:
    async with running(Limits(subscribe_timeout_s=0.05)) as (_, _, server), client(server) as one:
        messages, code = await one.until_closed()
        assert messages[0]["message"] == "No subscribe payload received within 0.05 seconds"
        assert code == 1008


async def test_a_silent_stream_is_cancelled_with_the_documented_words() -> None:
    async with running(Limits(idle_timeout_s=0.05)) as (script, _, server), client(server) as one:
        await one.subscribe("BTCUSDT")
        messages, code = await one.until_closed()
        assert messages == [
            {
                "type": "error",
                "message": "No quotes received in 0.05 seconds. Cancelling stream.",
                "system_message": "No quotes received in 0.05 seconds. Cancelling stream.",
                "exchange": "binance",
                "contract_type": "spot",
                "symbols": ["BTCUSDT"],
            }
        ]
        assert code == 1000
        await script.until()


async def test_a_client_that_no_longer_answers_pings_is_dropped() -> None:
    limits = Limits(ping_interval_s=0.05, ping_timeout_s=0.05, idle_timeout_s=60)
    async with running(limits) as (script, _, server), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/"
        async with (
            session.ws_connect(url, autoping=False) as deaf,
            session.ws_connect(url, autoping=True) as alive,
        ):
            for ws in (deaf, alive):
                await ws.send_json({"exchange": "binance", "contract_type": "spot", "symbols": ["BTCUSDT"]})
            heard = asyncio.create_task(_types(alive))
            assert (await _types(deaf))[-1] in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert len(server.connections) == 1
            assert len(script.wanted) == 1
            heard.cancel()


async def _types(ws: aiohttp.ClientWebSocketResponse) -> list[aiohttp.WSMsgType]:
    types: list[aiohttp.WSMsgType] = []
    while not types or types[-1] not in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
        types.append((await ws.receive()).type)
    return types


def stalled(server: Server) -> socket.socket:
    """Connect and subscribe by hand with the smallest of receive buffers, and never read again."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", server.port))
    raw.sendall(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    payload = b'{"exchange":"binance","contract_type":"spot","symbols":["BTCUSDT","ETHUSDT"]}'
    raw.sendall(bytes((0x81, 0x80 | len(payload))) + bytes(4) + payload)
    return raw


async def fill(script: Script, server: Server, hub: Hub) -> int:
    """Push open candles until the stalled client's socket takes no more; return how many."""
    await script.until("BTCUSDT", "ETHUSDT")
    (slow,) = server.connections
    count = 0
    while not slow.waiting:
        count += 100
        hub.push([of("BTCUSDT", count)] * 100)
        await asyncio.sleep(0)
    return count


async def test_a_slow_client_costs_bounded_memory_and_hears_the_newest_open_candle_when_it_reads_again() -> None:
    limits = Limits(write_buffer_bytes_max=16 * 1024)
    async with running(limits) as (script, hub, server):
        with stalled(server) as raw:
            await fill(script, server, hub)
            (slow,) = server.connections
            for close in range(10_000):
                hub.push([of("BTCUSDT", close), of("ETHUSDT", close)])
            assert slow.waiting == 2
            assert slow.buffered_bytes < 16 * 1024 + 100 * 400
            hub.push([of("BTCUSDT", 111, closed=True), of("BTCUSDT", 222, minute=1)])
            raw.setblocking(False)
            heard = b""
            loop = asyncio.get_running_loop()
            while b'"close":222' not in heard[-800:]:
                heard = heard[-800:] + await loop.sock_recv(raw, 65_536)
            assert heard.index(b'"close":111') < heard.index(b'"close":222')


async def test_a_client_too_slow_for_closed_candles_is_told_and_closed_and_dropped_if_it_does_not_read_even_that() -> (
    None
):
    limits = Limits(write_buffer_bytes_max=16 * 1024, kept_max=50, close_timeout_s=0.1)
    async with running(limits) as (script, hub, server):
        with stalled(server):
            await fill(script, server, hub)
            (slow,) = server.connections
            for minute in range(51):
                hub.push([of("BTCUSDT", minute, minute=minute, closed=True)])
            assert slow.stage is Stage.CLOSING
            assert slow.waiting == 0
            await script.until()
            await server.empty()


async def test_one_slow_client_holds_back_no_other() -> None:
    async with running(Limits(write_buffer_bytes_max=16 * 1024)) as (script, hub, server):
        with stalled(server):
            await fill(script, server, hub)
            async with client(server) as quick:
                await quick.subscribe("BTCUSDT")
                await quick.receive()
                for close in range(500):
                    hub.push([of("BTCUSDT", close)])
                    assert (await quick.receive())["close"] == close
