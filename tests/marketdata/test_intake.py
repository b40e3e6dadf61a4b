import asyncio

import msgspec
import pytest

from heliograph.model.book import BookDelta, BookSnapshot, OrderBook
from heliograph.model.market import Channel
from heliograph.sim import Fault, FaultKind
from heliograph.venues.contract import Subscription
from tests.marketdata.field import QUICK, eventually, field


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
