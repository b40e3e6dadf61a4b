from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from heliograph.bus import keys
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_cluster import cluster
from heliograph.bus.opening import open_publisher, open_reader
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Reader
from heliograph.errors import BusError, ConfigError
from heliograph.marketdata.collect import Collection, Outcome
from heliograph.marketdata.history import Series, Span
from heliograph.marketdata.timeline import Bus, Timeline
from heliograph.model import wire
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Gap
from tests.marketdata.past import EPOCH_NS, MINUTE_NS, PLAYED, Past, past, without


@asynccontextmanager
async def bus_at(server: Server, prefix: str = "", maxlen: int = 10_000) -> AsyncIterator[Bus]:
    async with Publisher(server.url) as publisher, Reader(server.url, {}) as reader:
        yield Bus(publisher, reader, maxlen, prefix)


async def collected(here: Past, bus: Bus, wanted: Series, part_candles: int = 30) -> Outcome:
    downloader = here.downloader(wanted.instrument.market)
    timeline = Timeline(bus, wanted, downloader.part)
    (outcome,) = await Collection(3, part_candles).run([(wanted, downloader, timeline)])
    return outcome


async def on_stream(server: Server, instrument: Instrument, prefix: str = "") -> list[Candle]:
    async with Reader(server.url, {}) as reader:
        entries = await reader.entries(prefix + keys.candles(instrument, Interval.M1))
    return [wire.decode_candle(entry.data, instrument, 0) for entry in entries]


@pytest.mark.parametrize("venue", PLAYED)
async def test_the_past_is_on_the_stream_in_order_and_once(venue: str, valkey: Server) -> None:
    async with past(venue) as here, bus_at(valkey) as bus:
        for market in here.markets:
            wanted = await here.series(market, 200)
            outcome = await collected(here, bus, wanted)
            assert outcome.whole, outcome
            told = await on_stream(valkey, wanted.instrument)
            assert here.judge(wanted, told, outcome.holes, outcome.until_ns).faithful


@pytest.mark.parametrize("committed", [1, 29, 30, 100, 199])
async def test_a_killed_backfill_goes_on_behind_what_the_stream_holds(committed: int, valkey: Server) -> None:
    async with past() as here:
        wanted = await here.series("spot", 200)
        shorter = msgspec.structs.replace(wanted, to_ns=wanted.from_ns + committed * MINUTE_NS)
        for one in (shorter, wanted, wanted):
            async with bus_at(valkey) as bus:
                outcome = await collected(here, bus, one)
                assert outcome.whole
        told = await on_stream(valkey, wanted.instrument)
        assert len(told) == 200
        assert here.judge(wanted, told).faithful


async def test_the_streams_may_be_spread_over_a_cluster() -> None:
    async with cluster() as servers, past() as here:
        series = [await here.series(market, 200) for market in here.markets]
        for minutes in (100, 0):
            async with open_publisher(servers.url) as publisher, open_reader(servers.url, {}) as reader:
                bus = Bus(publisher, reader, 10_000)
                for wanted in series:
                    to_ns = wanted.to_ns - minutes * MINUTE_NS
                    outcome = await collected(here, bus, msgspec.structs.replace(wanted, to_ns=to_ns))
                    assert outcome.whole, outcome
                    told = [
                        wire.decode_candle(entry.data, wanted.instrument, 0)
                        for entry in await reader.entries(keys.candles(wanted.instrument, Interval.M1))
                    ]
                    assert len(told) == 200 - minutes
                    assert here.judge(wanted, told, until_ns=to_ns).faithful


async def test_a_stream_that_ends_before_the_range_is_continued(valkey: Server) -> None:
    async with past() as here, bus_at(valkey) as bus:
        old, recent = await here.series("spot", 300, until=200), await here.series("spot", 100)
        for one in (old, recent):
            assert (await collected(here, bus, one)).whole
        assert len(await on_stream(valkey, old.instrument)) == 200


async def test_a_stream_that_has_begun_later_cannot_take_older_candles(valkey: Server) -> None:
    async with past() as here, bus_at(valkey) as bus:
        assert (await collected(here, bus, await here.series("spot", 100))).whole
        wanted = await here.series("spot", 200)
        with pytest.raises(ConfigError, match="another --key-prefix"):
            await collected(here, bus, wanted)
        assert len(await on_stream(valkey, wanted.instrument)) == 100
    async with past() as here, bus_at(valkey, "history:") as bus:
        assert (await collected(here, bus, wanted)).whole
        assert len(await on_stream(valkey, wanted.instrument, "history:")) == 200


