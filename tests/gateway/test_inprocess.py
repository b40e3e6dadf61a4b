import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from heliograph.app import at_endpoint, beside, open_source
from heliograph.clock import SystemClock
from heliograph.config import ConnectorSettings, load
from heliograph.gateway.hub import Hub
from heliograph.gateway.inprocess import InProcess
from heliograph.gateway.server import Server, open_server
from heliograph.metrics import FeedCollector
from heliograph.sim import Fault, FaultKind, SimulatedBinance
from tests.gateway.processes import simulated, spot_of
from tests.gateway.script import client, clients


@asynccontextmanager
async def gateway(simulator: SimulatedBinance) -> AsyncIterator[tuple[InProcess, Server]]:
    """All of it in this process: simulator, feed, hub, server."""
    clock = SystemClock()
    async with open_source(load(ConnectorSettings), FeedCollector(), clock) as source:
        hub = Hub(source, clock, linger_s=0.05)
        venues = at_endpoint(spot_of(simulator))
        async with beside(hub.run()), open_server(hub, venues, "127.0.0.1", 0) as server:
            yield source, server


async def until_streams(simulator: SimulatedBinance, *streams: str) -> None:
    async with asyncio.timeout(10):
        while set(simulator.listeners["spot"].publisher.streams) != set(streams):  # noqa: ASYNC110 (the venue tells nobody)
            await asyncio.sleep(0.01)


async def test_a_vanished_clients_subscription_ends_at_the_venue_and_the_others_goes_on() -> None:
    async with simulated() as simulator, gateway(simulator) as (source, server), clients(server, 2) as (one, other):
        await one.subscribe("BTCUSDT", "ETHUSDT")
        await other.subscribe("ETHUSDT")
        await until_streams(simulator, "btcusdt@kline_1m", "ethusdt@kline_1m")
        assert [feed.contract_type for feed in source.feeds()] == ["spot"]
        connection = one.socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.abort()
        await until_streams(simulator, "ethusdt@kline_1m")
        assert {(await other.receive())["symbol"] for _ in range(3)} == {"ETHUSDT"}
        await other.socket.close()
        await until_streams(simulator)
        assert source.feeds() == []
        async with client(server) as back:
            await back.subscribe("BTCUSDT")
            assert (await back.receive())["symbol"] == "BTCUSDT"


async def test_where_the_venues_list_cannot_be_had_the_quotes_flow_all_the_same() -> None:
    async with simulated() as simulator, gateway(simulator) as (_, server), client(server) as one:
        await simulator.fault(Fault(FaultKind.HTTP, match="exchangeInfo", count=1000, status=503))
        assert (await one.subscribe("btc/usdt"))["type"] == "subscribed"
        assert (await one.receive())["symbol"] == "BTCUSDT"


async def test_a_venue_that_refuses_to_be_asked_is_told_in_its_own_words() -> None:
    async with simulated() as simulator, gateway(simulator) as (_, server), client(server) as one:
        await simulator.fault(Fault(FaultKind.HTTP, match="exchangeInfo", count=1000, status=451))
        error = await one.subscribe("BTCUSDT")
        assert (error["type"], error["message"]) == ("error", "Subscription rejected by binance")
        assert error["exchange_message"]
        assert await one.closed() == 1008


async def test_the_venues_list_is_read_once_for_all_clients() -> None:
    async with simulated() as simulator, gateway(simulator) as (_, server), clients(server, 20) as crowd:
        before = simulator.listeners["spot"].answered.total()
        assert {(await each)["type"] for each in [one.subscribe("BTCUSDT") for one in crowd]} == {"subscribed"}
        assert simulator.listeners["spot"].answered.total() - before <= 2  # The list, and at most a page of candles.
