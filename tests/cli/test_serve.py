"""`heliograph serve`: feed and gateway in processes of their own."""

import asyncio
import json

import aiohttp
import pytest

from heliograph.bus import keys
from heliograph.bus.embedded import Server
from heliograph.bus.reader import Reader
from heliograph.model.instrument import InstrumentId
from tests.cli.commands import finished, running

FREE = ("--port", "0", "--probe-port", "0")


async def quotes(url: str, symbols: list[str], count: int) -> list[dict[str, object]]:
    wish = {"exchange": "binance", "contract_type": "spot", "symbols": symbols, "limit": count}
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_json(wish)
        return [message.json() async for message in socket]


async def until_told(url: str, symbols: list[str]) -> set[object]:
    """Listen until each of the symbols was told of, however early the others are; return what was."""
    wish = {"exchange": "binance", "contract_type": "spot", "symbols": symbols}
    told: set[object] = set()
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket, asyncio.timeout(30):
        await socket.send_json(wish)
        async for message in socket:
            told |= {quote["symbol"] for quote in [message.json()] if quote["type"] == "quote"}
            if told >= set(symbols):
                break
    return told


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


@pytest.mark.parametrize(
    ("role", "shard", "said"),
    [("feed", "3/2", b"I/N"), ("feed", "1", b"I/N"), ("feed", "1/64", b"32 shards"), ("gateway", "1/2", b"serve feed")],
)
def test_a_part_that_cannot_be_served_is_refused(role: str, shard: str, said: bytes) -> None:
    done = finished("serve", role, "--shard", shard, "--valkey", "redis://127.0.0.1:9", *FREE)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count(b"\n") == 1


async def test_two_parts_are_the_whole(valkey: Server) -> None:
    with running("simulate", "binance", "--speed", "60") as simulator:
        endpoint = simulator.said()["endpoints"]["spot"]["rest_url"]
        shared = ("--valkey", valkey.url, "--endpoint", endpoint, "--probe-port", "0")
        symbols = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT"]
        wanted = [f"binance:spot:{symbol}" for symbol in symbols]
        with (
            running("serve", "feed", *wanted, "--shard", "1/2", *shared) as one,
            running("serve", "feed", *wanted, "--shard", "2/2", *shared) as other,
            running("serve", "gateway", "--port", "0", *shared) as gateway,
        ):
            probes = [feed.said()["probes"] for feed in (one, other)]
            assert await until_told(gateway.said()["websocket"], symbols) == set(symbols)
            held = [await metric(url, "heliograph_feed_shards{") for url in probes]
            assert all(held)
            assert sum(held) == len({keys.shard_of(InstrumentId(name)) for name in wanted})
            for process in (gateway, one, other):
                assert process.stop() == 0


async def test_feeds_that_were_started_for_different_symbols_supply_them_all(valkey: Server) -> None:
    """Whose part a symbol is has nothing to do with who was started for it."""
    symbols = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT"]
    streams = [f"binance:{symbol}:candles_1m" for symbol in symbols]
    with running("simulate", "binance", "--speed", "60") as simulator:
        endpoint = simulator.said()["endpoints"]["spot"]["rest_url"]
        shared = ("--valkey", valkey.url, "--endpoint", endpoint, "--probe-port", "0")
        lists = [[f"binance:spot:{symbol}" for symbol in part] for part in (symbols[:3], symbols[3:])]
        with running("serve", "feed", *lists[0], *shared) as one, running("serve", "feed", *lists[1], *shared) as other:
            probes = [feed.said()["probes"] for feed in (one, other)]
            async with asyncio.timeout(30):
                while [await metric(url, "heliograph_feed_workers") for url in probes] != [2, 2]:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            async with Reader(valkey.url, dict.fromkeys(streams, "$")) as reader, asyncio.timeout(30):
                missing = set(streams)
                async for entry in reader:
                    missing.discard(entry.stream)
                    if not missing:
                        break
            for process in (one, other):
                assert process.stop() == 0, process.error()


async def metric(url: str, name: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def test_a_server_that_is_away_is_said_to_be_away() -> None:
    done = finished("serve", "feed", "--valkey", "redis://127.0.0.1:9", "--probe-port", "0")
    assert done.returncode == 1
    assert b"127.0.0.1:9" in done.stderr
    assert b"Traceback" not in done.stderr
