import pytest

from heliograph.clock import ManualClock
from heliograph.errors import HeliographError, VenueRejected, VenueUnreachable
from heliograph.gateway.hub import Hub
from heliograph.gateway.stream import Stream
from heliograph.model.market import Candle
from heliograph.venues.contract import VenueError
from tests.gateway.samples import MINUTE_NS, OPEN_NS, candle
from tests.gateway.script import Script, minute_candles, spot


def of(symbol: str, close: int, minute: int = 0, *, closed: bool = False) -> Candle:
    return candle(instrument=spot(symbol), close=close, open_ns=OPEN_NS + minute * MINUTE_NS, closed=closed)


def hub_over(script: Script, linger_s: float = 0.0) -> Hub:
    return Hub(script, ManualClock(), linger_s=linger_s)


async def test_a_stream_gives_what_comes_and_gives_up_its_subscription_when_left() -> None:
    script = Script()
    hub = hub_over(script)
    async with Stream(hub, minute_candles("BTCUSDT"), idle_s=5) as stream:
        hub.push([of("BTCUSDT", 1, closed=True), of("BTCUSDT", 2, minute=1)])
        events = [await anext(stream), await anext(stream)]
    assert [str(e.close) for e in events if type(e) is Candle] == ["1", "2"]
    await script.until()


async def test_a_stream_that_falls_silent_ends_with_the_documented_words() -> None:
    async with Stream(hub_over(Script()), minute_candles("BTCUSDT"), idle_s=0.02) as stream:
        with pytest.raises(VenueUnreachable, match=r"No quotes received in 0\.02 seconds\. Cancelling stream\."):
            await anext(stream)


async def test_a_stream_that_the_venue_refuses_says_so_after_what_had_come() -> None:
    hub = hub_over(Script())
    async with Stream(hub, minute_candles("BTCUSDT"), idle_s=5) as stream:
        hub.push([of("BTCUSDT", 1)])
        hub.refused(minute_candles("BTCUSDT"), VenueError("-1121", "Invalid symbol."))
        await anext(stream)
        with pytest.raises(VenueRejected, match="Invalid symbol"):
            await anext(stream)


async def test_a_stream_whose_consumer_sleeps_keeps_a_bounded_backlog_and_says_what_was_lost() -> None:
    hub = hub_over(Script())
    async with Stream(hub, minute_candles("BTCUSDT"), idle_s=5, kept_max=3) as stream:
        for minute in range(5):
            hub.push([of("BTCUSDT", minute, minute=minute, closed=True)])
        taken = [await anext(stream) for _ in range(3)]
        assert [str(e.close) for e in taken if type(e) is Candle] == ["0", "1", "2"]
        with pytest.raises(HeliographError, match="more than 3 closed candles"):
            await anext(stream)


async def test_a_stream_that_is_ended_gives_what_had_come_and_stops() -> None:
    hub = hub_over(Script())
    async with Stream(hub, minute_candles("BTCUSDT"), idle_s=None) as stream:
        hub.push([of("BTCUSDT", 1)])
        stream.end()
        assert [str(e.close) async for e in stream if type(e) is Candle] == ["1"]
