import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from heliograph.app import beside
from heliograph.bus import keys
from heliograph.bus.connection import connect
from heliograph.bus.embedded import Server
from heliograph.bus.entries import Stream
from heliograph.bus.publisher import Publisher
from heliograph.clock import NS_PER_MS, SystemClock
from heliograph.errors import BusError
from heliograph.gateway.bustail import BusTail
from heliograph.gateway.hub import Hub
from heliograph.gateway.probes import readiness
from heliograph.gateway.stream import Stream as Subscription_
from heliograph.marketdata.demand import DemandTail
from heliograph.metrics import FeedCollector
from heliograph.model.instrument import SPOT
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap
from heliograph.model.wire import Encoder
from heliograph.venues import VENUES
from heliograph.venues.contract import Subscription
from tests.gateway.samples import MINUTE_NS, OPEN_NS, candle
from tests.gateway.script import minute_candles, spot

CLOCK = SystemClock()


def of(symbol: str, close: int, minute: int = 0, *, closed: bool = False, event_ns: int | None = None) -> Candle:
    opened = OPEN_NS + minute * MINUTE_NS
    return candle(
        instrument=spot(symbol),
        close=Decimal(close),
        open_ns=opened,
        close_ns=opened + MINUTE_NS,
        closed=closed,
        event_ns=event_ns,
    )


class Desk:
    """Publishes as a feed does: to the instrument's stream, and to the merged feed."""

    def __init__(self, publisher: Publisher, feed: Stream) -> None:
        self._publisher = publisher
        self._feed = feed
        self._encoder = Encoder()

    async def publish(self, *events: Candle | Gap) -> None:
        for event in events:
            stream = await self._publisher.open_stream(keys.of_event(event), merged=self._feed)
            self._publisher.append(stream, self._encoder.encode(event))
        await self._publisher.flush()


@asynccontextmanager
async def desk(server: Server, maxlen: int | None = None) -> AsyncIterator[Desk]:
    async with Publisher(server.url) as publisher:
        yield Desk(publisher, await publisher.open_stream(keys.merged_feed("binance", SPOT, 0), maxlen=maxlen))


@asynccontextmanager
async def tailing(server: Server, gateway: str = "g1") -> AsyncIterator[tuple[BusTail, Hub]]:
    tail = BusTail(server.url, gateway, FeedCollector(), CLOCK)
    hub = Hub(tail, CLOCK, linger_s=0.0)
    async with beside(hub.run()):
        yield tail, hub


async def closes(stream: Subscription_, count: int) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            event = await anext(stream)
            found.append(str(event.close) if isinstance(event, Candle) else "gap")
    return found


def stream_of(hub: Hub, *symbols: str) -> Subscription_:
    return Subscription_(hub, minute_candles(*symbols), idle_s=10)


@asynccontextmanager
async def tailed(server: Server) -> AsyncIterator[tuple[Desk, BusTail, Subscription_]]:
    """A desk, and a gateway that has looked up what the desk published first, and so tails what it publishes next."""
    async with desk(server) as published, tailing(server) as (tail, hub):
        await published.publish(of("BTCUSDT", 0, 0, closed=True))
        async with stream_of(hub, "BTCUSDT") as stream:
            assert await closes(stream, 1) == ["0"]
            yield published, tail, stream


async def test_a_subscriber_gets_the_last_value_from_the_stream_and_then_what_is_published(valkey: Server) -> None:
    async with tailed(valkey) as (published, tail, stream):
        await published.publish(of("ETHUSDT", 10), of("BTCUSDT", 3, 1))
        assert await closes(stream, 1) == ["3"]
        await published.publish(of("BTCUSDT", 4, 1, closed=True))
        assert await closes(stream, 1) == ["4"]
        (counters,) = tail.feeds()
        assert (counters.quotes_open, counters.quotes_closed, counters.frames_refused) == (1, 2, 0)


async def test_the_gateway_asks_for_what_its_clients_want_and_gives_it_up(valkey: Server) -> None:
    changes: asyncio.Queue[tuple[list[str], list[str]]] = asyncio.Queue()

    def change(begun: Sequence[Subscription], ended: Sequence[Subscription]) -> None:
        changes.put_nowait(([s.instrument.id for s in begun], [s.instrument.id for s in ended]))

    followed = DemandTail(valkey.url, VENUES, CLOCK, change)
    async with asyncio.timeout(10), beside(followed.run()), tailing(valkey) as (_, hub), tailing(valkey, "g2") as other:
        async with stream_of(hub, "BTCUSDT", "ETHUSDT"):
            assert await changes.get() == (["binance:spot:BTCUSDT", "binance:spot:ETHUSDT"], [])
            async with stream_of(other[1], "ETHUSDT"):
                await _entries(valkey, 2)
            await _entries(valkey, 3)
            assert changes.empty()
        assert await changes.get() == ([], ["binance:spot:BTCUSDT", "binance:spot:ETHUSDT"])


async def _entries(server: Server, count: int) -> list[dict[str, Any]]:
    async with connect(server.url) as client:
        rows: list[Any] = []
        while len(rows) < count:
            rows = await client.xrange(keys.FEED_DEMAND) or []
        return [msgspec.json.decode(fields[b"data"]) for _, fields in rows]


