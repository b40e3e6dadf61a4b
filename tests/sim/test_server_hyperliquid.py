"""What the server does for a venue that greets, cuts without a word, and counts connections: Hyperliquid."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from heliograph.sim import SimulatedVenue


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedVenue]:
    async with SimulatedVenue("hyperliquid", seed=3, speed=60, history_minutes=30) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


async def connected(sim: SimulatedVenue, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    ws = await http.ws_connect(f"{sim.endpoints['spot']['socket_url']}/ws")
    assert (await ws.receive(timeout=10)).data == "Websocket connection established."
    return ws


async def subscribe(ws: aiohttp.ClientWebSocketResponse, **subscription: object) -> None:
    await ws.send_json({"method": "subscribe", "subscription": subscription})


async def frame(ws: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    content = json.loads((await ws.receive(timeout=10)).data)
    assert isinstance(content, dict)
    return content


async def test_both_markets_share_an_origin_and_every_channel_arrives_after_its_acknowledgement(
    sim: SimulatedVenue, http: aiohttp.ClientSession
) -> None:
    assert sim.endpoints["spot"] == sim.endpoints["usdm"]
    ws = await connected(sim, http)
    coins = ("kPEPE", "BTC", "@142")
    wanted = {(kind, coin) for kind in ("trades", "candle", "l2Book", "bbo", "activeAssetCtx") for coin in coins}
    for kind, coin in sorted(wanted):
        await subscribe(ws, type=kind, coin=coin, interval="1m")
    acknowledged = set()
    heard: set[tuple[str, str]] = set()
    while heard != wanted:
        content = await frame(ws)
        data = content["data"]
        if content["channel"] == "subscriptionResponse":
            acknowledged.add((data["subscription"]["type"], data["subscription"]["coin"]))
            continue
        data = data[0] if isinstance(data, list) else data
        key = content["channel"].replace("Spot", ""), data.get("coin") or data["s"]
        assert key in acknowledged
        heard.add(key)


async def test_a_coin_that_is_not_there_ends_the_connection_without_a_close_frame(
    sim: SimulatedVenue, http: aiohttp.ClientSession
) -> None:
    ws = await connected(sim, http)
    await subscribe(ws, type="trades", coin="NOPE")
    assert (await ws.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSED
    assert ws.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE


async def test_ten_connections_may_be_open_at_a_time(sim: SimulatedVenue, http: aiohttp.ClientSession) -> None:
    sockets = [await connected(sim, http) for _ in range(10)]
    with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
        await connected(sim, http)
    await sockets[0].close()
    while len(sim.listeners["spot"].publisher.clients) == 10:
        await sockets[1].send_json({"method": "ping"})
        assert await frame(sockets[1]) == {"channel": "pong"}
    await connected(sim, http)


async def test_thirty_connections_may_be_opened_within_a_minute(
    sim: SimulatedVenue, http: aiohttp.ClientSession
) -> None:
    for _ in range(30):
        await (await connected(sim, http)).close()
    with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
        await connected(sim, http)


async def test_a_request_for_information_is_a_post_and_counts_by_its_weight(
    sim: SimulatedVenue, http: aiohttp.ClientSession
) -> None:
    url = sim.endpoints["usdm"]["rest_url"] + "/info"
    async with http.post(url, json={"type": "meta"}) as answer:
        assert [row["name"] for row in (await answer.json())["universe"]] == ["BTC", "ETH", "kPEPE"]
    async with http.post(url, json={"type": "nothing"}) as answer:
        assert (answer.status, await answer.text()) == (
            422,
            "Failed to deserialize the JSON body into the target type",
        )
    statuses: list[int] = []
    while 429 not in statuses:
        async with http.post(url, json={"type": "meta"}) as answer:
            statuses.append(answer.status)
            text = await answer.text()
    assert text == "null"
    assert 58 <= statuses.index(429) <= 120
