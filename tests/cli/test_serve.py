"""`heliograph serve`: feed and gateway in processes of their own."""

import json

import aiohttp
import pytest

from heliograph.bus.embedded import Server
from heliograph.bus.reader import Reader
from tests.cli.commands import finished, running

FREE = ("--port", "0", "--probe-port", "0")


async def quotes(url: str, symbols: list[str], count: int) -> list[dict[str, object]]:
    wish = {"exchange": "binance", "contract_type": "spot", "symbols": symbols, "limit": count}
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_json(wish)
        return [message.json() async for message in socket]


async def status(url: str) -> tuple[int, dict[str, object]]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/ready") as answer:
        return answer.status, json.loads(await answer.text())


async def test_a_gateway_gets_from_a_feed_what_neither_was_started_with(valkey: Server) -> None:
    """The feed is told BTCUSDT; a client of the gateway wants ETHUSDT as well, over feed:demand."""
    with running("simulate", "binance", "--speed", "60") as simulator:
        endpoint = simulator.said()["endpoints"]["spot"]["rest_url"]
        shared = ("--valkey", valkey.url, "--endpoint", endpoint, "--probe-port", "0")
        with (
            running("serve", "feed", "binance:spot:BTCUSDT", *shared) as feed,
            running("serve", "gateway", "--port", "0", *shared) as gateway,
        ):
            feeding, serving = feed.said(), gateway.said()
            subscribed, *told = await quotes(serving["websocket"], ["BTCUSDT", "ETH/USDT"], 40)
            assert subscribed["type"] == "subscribed"
            assert {q["symbol"] for q in told} == {"BTCUSDT", "ETHUSDT"}
            assert all(q["type"] == "quote" for q in told)
            for probes in (feeding["probes"], serving["probes"]):
                code, body = await status(probes)
                assert (code, body["status"]) == (200, "ready")
            assert gateway.stop() == 0
            assert feed.stop() == 0


async def test_all_needs_no_server_but_its_own() -> None:
    with running("serve", "all", "--simulated", *FREE) as service:
        about = service.said()
        assert (await quotes(about["websocket"], ["BTCUSDT"], 2))[-1]["type"] == "quote"
        assert service.stop() == 0


async def test_m5_t17_okx_is_served_over_the_bus_whatever_its_symbols_markets(valkey: Server) -> None:
    """The connector's subscription with `contract_type` null; the gateway has no list of instruments."""
    with running("serve", "all", "okx:BTC-USDT-SWAP", "--simulated", "--valkey", valkey.url, *FREE) as service:
        about = service.said()
        asked = ["BTC-USDT-SWAP", "ETH/USDT", "ETH-USDT-SWAP"]
        wish = {"exchange": "okx", "contract_type": None, "symbols": asked, "limit": 12}
        async with aiohttp.ClientSession() as session, session.ws_connect(about["websocket"]) as socket:
            await socket.send_json(wish)
            subscribed, *told = [message.json() async for message in socket]
        assert subscribed == {"type": "subscribed"} | wish
        assert {(q["contract_type"], q["symbol"]) for q in told} == {
            ("swap", "BTC-USDT-SWAP"),
            ("spot", "ETH-USDT"),
            ("swap", "ETH-USDT-SWAP"),
        }
        assert service.stop() == 0
    async with Reader(valkey.url, {}) as reader:
        for key in ("okx_swap:BTCUSDTSWAP", "okx:ETHUSDT", "okx_swap:ETHUSDTSWAP"):
            assert await reader.last_entries(f"{key}:candles_1m", 1)


@pytest.mark.parametrize("role", ["feed", "gateway"])
def test_a_role_of_its_own_needs_a_server(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HELIOGRAPH_VALKEY_URL", raising=False)
    done = finished("serve", role, *FREE)
    assert done.returncode == 2
    assert b"--valkey" in done.stderr


def test_a_server_that_is_away_is_said_to_be_away() -> None:
    done = finished("serve", "feed", "--valkey", "redis://127.0.0.1:9", "--probe-port", "0")
    assert done.returncode == 1
    assert b"127.0.0.1:9" in done.stderr
    assert b"Traceback" not in done.stderr
