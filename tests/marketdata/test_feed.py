import asyncio
import random
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest
from aiohttp import web

from heliograph.app import beside
from heliograph.clock import SystemClock
from heliograph.connect import rest
from heliograph.errors import BusError, ConfigError
from heliograph.marketdata.feed import MarketFeed
from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Ticker
from heliograph.sim import Fault, FaultKind
from heliograph.venues.contract import Subscription
from tests.marketdata.doorman import Doorman, behind, keeping
from tests.marketdata.field import QUICK, Collector, Field, eventually, field

MARKETS = [("spot", "BTCUSDT"), ("usdm", "BTCUSDT"), ("coinm", "BTCUSD_PERP")]


@pytest.mark.parametrize(("market", "symbol"), MARKETS)
async def test_m2_every_channel_of_a_market_arrives_and_shows(market: str, symbol: str) -> None:
    async with field(market=market) as here:
        instrument = here.instrument(symbol)
        here.feed.add(
            [*here.candles(symbol), *(Subscription(c, instrument) for c in Channel if c is not Channel.CANDLES)]
        )
        await here.more_candles(symbol, 3)
        await here.sink.until(lambda: {Ticker, BookDelta, BookSnapshot} <= {type(e) for e in here.sink.events})
        here.check_candles(symbol)
        here.check_trades(symbol)
        here.check_order()
        health = here.feed.health()
        assert (health.healthy, health.stale, health.total_errors) == (True, (), 0)
        assert health.total_quotes == sum(isinstance(e, Candle) for e in here.sink.events)
        assert here.metrics.events["trades"] == len(here.sink.trades(instrument))
        assert here.metrics.gaps_found == 0


async def test_m16_m17_times_and_volumes_keep_their_own_fields() -> None:
    async with field(market="coinm") as here:
        here.feed.add(here.candles("BTCUSD_PERP"))
        await here.more_candles("BTCUSD_PERP", 2)
        for candle in here.sink.closed(here.instrument("BTCUSD_PERP")):
            assert candle.close_ns - candle.open_ns == 60 * 10**9
            assert candle.event_ns is None or candle.event_ns >= candle.close_ns
            assert candle.contracts is not None
            assert candle.base_volume is not None
            assert candle.quote_volume is None


async def test_t2_a_stream_that_is_acknowledged_and_silent_shows_within_the_bound() -> None:
    async with field() as here:
        await here.sim.fault(Fault(FaultKind.SILENCE, match="ethusdt@kline", duration_s=60))
        await here.sim.fault(Fault(FaultKind.HTTP, match="klines", status=400, count=1000))
        here.feed.add(here.candles("BTCUSDT", "ETHUSDT"))
        await here.more_candles("BTCUSDT", 1)
        await here.sink.until(lambda: here.metrics.streams_stale == 1)
        health = here.feed.health()
        assert health.stale == tuple(here.candles("ETHUSDT"))
        assert not health.healthy


async def test_what_the_market_does_not_stream_is_refused_with_all_that_came_with_it() -> None:
    async with field() as here:
        past = msgspec.structs.replace(here.market, past_only=(Interval.M5,))
        feed = MarketFeed(past, QUICK, here.sink, here.metrics, SystemClock(), here.feed._client)
        wanted = [*here.candles("BTCUSDT"), Subscription(Channel.CANDLES, here.instrument("BTCUSDT"), Interval.M5)]
        with pytest.raises(
            ConfigError, match="streams no candles of interval 5m, though it has past ones; accepted: 1s"
        ):
            feed.add(wanted)
        assert not feed._wanted


