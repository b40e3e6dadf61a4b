import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import msgspec
import pytest
from aiohttp import web

from heliograph.clock import SystemClock
from heliograph.connect import rest
from heliograph.marketdata.feed import MarketFeed
from heliograph.marketdata.settings import FeedSettings
from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookDelta, BookSnapshot, OrderBook
from heliograph.model.instrument import MarketId
from heliograph.model.market import Channel, Source
from heliograph.sim import Fault, FaultKind, SimulatedVenue
from heliograph.venues import okx
from heliograph.venues.contract import TOO_MANY_REQUESTS, Market, Refusal, Subscription
from tests.marketdata.doorman import Doorman, behind, keeping
from tests.marketdata.field import QUICK, Collector, LeapingClock, eventually, field


async def test_m7_t10_after_a_lost_connection_every_bar_is_there_once_and_in_order() -> None:
    async with field() as here:
        here.feed.add([*here.candles("BTCUSDT", "ETHUSDT"), Subscription(Channel.TRADES, here.instrument("BTCUSDT"))])
        await here.more_candles("BTCUSDT", 2)
        await here.sim.fault(Fault(FaultKind.REFUSE, duration_s=1.0))
        await here.sim.fault(FaultKind.DISCONNECT)
        await here.more_candles("BTCUSDT", 7)
        await here.more_candles("ETHUSDT", 1)
        for symbol in ("BTCUSDT", "ETHUSDT"):
            here.check_candles(symbol)
        here.check_trades("BTCUSDT")
        here.check_order()
        assert here.sink.gaps() == []
        assert here.metrics.reconnections == 1
        assert here.metrics.backfills_succeeded > 0
        filled = [c for c in here.sink.closed(here.instrument("BTCUSDT")) if c.source is Source.REST]
        assert len(filled) >= 2


@pytest.mark.parametrize("market", ["spot", "usdm"])
async def test_t29_an_announced_shutdown_moves_without_a_missing_or_repeated_bar(market: str) -> None:
    async with field(market=market) as here:
        here.feed.add([*here.candles("BTCUSDT", "ETHUSDT"), Subscription(Channel.TRADES, here.instrument("BTCUSDT"))])
        await here.more_candles("BTCUSDT", 2)
        await here.sim.fault(Fault(FaultKind.SHUTDOWN, delay_s=1.0))
        await here.sink.until(lambda: here.metrics.reconnections >= 1)
        await here.more_candles("BTCUSDT", 4)
        here.check_candles("BTCUSDT")
        here.check_candles("ETHUSDT")
        here.check_trades("BTCUSDT")
        here.check_order()
        assert here.metrics.gaps_found == 0, "the next connection was live before the old one closed"
        assert sum(here.metrics.connection_errors.values()) == 0


@pytest.mark.parametrize("market", ["spot", "usdm"])
async def test_t29_before_the_venues_cut_after_a_day_every_socket_moves_without_a_hole(market: str) -> None:
    clock = LeapingClock()
    async with field(market=market, clock=clock) as here:
        instrument = here.instrument("BTCUSDT")
        here.feed.add(
            [*here.candles("BTCUSDT"), *(Subscription(c, instrument) for c in Channel if c is not Channel.CANDLES)]
        )
        await here.more_candles("BTCUSDT", 2)
        sockets = here.metrics.active_connections
        clock.ahead_ns = 24 * 3600 * 10**9 - 300 * 10**9
        await here.sink.until(lambda: here.metrics.reconnections >= sockets)
        await here.sink.until(lambda: here.metrics.active_connections == sockets)
        await here.more_candles("BTCUSDT", 4)
        here.check_candles("BTCUSDT")
        here.check_trades("BTCUSDT")
        here.check_order()
        assert (here.metrics.gaps_found, sum(here.metrics.connection_errors.values())) == (0, 0)
        folded = OrderBook(instrument)
        for event in here.sink.events:
            if isinstance(event, BookDelta):
                folded.apply(event)
            elif isinstance(event, BookSnapshot):
                assert (folded.bids(20), folded.asks(20)) == (event.bids, event.asks)


