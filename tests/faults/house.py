"""A simulated Binance, a feed and a server in processes of their own, and an eye on what reaches the streams."""

import asyncio
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Final, Self

import aiohttp
import msgspec

from heliograph.bus import keys
from heliograph.bus.cluster_reader import ClusterReader
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_cluster import Cluster, cluster
from heliograph.bus.opening import open_reader
from heliograph.bus.reader import Reader
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Trade
from heliograph.model.wire import decode_candle, decode_trade
from heliograph.sim.venue import clock_since
from tests.faults.processes import Process, free_port

SPEED: Final = 120.0
BAR_S: Final = 60 / SPEED
"""A bar of a minute closes every half second."""

# The last one is so quiet that it has minutes without a trade.
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "ADAUSDT", "TRXUSDT")
LISTED: Final = 12

PATIENCE_S: Final = 60.0
"""How long a recovery may take on a machine that has other things to do."""

# A venue whose minutes pass in half a second deserves a feed that is as impatient.
IMPATIENT: Final = {
    "CONNECTOR_INACTIVITY_TIMEOUT": "0.5",
    "CONNECTOR_RECONNECT_DELAY": "0.05",
    "CONNECTOR_CIRCUIT_BREAKER_RECOVERY_TIMEOUT": "0.3",
    "CONNECTOR_WSS_LOG_LEVEL": "WARNING",
    "HELIOGRAPH_REPAIR_GAP_GRACE": "0.2",
    "HELIOGRAPH_STREAM_MAXLEN": "10000000",
}

# Every frame is sent twice.
EVERYTHING_TWICE: Final = {"kind": "duplicate", "market": "spot", "count": 1_000_000_000}


class _State(msgspec.Struct):
    now_ns: int
    streams: list[str]


