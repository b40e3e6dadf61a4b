import asyncio
import contextlib
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import msgspec
import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.model.interval import Interval
from heliograph.sim import Fault, FaultKind, SimulatedBinance
from heliograph.sim.budget import BAN_AFTER

SPOT = "/stream?streams="


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedBinance]:
    async with SimulatedBinance(seed=3, speed=60, history_minutes=30) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


def socket_url(sim: SimulatedBinance, market: str = "spot") -> str:
    return sim.endpoints[market]["socket_url"]


def rest_url(sim: SimulatedBinance, market: str = "spot") -> str:
    return sim.endpoints[market]["rest_url"]


async def events(ws: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    return [json.loads((await ws.receive(timeout=10)).data) for _ in range(count)]


async def ended(ws: aiohttp.ClientWebSocketResponse) -> aiohttp.WSMessage:
    """Read until the socket is at its end, and return that message."""
    while True:
        message = await ws.receive(timeout=10)
        if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING):
            return message


async def test_every_channel_of_a_symbol_arrives(sim: SimulatedBinance, http: aiohttp.ClientSession) -> None:
    topics = (
        "kline_1m",
        "aggTrade",
        "trade",
        "bookTicker",
        "ticker",
        "miniTicker",
        "depth",
        "depth@100ms",
        "depth5",
        "kline_1s",
    )
    wanted = {f"btcusdt@{topic}" for topic in topics}
    async with http.ws_connect(socket_url(sim) + SPOT + "/".join(sorted(wanted))) as ws:
        while wanted:
            wanted.discard((await events(ws, 1))[0]["stream"])


async def test_closed_candles_on_the_socket_are_the_ledgers(sim: SimulatedBinance, http: aiohttp.ClientSession) -> None:
    closed: list[dict[str, Any]] = []
    async with http.ws_connect(socket_url(sim) + "/ws/btcusdt@kline_1m") as ws:
        while len(closed) < 4:
            bar = (await events(ws, 1))[0]["k"]
            if bar["x"]:
                closed.append(bar)
    assert [bar["t"] for bar in closed] == [closed[0]["t"] + 60_000 * n for n in range(4)]
    for bar in closed:
        (true,) = sim.ledger.candles("spot", "BTCUSDT", Interval.M1, bar["t"] * NS_PER_MS, bar["t"] * NS_PER_MS + 1)
        shown = [float(bar[field]) for field in "ohlcvqVQ"]
        bars = (true.open, true.high, true.low, true.close)
        volumes = (true.volume, true.counter, true.taker_volume, true.taker_counter)
        assert shown == [float(value) for value in bars + volumes]
        assert (bar["f"], bar["L"], bar["n"]) == (true.first_fill, true.last_fill, true.fills)


