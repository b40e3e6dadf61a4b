import asyncio
import json
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from heliograph.sim import Fault, FaultKind, SimulatedVenue
from tests.gateway.processes import Served, finish, serving, simulated, spot_of, start

SUBSCRIBE = {"exchange": "binance", "contract_type": "spot", "symbols": ["BTCUSDT", "ETHUSDT"]}


async def get(session: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    async with session.get(url) as answer:
        return answer.status, await answer.json()


async def until_ready(session: aiohttp.ClientSession, served: Served, status: int) -> Any:
    async with asyncio.timeout(20):
        while True:
            said, state = await get(session, f"{served.probes}/ready")
            if said == status and state["exchanges"]:
                return state
            await asyncio.sleep(0.02)


async def test_the_documents_javascript_client_works() -> None:
    async with simulated() as simulator, serving(spot_of(simulator)) as served:
        script = Path(__file__).parent / "javascript_client.py"
        outcome = await finish(await start(sys.executable, str(script), served.websocket, "20"))
    assert outcome.code == 0, outcome.err
    assert outcome.out[0].startswith("Subscription confirmed: ")
    assert json.loads(outcome.out[0].partition(": ")[2]) == {"type": "subscribed"} | SUBSCRIBE | {"limit": 0}
    quotes = [json.loads(line.partition(": ")[2]) for line in outcome.out[1:]]
    assert {line.partition(":")[0] for line in outcome.out[1:]} == {"Quote"}
    assert {(q["exchange"], q["contract_type"]) for q in quotes} == {("binance", "spot")}
    assert {q["symbol"] for q in quotes} == {"BTCUSDT", "ETHUSDT"}
    for quote in quotes:
        assert quote["low"] <= min(quote["open"], quote["close"]) <= max(quote["open"], quote["close"]) <= quote["high"]
        assert isinstance(quote["trade_num"], int)


async def test_m5_okx_is_subscribed_to_without_a_contract_type_and_with_what_is_ignored() -> None:
    async with (
        SimulatedVenue("okx", seed=5, speed=30, history_minutes=60) as simulator,
        serving(simulator.endpoints["spot"]["rest_url"]) as served,
        aiohttp.ClientSession() as session,
    ):
        for contract_type in (None, "usdm"):
            wish = {
                "exchange": "okx",
                "contract_type": contract_type,
                "symbols": ["BTC-USDT-SWAP", "ETH-USDT"],
                "limit": 8,
            }
            async with session.ws_connect(served.websocket) as ws:
                await ws.send_json(wish)
                subscribed, *quotes = [message.json() async for message in ws]
            assert subscribed == {"type": "subscribed"} | wish
            told = {(q["exchange"], q["contract_type"], q["symbol"]) for q in quotes}
            assert told == {("okx", "swap", "BTC-USDT-SWAP"), ("okx", "spot", "ETH-USDT")}


async def test_two_clients_of_one_symbol_cost_one_upstream_subscription() -> None:
    async with (
        simulated() as simulator,
        serving(spot_of(simulator)) as served,
        aiohttp.ClientSession() as session,
        session.ws_connect(served.websocket) as one,
        session.ws_connect(served.websocket) as other,
    ):
        for ws in (one, other):
            await ws.send_json({"exchange": "binance", "contract_type": "spot", "symbols": ["BTCUSDT"]})
            assert (await ws.receive_json())["type"] == "subscribed"
        heard = [(await ws.receive_json())["symbol"] for ws in (one, other, one, other)]
        assert heard == ["BTCUSDT"] * 4
        spot = simulator.listeners["spot"]
        assert spot.publisher.streams == ["btcusdt@kline_1m"]
        assert spot.connects == 1


async def test_readiness_follows_the_quotes_and_the_metrics_are_there_with_them() -> None:
    async with (
        simulated() as simulator,
        serving(spot_of(simulator), CONNECTOR_INACTIVITY_TIMEOUT="60") as served,
        aiohttp.ClientSession() as session,
    ):
        status, state = await get(session, f"{served.probes}/health")
        assert (status, state["status"]) == (200, "healthy")
        status, state = await get(session, f"{served.probes}/ready")
        assert (status, state["status"], state["exchanges"]) == (200, "ready", [])

        await simulator.fault(Fault(FaultKind.SILENCE, duration_s=1.5))
        async with session.ws_connect(served.websocket) as ws:
            await ws.send_json(SUBSCRIBE)
            silent = await until_ready(session, served, 503)
            assert silent["status"] == "not_ready"
            assert silent["exchanges"][0]["healthy"] is False

            ready = await until_ready(session, served, 200)
            (spot,) = ready["exchanges"]
            assert (spot["exchange"], spot["contract_type"], spot["healthy"]) == ("binance", "spot", True)
            assert spot["active_connections"] == 1
            assert spot["last_message_time"] is not None
            assert spot["circuit_state"] == "closed"
            while True:  # A closed candle comes every two seconds.
                message = await ws.receive_json()
                if message["type"] == "quote" and message["is_closed_candle"]:
                    break
            values = await _metrics(session, served)
    labels = (("contract_type", "spot"), ("exchange", "binance"))
    assert values["connector_quotes_processed_total", (*labels, ("is_closed", "True"))] >= 1
    assert values["connector_quotes_processed_total", (*labels, ("is_closed", "False"))] >= 1
    assert values["connector_quote_latency_seconds_count", labels] >= 2
    assert values["connector_active_connections", labels] == 1
    assert values["connector_circuit_breaker_state", labels] == 0
    for name in ("reconnections_total", "queue_blocking_events_total", "duplicates_filtered_total"):
        assert values[f"connector_{name}", labels] == values[f"heliograph_{name}", labels]
    for name in ("queue_depth_closed", "queue_depth_open"):
        assert values[f"connector_{name}", labels] >= 0
    for status_ in ("success", "failure"):
        assert ("connector_rest_backfills_total", (*labels, ("status", status_))) in values


async def _metrics(session: aiohttp.ClientSession, served: Served) -> dict[tuple[str, Any], float]:
    async with session.get(f"{served.probes}/metrics") as answer:
        text = await answer.text()
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


async def test_a_venue_that_cannot_be_reached_makes_it_not_ready_and_the_client_is_told() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # Bound and not listening: nobody answers there.
        endpoint = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        settings = {"CONNECTOR_STREAM_IDLE_TIMEOUT": "3", "CONNECTOR_REST_TIMEOUT": "1"}
        async with serving(endpoint, **settings) as served, aiohttp.ClientSession() as session:
            async with session.ws_connect(served.websocket) as ws:
                await ws.send_json(SUBSCRIBE)
                assert (await ws.receive_json())["type"] == "subscribed"
                state = await until_ready(session, served, 503)
                assert state["exchanges"][0]["active_connections"] == 0
                error = await ws.receive_json()
                assert error["message"] == "No quotes received in 3 seconds. Cancelling stream."
            assert (await _metrics(session, served))[
                "connector_active_connections", (("contract_type", "spot"), ("exchange", "binance"))
            ] == 0


async def test_an_unknown_symbol_is_refused_with_the_ones_that_there_are() -> None:
    async with (
        simulated() as simulator,
        serving(spot_of(simulator)) as served,
        aiohttp.ClientSession() as session,
        session.ws_connect(served.websocket) as ws,
    ):
        await ws.send_json({"exchange": "binance", "contract_type": "spot", "symbols": ["BTCUSDX"]})
        error = await ws.receive_json()
        assert error["type"] == "error"
        assert error["message"] == "Unknown symbol at binance spot: BTCUSDX; accepted: BTCUSDT"
        assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
        assert ws.close_code == 1008
        assert simulator.listeners["spot"].connects == 0


async def test_sigterm_closes_the_clients_with_1001_and_ends_cleanly() -> None:
    async with (
        simulated() as simulator,
        serving(spot_of(simulator)) as served,
        aiohttp.ClientSession() as session,
        session.ws_connect(served.websocket) as ws,
    ):
        await ws.send_json(SUBSCRIBE)
        for _ in range(3):
            await ws.receive_json()
        served.process.send_signal(signal.SIGTERM)
        while (await ws.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert ws.close_code == 1001
        assert (await finish(served.process)).code == 0


async def test_ctrl_c_ends_it_with_130_and_no_traceback() -> None:
    async with simulated() as simulator, serving(spot_of(simulator)) as served:
        served.process.send_signal(signal.SIGINT)
        outcome = await finish(served.process)
        assert outcome.code == 130
        assert outcome.err == []