class Clerk(Doorman):
    """Has a list of instruments as well, with nothing on it, and gives it out when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.generous = asyncio.Event()

    async def __call__(self, asked: web.BaseRequest) -> web.StreamResponse:
        if "exchangeInfo" not in asked.path:
            return await super().__call__(asked)
        self.asked += 1
        await self.generous.wait()
        return web.Response(text='{"symbols":[]}')


async def test_however_often_connections_are_lost_each_doubt_is_kept_once_until_the_list_is_there() -> None:
    settings = msgspec.structs.replace(
        QUICK, symbols_per_socket_max=1, breaker_failures_max=1000, inactivity_s=60, stable_s=60
    )
    refused: list[Subscription] = []
    clerk, metrics = Clerk(), FeedMetrics("binance", "spot")
    async with keeping(clerk), rest.Client(rest.Settings(timeout_s=20.0), random.Random(1)) as client:
        market = msgspec.structs.replace(behind(clerk), rest_url=clerk.url.replace("ws:", "http:"))
        feed = MarketFeed(
            market, settings, Collector(), metrics, SystemClock(), client, seed=1,
            refused=lambda subscriptions, _error: refused.extend(subscriptions),
        )  # fmt: skip
        wanted = {Subscription(Channel.TRADES, market.instrument(f"{coin}USDT")) for coin in ("BTC", "ETH", "SOL")}
        feed.add(tuple(wanted))
        async with beside(feed.run()):
            for losses in range(8):
                await eventually(lambda losses=losses: metrics.reconnections >= 3 * losses and len(clerk.open) == 3)
                await clerk.cut()
            await eventually(lambda: metrics.reconnections >= 24 and len(clerk.open) == 3)
            assert clerk.asked == 1
            assert set(feed._doubted) == wanted
            clerk.generous.set()
            await eventually(lambda: not clerk.open)
    assert sorted(s.instrument.id for s in refused) == sorted(s.instrument.id for s in wanted)
    assert clerk.asked <= 2


async def test_a_stop_delivers_what_waits_and_does_not_wait_for_ever() -> None:
    async with field() as here:
        here.feed.add([*here.candles("BTCUSDT"), Subscription(Channel.TRADES, here.instrument("BTCUSDT"))])
        await here.more_candles("BTCUSDT", 1)
        here.sink.open = False
        await eventually(lambda: here.metrics.queue_depth_closed >= 5)
        asyncio.get_running_loop().call_later(0.3, here.sink.resume)
    here.check_trades("BTCUSDT")
    assert here.feed._intake.lanes.waiting == 0
    async with field() as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        here.sink.open = False
        stopping_s = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - stopping_s < 5


class Remembered:
    """A store that holds what a test says."""

    def __init__(self, last_closed_ns: int | None, last_trade: int | None) -> None:
        self.last_closed_ns = last_closed_ns
        self.last_trade_sequence = last_trade

    async def open(self, subscriptions: Sequence[Subscription]) -> None:
        """Nothing to get ready."""

    async def last_closed(self, instrument: object, interval: Interval) -> int | None:
        return self.last_closed_ns

    async def last_trade(self, instrument: object) -> int | None:
        return self.last_trade_sequence


async def test_a_restart_fills_what_was_missed_while_down() -> None:
    resume = Remembered(None, None)
    async with field(resume=resume) as here:
        now_ns = here.sim.clock.now_ns()
        bars = here.sim.ledger.candles("spot", "BTCUSDT", Interval.M1, now_ns - 30 * 60 * 10**9)
        trades = here.sim.ledger.trades("spot", "BTCUSDT", now_ns - 5 * 60 * 10**9)
        resume.last_closed_ns = bars[0].open_ns
        resume.last_trade_sequence = trades[0].id
        here.feed.add([*here.candles("BTCUSDT"), Subscription(Channel.TRADES, here.instrument("BTCUSDT"))])
        await here.more_candles("BTCUSDT", len(bars) + 2)
        await here.sink.until(lambda: len(here.sink.trades(here.instrument("BTCUSDT"))) > len(trades) + 5)
        assert here.sink.closed(here.instrument("BTCUSDT"))[0].open_ns == bars[1].open_ns
        assert here.sink.trades(here.instrument("BTCUSDT"))[0].sequence == trades[0].id + 1
        here.check_candles("BTCUSDT")
        here.check_trades("BTCUSDT")
        assert here.metrics.gaps_filled >= 2


async def test_what_is_removed_and_added_again_is_not_told_again_though_the_store_is_behind() -> None:
    resume = Remembered(None, None)
    async with field(resume=resume) as here:
        bars = here.sim.ledger.candles("spot", "BTCUSDT", Interval.M1, here.sim.clock.now_ns() - 5 * 60 * 10**9)
        resume.last_closed_ns = bars[0].open_ns
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", len(bars) + 2)
        here.feed.remove(here.candles("BTCUSDT"))
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 3)
        here.check_candles("BTCUSDT")


class Occupied(Remembered):
    """A store in which one key holds something else than a stream."""

    async def open(self, subscriptions: Sequence[Subscription]) -> None:
        if any(s.instrument.venue_symbol == "ETHUSDT" for s in subscriptions):
            raise BusError("the key holds something else", "WRONGTYPE")


async def test_what_cannot_be_stored_holds_back_nothing_else() -> None:
    async with field(resume=Occupied(None, None)) as here:
        here.feed.add(here.candles("ETHUSDT", "BTCUSDT"))
        await here.more_candles("BTCUSDT", 3)
        assert here.sink.closed(here.instrument("ETHUSDT")) == []


async def _storm(here: Field, bars: int) -> None:
    await here.more_candles("BTCUSDT", bars)
    for listener in here.sim.listeners.values():
        listener.faults._counted.clear()
        listener.faults._lasting.clear()
    if here.sim._trouble is not None:
        here.sim._trouble.cancel()
    await here.more_candles("BTCUSDT", 3)


async def test_in_a_storm_of_every_fault_the_record_stays_whole() -> None:
    async with field(faults_per_minute=240, seed=11, silence_s_max=1.0) as here:
        here.feed.add([*here.candles("BTCUSDT", "ETHUSDT"), Subscription(Channel.TRADES, here.instrument("BTCUSDT"))])
        await _storm(here, 20)
        here.check_order()
        assert here.metrics.gaps_unfilled == len(here.sink.gaps())
        for symbol in ("BTCUSDT", "ETHUSDT"):
            assert here.check_story(symbol)[0] >= 10
        if not here.sink.gaps():
            here.check_candles("BTCUSDT")
            here.check_trades("BTCUSDT")
        assert here.metrics.duplicates > 0
        assert Decimal(0) not in {e.close for e in here.sink.events if isinstance(e, Candle)}
