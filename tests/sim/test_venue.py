import time

import aiohttp
import pytest

from heliograph.clock import NS_PER_S, ManualClock
from heliograph.errors import ConfigError
from heliograph.sim import Fault, FaultKind, SimulatedVenue
from heliograph.sim.authority import Authority
from heliograph.sim.layouts import played
from heliograph.sim.venue import clock_since

EPOCH_NS = 1_795_000_000 * NS_PER_S


def test_two_clocks_of_one_epoch_agree_whenever_they_were_made() -> None:
    epoch_ns = time.time_ns() - 100 * NS_PER_S
    first = clock_since(epoch_ns, 60)
    second = clock_since(epoch_ns, 60)
    assert abs(first.now_ns() - second.now_ns()) < 60 * NS_PER_S // 10
    assert first.now_ns() - epoch_ns >= 6000 * NS_PER_S


def test_an_epoch_to_come_and_a_speed_of_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="future"):
        clock_since(time.time_ns() + 10 * NS_PER_S, 1)
    with pytest.raises(ConfigError, match="speed"):
        clock_since(0, 0)


def test_a_speed_that_leads_beyond_calendars_is_refused() -> None:
    with pytest.raises(ConfigError, match="after 2200; accepted: a later epoch, a lower speed"):
        clock_since(0, 1000)


def test_a_venue_that_cannot_be_played_is_refused_with_those_that_can() -> None:
    with pytest.raises(ConfigError, match=r"accepted: .*binance.*okx"):
        SimulatedVenue("mtgox")


@pytest.mark.parametrize("venue", played())
async def test_every_market_of_a_venue_has_an_endpoint_and_a_ledger(venue: str) -> None:
    clock = ManualClock(EPOCH_NS)
    async with SimulatedVenue(venue, symbols=2, epoch_ns=EPOCH_NS, clock=clock) as sim:
        assert set(sim.endpoints) == set(sim.listeners) == set(sim.world.markets)
        for market, scene in sim.world.markets.items():
            for symbol in scene.listings:
                assert sim.ledger.trades(market, symbol, EPOCH_NS - 3600 * NS_PER_S)  # Some are quiet.


async def test_markets_of_one_origin_share_its_port_and_its_faults() -> None:
    async with SimulatedVenue("okx", symbols=1) as sim, aiohttp.ClientSession() as http:
        (url,) = {urls["rest_url"] for urls in sim.endpoints.values()}
        await sim.fault(Fault(FaultKind.HTTP, "swap", status=503))
        statuses = []
        for _ in range(2):
            async with http.get(url + "/api/v5/public/time") as answer:
                statuses.append(answer.status)
        assert statuses == [503, 200]
        port = sim.listeners["spot"].doors.port
    async with SimulatedVenue("okx", symbols=1, ports={"futures": port}) as sim:
        assert sim.endpoints["spot"]["socket_url"] == f"ws://127.0.0.1:{port}"


async def test_a_venue_with_an_authority_is_reached_over_tls_too() -> None:
    authority = Authority()
    async with SimulatedVenue("okx", symbols=1, authority=authority) as sim, aiohttp.ClientSession() as http:
        where = sim.tls_endpoints["swap"]
        tls = authority.client_context()
        async with http.get(where["rest_url"] + "/api/v5/public/time", ssl=tls) as answer:
            assert (await answer.json())["code"] == "0"
        async with http.ws_connect(where["socket_url"] + "/ws/v5/public", ssl=tls) as ws:
            await ws.send_str('{"op":"subscribe","args":[{"channel":"books5","instId":"BTC-USDT-SWAP"}]}')
            assert (await ws.receive_json(timeout=10))["event"] == "subscribe"
            assert (await ws.receive_json(timeout=10))["data"]
    assert SimulatedVenue("okx", symbols=1).tls_endpoints == {}


def test_one_seed_gives_two_venues_the_same_coins() -> None:
    """Prices of a coin wander together everywhere, or there would be nothing to compare between venues."""
    clock = ManualClock(EPOCH_NS)
    binance, okx = (
        SimulatedVenue(name, seed=3, symbols=1, clock=clock, epoch_ns=EPOCH_NS) for name in ("binance", "okx")
    )
    asks = [
        sim.world.markets[market].book(symbol, 1, EPOCH_NS).asks[0][0]
        for sim, market, symbol in (
            (binance, "spot", "BTCUSDT"),
            (okx, "spot", "BTC-USDT"),
            (okx, "swap", "BTC-USD-SWAP"),
        )
    ]
    assert max(asks) - min(asks) < min(asks) / 200