async def test_a_demand_is_written_in_its_documented_shape(valkey: Server) -> None:
    async with tailing(valkey) as (_, hub), stream_of(hub, "BTCUSDT"):
        (entry,) = await _entries(valkey, 1)
    until_ms = entry.pop("until_ms")
    assert entry == {
        "gateway": "g1",
        "exchange": "binance",
        "market": "spot",
        "symbols": ["BTCUSDT"],
        "channel": "candles",
        "interval": "1m",
    }
    assert 25_000 < until_ms - CLOCK.now_ns() // 10**6 <= 30_000


async def test_what_was_trimmed_from_the_feed_is_read_from_the_instruments_stream(valkey: Server) -> None:
    async with tailed(valkey) as (_, _, stream):
        # In one transaction: the tail is cut off, and sees none of it before it is trimmed.
        async with connect(valkey.url) as client, client.pipeline(transaction=True) as pipeline:
            pipeline.client_kill_filter(_type="normal", skipme=True)
            for minute in range(1, 6):
                _write(pipeline, of("BTCUSDT", minute, minute, closed=True))
            pipeline.xtrim(keys.merged_feed("binance", SPOT, 0), maxlen=1, approximate=False)
            await pipeline.execute()
        assert await closes(stream, 5) == ["1", "2", "3", "4", "5"]


async def test_a_gap_that_was_trimmed_from_the_feed_is_told_all_the_same(valkey: Server) -> None:
    async with tailed(valkey) as (_, _, stream):
        async with connect(valkey.url) as client, client.pipeline(transaction=True) as pipeline:
            pipeline.client_kill_filter(_type="normal", skipme=True)
            for minute in (1, 2, 5, 6):
                _write(pipeline, of("BTCUSDT", minute, minute, closed=True))
            pipeline.xtrim(keys.merged_feed("binance", SPOT, 0), maxlen=1, approximate=False)
            await pipeline.execute()
        assert await closes(stream, 5) == ["1", "2", "gap", "5", "6"]


def _write(pipeline: Any, event: Candle) -> None:
    name, data = keys.of_event(event), Encoder().encode(event)
    pipeline.xadd(name, {"data": data})
    pipeline.xadd(keys.merged_feed("binance", SPOT, 0), {"key": name, "data": data})


async def test_a_gap_on_the_bus_reaches_the_client(valkey: Server) -> None:
    missing = Gap(
        spot("BTCUSDT"), Channel.CANDLES, Interval.M1, OPEN_NS, OPEN_NS + MINUTE_NS, None, None, "none there", 0
    )
    async with tailed(valkey) as (published, _, stream):
        await published.publish(missing, msgspec.structs.replace(missing, interval=Interval.H1))
        await published.publish(of("BTCUSDT", 2, 2))
        assert await closes(stream, 2) == ["gap", "2"]


async def test_an_older_live_candle_never_follows_a_newer_one(valkey: Server) -> None:
    async with tailed(valkey) as (published, tail, stream):
        await published.publish(of("BTCUSDT", 5, 1, event_ns=500 * NS_PER_MS))
        await published.publish(of("BTCUSDT", 4, 1, event_ns=400 * NS_PER_MS), of("BTCUSDT", 6, 1, closed=True))
        await published.publish(of("BTCUSDT", 6, 1, closed=True), of("BTCUSDT", 5, 1), of("BTCUSDT", 7, 2))
        heard: list[str] = []
        while not heard or heard[-1] != "7":
            heard += await closes(stream, 1)
        assert [close for close in heard if close != "5"] == ["6", "7"]
        assert tail.feeds()[0].duplicates == 3


async def test_what_is_no_candle_is_counted_and_costs_nothing_else(valkey: Server) -> None:
    async with tailed(valkey) as (published, tail, stream):
        async with connect(valkey.url) as client:
            name = keys.candles(spot("BTCUSDT"), Interval.M1)
            await client.xadd(keys.merged_feed("binance", SPOT, 0), {"key": name, "data": b"{}"})
        await published.publish(of("BTCUSDT", 7, 1))
        assert await closes(stream, 1) == ["7"]
        (counters,) = tail.feeds()
        assert counters.frames_refused == 1


async def test_a_server_that_restarts_costs_no_closed_candle_and_readiness_says_so_meanwhile(valkey: Server) -> None:
    async with tailed(valkey) as (published, tail, stream):
        await published.publish(of("BTCUSDT", 1, 1, closed=True))
        assert await closes(stream, 1) == ["1"]
        assert readiness(tail.feeds(), CLOCK.now_ns(), draining=False).status == "ready"
        valkey.kill()
        await until_unready(tail)
        await valkey.restart()
        await published.publish(of("BTCUSDT", 2, 2, closed=True))
        assert await closes(stream, 1) == ["2"]


async def until_unready(tail: BusTail) -> None:
    async with asyncio.timeout(10):
        while readiness(tail.feeds(), CLOCK.now_ns(), draining=False).status == "ready":  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0)


async def test_a_server_that_refuses_us_for_good_ends_the_hub_with_its_words(valkey: Server) -> None:
    async with connect(valkey.url) as client:
        await client.acl_setuser("reader", enabled=True, passwords=["+x"], keys=["feed:*"], commands=["+@all", "-xadd"])
    url = valkey.url.replace("redis://", "redis://reader:x@")
    tail = BusTail(url, "g1", FeedCollector(), CLOCK)
    hub = Hub(tail, CLOCK)
    with pytest.raises(BusError, match="NOPERM"):
        async with asyncio.timeout(10), beside(hub.run()), stream_of(hub, "BTCUSDT"):
            await asyncio.Event().wait()
