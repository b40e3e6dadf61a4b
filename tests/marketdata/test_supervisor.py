import msgspec

from tests.marketdata.field import QUICK, field


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
