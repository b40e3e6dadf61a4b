import msgspec
import pytest

from heliograph.model.market import Channel, Source
from heliograph.sim import Fault, FaultKind
from heliograph.venues.contract import Subscription
from tests.marketdata.field import QUICK, eventually, field


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


async def test_m7_an_outage_of_rest_longer_than_its_attempts_is_no_gap() -> None:
    """Nobody could be asked, so what follows waits, within a bound, and then all is told in order."""
    settings = msgspec.structs.replace(QUICK, backfill_attempts_max=1)
    async with field(settings=settings) as here:
        here.feed.add(here.candles("BTCUSDT"))
        await here.more_candles("BTCUSDT", 1)
        await here.sim.fault(Fault(FaultKind.HTTP, match="klines", status=503, count=8))
        await here.sim.fault(Fault(FaultKind.DROP, match="kline", count=40))
        await here.sink.until(lambda: here.metrics.gaps_filled >= 1)
        assert here.metrics.backfills_failed >= 2
        await here.more_candles("BTCUSDT", 1)
        here.check_candles("BTCUSDT")
        here.check_order()
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


async def test_m11_what_the_venue_refuses_is_told_to_its_owner_and_the_rest_goes_on_without_it() -> None:
    async with field() as here:
        (refused,) = here.candles("NOPEUSDT")
        here.feed.add([refused, *here.candles("BTCUSDT")])
        await eventually(lambda: bool(here.refusals))
        subscriptions, error = here.refusals[0]
        assert tuple(subscriptions) == (refused,)
        assert error.reason == "Invalid symbol."
        assert here.metrics.venue_errors >= 1
        here.feed.remove([refused])
        await here.more_candles("BTCUSDT", 2)
        here.check_candles("BTCUSDT")