async def test_m10_a_refused_connection_opens_the_breaker_which_neither_spins_nor_leaks() -> None:
    settings = msgspec.structs.replace(
        QUICK, breaker_failures_max=3, breaker_recovery_s=1.0, breaker_recovery_s_max=1.0
    )
    async with field(settings=settings) as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.REFUSE, duration_s=2.5))
        await here.sim.fault(FaultKind.DISCONNECT)
        seen: set[int] = set()

        def look() -> bool:
            seen.add(here.metrics.circuit_state)
            return here.metrics.reconnections >= 1

        await eventually(look)
        assert {0, 1} <= seen
        attempts = here.metrics.connection_errors["refused"]
        assert 3 <= attempts <= 6, "some before it opened, then one a trial"
        await here.more_candles("BTCUSDT", 3)
        here.check_candles("BTCUSDT")
        assert (here.metrics.circuit_state, here.metrics.consecutive_failures) == (0, 0)


async def test_t28_all_connects_share_one_budget() -> None:
    settings = msgspec.structs.replace(QUICK, symbols_per_socket_max=1)
    async with field(settings=settings, symbols=6, connects_max=2, connects_window_s=1.0) as here:
        symbols = list(here.sim.listeners["spot"]._dialect.scene.listings)[:5]
        started_s = asyncio.get_running_loop().time()
        here.feed.add(here.candles(*symbols))
        await here.sink.until(lambda: here.metrics.active_connections == 5)
        assert asyncio.get_running_loop().time() - started_s >= 2.0
        assert here.sim.listeners["spot"].connects == 5


STORM = msgspec.structs.replace(
    QUICK, symbols_per_socket_max=1, breaker_failures_max=1000, overlap_s_max=0.05, inactivity_s=60, stable_s=0.01
)


@asynccontextmanager
async def feeds(*markets: Market, settings: FeedSettings = STORM, sockets: int = 4) -> AsyncIterator[list[MarketFeed]]:
    """Feeds of some markets that share a client, each with so many sockets."""
    async with rest.Client(rest.Settings(timeout_s=2.0), random.Random(1)) as client:
        made = [
            MarketFeed(
                market, settings, Collector(), FeedMetrics(market.venue, market.market), SystemClock(), client, seed=n
            )
            for n, market in enumerate(markets)
        ]
        for feed in made:
            suffix = "USD_PERP" if feed.market.market == "coinm" else "USDT"
            feed.add(
                [
                    Subscription(Channel.TRADES, feed.market.instrument(f"{coin}{suffix}"))
                    for coin in ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOT", "LTC", "TRX", "EOS")[:sockets]
                ]
            )
        running = [asyncio.create_task(feed.run()) for feed in made]
        try:
            yield made
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def test_t28_first_connects_reconnects_and_moves_of_all_markets_keep_one_budget() -> None:
    """Counted at the door, in any window: two markets that share a pool, cut off again and again, and told to move."""
    window_s = 0.3
    limits = {"connects_max": 4, "connects_window_s": window_s, "connect_pool": "address"}
    async with keeping(Doorman()) as door:
        async with feeds(behind(door, "spot", **limits), behind(door, "coinm", **limits)):
            await eventually(lambda: len(door.open) == 8)
            for storm in range(1, 3):
                await door.cut()
                await eventually(lambda storm=storm: len(door.open) == 8 and len(door.came_s) >= 8 * (storm + 1))
            came = len(door.came_s)
            await door.tell('{"e":"serverShutdown","E":1}')
            await eventually(lambda: len(door.came_s) >= came + 8)
        assert door.most_in(window_s) <= 4
        assert len(door.came_s) >= 32


async def test_t28_markets_with_budgets_of_their_own_do_not_wait_for_each_other() -> None:
    limits = {"connects_max": 4, "connects_window_s": 60.0}
    async with keeping(Doorman()) as door, feeds(behind(door, "spot", **limits), behind(door, "coinm", **limits)):
        await eventually(lambda: len(door.open) == 8)


async def test_t28_who_was_cut_off_together_does_not_come_back_together() -> None:
    settings = msgspec.structs.replace(STORM, reconnect_delay_s=0.5, reconnect_delay_s_max=0.5)
    async with keeping(Doorman()) as door, feeds(behind(door), settings=settings, sockets=10):
        await eventually(lambda: len(door.open) == 10)
        door.came_s.clear()
        await door.cut()
        await eventually(lambda: len(door.open) == 10)
        assert door.came_s[-1] - door.came_s[0] > 0.15, "ten draws from half a second, by a seed"
        assert door.most_in(0.05) <= 5


