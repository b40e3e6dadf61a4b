"""Feeds at a simulated Hyperliquid, on real sockets, through what goes wrong; the ledger judges.

What is done to every venue alike is in `tests/faults/test_matrix.py`.
"""

from collections.abc import Sequence
from functools import partial

from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Trade
from heliograph.sim import Fault, FaultKind
from heliograph.venues.contract import Subscription
from heliograph.venues.hyperliquid.dialect import tid
from heliograph.venues.scene import Bar, Listing
from tests.venues.playing import EVERY, Place, all_more, all_suffer, playing

SOME = [("usdm", "BTC"), ("usdm", "xyz:XYZ100"), ("spot", "@142"), ("spot", "PURR/USDC")]
CUT = Fault(FaultKind.DISCONNECT)


def _volume(candle: Candle, bar: Bar, listing: Listing) -> None:
    """Volumes carry the noise of binary floats."""
    assert candle.base_volume is not None
    assert candle.base_volume.quantize(listing.lot_size) == bar.volume


def check(places: Sequence[Place], *, whole: bool) -> None:
    for place in places:
        place.check_candles(_volume)
        # The venue's ids are in no order, so that a trade is found by the id that its true number has.
        name = partial(tid, place.instrument.venue_symbol)
        place.check_trades(_id, lambda item, name=name: str(name(item.id)), whole=whole, least=20)  # type: ignore[misc]
        place.check_book(20)
        assert not place.gaps(Channel.BOOK)


def _id(trade: Trade) -> str | None:
    return trade.trade_id


async def test_every_channel_of_every_market_arrives_through_a_cut_that_the_venues_replay_bridges() -> None:
    async with playing("hyperliquid", *SOME, speed=90) as places:
        for place in places:
            place.add(*EVERY)
        await all_more(places, 2)
        for place in places:
            await place.arrived()
        await all_suffer(places[:1], CUT)
        await all_more(places, 3)
        assert all(place.feed.metrics.reconnections for place in places)
    check(places, whole=True)


async def test_more_trades_than_the_venue_replays_are_a_gap() -> None:
    async with playing("hyperliquid", *SOME[::2], speed=240) as places:
        for place in places:
            place.add(*EVERY)
        await all_more(places, 2)
        await all_suffer(places[:1], Fault(FaultKind.REFUSE, duration_s=2.5), CUT)
        await all_more(places, 14)
    check(places, whole=False)
    gaps = [len(place.gaps(Channel.TRADES)) for place in places]
    assert gaps == [1] * len(places)


TROUBLES = (
    (Fault(FaultKind.HTTP, match="/info", count=2, status=500), Fault(FaultKind.WRONG_JSON, match="/info"), CUT),
    (Fault(FaultKind.HALF_OPEN, duration_s=0.7),),
    (Fault(FaultKind.SHUTDOWN, delay_s=0.2),),
    (Fault(FaultKind.SILENCE, match="candle", duration_s=1.2),),
)


async def test_candles_are_final_as_they_were_whatever_frames_were_missed() -> None:
    """No frame says that a candle is closed: what its successor closes must not have had another revision."""
    async with playing("hyperliquid", *SOME, speed=120) as places:
        for place in places:
            place.add(Channel.TRADES)
        await all_more(places, 2)
        for trouble in TROUBLES:
            await all_suffer(places[:1], *trouble)
            await all_more(places, 3)
    for place in places:
        place.check_candles(_volume)


async def test_a_coin_that_nobody_has_is_refused_once_and_the_others_go_on() -> None:
    """The venue tells nothing: it drops the connection of whoever asks."""
    async with playing("hyperliquid", SOME[0], speed=120) as (here,):
        here.add(*EVERY)
        nope = here.market.instrument("NOPE")
        wanted = (Subscription(Channel.CANDLES, nope, Interval.M1), Subscription(Channel.TRADES, nope))
        here.feed.add(wanted)
        await here.sink.until(lambda: bool(here.refusals))
        connects = here.listener.connects
        await here.more(4)
        ((refused, error),) = here.refusals
        assert (refused, error.subscriptions, error.code) == (wanted, wanted, "unlisted")
        assert "NOPE" in error.reason
        assert here.listener.connects <= connects + 1
        assert connects <= 4
        assert here.feed.health().stale == ()
    here.check_candles(_volume)
