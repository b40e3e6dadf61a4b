"""Feeds of ours at the simulated Gate.io, on real sockets and while things go wrong; the ledger judges.

What is done to every venue alike is in `tests/faults/test_matrix.py`.
"""

from collections.abc import Sequence

from heliograph.model.market import Candle, Channel, Side, Source
from heliograph.sim import Fault, FaultKind
from heliograph.venues.scene import Bar, Listing
from tests.venues.playing import EVERY, Place, all_more, all_suffer, playing

MARKETS = [("spot", "BTC_USDT"), ("usdm", "ETH_USDT"), ("coinm", "BTC_USD")]
CUT = Fault(FaultKind.DISCONNECT)


def check(places: Sequence[Place], *, whole: bool) -> None:
    for place in places:
        market = place.market.market

        def volume(candle: Candle, bar: Bar, listing: Listing, market: str = market) -> None:
            base, quote, contracts = listing.volumes(bar)
            assert (candle.quote_volume, candle.contracts) == (quote, contracts)
            # What `sum` counts where bitcoin settles is not certain, so that the codec leaves it out.
            unsaid = market == "coinm" and candle.source is Source.REST
            assert candle.base_volume == (None if unsaid else base)

        place.check_candles(volume)
        # Trades of spot are numbered, so that what a cut has lost of them is asked for.
        place.check_trades(
            lambda trade: int(trade.trade_id or 0), lambda item: item.id, whole=whole or market == "spot"
        )
        place.check_book(100)
        sides = {trade.side for trade in place.sink.trades(place.instrument)}
        assert sides == {Side.BUY, Side.SELL}


async def test_every_channel_of_every_market_arrives() -> None:
    async with playing("gateio", *MARKETS, symbols=2, speed=120) as places:
        for place in places:
            place.add(*EVERY)
        await all_more(places, 12)  # So many that at least one came without its mark, and ten minutes ended.
        for place in places:
            await place.arrived()
    check(places, whole=True)
    for place in places:
        assert {candle.source for candle in place.closed()} == {Source.STREAM, Source.REST}
        assert not place.gaps(Channel.BOOK)


async def test_what_is_lost_with_a_connection_is_asked_for_or_a_gap() -> None:
    async with playing("gateio", *MARKETS, symbols=2, speed=120) as places:
        for place in places:
            place.add(*EVERY)
        await all_more(places, 2)
        await all_suffer(places, CUT, Fault(FaultKind.DROP, match="trades", count=30))
        await all_more(places, 4)
        await all_suffer(places, Fault(FaultKind.REFUSE, duration_s=0.5), CUT)
        await all_suffer(places, Fault(FaultKind.HTTP, count=3, status=500), Fault(FaultKind.HTTP, count=2, status=429))
        await all_more(places, 6)
    check(places, whole=False)
    gaps = {place.market.market: len(place.gaps(Channel.TRADES)) for place in places}
    assert gaps == {"spot": 0, "usdm": 2, "coinm": 2}


async def test_losses_and_delays_of_frames_and_answers_cost_nothing_but_what_was_in_them() -> None:
    async with playing("gateio", *MARKETS, symbols=2, speed=120) as places:
        for place in places:
            place.add(*EVERY)
        await all_more(places, 2)
        await all_suffer(
            places,
            Fault(FaultKind.DROP, match="book", count=5),
            Fault(FaultKind.DROP, match="candlesticks", count=9),
            Fault(FaultKind.SLOW, count=4, delay_s=0.4),
        )
        await all_more(places, 8)
        assert all(place.listener.faults.happened for place in places)
    check(places, whole=True)


async def test_t29_an_announced_upgrade_moves_trades_without_numbers_and_without_a_gap() -> None:
    async with playing("gateio", *MARKETS, symbols=2, speed=120) as places:
        for place in places:
            place.add(*EVERY)
        await all_more(places, 2)
        await all_suffer(places, Fault(FaultKind.SHUTDOWN, delay_s=0.5))
        await all_more(places, 6)
        assert all(place.feed.metrics.reconnections for place in places)
    check(places, whole=True)