@pytest.mark.parametrize(
    ("market", "path", "rest", "symbol"),
    [
        ("spot", "/ws/btcusdt@depth@100ms", "/api/v3/depth", "BTCUSDT"),
        ("usdm", "/public/ws/btcusdt@depth@100ms", "/fapi/v1/depth", "BTCUSDT"),
        ("coinm", "/ws/btcusd_perp@depth", "/dapi/v1/depth", "BTCUSD_PERP"),
    ],
)
async def test_a_book_joins_its_snapshot_on_real_sockets(
    sim: SimulatedBinance, http: aiohttp.ClientSession, market: str, path: str, rest: str, symbol: str
) -> None:
    spot = market == "spot"
    async with http.ws_connect(socket_url(sim, market) + path) as ws:
        frames = await events(ws, 2)
        async with http.get(rest_url(sim, market) + rest, params={"symbol": symbol, "limit": "1000"}) as answer:
            snapshot = await answer.json()
        frames += await events(ws, 10)
    known = snapshot["lastUpdateId"]
    frames = [frame for frame in frames if (frame["u"] > known if spot else frame["u"] >= known)]
    assert frames[0]["U"] <= (known + 1 if spot else known)
    for before, frame in itertools.pairwise(frames):
        assert frame["U"] == before["u"] + 1 if spot else frame["pu"] == before["u"]
    sides = {"b": dict(map(tuple, snapshot["bids"])), "a": dict(map(tuple, snapshot["asks"]))}
    for frame in frames:
        for side, levels in sides.items():
            levels.update(dict(frame[side]))
            for price in [price for price, quantity in levels.items() if not float(quantity)]:
                del levels[price]
    truth = sim.world.markets[MarketId(market)]
    step_ns = 100 * NS_PER_MS
    book = truth.book(symbol, 1000, frames[-1].get("T", frames[-1]["E"]) * NS_PER_MS // step_ns * step_ns)
    assert book.update_id == frames[-1]["u"]
    assert {float(p): float(q) for p, q in book.bids} == {float(p): float(q) for p, q in sides["b"].items()}
    assert {float(p): float(q) for p, q in book.asks} == {float(p): float(q) for p, q in sides["a"].items()}


async def test_subscribing_later_works_and_unsubscribing_stops(
    sim: SimulatedBinance, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(socket_url(sim) + "/ws") as ws:
        await ws.send_json({"method": "SUBSCRIBE", "params": ["ethusdt@trade"], "id": 1})
        assert (await events(ws, 1))[0] == {"result": None, "id": 1}
        assert (await events(ws, 1))[0]["s"] == "ETHUSDT"
        await ws.send_json({"method": "UNSUBSCRIBE", "params": ["ethusdt@trade"], "id": 2})
        while "result" not in (await events(ws, 1))[0]:
            pass
        assert sim.listeners["spot"].publisher.streams == []


async def test_a_malformed_stream_is_refused_and_the_socket_closed(
    sim: SimulatedBinance, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(socket_url(sim) + "/ws") as ws:
        await ws.send_json({"method": "SUBSCRIBE", "params": ["@@@"], "id": 1})
        assert (await events(ws, 1))[0]["error"]["msg"] == "Invalid request: invalid stream"
        assert (await ended(ws)).data == 1008
    with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
        await http.ws_connect(socket_url(sim) + "/ws/@@@")


async def test_the_dead_usdm_root_acknowledges_and_stays_silent(
    sim: SimulatedBinance, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(socket_url(sim, "usdm") + "/ws") as ws:
        await ws.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m", "btcusdt@bookTicker"], "id": 1})
        got = await events(ws, 11)
    assert got[0] == {"result": None, "id": 1}
    assert {event["e"] for event in got[1:]} == {"bookTicker"}


async def test_too_many_messages_cut_the_connection(sim: SimulatedBinance, http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(socket_url(sim) + "/ws") as ws:
        for number in range(8):
            await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
        assert (await ended(ws)).data == 1008


async def test_a_ping_gets_its_payload_back(sim: SimulatedBinance, http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(socket_url(sim) + "/ws", autoping=False) as ws:
        await ws.ping(b"hello")
        pong = await ws.receive(timeout=10)
    assert (pong.type, pong.data) == (aiohttp.WSMsgType.PONG, b"hello")


async def test_a_client_that_does_not_answer_pings_is_cut_and_one_that_does_is_not(
    sim: SimulatedBinance, http: aiohttp.ClientSession
) -> None:
    dialect = sim.listeners["spot"]._dialect
    dialect.manners = msgspec.structs.replace(dialect.manners, ping_s=0.2, pong_s=1.5)
    async with (
        http.ws_connect(socket_url(sim) + "/ws", autoping=False) as mute,
        http.ws_connect(socket_url(sim) + "/ws", autoping=False) as polite,
    ):

        async def answer() -> None:
            message = await polite.receive(timeout=10)
            assert message.type is aiohttp.WSMsgType.PING
            await polite.pong(message.data)

        async def cut() -> None:
            assert (await ended(mute)).type is aiohttp.WSMsgType.CLOSED

        cutting = asyncio.create_task(cut())
        while not cutting.done():
            await answer()
        await cutting
        await answer()


async def test_weight_is_counted_and_too_much_of_it_refused_then_banned(
    sim: SimulatedBinance, http: aiohttp.ClientSession
) -> None:
    url = rest_url(sim) + "/api/v3/ping"
    async with http.get(url) as answer:
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "1"
    statuses = []
    budget = sim.listeners["spot"].budget
    for _ in range(BAN_AFTER + 2):
        budget.used["weight"] = 6001
        async with http.get(url) as answer:
            statuses.append(answer.status)
            assert int(answer.headers["Retry-After"]) > 0
            assert (await answer.json())["code"] == -1003
    assert statuses == [429] * (BAN_AFTER + 1) + [418]


async def test_too_many_connects_are_refused_until_the_window_has_passed(
    sim: SimulatedBinance, http: aiohttp.ClientSession
) -> None:
    dialect = sim.listeners["spot"]._dialect
    dialect.manners = msgspec.structs.replace(dialect.manners, connects_max=2, connects_window_s=0.5)
    for _ in range(2):
        async with http.ws_connect(socket_url(sim) + "/ws"):
            pass
    with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
        await http.ws_connect(socket_url(sim) + "/ws")
    assert (sim.turned_away, sim.listeners["spot"].state()["connects_refused"]) == (1, 1)
    while True:
        try:
            async with http.ws_connect(socket_url(sim) + "/ws"):
                break
        except aiohttp.WSServerHandshakeError:
            continue


async def test_a_connection_is_cut_at_the_end_of_its_life(sim: SimulatedBinance, http: aiohttp.ClientSession) -> None:
    dialect = sim.listeners["spot"]._dialect
    async with http.ws_connect(socket_url(sim) + "/ws/btcusdt@trade") as ws:
        await events(ws, 1)
        dialect.manners = msgspec.structs.replace(dialect.manners, life_s=0.5)
        assert (await ended(ws)).type is aiohttp.WSMsgType.CLOSED


@pytest.mark.parametrize("status", [429, 418, 500, 503])
async def test_http_fault_answers_with_the_status_once(
    sim: SimulatedBinance, http: aiohttp.ClientSession, status: int
) -> None:
    await sim.fault(Fault(FaultKind.HTTP, "spot", "klines", count=1, status=status))
    url = rest_url(sim) + "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1"
    async with http.get(rest_url(sim) + "/api/v3/ping") as answer:
        assert answer.status == 200
    async with http.get(url) as answer:
        assert answer.status == status
        assert "code" in await answer.json()
    async with http.get(url) as answer:
        assert answer.status == 200


async def test_slow_and_wrong_json_answers(sim: SimulatedBinance, http: aiohttp.ClientSession) -> None:
    url = rest_url(sim) + "/api/v3/exchangeInfo"
    await sim.fault(Fault(FaultKind.SLOW, "spot", delay_s=0.3))
    await sim.fault(Fault(FaultKind.WRONG_JSON, "spot", "exchangeInfo"))
    began_s = time.monotonic()
    async with http.get(url) as answer:
        text = await answer.text()
    assert time.monotonic() - began_s >= 0.3
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


async def test_disconnect_cuts_only_what_matches(sim: SimulatedBinance, http: aiohttp.ClientSession) -> None:
    async with (
        http.ws_connect(socket_url(sim) + "/ws/btcusdt@trade") as cut,
        http.ws_connect(socket_url(sim) + "/ws/ethusdt@trade") as kept,
    ):
        await events(cut, 1)
        await events(kept, 1)
        await sim.fault(Fault(FaultKind.DISCONNECT, match="btcusdt"))
        await ended(cut)
        await events(kept, 5)


async def test_drop_duplicate_and_reorder_do_what_they_say(sim: SimulatedBinance, http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(socket_url(sim) + "/ws/btcusdt@trade") as ws:
        heard = await events(ws, 1)  # It counts: the very next one may be the one that is dropped.
        for kind in (FaultKind.DROP, FaultKind.REORDER, FaultKind.DUPLICATE):
            await sim.fault(Fault(kind, "spot", "trade"))
        ids = [event["t"] for event in heard + await events(ws, 200)]
    steps = [after - before for before, after in itertools.pairwise(ids)]
    assert sorted(steps)[:2] == [-2, 0] or min(steps) < 0
    assert len(ids) - len(set(ids)) == 1
    missing = set(range(min(ids), max(ids))) - set(ids)
    assert len(missing) == 1


async def test_a_frame_of_wrong_json_is_still_a_frame(sim: SimulatedBinance, http: aiohttp.ClientSession) -> None:
    await sim.fault(Fault(FaultKind.WRONG_JSON, "spot", "depth"))
    async with http.ws_connect(socket_url(sim) + "/ws/btcusdt@depth@100ms") as ws:
        with pytest.raises(json.JSONDecodeError):
            json.loads((await ws.receive(timeout=10)).data)
        await events(ws, 2)


async def test_silence_stops_frames_but_not_answers(sim: SimulatedBinance, http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(socket_url(sim) + "/ws/btcusdt@bookTicker") as ws:
        await events(ws, 1)
        await sim.fault(Fault(FaultKind.SILENCE, "spot", duration_s=0.5))
        began_s = time.monotonic()
        await ws.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 5})
        while (await events(ws, 1))[0].get("id") != 5:
            pass
        assert time.monotonic() - began_s < 0.4
        await events(ws, 1)
        assert time.monotonic() - began_s >= 0.45


async def test_half_open_accepts_and_never_answers(sim: SimulatedBinance, http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(socket_url(sim) + "/ws", autoping=False) as ws:
        await sim.fault(Fault(FaultKind.HALF_OPEN, "spot", duration_s=30))
        await ws.ping()
        with pytest.raises(TimeoutError):
            await ws.receive(timeout=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.listeners["spot"].doors.port)
    writer.write(b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\n\r\n")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.3)
    writer.close()
    async with http.get(rest_url(sim, "usdm") + "/fapi/v1/ping") as answer:
        assert answer.status == 200


async def test_refuse_lets_nobody_in_for_a_while_and_keeps_who_is_there(
    sim: SimulatedBinance, http: aiohttp.ClientSession
) -> None:
    async with http.ws_connect(socket_url(sim) + "/ws/btcusdt@trade") as ws:
        await sim.fault(Fault(FaultKind.REFUSE, "spot", duration_s=0.3))
        port = sim.listeners["spot"].doors.port
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", port)
        await events(ws, 3)
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            writer.close()
            break


@pytest.mark.parametrize("path", ["/ws/btcusdt@trade", "/stream?streams=btcusdt@trade"])
async def test_shutdown_is_announced_before_the_socket_closes(
    sim: SimulatedBinance, http: aiohttp.ClientSession, path: str
) -> None:
    async with http.ws_connect(socket_url(sim) + path) as ws:
        await sim.fault(Fault(FaultKind.SHUTDOWN, "spot", delay_s=0.2))
        while True:
            event = (await events(ws, 1))[0]
            if (event.get("data") or event).get("e") == "serverShutdown":
                break
        assert event.get("stream") == ("!serverShutdown" if "stream?" in path else None)
        assert (await ended(ws)).data == 1001


async def test_controls_over_http(sim: SimulatedBinance, http: aiohttp.ClientSession) -> None:
    base = rest_url(sim)
    async with http.post(base + "/sim/fault", json={"kind": "drop", "match": "depth", "count": 2}) as answer:
        assert answer.status == 200
    async with http.post(base + "/sim/fault", json={"kind": "earthquake"}) as answer:
        assert answer.status == 400
    async with http.get(base + "/sim/state") as answer:
        state = await answer.json()
        assert "X-MBX-USED-WEIGHT-1M" not in answer.headers
    assert state["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert state["weight_used"] == 0
    from_ns = sim.epoch_ns - 5 * 60 * NS_PER_S
    async with http.get(f"{base}/sim/ledger?symbol=BTCUSDT&interval=1m&from_ns={from_ns}") as answer:
        told = (await answer.json())["candles"]
    true = sim.ledger.candles("spot", "BTCUSDT", Interval.M1, from_ns, told[-1]["close_ns"])
    assert [row["open_ns"] for row in told] == [bar.open_ns for bar in true]
    assert told[0]["base_volume"] == f"{true[0].volume:f}"
    query = f"symbol=BTCUSDT&kind=trades&from_ns={from_ns}&to_ns={sim.epoch_ns}"
    async with http.get(f"{base}/sim/ledger?{query}") as answer:
        trades = (await answer.json())["trades"]
    assert [row["id"] for row in trades] == list(range(trades[0]["id"], trades[0]["id"] + len(trades)))
    async with http.get(base + "/sim/ledger?symbol=NOPE") as answer:
        assert answer.status == 400


@contextlib.contextmanager
def process(epoch_ns: int | None, *ports: int) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    wanted = [f"{market}={port}" for market, port in zip(("spot", "usdm", "coinm"), ports, strict=False)]
    program = (
        "from heliograph.cli.simulate import simulate\n"
        f"simulate(seed=9, speed=60, symbols=2, history_minutes=30, epoch_ns={epoch_ns}, ports={wanted})"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield running, json.loads(running.stdout.readline())
        finally:
            running.kill()


async def test_a_simulator_killed_and_started_again_goes_on_with_the_same_world(http: aiohttp.ClientSession) -> None:
    query = {"symbol": "BTCUSDT", "interval": "1m", "limit": "20"}
    with process(None) as (killed, about):
        base = about["endpoints"]["spot"]["rest_url"]
        async with http.get(base + "/api/v3/klines", params=query) as answer:
            before = (await answer.json())[:-1]
        async with http.get(base + "/api/v3/aggTrades", params={"symbol": "BTCUSDT", "limit": "50"}) as answer:
            trades = await answer.json()
        async with http.get(base + "/api/v3/time") as answer:
            stopped_ms = (await answer.json())["serverTime"]
        killed.kill()
        killed.wait()
    ports = [int(about["endpoints"][market]["rest_url"].rsplit(":", 1)[1]) for market in ("spot", "usdm", "coinm")]
    with process(about["epoch_ns"], *ports) as (stopped, again):
        assert again == about
        query["startTime"] = str(before[0][0])
        async with http.get(base + "/api/v3/klines", params=query) as answer:
            after = await answer.json()
        assert after[: len(before)] == before
        query = {"symbol": "BTCUSDT", "fromId": str(trades[0]["a"]), "limit": "50"}
        async with http.get(base + "/api/v3/aggTrades", params=query) as answer:
            assert await answer.json() == trades
        async with http.get(base + "/api/v3/time") as answer:
            assert (await answer.json())["serverTime"] > stopped_ms
        stopped.send_signal(signal.SIGTERM)
        assert stopped.wait(timeout=10) == 0
