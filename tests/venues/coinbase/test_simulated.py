"""A feed at a simulated Coinbase, on real sockets, through what goes wrong; the ledger judges.

What is done to every venue alike is in `tests/faults/test_matrix.py`.
"""

import pytest

from heliograph.model.book import BookDelta
from heliograph.model.market import Candle, Channel, Side, Ticker
from heliograph.sim import Fault, FaultKind
from heliograph.venues.scene import Bar, Listing
from tests.venues.playing import Place, all_suffer, playing

FLOW = (Channel.TRADES, Channel.TICKER)
BTC = ("spot", "BTC-USD")
CUT = Fault(FaultKind.DISCONNECT)


def _volume(candle: Candle, bar: Bar, _listing: Listing) -> None:
    assert (candle.base_volume, candle.quote_volume, candle.contracts) == (bar.volume, None, None)


def check_trades(here: Place) -> None:
    """The venue tells the maker's side, we the taker's; what REST no longer remembers is a gap."""
    here.check_trades(
        lambda trade: (trade.sequence, trade.side),
        lambda fill: (fill.id, Side.BUY if fill.taker_buys else Side.SELL),
        whole=False,
    )


async def test_every_channel_arrives() -> None:
    async with playing("coinbase", BTC, speed=120) as (here,):
        here.add(*FLOW, Channel.BOOK)
        await here.more(3)
        assert any(isinstance(e, Ticker) for e in here.sink.events)
        assert here.listener.connects == 1
    here.check_candles(_volume)
    check_trades(here)
    here.check_book(1000)
    assert (here.sink.gaps(), here.refusals) == ([], [])


async def test_t10_candles_missed_while_nobody_could_connect_are_fetched() -> None:
    async with playing("coinbase", BTC, speed=300) as (here,):
        here.add(*FLOW)
        await here.more(2)
        connects = here.listener.connects
        await all_suffer([here], Fault(FaultKind.REFUSE, duration_s=2.5), CUT)
        await here.more(5)
        assert here.listener.connects > connects
    here.check_candles(_volume)
    check_trades(here)
    assert here.gaps(Channel.TRADES), "more was traded than REST remembers"


@pytest.mark.parametrize(
    "trouble",
    [
        Fault(FaultKind.HTTP, match="candles", status=429, count=1),
        Fault(FaultKind.HTTP, match="candles", status=500, count=2),
        Fault(FaultKind.SLOW, match="candles", count=2, delay_s=0.7),
        Fault(FaultKind.WRONG_JSON, match="candles", count=1),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
async def test_candles_are_closed_although_rest_is_in_trouble(trouble: Fault) -> None:
    async with playing("coinbase", BTC, speed=300) as (here,):
        here.add()
        await here.more(2)
        happened = here.listener.faults.happened
        await all_suffer([here], trouble)
        await here.more(5)
        assert here.listener.faults.happened - happened == trouble.count
    here.check_candles(_volume)
    assert here.sink.gaps() == []


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.WRONG_JSON])
async def test_whatever_becomes_of_some_frames_nothing_wrong_is_told(kind: FaultKind) -> None:
    async with playing("coinbase", BTC, speed=120) as (here,):
        here.add(*FLOW, Channel.BOOK)
        await here.more(1)
        marks = ("level2", "market_trades", "candles", "heartbeats")
        await all_suffer([here], *(Fault(kind, match=mark, count=2) for mark in marks))
        await here.more(2)
        assert here.listener.faults.happened == 8
        for _ in range(4):  # A book whose snapshot was lost is asked for again after a while.
            if not any(isinstance(event, BookDelta) for event in here.sink.events):
                await here.more(1)
    here.check_candles(_volume)
    check_trades(here)
    here.check_book(1000)
    assert here.refusals == []
