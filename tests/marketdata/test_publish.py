import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from heliograph.bus import keys
from heliograph.bus.connection import connect
from heliograph.bus.embedded import Server
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Reader
from heliograph.marketdata.publish import StreamSink
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import Event
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap, Ticker, Trade
from heliograph.model.wire import Encoder, decode_candle, decode_trade
from heliograph.sim import SimulatedBinance
from heliograph.venues.contract import Subscription
from tests.marketdata.field import eventually, field

Sinks = Callable[..., StreamSink]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
async def open_sink(valkey: Server) -> AsyncIterator[Sinks]:
    """Make sinks on one server, each with what a restarted process would know: nothing."""
    async with Publisher(valkey.url) as publisher, Reader(valkey.url, {}) as reader:
        yield lambda **changes: StreamSink(
            publisher, reader, **{"stream_maxlen": 10_000, "feed_maxlen": 10_000, **changes}
        )


async def _published(sink: StreamSink, subscription: Subscription, *events: Event) -> None:
    await sink.open([subscription])
    sink.push(events)
    await sink._publisher.flush()


async def test_every_kind_of_event_lands_on_its_stream_and_on_the_merged_feed_in_order(
    valkey: Server, open_sink: Sinks
) -> None:
    sink = open_sink()
    async with field(sink=sink, resume=sink) as here:
        instrument = here.instrument("BTCUSDT")
        here.feed.add([*here.candles("BTCUSDT"), *(Subscription(c, instrument) for c in Channel if c != "candles")])
        await eventually(lambda: here.metrics.quotes_closed >= 3)
    await sink._publisher.flush()
    async with Reader(valkey.url, {}) as reader:
        merged = await reader.entries(keys.merged_feed("binance", "spot", keys.shard_of(instrument.id)))
        assert len(merged) == here.metrics.events.total()
        names = [keys.of_kind(instrument, k) for k in (Ticker, Trade, BookSnapshot, BookDelta)]
        for key in (keys.candles(instrument, Interval.M1), *names):
            own = await reader.entries(key)
            assert own, key
            assert [(e.id, e.data) for e in own] == [(e.id, e.data) for e in merged if e.key == key]


async def test_a_gap_has_a_stream_of_its_own(valkey: Server, open_sink: Sinks, btc: Instrument) -> None:
    gap = Gap(btc, Channel.TRADES, None, None, None, 1, 5, "for a test", 0)
    await _published(open_sink(), Subscription(Channel.TRADES, btc), gap)
    async with Reader(valkey.url, {}) as reader:
        assert [e.data for e in await reader.entries("binance:BTCUSDT:gaps")] == [Encoder().encode(gap)]


async def test_the_newest_closed_candle_is_found_behind_any_number_of_live_ones(
    open_sink: Sinks, candle: Callable[..., Candle], btc: Instrument
) -> None:
    wanted = Subscription(Channel.CANDLES, btc, Interval.M1)
    sink = open_sink()
    await sink.open([wanted])
    assert await sink.last_closed(btc, Interval.M1) is None
    await _published(sink, wanted, candle(4), candle(4, count=2))
    assert await sink.last_closed(btc, Interval.M1) == candle(3).open_ns
    await _published(sink, wanted, candle(4, closed=True), *(candle(5, count=n) for n in range(200)))
    assert await sink.last_closed(btc, Interval.M1) == candle(4).open_ns
    assert await open_sink().last_closed(btc, Interval.M1) == candle(4).open_ns


async def test_the_newest_trade_is_found(open_sink: Sinks, trade: Callable[..., Trade], btc: Instrument) -> None:
    sink = open_sink()
    assert await sink.last_trade(btc) is None
    await _published(sink, Subscription(Channel.TRADES, btc), trade(7), trade(8))
    assert await sink.last_trade(btc) == 8


async def test_what_another_writer_left_on_a_stream_hides_no_end(
    valkey: Server, open_sink: Sinks, candle: Callable[..., Candle], trade: Callable[..., Trade], btc: Instrument
) -> None:
    sink = open_sink()
    candles, trades = Subscription(Channel.CANDLES, btc, Interval.M1), Subscription(Channel.TRADES, btc)
    await _published(sink, candles, candle(4, closed=True))
    await _published(sink, trades, trade(7), trade(8))
    async with connect(valkey.url) as client:
        for key in ("binance:BTCUSDT:candles_1m", "binance:BTCUSDT:trades"):
            for data in (b"", b"{", b'{"timestamp":1}', b'{"open_time":"soon","closed":true}', b"[]"):
                await client.xadd(key, {"data": data})
            await client.xadd(key, {"other": "field"})
    assert await sink.last_closed(btc, Interval.M1) == candle(4).open_ns
    assert await sink.last_trade(btc) == 8


