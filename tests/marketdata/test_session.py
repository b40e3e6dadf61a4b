import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import msgspec
from aiohttp import web

from heliograph.clock import SystemClock
from heliograph.connect import rest
from heliograph.marketdata.capture import Direction
from heliograph.marketdata.feed import MarketFeed
from heliograph.metrics import FeedMetrics
from heliograph.model.event import Event
from heliograph.model.instrument import SPOT
from heliograph.model.market import Candle, Channel
from heliograph.sim import Fault, FaultKind
from heliograph.venues.contract import (
    Effect,
    Fetch,
    InstrumentPage,
    Market,
    Rate,
    Request,
    Send,
    Subscription,
    VenueError,
)
from tests.marketdata.doorman import Doorman, Talker, behind, keeping
from tests.marketdata.field import QUICK, Collector, eventually, field


async def test_a_frame_that_is_not_documented_costs_no_other() -> None:
    async with field() as here:
        here.feed.add([*here.candles("BTCUSDT"), Subscription(Channel.TRADES, here.instrument("BTCUSDT"))])
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.WRONG_JSON, count=3, match="@"))
        await here.sink.until(lambda: here.metrics.frames_refused >= 3)
        await here.more_candles("BTCUSDT", 2)
        here.check_candles("BTCUSDT")
        here.check_trades("BTCUSDT")
        assert here.metrics.reconnections == 0


async def test_frames_that_are_not_documented_again_and_again_cost_the_connection() -> None:
    async with field() as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.WRONG_JSON, count=25, match="@kline"))
        await here.sink.until(lambda: here.metrics.reconnections >= 1)
        await here.more_candles("BTCUSDT", 3)
        here.check_candles("BTCUSDT")


async def test_m13_silence_is_answered_by_rest_not_by_a_reconnect() -> None:
    async with field() as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        asked = here.metrics.backfills_succeeded
        await here.sim.fault(Fault(FaultKind.SILENCE, duration_s=1.6))
        await here.more_candles("BTCUSDT", 2)
        assert here.metrics.backfills_succeeded > asked
        await here.more_candles("BTCUSDT", 3)
        here.check_candles("BTCUSDT")
        here.check_order()
        assert (here.metrics.reconnections, here.sim.listeners["spot"].connects) == (0, 1)
        assert sum(here.metrics.connection_errors.values()) == 0


class Faulty(Collector):
    """A consumer with a bug that shows once."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 1

    def push(self, events: Sequence[Event]) -> None:
        if self.left and any(isinstance(e, Candle) and e.closed for e in events):
            self.left -= 1
            raise ZeroDivisionError
        super().push(events)


async def test_a_fault_of_ours_costs_a_connection_and_not_the_feed() -> None:
    faulty = Faulty()
    async with field(sink=faulty) as here:
        here.feed.add(here.candles("BTCUSDT"))
        instrument = here.instrument("BTCUSDT")
        await faulty.until(lambda: len(faulty.closed(instrument)) >= 3)
        assert faulty.left == 0
        assert here.metrics.reconnections == 1
        assert here.metrics.connection_errors == {"closed": 1}


async def test_control_messages_leave_in_the_order_in_which_they_were_made() -> None:
    """Else an UNSUBSCRIBE that waits for its turn ends what a later SUBSCRIBE has begun, for good."""
    said: list[int] = []

    def capture(direction: Direction, url: str, frames: Sequence[bytes], at_ns: int) -> None:
        if direction is Direction.OUT:
            said.extend(msgspec.json.decode(frame)["id"] for frame in frames)

    async with field(capture=capture) as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        wanted = here.candles("ETHUSDT")
        for _ in range(6):
            here.feed.add(wanted)
            for _ in range(10):
                await asyncio.sleep(0)  # until it is admitted
            here.feed.remove(wanted)
        here.feed.add(wanted)
        await here.sink.until(lambda: len(said) == 14)
        assert said == sorted(said)
        await here.more_candles("ETHUSDT", 1)


SAYINGS = [Send(b"%d" % n) for n in range(8)]


@asynccontextmanager
async def talking(market: Market, sockets: int = 1) -> AsyncIterator[MarketFeed]:
    """A feed at that market's door."""
    settings = msgspec.structs.replace(QUICK, symbols_per_socket_max=1, inactivity_s=60)
    async with rest.Client(rest.Settings(), random.Random(1)) as client:
        feed = MarketFeed(market, settings, Collector(), FeedMetrics("binance", "spot"), SystemClock(), client, seed=1)
        feed.add([Subscription(Channel.TRADES, market.instrument(f"{c}USDT")) for c in ("BTC", "ETH")[:sockets]])
        running = asyncio.create_task(feed.run())
        try:
            yield feed
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def talker(door: Doorman, *, talk: Sequence[Effect] = (), beat: Sequence[Effect] = (), **limits: object) -> Market:
    market = behind(door, **({"messages_per_s_max": 1000} | limits))
    return msgspec.structs.replace(market, feed=partial(Talker, talk=talk, beat=beat))


async def test_t30_a_connection_says_no_more_in_a_window_than_the_venue_allows() -> None:
    async with keeping(Doorman()) as door:
        async with talking(talker(door, talk=SAYINGS, connection_messages=Rate(3, 0.2))):
            await eventually(lambda: len(door.said) == 8)
        assert [text for _, text in door.said] == [str(n) for n in range(8)], "in order"
        said_s = [at_s for at_s, _ in door.said]
        assert all(later - earlier > 0.19 for earlier, later in zip(said_s, said_s[3:], strict=False))


async def test_t30_what_is_counted_a_connection_is_not_shared_and_what_is_counted_an_address_is() -> None:
    async with keeping(Doorman()) as door:
        async with talking(talker(door, talk=SAYINGS[:4], connection_messages=Rate(4, 60.0)), sockets=2):
            await eventually(lambda: len(door.said) == 8)
        door.said.clear()
        async with talking(talker(door, talk=SAYINGS[:4], address_messages=Rate(4, 0.3)), sockets=2):
            await eventually(lambda: len(door.said) == 8)
        said_s = [at_s for at_s, _ in door.said]
        assert all(later - earlier > 0.28 for earlier, later in zip(said_s, said_s[4:], strict=False))


async def test_t27_t30_a_heartbeat_passes_what_waits_and_is_no_request() -> None:
    beat = [Send(b"ping", heartbeat=True)]
    async with keeping(Doorman()) as door:
        async with talking(talker(door, talk=SAYINGS, beat=beat, connection_messages=Rate(2, 3600.0))):
            await eventually(lambda: len(door.said) >= 4)
        assert [text for _, text in door.said][:4] == ["0", "1", "ping", "ping"]


async def test_m11_an_answer_that_is_a_no_costs_its_request_and_a_frame_that_is_one_what_it_names() -> None:
    """A no to a request names no subscription, and was once taken for a no to all that the connection carries."""
    told: list[object] = []

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=b"{}")

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with keeping(Doorman()) as door:
        fetch = Fetch(Request("/x", (), 1, InstrumentPage(SPOT)))
        market = talker(door, talk=[fetch, VenueError("8", "not you")])
        market = msgspec.structs.replace(market, rest_url=f"http://127.0.0.1:{runner.addresses[0][1]}")
        async with talking(market) as feed:
            feed._refused = lambda subscriptions, error: told.append((tuple(subscriptions), error.code))
            await eventually(lambda: feed.metrics.venue_errors == 2)
            assert told == [(tuple(feed._wanted), "8")]
    await runner.cleanup()
