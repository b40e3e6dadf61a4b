"""The demo's verdict: it must be able to fail."""

import pytest

from heliograph.bus import keys
from heliograph.bus.connection import connect
from heliograph.cli.stage import Stage, open_stage
from heliograph.model.interval import Interval


async def test_a_candle_that_vanishes_from_its_stream_is_counted_as_lost() -> None:
    async with open_stage(speed=600.0, seed=3, venues=["binance"]) as stage:
        await _closed(stage, 30)
        instrument = stage.instruments[0]
        key = keys.candles(instrument, Interval.M1)
        async with connect(stage.valkey_url) as server:
            closed = [i for i, fields in await server.xrange(key) if b'"closed":true' in fields[b"data"]]
            await server.xdel(key, closed[-2])
        summary = await stage.finish()
    assert summary["lost"] == 1
    assert summary["doubled"] == summary["wrong"] == 0


async def _closed(stage: Stage, count: int) -> None:
    async for quote in stage.quotes():
        count -= quote["is_closed_candle"] and quote["contract_type"] == "spot" and quote["symbol"] == "BTCUSDT"
        if count == 0:
            return
    pytest.fail("the quotes ended")
