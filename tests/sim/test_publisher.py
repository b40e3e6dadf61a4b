import asyncio
from collections.abc import Callable

import aiohttp
import pytest
import uvloop

from heliograph.sim import Fault, FaultKind, SimulatedBinance, SimulatedVenue
from heliograph.sim import publisher as publishing
from heliograph.sim.publisher import text_frame


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
async def test_frames_of_every_length_class_are_read_by_another_implementation(size: int) -> None:
    payload = b"x" * size
    async with (
        SimulatedBinance(seed=1, symbols=1) as sim,
        aiohttp.ClientSession() as http,
        http.ws_connect(sim.endpoints["spot"]["socket_url"] + "/ws") as ws,
    ):
        (client,) = sim.listeners["spot"].publisher.clients
        client.outbox += [text_frame(payload), text_frame(b"end")]
        client.flush()
        assert (await ws.receive(timeout=5)).data == payload.decode()
        assert (await ws.receive(timeout=5)).data == "end"


async def test_a_client_that_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "BACKLOG_MAX", 1 << 20)
    async with (
        SimulatedBinance(seed=1, symbols=1) as sim,
        aiohttp.ClientSession() as http,
        http.ws_connect(sim.endpoints["spot"]["socket_url"] + "/ws", max_msg_size=0),
    ):
        (client,) = sim.listeners["spot"].publisher.clients
        client.outbox.append(text_frame(b"x" * (64 << 20)))
        client.flush()
        assert client._transport is not None
        assert client._transport.is_closing()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_client_that_was_cut_costs_the_others_nothing(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """It stays on the list until its socket's own task has ended; uvloop raises at a write in between."""

    async def cut_and_write() -> None:
        async with (
            SimulatedBinance(seed=1, symbols=1) as sim,
            aiohttp.ClientSession() as http,
            http.ws_connect(sim.endpoints["spot"]["socket_url"] + "/ws"),
        ):
            (client,) = sim.listeners["spot"].publisher.clients
            transport = client._transport
            assert transport is not None
            client.cut()
            for _ in range(3):  # Also after the loop has closed the handle.
                client.outbox.append(text_frame(b"late"))
                client.flush()
                assert not client.outbox
                await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(cut_and_write())


async def test_a_venue_that_numbers_a_connection_s_frames_counts_what_is_lost_too() -> None:
    async with (
        SimulatedVenue("coinbase", seed=1, symbols=1, speed=60) as sim,
        aiohttp.ClientSession() as http,
        http.ws_connect(sim.endpoints["spot"]["socket_url"]) as ws,
        http.ws_connect(sim.endpoints["spot"]["socket_url"]) as other,
    ):
        numbers = []
        for socket in (ws, other):
            for channel in ("ticker", "heartbeats"):
                await socket.send_json({"type": "subscribe", "channel": channel, "product_ids": ["BTC-USD"]})
            numbers.append([(await socket.receive_json(timeout=5))["sequence_num"] for _ in range(20)])
        assert numbers == [list(range(20))] * 2
        await sim.fault(Fault(FaultKind.DROP, match="heartbeats", count=1))
        seen = [(await other.receive_json(timeout=5))["sequence_num"] for _ in range(200)]
        assert seen == sorted(seen)
        assert seen[-1] - seen[0] in (199, 200)
