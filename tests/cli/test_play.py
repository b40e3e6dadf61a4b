"""What the demo holds the streams of a venue against."""

import msgspec

from heliograph.bus import keys
from heliograph.bus.connection import connect
from heliograph.cli.play import spans_of_candles, spans_of_trades, without_gaps
from heliograph.cli.stage import open_stage
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel, Gap, Trade
from heliograph.model.wire import Encoder, decode_trade

GAP = Gap(Instrument(VenueId("okx"), SPOT, "A-B"), Channel.TRADES, None, None, None, 5, 8, "away", 0)


async def test_a_trade_that_vanishes_is_lost_where_it_is_numbered_and_missed_where_it_is_not() -> None:
    """OKX numbers single trades, Bybit none. What a gap says to be missing is neither."""
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
                if play.venue.name == "okx":
                    instrument = play.instruments[0]
                    number = decode_trade(told[-5][1][b"data"], instrument, 0).sequence
                    assert number is not None
                    await server.xdel(key, told[-5][0], told[-6][0])
                    gap = msgspec.structs.replace(
                        GAP, instrument=instrument, from_sequence=number - 1, to_sequence=number + 1
                    )
                    await server.xadd(keys.of_kind(instrument, Gap), {"data": Encoder().encode(gap)})
        summary = await stage.finish()
    okx, bybit = (summary["venues"][name] for name in ("okx", "bybit"))
    assert (okx["lost"], okx["unnumbered_missed"]) == (1, 0)
    assert (bybit["lost"], bybit["unnumbered_missed"]) == (0, 1)
    assert okx["doubled"] == bybit["doubled"] == okx["wrong"] == bybit["wrong"] == 0
    assert summary["lost"] == summary["unnumbered_missed"] == 1
    assert (okx["unfillable"], bybit["unfillable"], summary["unfillable"]) == (2, 0, 2)


def test_only_what_a_gap_names_and_nobody_told_is_excused() -> None:
    truth = list(range(10))
    assert without_gaps(truth, {0, 6}, [range(5, 8), range(9, 9)], lambda each: each) == [0, 1, 2, 3, 4, 6, 8, 9]
    assert without_gaps(truth, set(), [], lambda each: each) == truth


def test_a_gap_is_of_its_channel_and_interval_and_of_what_it_names() -> None:
    replace = msgspec.structs.replace
    bars = replace(
        GAP, channel=Channel.CANDLES, interval=Interval.M1, from_ns=60, to_ns=180, from_sequence=None, to_sequence=None
    )
    nameless = [replace(GAP, to_sequence=None), replace(bars, to_ns=None), replace(bars, channel=Channel.TRADES)]
    gaps = [GAP, bars, *nameless, replace(GAP, channel=Channel.BOOK), replace(bars, interval=Interval.M5)]
    assert spans_of_trades(gaps) == [range(5, 8)]
    assert spans_of_candles(gaps, Interval.M1) == [range(60, 180)]