class House:
    """The three processes, and who kills them; an async context manager.

    Args:
        rng: decides the moments.
        nodes: whether the streams are on a cluster, of three primaries and a replica of each, instead of a server.
        switches: further settings of the feed.

    """

    def __init__(self, rng: Random, *, nodes: bool = False, **switches: str) -> None:
        self.rng = rng
        self.cluster: Cluster | None = None
        self._nodes = nodes
        self.instruments = [Instrument(VenueId("binance"), SPOT, symbol) for symbol in SYMBOLS]
        self.server = Server()
        self.kills: Counter[str] = Counter()
        self.gateway: Process | None = None
        self.others: list[Process] = []
        """Further feeds, which share the instruments with the first one."""
        self.gave_up = 0
        """How often a feed ended by itself, for whoever supervises it to start again."""
        self.base_ns = 0
        """The venue's time at which it was seen to send every stream to the feed for the first time."""
        self.tail: dict[str, list[str]] = {}
        """The ids that a reader was given who followed each stream all the time."""
        self._switches = switches
        self._closed_ns: dict[str, int] = {}
        self._sequence: dict[str, int] = {}
        self._news = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heliograph-faults-")))
            if self._nodes:
                self.cluster = await stack.enter_async_context(cluster())
            else:
                await stack.enter_async_context(self.server)
            self.http = await stack.enter_async_context(aiohttp.ClientSession())
            port = free_port(self.rng)
            self.venue = f"http://127.0.0.1:{port}"
            epoch_ns = time.time_ns()
            self.clock = clock_since(epoch_ns, SPEED)
            world = ("--seed", str(self.rng.randrange(1 << 31)), "--speed", str(SPEED), "--epoch-ns", str(epoch_ns))
            self.simulator = Process(
                ("simulate", "binance", *world, "--symbols", str(LISTED), "--port", f"spot={port}"),
                folder / "simulator.log",
                {},
                self._news.set,
            )
            stack.push_async_callback(self.simulator.close)
            self._folder = folder
            self.feed = self._make_feed("feed")
            stack.push_async_callback(self.feed.close)
            stack.push_async_callback(self._close_others)
            await self._begin(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Where the streams are."""
        return self.server.url if self.cluster is None else self.cluster.url

    def _make_feed(self, name: str, *options: str) -> Process:
        wanted = [f"binance:spot:{symbol}" for symbol in SYMBOLS]
        return Process(
            ("serve", "feed", *wanted, "--channel", "candles", "--channel", "trades", "--probe-port", "0",
             "--valkey", self.url, "--endpoint", self.venue, *options),
            self._folder / f"{name}.log",
            IMPATIENT | self._switches,
            self._news.set,
        )  # fmt: skip

    async def join(self, *options: str) -> Process:
        """Start one feed more, beside those that run."""
        feed = self._make_feed(f"feed{len(self.others) + 2}", *options)
        self.others.append(feed)
        await feed.start()
        await feed.up()
        return feed

    async def open_gateway(self) -> dict[str, object]:
        """Start a gateway, and return what it says of itself."""
        gateway = self.gateway = Process(
            ("serve", "gateway", "--port", "0", "--probe-port", "0", "--valkey", self.url, "--endpoint", self.venue),
            self._folder / "gateway.log",
            IMPATIENT,
            self._news.set,
        )
        self._stack.push_async_callback(gateway.close)
        await gateway.start()
        return await gateway.up()

    async def stop_feeds(self) -> None:
        """End every feed in order."""
        for feed in (self.feed, *self.others):
            if feed.running:
                assert await feed.stop() == 0, feed.log()[-2000:]

    async def _close_others(self) -> None:
        for feed in self.others:
            await feed.close()

    async def _begin(self, stack: AsyncExitStack) -> None:
        """Start all of them, and wait until every stream has something on it, from where a feed can go on."""
        await self._start_simulator()
        reader = await stack.enter_async_context(
            open_reader(self.url, dict.fromkeys(self._keys(), "0"), backoff_max_s=0.1)
        )
        self._following = asyncio.create_task(self._follow(reader))
        stack.push_async_callback(_cancelled, self._following)
        await self.feed.start()
        await self.feed.up()
        async with asyncio.timeout(PATIENCE_S):
            while len((state := await self._state()).streams) < 2 * len(SYMBOLS):  # noqa: ASYNC110 (it is another's)
                await asyncio.sleep(0.01)
        self.base_ns = state.now_ns
        await self.until(lambda: len(self._closed_ns) == len(self._sequence) == len(SYMBOLS))

    def _keys(self) -> list[str]:
        candles = [keys.candles(instrument, Interval.M1) for instrument in self.instruments]
        return candles + [keys.of_kind(instrument, Trade) for instrument in self.instruments]

    async def _follow(self, reader: Reader | ClusterReader) -> None:
        """Follow every stream, over all kills of the server."""
        instrument_of = {keys.candles(i, Interval.M1): i for i in self.instruments}
        async for batch in reader.batches():
            for entry in batch:
                self.tail.setdefault(entry.stream, []).append(entry.id)
                instrument = instrument_of.get(entry.stream)
                if instrument is None:
                    sequence = decode_trade(entry.data, self.instruments[0], 0).sequence
                    assert sequence is not None
                    self._sequence[entry.stream] = sequence
                elif (candle := decode_candle(entry.data, instrument, 0)).closed:
                    self._closed_ns[entry.stream] = candle.close_ns
            self._news.set()

    async def _state(self) -> _State:
        async with self.http.get(f"{self.venue}/sim/state") as answer:
            return msgspec.json.decode(await answer.read(), type=_State)

    async def ledger(self, **question: str | int) -> bytes:
        """Ask the venue what truly happened."""
        async with self.http.get(f"{self.venue}/sim/ledger", params=question) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def _start_simulator(self) -> None:
        """Start the venue, which goes on with its world, and let it say everything twice."""
        await self.simulator.start()
        await self.simulator.up()
        async with self.http.post(f"{self.venue}/sim/fault", json=EVERYTHING_TWICE) as answer:
            assert answer.status == 200

    async def kill(self, *victims: str) -> None:
        """Kill all of these, one right after the other; every other server has stood still for a moment then."""
        for victim in victims:
            if victim == "server":
                if self.rng.random() < 0.5:
                    # What is written to a server that stands still is unanswered when it dies, for certain.
                    os.kill(self.server.pid, signal.SIGSTOP)
                    await self.pause(BAR_S)
                await asyncio.to_thread(self.server.kill)
            elif victim == "simulator":
                await self.simulator.kill()
            elif self.feed.running:
                await self.feed.kill()
            else:
                self.gave_up += 1
                continue
            self.kills[victim] += 1

    async def kill_server_losing(self, s: float, *victims: str) -> None:
        """Kill the server, and others right after it, and take from its disk what it wrote in the last `s` seconds.

        So much may be lost of an append-only file that is synced each second, when its machine goes down with it or its
        disk is busy; what was lost had been acknowledged, and had been read.
        """
        file = max((self.server.directory / "appendonlydir").glob("*.incr.aof"))
        size = file.stat().st_size
        await asyncio.sleep(s)
        await self.kill("server", *victims)
        self.kills["bytes lost"] += file.stat().st_size - size
        os.truncate(file, size)

    async def start(self, victim: str) -> None:
        """Start again what was killed."""
        if victim == "server":
            await asyncio.to_thread(self.server.start)
        elif victim == "feed":
            await self.feed.start()
        else:
            await self._start_simulator()

    async def pause(self, s_max: float) -> None:
        """Let a random time pass: the moments are the test's input, not something that it waits for."""
        await asyncio.sleep(self.rng.uniform(0.0, s_max))

    async def pass_bars(self, count: int) -> None:
        """Let so many whole bars of the venue's pass, whether or not anybody hears of them."""
        await asyncio.sleep((count + 1) * BAR_S)

    async def hold_server(self, s: float) -> None:
        """Let the server do nothing for so many seconds, as on a machine that swaps, and then go on."""
        self.kills["server stopped"] += 1
        os.kill(self.server.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(s)
        finally:
            os.kill(self.server.pid, signal.SIGCONT)

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until it is enough; a feed that ends by itself meanwhile is started again, as a supervisor would."""
        async with asyncio.timeout(PATIENCE_S):
            while not enough():
                self._news.clear()
                if self._following is not None and self._following.done():
                    await self._following
                if not self.feed.running:
                    self.gave_up += 1
                    await self.feed.start()
                await self._news.wait()

    async def recovered(self) -> None:
        """Wait until every candle stream has a bar that closed after this moment."""
        await self.until_closed(self.clock.now_ns())

    async def until_closed(self, until_ns: int) -> None:
        """Wait until every candle stream has come to this time."""
        await self.until(lambda: min(self._closed_ns.values()) >= until_ns)

    async def until_traded(self, ends: Mapping[str, int]) -> None:
        """Wait until these streams have come to these trades, by number."""
        await self.until(lambda: all(self._sequence[key] >= number for key, number in ends.items()))


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
