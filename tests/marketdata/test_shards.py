import asyncio

import msgspec
import pytest

from heliograph.model.book import BookDelta, BookSnapshot, OrderBook
from heliograph.model.market import Channel, Source
from heliograph.sim import Fault, FaultKind
from heliograph.venues.contract import Subscription
from tests.marketdata.field import QUICK, LeapingClock, eventually, field


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
