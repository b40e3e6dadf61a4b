"""The demo's verdict: it must be able to fail."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.bus import keys
from heliograph.bus.connection import connect
from heliograph.cli.stage import FIRST_END_S, Stage, epoch_before, open_stage
from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.interval import Interval


@pytest.mark.parametrize(
    ("venue", "symbol", "interval", "count"),
    [("binance", "BTCUSDT", Interval.M1, 30), ("coinbase", "BTC-USD", Interval.M5, 6)],
)
async def test_a_candle_that_vanishes_from_its_stream_is_counted_as_lost(
    venue: str, symbol: str, interval: Interval, count: int
) -> None:
    async with open_stage(speed=600.0, seed=3, venues=[venue]) as stage:
        await _closed(stage, symbol, count)
        instrument = next(i for i in stage.instruments if i.venue_symbol == symbol)
        key = keys.candles(instrument, interval)
        async with connect(stage.valkey_url) as server:
            closed = [i for i, fields in await server.xrange(key) if b'"closed":true' in fields[b"data"]]
            await server.xdel(key, closed[-2])
        summary = await stage.finish()
    assert summary["lost"] == 1
    assert summary["doubled"] == summary["wrong"] == 0


@given(st.integers(10**18, 4 * 10**18), st.floats(2, 600))
def test_the_longest_candles_end_soon_after_the_world_begins(now_ns: int, speed: float) -> None:
    length_ns = 300 * NS_PER_S
    epoch_ns = epoch_before(length_ns, speed, now_ns)
    assert epoch_ns <= now_ns
    world_ns = epoch_ns + (now_ns + int(FIRST_END_S * NS_PER_S) - epoch_ns) * Fraction(speed)
    off_ns = (world_ns + length_ns // 2) % length_ns - length_ns // 2
    assert abs(off_ns) < NS_PER_MS


def test_in_a_slow_world_it_is_now() -> None:
    assert epoch_before(300 * NS_PER_S, 1.5, 10**18) == 10**18


async def _closed(stage: Stage, symbol: str, count: int) -> None:
    async for quote in stage.quotes():
        count -= quote["is_closed_candle"] and quote["contract_type"] == "spot" and quote["symbol"] == symbol
        if count == 0:
            return
    pytest.fail("the quotes ended")