async def test_instruments_are_spread_over_the_merged_feeds_for_good(
    valkey: Server, open_sink: Sinks, candle: Callable[..., Candle]
) -> None:
    markets = [Instrument(c.venue, c.market, f"S{n}USDT") for n, c in enumerate([candle(0).instrument] * 20)]
    sink = open_sink(shards=3)
    for instrument in markets:
        await _published(sink, Subscription(Channel.CANDLES, instrument, Interval.M1), candle(0, instrument=instrument))
    async with Reader(valkey.url, {}) as reader:
        sizes = [len(await reader.entries(keys.merged_feed("binance", "spot", n))) for n in range(3)]
    assert sum(sizes) == 20
    assert all(sizes)


class Feeder:
    """A feed in a process of its own, killed and started again."""

    def __init__(self, server: Server, sim: SimulatedBinance, *symbols: str) -> None:
        where = sim.endpoints["spot"]
        self._arguments = (server.url, where["socket_url"], where["rest_url"], *symbols)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.marketdata.feeder",
            *self._arguments,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            assert b"ready" in await self._process.stdout.readline()

    async def kill(self) -> None:
        assert self._process is not None
        assert self._process.returncode is None, "it runs until it is killed"
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()


async def _closed(reader: Reader, instrument: Instrument) -> list[Candle]:
    entries = await reader.entries(keys.candles(instrument, Interval.M1))
    return [c for c in (decode_candle(e.data, instrument, 0) for e in entries) if c.closed]


async def _bars_on_stream(reader: Reader, instrument: Instrument, count: int) -> None:
    """Wait until the stream holds so many closed candles."""
    held = 0
    async with asyncio.timeout(30):
        async for entry in reader:
            held += (
                entry.key == keys.candles(instrument, Interval.M1) and decode_candle(entry.data, instrument, 0).closed
            )
            if held >= count:
                return


@pytest.mark.parametrize("victim", ["feed", "server"])
async def test_after_kills_every_closed_candle_and_trade_is_on_its_stream_once(valkey: Server, victim: str) -> None:
    """The long version, with every process killed twenty times, is among the fault tests."""
    rng = random.Random(5)
    async with SimulatedBinance(seed=5, speed=240) as sim:
        feeder = Feeder(valkey, sim, "BTCUSDT", "ETHUSDT")
        btc, eth = (Instrument(VenueId("binance"), SPOT, s) for s in ("BTCUSDT", "ETHUSDT"))
        await feeder.start()
        everything = {keys.candles(i, Interval.M1): "0" for i in (btc, eth)}
        async with Reader(valkey.url, everything) as reader:
            await _bars_on_stream(reader, btc, 2)
        for _ in range(3):
            await asyncio.sleep(rng.uniform(0.2, 1.0))
            if victim == "feed":
                await feeder.kill()
                await asyncio.sleep(rng.uniform(0.1, 0.8))
                await feeder.start()
            else:
                valkey.kill()
                await asyncio.sleep(rng.uniform(0.1, 0.8))
                await asyncio.to_thread(valkey.start)
        async with Reader(valkey.url, everything) as reader:
            bars = len(await _closed(reader, btc))
            await _bars_on_stream(reader, btc, bars + 6)
        async with Reader(valkey.url, everything) as reader:
            await _bars_on_stream(reader, eth, bars)
            await feeder.kill()
            for instrument in (btc, eth):
                told = await _closed(reader, instrument)
                truth = sim.ledger.candles(
                    "spot", instrument.venue_symbol, Interval.M1, told[0].open_ns, told[-1].open_ns + 1
                )
                assert [c.open_ns for c in told] == [bar.open_ns for bar in truth]
                assert [(c.close, c.base_volume) for c in told] == [(bar.close, bar.volume) for bar in truth]
                entries = await reader.entries(keys.of_kind(instrument, Trade))
                numbers = [decode_trade(e.data, instrument, 0).sequence for e in entries]
                assert numbers[0] is not None
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
                assert await reader.entries(keys.of_kind(instrument, Gap)) == []


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_a_shard_that_comes_back_while_its_streams_are_opened_is_written_in_full(
    valkey: Server, candle: Callable[..., Candle], btc: Instrument, turns: int
) -> None:
    """At whichever moment of the opening it is given up."""
    wanted = Subscription(Channel.CANDLES, btc, Interval.M1)
    shard = keys.shard_of(btc.id)
    now_s = asyncio.get_running_loop().time
    async with Publisher(valkey.url, leased=True) as publisher, Reader(valkey.url, {}) as reader:
        publisher.hold.until(now_s() + 60, now_s())
        sink = StreamSink(publisher, reader, stream_maxlen=100, feed_maxlen=100, leased=True)
        sink.take("binance", "spot", shard)
        opening = asyncio.create_task(sink.open([wanted]))
        for _ in range(turns):
            await asyncio.sleep(0)
        sink.give_up("binance", "spot", shard)
        await asyncio.gather(opening, return_exceptions=True)
        sink.take("binance", "spot", shard)
        await sink.open([wanted])
        sink.push([candle(1, closed=True)])
        await publisher.flush()
        own = await reader.entries(keys.candles(btc, Interval.M1))
        merged = await reader.entries(keys.merged_feed("binance", "spot", shard))
        assert [entry.data for entry in own] == [entry.data for entry in merged]
        assert len(own) == 1