async def test_t28_no_more_sockets_are_open_at_once_than_the_venue_allows() -> None:
    limits = {"connections_max": 3, "connect_pool": "address"}
    async with keeping(Doorman()) as door:
        spot, coinm = behind(door, "spot", **limits), behind(door, "coinm", **limits)
        async with feeds(spot, coinm, sockets=2) as (one, two):
            await eventually(lambda: len(door.open) == 3)
            came = len(door.came_s)
            await door.cut()
            await eventually(lambda: len(door.came_s) >= came + 3 and len(door.open) == 3)
            one.remove(tuple(one._wanted))
            await eventually(lambda: two.metrics.active_connections == 2)
            await eventually(lambda: one.metrics.active_connections == 0)
        assert door.open_max == 3


async def test_t28_okx_never_turns_us_away_though_all_its_markets_come_at_once() -> None:
    """The simulator lets an address in three times a second, whatever the market, and its reading is its own."""
    async with SimulatedVenue("okx", seed=3, speed=60, symbols=3) as sim:
        markets = [
            msgspec.structs.replace(
                okx.VENUE.markets[MarketId(name)],
                socket_url=sim.endpoints[name]["socket_url"],
                rest_url=sim.endpoints[name]["rest_url"],
            )
            for name in ("spot", "swap")
        ]
        async with feeds(*markets, sockets=0) as made:
            for feed, suffix in zip(made, ("-USDT", "-USDT-SWAP"), strict=True):
                symbols = [s for s in sim.world.markets[feed.market.market].listings if s.endswith(suffix)][:3]
                feed.add([Subscription(Channel.TRADES, feed.market.instrument(symbol)) for symbol in symbols])

            def all_there() -> bool:
                return [feed.metrics.active_connections for feed in made] == [3, 3]

            await eventually(all_there)
            await sim.fault(FaultKind.DISCONNECT)
            await eventually(lambda: sum(feed.metrics.reconnections for feed in made) == 6 and all_there())
            assert [feed.metrics.connection_errors["limited"] for feed in made] == [0, 0]


@pytest.mark.parametrize(
    ("status", "text", "refusal"),
    [
        (429, "slow down", TOO_MANY_REQUESTS),
        (403, "Access too frequent", Refusal(status=403, words="access too frequent", wait_s=0.2)),
    ],
)
async def test_m13_a_limit_met_by_a_connect_is_waited_out_by_all_and_opens_no_breaker(
    status: int, text: str, refusal: Refusal
) -> None:
    settings = msgspec.structs.replace(STORM, breaker_failures_max=1, breaker_recovery_s=60, breaker_recovery_s_max=60)
    async with keeping(Doorman()) as door:
        door.refusals = [web.Response(status=status, text=text) for _ in range(3)]
        market = behind(door, refusals=(refusal,), connects_window_s=0.2, connects_max=1)
        async with feeds(market, settings=settings, sockets=2) as (feed,):
            await eventually(lambda: len(door.open) == 2)
            metrics = feed.metrics
            assert (metrics.connection_errors, metrics.circuit_state) == ({"limited": 3}, 0)
            await eventually(lambda: metrics.limited == 3)
        pauses_s = [later_s - earlier_s for earlier_s, later_s in pairwise(door.came_s)]
        assert len(door.came_s) == 5
        assert min(pauses_s) >= 0.19


async def test_a_no_that_is_no_limit_still_opens_the_breaker() -> None:
    settings = msgspec.structs.replace(STORM, breaker_failures_max=1, breaker_recovery_s=60, breaker_recovery_s_max=60)
    async with keeping(Doorman()) as door:
        door.refusals = [web.Response(status=403, text="your country")]
        async with feeds(behind(door), settings=settings, sockets=1) as (feed,):
            await eventually(lambda: feed.metrics.circuit_state == 1)
            assert feed.metrics.connection_errors == {"http_status": 1}


async def test_every_upgrade_carries_the_markets_headers() -> None:
    async with keeping(Doorman()) as door:
        market = msgspec.structs.replace(behind(door), headers={"X-Size": "1"})
        async with feeds(market, sockets=2):
            await eventually(lambda: len(door.open) == 2)
        assert [headers["X-Size"] for headers in door.headers] == ["1", "1"]


async def test_a_half_open_connection_is_given_up_after_the_venues_own_bound() -> None:
    async with field(silence_s_max=1.0) as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.HALF_OPEN, duration_s=2.5))
        await here.sink.until(lambda: here.metrics.reconnections >= 1)
        await here.more_candles("BTCUSDT", 5)
        here.check_candles("BTCUSDT")
        here.check_order()
        assert here.sink.gaps() == []
