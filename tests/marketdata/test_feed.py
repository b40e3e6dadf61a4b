import asyncio
from decimal import Decimal

import msgspec
import pytest

from heliograph.model.book import BookDelta, BookSnapshot, OrderBook
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Source, Ticker
from heliograph.sim import Fault, FaultKind
from heliograph.venues.contract import Subscription
from tests.marketdata.field import QUICK, Field, LeapingClock, eventually, field

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


async def test_m1_t11_repeats_are_dropped_and_counted_in_the_path_that_runs() -> None:
    async with field() as here:
        here.feed.add([*here.candles("BTCUSDT"), Subscription(Channel.TRADES, here.instrument("BTCUSDT"))])
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.DUPLICATE, count=60))
        await here.sink.until(lambda: here.metrics.duplicates >= 50)
        await here.more_candles("BTCUSDT", 2)
        here.check_candles("BTCUSDT")
        here.check_trades("BTCUSDT")
        here.check_order()


async def test_without_dedupe_the_same_repeats_come_through() -> None:
    async with field(settings=msgspec.structs.replace(QUICK, dedupe=False)) as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.DUPLICATE, count=60))
        await here.more_candles("BTCUSDT", 3)
        with pytest.raises(AssertionError, match="each once"):
            here.check_candles("BTCUSDT")


async def test_without_backfill_the_same_outage_leaves_a_hole() -> None:
    async with field(settings=msgspec.structs.replace(QUICK, backfill=False)) as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 2)
        await here.sim.fault(Fault(FaultKind.REFUSE, duration_s=1.0))
        await here.sim.fault(FaultKind.DISCONNECT)
        await here.more_candles("BTCUSDT", 2)
        with pytest.raises(AssertionError, match="each once"):
            here.check_candles("BTCUSDT")


async def test_frames_out_of_order_do_not_reverse_anything() -> None:
    async with field() as here:
        here.feed.add([*here.candles("BTCUSDT"), Subscription(Channel.TRADES, here.instrument("BTCUSDT"))])
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.REORDER, count=80))
        await here.more_candles("BTCUSDT", 4)
        here.check_candles("BTCUSDT")
        here.check_trades("BTCUSDT")
        here.check_order()
        assert here.sink.gaps() == []


@pytest.mark.parametrize(("stream", "channel"), [("kline", Channel.CANDLES), ("aggTrade", Channel.TRADES)])
async def test_dropped_frames_are_fetched_instead(stream: str, channel: Channel) -> None:
    async with field() as here:
        here.feed.add([*here.candles("BTCUSDT"), Subscription(Channel.TRADES, here.instrument("BTCUSDT"))])
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.DROP, match=stream, count=60))
        await here.sink.until(lambda: here.metrics.gaps_filled >= 1)
        await here.more_candles("BTCUSDT", 2)
        here.check_candles("BTCUSDT")
        here.check_trades("BTCUSDT")
        here.check_order()
        assert here.sink.gaps() == []
        assert any(
            e.source is Source.REST
            for e in (*here.sink.trades(here.instrument("BTCUSDT")), *here.sink.closed(here.instrument("BTCUSDT")))
        )


async def test_a_dropped_delta_makes_the_book_anew_and_the_deltas_still_fold_into_it() -> None:
    async with field() as here:
        book = Subscription(Channel.BOOK, here.instrument("BTCUSDT"))
        here.feed.add([book])
        await here.sink.until(lambda: here.metrics.events["book_deltas"] > 10)
        await here.sim.fault(Fault(FaultKind.DROP, match="depth", count=2))
        await here.sink.until(lambda: here.metrics.book_resyncs >= 1)
        seen = here.metrics.events["book"]
        await here.sink.until(lambda: here.metrics.events["book"] > seen + 2)
        folded = OrderBook(here.instrument("BTCUSDT"))
        checked = 0
        for event in here.sink.events:
            if isinstance(event, BookDelta):
                folded.apply(event)
            elif isinstance(event, BookSnapshot):
                assert (folded.bids(20), folded.asks(20)) == (event.bids, event.asks)
                assert event.bids[0][0] < event.asks[0][0]
                checked += 1
        assert checked > 5


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


@pytest.mark.parametrize("status", [429, 418, 503])
async def test_m3_m4_a_backfill_outlasts_refusals_of_rest(status: int) -> None:
    async with field() as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.HTTP, match="klines", status=status, count=2))
        await here.sim.fault(Fault(FaultKind.DROP, match="kline", count=40))
        await here.sink.until(lambda: here.metrics.gaps_filled >= 1)
        await here.more_candles("BTCUSDT", 1)
        here.check_candles("BTCUSDT")
        assert here.sink.gaps() == []


async def test_slow_and_broken_answers_of_rest_delay_a_backfill_and_no_more() -> None:
    async with field() as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.SLOW, match="klines", delay_s=1.0))
        await here.sim.fault(Fault(FaultKind.WRONG_JSON, match="klines"))
        await here.sim.fault(Fault(FaultKind.DROP, match="kline", count=40))
        await here.sink.until(lambda: here.metrics.gaps_filled >= 1)
        await here.more_candles("BTCUSDT", 1)
        here.check_candles("BTCUSDT")
        assert here.sink.gaps() == []