async def test_a_stream_with_a_gap_that_the_venue_can_fill_is_refused(valkey: Server) -> None:
    absent = {EPOCH_NS - minute * MINUTE_NS for minute in (150, 149)}
    async with past(filtered=without(absent)) as here, bus_at(valkey) as bus:
        assert (await collected(here, bus, await here.series("spot", 200, until=100))).whole
        assert (await collected(here, bus, await here.series("spot", 200))).whole, "nor has the venue it now"
    async with past() as here, bus_at(valkey) as bus:
        with pytest.raises(ConfigError, match="older candles"):
            await collected(here, bus, await here.series("spot", 200))


async def test_holes_of_the_venue_are_gaps_for_the_streams_readers(valkey: Server) -> None:
    absent = {EPOCH_NS - minute * MINUTE_NS for minute in (100, 150, 151)}
    async with past(filtered=without(absent)) as here, bus_at(valkey) as bus:
        wanted = await here.series("spot", 200)
        outcome = await collected(here, bus, wanted)
        assert outcome.whole
        async with Reader(valkey.url, {}) as reader:
            entries = await reader.entries(keys.of_kind(wanted.instrument, Gap))
        gaps = [wire.decode_gap(entry.data, wanted.instrument) for entry in entries]
        assert [(gap.from_ns, gap.to_ns) for gap in gaps] == [(hole.from_ns, hole.to_ns) for hole in outcome.holes]
        assert len(gaps) == 2


async def test_more_than_a_stream_keeps_is_refused_before_anything_is_written(valkey: Server) -> None:
    async with past() as here, bus_at(valkey, maxlen=100) as bus:
        wanted = await here.series("spot", 101)
        with pytest.raises(ConfigError, match="HELIOGRAPH_STREAM_MAXLEN"):
            await collected(here, bus, wanted)
        assert (await collected(here, bus, await here.series("spot", 100))).whole


async def test_a_stream_that_a_feed_writes_is_left_to_it(valkey: Server) -> None:
    async with past() as here, bus_at(valkey) as bus:
        wanted = await here.series("spot", 100)
        live = (await here.downloader("spot").part(wanted, _all(wanted))).candles[-1]
        stream = await bus.publisher.open_stream(keys.candles(wanted.instrument, Interval.M1), maxlen=10_000)
        bus.publisher.append(stream, wire.Encoder().encode(msgspec.structs.replace(live, closed=False)))
        await bus.publisher.flush()
        with pytest.raises(ConfigError, match="a feed writes"):
            await collected(here, bus, wanted)


@pytest.mark.parametrize("minute", [95, -1])
async def test_another_writer_is_noticed(minute: int, valkey: Server) -> None:
    """Ids that are refused, and what the stream holds in the end, both tell of it; also a feed's first live candle."""
    async with past() as here, bus_at(valkey) as bus, Publisher(valkey.url) as other:
        wanted = await here.series("spot", 200)
        downloader = here.downloader("spot")
        timeline = Timeline(bus, wanted, downloader.part)
        await timeline.open()
        part = await downloader.part(wanted, _all(wanted))
        stream = await other.open_stream(timeline.where, maxlen=10_000)
        foreign = msgspec.structs.replace(part.candles[0], open_ns=EPOCH_NS - minute * MINUTE_NS, closed=minute > 0)
        other.append(stream, wire.Encoder().encode(foreign))
        await other.flush()
        try:
            await timeline.commit(part)
        except BusError as e:
            told = "somebody else" in str(e)
        else:
            told = not (await timeline.finish()).whole
        assert told


async def test_an_entry_that_is_no_candle_is_told(valkey: Server) -> None:
    async with past() as here, bus_at(valkey) as bus:
        wanted = await here.series("spot", 50)
        stream = await bus.publisher.open_stream(keys.candles(wanted.instrument, Interval.M1), maxlen=10_000)
        bus.publisher.append(stream, b"{}")
        await bus.publisher.flush()
        with pytest.raises(BusError, match="no candle"):
            await collected(here, bus, wanted)


def _all(wanted: Series) -> Span:
    return Span(wanted.from_ns, wanted.to_ns)
