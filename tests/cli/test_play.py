"""What the demo holds the streams of a venue against."""

from heliograph.bus import keys
from heliograph.bus.connection import connect
from heliograph.cli.stage import open_stage
from heliograph.model.market import Trade


async def test_a_trade_that_vanishes_is_lost_where_it_is_numbered_and_missed_where_it_is_not() -> None:
    """OKX numbers single trades, Bybit none."""
    async with open_stage(speed=20.0, seed=3, venues=["okx", "bybit"]) as stage:
        wanted = {play.instruments[0].id: 3 for play in stage.plays}
        async for quote in stage.quotes():
            name = f"{quote['exchange']}:{quote['market']}:{quote['symbol']}"
            if quote["is_closed_candle"] and name in wanted:
                wanted[name] -= 1
            if all(left <= 0 for left in wanted.values()):
                break
        async with connect(stage.valkey_url) as server:
            for play in stage.plays:
                key = keys.of_kind(play.instruments[0], Trade)
                told = await server.xrange(key)
                await server.xdel(key, told[-2][0])
        summary = await stage.finish()
    okx, bybit = (summary["venues"][name] for name in ("okx", "bybit"))
    assert (okx["lost"], okx["unnumbered_missed"]) == (1, 0)
    assert (bybit["lost"], bybit["unnumbered_missed"]) == (0, 1)
    assert okx["doubled"] == bybit["doubled"] == okx["wrong"] == bybit["wrong"] == 0
    assert summary["lost"] == summary["unnumbered_missed"] == 1