async def test_rest_that_fails_for_good_makes_an_explicit_gap_and_life_goes_on() -> None:
    settings = msgspec.structs.replace(QUICK, backfill_attempts_max=2)
    async with field(settings=settings) as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.HTTP, match="klines", status=400, count=1000))
        await here.sim.fault(Fault(FaultKind.DROP, match="kline", count=40))
        await here.sink.until(lambda: bool(here.sink.gaps()))
        await here.more_candles("BTCUSDT", 2)
        candles, gaps = here.check_story("BTCUSDT")
        assert candles >= 3
        assert here.metrics.gaps_unfilled == gaps >= 1
        assert here.metrics.backfills_failed >= 2
        assert "refused" in here.sink.gaps()[0].reason
        here.check_order()


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


async def test_m11_what_the_venue_refuses_is_told_to_its_owner_and_the_rest_goes_on_without_it() -> None:
    async with field() as here:
        refused = Subscription(Channel.CANDLES, here.instrument("BTCUSDT"), Interval.S10)
        here.feed.add([refused, *here.candles("BTCUSDT")])
        await eventually(lambda: bool(here.refusals))
        subscriptions, error = here.refusals[0]
        assert tuple(subscriptions) == (refused,)
        assert error.reason == "Invalid interval."
        assert here.metrics.venue_errors >= 1
        here.feed.remove([refused])
        await here.more_candles("BTCUSDT", 2)
        here.check_candles("BTCUSDT")


async def test_t28_all_connects_share_one_budget() -> None:
    settings = msgspec.structs.replace(QUICK, symbols_per_socket_max=1)
    async with field(settings=settings, symbols=6, connects_max=2, connects_window_s=1.0) as here:
        symbols = list(here.sim.listeners["spot"]._dialect.scene.listings)[:5]
        started_s = asyncio.get_running_loop().time()
        here.feed.add(here.candles(*symbols))
        await here.sink.until(lambda: here.metrics.active_connections == 5)
        assert asyncio.get_running_loop().time() - started_s >= 2.0
        assert here.sim.listeners["spot"].connects == 5


async def test_t30_symbols_are_spread_and_added_and_removed_while_it_runs() -> None:
    settings = msgspec.structs.replace(QUICK, symbols_per_socket_max=2)
    async with field(settings=settings, symbols=5) as here:
        symbols = list(here.sim.listeners["spot"]._dialect.scene.listings)[:5]
        here.feed.add(here.candles(*symbols[:2]))
        await here.more_candles(symbols[1], 1)
        assert here.metrics.active_connections == 1
        here.feed.add(here.candles(symbols[2]))
        await here.more_candles(symbols[2], 1)
        assert here.metrics.active_connections == 2, "n + 1 takes another socket"
        here.feed.add(here.candles(symbols[3]))
        await here.more_candles(symbols[3], 1)
        assert here.metrics.active_connections == 2, "which has room for one more"
        here.feed.add(here.candles(*symbols[:4]))
        here.feed.remove(here.candles(symbols[0], symbols[1]))
        told = len(here.sink.closed(here.instrument(symbols[0])))
        await here.more_candles(symbols[3], 2)
        assert here.metrics.active_connections == 1
        assert len(here.sink.closed(here.instrument(symbols[0]))) == told
        for symbol in symbols[:4]:
            here.check_candles(symbol)
        assert here.sim.listeners["spot"].connects == 2


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


async def test_adding_and_removing_in_quick_turn_ends_where_it_was_left() -> None:
    async with field() as here:
        for _ in range(5):
            here.feed.add(here.candles("BTCUSDT", "ETHUSDT"))
            here.feed.remove(here.candles("ETHUSDT"))
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 2)
        here.check_candles("BTCUSDT")
        assert here.sink.closed(here.instrument("ETHUSDT")) == []
        assert here.metrics.duplicates == 0
        assert (here.metrics.active_connections, here.sim.listeners["spot"].connects) == (1, 1)


async def test_m9_a_slow_consumer_costs_bounded_memory_and_loses_nothing_that_must_arrive() -> None:
    settings = msgspec.structs.replace(QUICK, keep_max=200)
    async with field(settings=settings) as here:
        here.feed.add([*here.candles("BTCUSDT"), Subscription(Channel.TRADES, here.instrument("BTCUSDT"))])
        await here.more_candles("BTCUSDT", 2)
        here.sink.open = False
        await eventually(lambda: here.metrics.queue_blocked == 1)
        await asyncio.sleep(0.5)  # the time in which an unbounded queue would show itself
        assert here.metrics.queue_depth_closed < 2000
        assert here.metrics.queue_depth_open <= 1
        here.sink.resume()
        await here.more_candles("BTCUSDT", 5)
        here.check_candles("BTCUSDT")
        here.check_trades("BTCUSDT")
        here.check_order()


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

    async def open(self, subscriptions: object) -> None:
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


async def _storm(here: Field, bars: int) -> None:
    await here.more_candles("BTCUSDT", bars)
    for listener in here.sim.listeners.values():
        listener.faults._counted.clear()
        listener.faults._lasting.clear()
    if here.sim._trouble is not None:
        here.sim._trouble.cancel()
    await here.more_candles("BTCUSDT", 3)


async def test_in_a_storm_of_every_fault_the_record_stays_whole() -> None:
    async with field(speed=120, faults_per_minute=120, seed=11, silence_s_max=2.0) as here:
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
