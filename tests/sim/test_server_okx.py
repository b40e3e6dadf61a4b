"""What the server does for a venue whose manners are not Binance's: OKX on real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.interval import Interval
from heliograph.sim import Fault, FaultKind, SimulatedVenue

SWAP = "BTC-USDT-SWAP"


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedVenue]:
    async with SimulatedVenue("okx", seed=3, speed=60, history_minutes=30) as running:
        dialect = running.listeners["spot"]._dialect
        # The tests connect faster than OKX lets anybody.
        dialect.manners = msgspec.structs.replace(dialect.manners, connects_max=100)
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


class Talk:
    """One connection, and what was said on it."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def subscribe(self, *wanted: tuple[str, str]) -> None:
        args = [{"channel": channel, "instId": symbol} for channel, symbol in wanted]
        await self.ws.send_json({"op": "subscribe", "args": args})

    async def frame(self) -> dict[str, Any]:
        content = json.loads((await self.ws.receive(timeout=10)).data)
        assert isinstance(content, dict)
        return content

    async def data(self) -> dict[str, Any]:
        while "data" not in (frame := await self.frame()):
            pass
        return frame

    async def closed(self) -> int | None:
        while (await self.ws.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
            pass
        return self.ws.close_code


async def connected(sim: SimulatedVenue, http: aiohttp.ClientSession, endpoint: str = "public") -> Talk:
    return Talk(await http.ws_connect(f"{sim.endpoints['spot']['socket_url']}/ws/v5/{endpoint}"))


async def test_every_channel_of_every_market_arrives_after_its_acknowledgement(
    sim: SimulatedVenue, http: aiohttp.ClientSession
) -> None:
    channels = {
        "public": ("tickers", "trades", "books", "books5", "bbo-tbt"),
        "business": ("candle1m", "candle1s", "trades-all"),
    }
    symbols = [next(iter(scene.listings)) for scene in sim.world.markets.values()]
    for endpoint, names in channels.items():
        talk = await connected(sim, http, endpoint)
        wanted = {(name, symbol) for name in names for symbol in symbols}
        await talk.subscribe(*sorted(wanted))
        answers = [await talk.frame() for _ in wanted]
        assert {answer["event"] for answer in answers} == {"subscribe"}
        while wanted:
            arg = (await talk.data())["arg"]
            wanted.discard((arg["channel"], arg["instId"]))
        await talk.ws.close()


async def test_closed_candles_on_the_socket_are_the_ledgers(sim: SimulatedVenue, http: aiohttp.ClientSession) -> None:
    talk = await connected(sim, http, "business")
    await talk.subscribe(("candle1m", SWAP))
    rows: list[list[str]] = []
    while len(rows) < 4:
        rows += [row for row in (await talk.data())["data"] if row[8] == "1"]
    opens_ns = [int(row[0]) * NS_PER_MS for row in rows]
    true = sim.ledger.candles("swap", SWAP, Interval.M1, opens_ns[0], opens_ns[-1] + 1)
    assert opens_ns == [bar.open_ns for bar in true]
    assert [row[1:6] for row in rows] == [
        [f"{value:f}" for value in (bar.open, bar.high, bar.low, bar.close, bar.volume)] for bar in true
    ]
    url = f"{sim.endpoints['swap']['rest_url']}/api/v5/market/history-candles"
    async with http.get(url, params={"instId": SWAP, "after": str(int(rows[-1][0]) + 1), "limit": "4"}) as answer:
        assert (await answer.json())["data"] == rows[::-1]
    told_url = f"{sim.endpoints['spot']['rest_url']}/sim/ledger"
    async with http.get(told_url, params={"symbol": SWAP, "from_ns": str(opens_ns[0])}) as answer:
        told = await answer.json()
    assert (told["market"], told["candles"][0]["contracts"]) == ("swap", rows[0][5])
    assert float(told["candles"][0]["base_volume"]) == float(rows[0][6])


async def test_who_comes_later_gets_a_snapshot_that_the_running_chain_goes_on_from(
    sim: SimulatedVenue, http: aiohttp.ClientSession
) -> None:
    talks = [await connected(sim, http) for _ in range(2)]
    for talk in talks:
        await talk.subscribe(("books", SWAP))
        frame = await talk.data()
        assert (frame["action"], frame["data"][0]["prevSeqId"]) == ("snapshot", -1)
        seq_id = frame["data"][0]["seqId"]
        for _ in range(5):
            frame = await talk.data()
            assert (frame["action"], frame["data"][0]["prevSeqId"]) == ("update", seq_id)
            seq_id = frame["data"][0]["seqId"]


async def test_a_lost_frame_breaks_the_chain(sim: SimulatedVenue, http: aiohttp.ClientSession) -> None:
    talk = await connected(sim, http)
    await talk.subscribe(("books", SWAP))
    seq_id = (await talk.data())["data"][0]["seqId"]
    await sim.fault(Fault(FaultKind.DROP, "swap", "books"))
    while (change := (await talk.data())["data"][0])["prevSeqId"] == seq_id:
        seq_id = change["seqId"]
    assert change["prevSeqId"] > seq_id


async def test_a_connection_on_which_nobody_speaks_is_closed_and_a_ping_keeps_it(
    sim: SimulatedVenue, http: aiohttp.ClientSession
) -> None:
    dialect = sim.listeners["spot"]._dialect
    dialect.manners = msgspec.structs.replace(dialect.manners, silence_s=1.5)
    mute, polite = await connected(sim, http), await connected(sim, http)
    closing = asyncio.create_task(mute.closed())
    while not closing.done():
        await polite.ws.send_str("ping")
        assert (await polite.ws.receive(timeout=10)).data == "pong"
        await asyncio.wait([closing], timeout=0.3)
    assert closing.result() == 4004
    assert not polite.ws.closed
    await polite.ws.send_str("ping")
    assert (await polite.ws.receive(timeout=10)).data == "pong"


async def test_an_upgrade_is_announced_on_public_connections_and_closes_all(
    sim: SimulatedVenue, http: aiohttp.ClientSession
) -> None:
    public, business = await connected(sim, http), await connected(sim, http, "business")
    await sim.fault(Fault(FaultKind.SHUTDOWN, delay_s=0.1))
    assert (await public.frame())["code"] == "64008"
    assert (await business.ws.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
    assert await public.closed() == 1001


async def test_one_endpoint_is_refused_beyond_its_quota_and_the_others_are_not(
    sim: SimulatedVenue, http: aiohttp.ClientSession
) -> None:
    base = sim.endpoints["spot"]["rest_url"] + "/api/v5/public/"
    statuses: list[int] = []
    while 429 not in statuses:  # Ten in two seconds; the window may end in between.
        async with http.get(base + "time") as answer:
            statuses.append(answer.status)
            content = await answer.json()
    assert (content["code"], content["data"]) == ("50011", [])
    assert 10 <= statuses.index(429) <= 20
    async with http.get(base + "instruments?instType=SPOT") as answer:
        assert answer.status == 200


async def test_connects_beyond_three_a_second_are_refused() -> None:
    async with SimulatedVenue("okx", symbols=1) as sim, aiohttp.ClientSession() as http:
        for _ in range(3):
            await connected(sim, http)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
            await connected(sim, http)


async def test_state_tells_of_all_markets_of_the_origin(sim: SimulatedVenue, http: aiohttp.ClientSession) -> None:
    talk = await connected(sim, http)
    await talk.subscribe(("trades", SWAP))
    await talk.data()
    async with http.get(sim.endpoints["futures"]["rest_url"] + "/sim/state") as answer:
        state = await answer.json()
    assert (state["venue"], state["markets"]) == ("okx", ["spot", "swap", "futures", "option"])
    assert {"BTC-USDT", SWAP, "BTC-USD-SWAP"} < set(state["symbols"])
    assert state["streams"] == [f"trades:{SWAP}"]
    assert state["frames_sent"]["trades"] >= 1
    assert state["now_ns"] > sim.epoch_ns - NS_PER_S
