"""Our codec and the simulator's dialect are two readings of one documentation. Here they meet; the ledger judges.

What goes wrong between them is in `tests/faults/test_matrix.py`, for every venue.
"""

import pytest

from heliograph.model.market import Channel
from tests.venues.playing import EVERY, all_more, playing

SINGLE = ("okx",)
"""Venues whose single trades are told, and not the aggregates of what one taker traded at one price."""
PLAYED = {
    "binance": (("spot", "BTCUSDT"), ("usdm", "BTCUSDT")),
    "okx": (("spot", "BTC-USDT"), ("swap", "BTC-USDT-SWAP"), ("swap", "BTC-USD-SWAP"), ("futures", "BTC-USD-")),
}


@pytest.mark.parametrize("venue", PLAYED)
async def test_feeds_at_the_simulator_tell_what_happened(venue: str) -> None:
    async with playing(venue, *PLAYED[venue]) as places:
        for place in places:
            place.check_instrument()
            place.add(*EVERY)
        await all_more(places, 6)
        for place in places:
            await place.arrived()
    for place in places:
        place.check_candles()
        place.check_trades(
            lambda trade: trade.sequence, lambda item: item.id, whole=True, aggregates=venue not in SINGLE
        )
        place.check_book(100)
        assert not place.gaps(Channel.BOOK)
