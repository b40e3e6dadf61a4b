import aiohttp

from heliograph.clock import NS_PER_S, ManualClock
from heliograph.sim import SimulatedBinance


async def test_endpoints_are_three_ports_that_answer() -> None:
    clock = ManualClock(1_795_000_000 * NS_PER_S)
    async with (
        SimulatedBinance(symbols=1, epoch_ns=clock.now_ns(), clock=clock) as sim,
        aiohttp.ClientSession() as http,
    ):
        assert set(sim.endpoints) == {"spot", "usdm", "coinm"}
        assert len({urls["rest_url"] for urls in sim.endpoints.values()}) == 3
        for market, root in (("spot", "/api/v3"), ("usdm", "/fapi/v1"), ("coinm", "/dapi/v1")):
            async with http.get(sim.endpoints[market]["rest_url"] + root + "/time") as answer:
                assert await answer.json() == {"serverTime": 1_795_000_000_000}


async def test_a_port_may_be_chosen_and_is_free_again_afterwards() -> None:
    async with SimulatedBinance(symbols=1) as sim:
        port = sim.listeners["spot"].doors.port
    async with SimulatedBinance(symbols=1, ports={"spot": port}) as sim:
        assert sim.endpoints["spot"]["rest_url"] == f"http://127.0.0.1:{port}"


async def test_trouble_comes_by_itself_when_asked_for() -> None:
    async with (
        SimulatedBinance(seed=4, symbols=1, faults_per_minute=6000) as sim,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as http,
    ):
        failed = 0
        while not failed:
            try:
                async with http.get(sim.endpoints["spot"]["rest_url"] + "/api/v3/exchangeInfo") as answer:
                    await answer.json()
                    failed += answer.status != 200
            except (aiohttp.ClientError, TimeoutError, ValueError):
                failed += 1
