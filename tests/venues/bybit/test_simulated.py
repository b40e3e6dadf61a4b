"""Feeds at a simulated Bybit, on real sockets, through what goes wrong; the ledger judges.

What is done to every venue alike is in `tests/faults/test_matrix.py`.
"""

import asyncio
import json
import time
from collections.abc import Callable
from itertools import pairwise
from uuid import UUID

import aiohttp
import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.book import BookDelta
from heliograph.model.market import Channel, Trade
from heliograph.sim import Fault, FaultKind, SimulatedVenue
from heliograph.venues.bybit.dialect import Dialect
from heliograph.venues.contract import Subscription
from tests.marketdata.field import QUICK
from tests.venues.playing import EVERY, Place, all_more, all_suffer, playing

MARKETS = [("spot", "BTCUSDT"), ("linear", "BTCUSDT"), ("linear", "BTCPERP"), ("inverse", "BTCUSD")]
FLOW = (Channel.TRADES, Channel.TICKER)
CUT = Fault(FaultKind.DISCONNECT)


def _number(trade: Trade) -> int:
    assert trade.trade_id is not None
    return UUID(trade.trade_id).node if "-" in trade.trade_id else int(trade.trade_id) - 2_290_000_000_000_000_000


def check_trades(place: Place, *, whole: bool) -> None:
    place.check_trades(_number, lambda item: item.id, whole=whole)


def dialect_of(place: Place) -> Dialect:
    dialect = place.listener._dialect
    assert isinstance(dialect, Dialect)
    return dialect


async def test_every_channel_of_every_market_arrives_and_what_nobody_has_is_refused_alone() -> None:
    async with playing("bybit", *MARKETS, speed=20) as places:  # Books change fifty times a second.
        for place in places:
            place.add(*EVERY)
        linear = places[1]
        linear.feed.add([Subscription(Channel.TRADES, linear.market.instrument("NOPEUSDT"))])
        await all_more(places, 2)
        for place in places:
            await place.arrived()
        reasons = [[error.reason for _, error in place.refusals] for place in places]
        assert reasons == [[], ["error:handler not found,topic:publicTrade.NOPEUSDT"], [], []]
    for place in places:
        place.check_instrument()
        place.check_candles()
        check_trades(place, whole=True)
        place.check_book(200)
        assert place.feed.metrics.gaps_found == 0


async def test_t10_what_was_missed_while_nobody_could_connect_is_fetched_or_a_gap() -> None:
    """Bars are there for the asking; of trades, which Bybit does not number, it is told that some are missing."""
    async with playing("bybit", *MARKETS) as places:
        for place in places:
            place.add(*FLOW)
        await all_more(places, 2)
        connects = {place.market.market: place.listener.connects for place in places}
        await all_suffer(places, Fault(FaultKind.REFUSE, duration_s=1.2), CUT)
        await all_more(places, 8)
        assert all(place.listener.connects > connects[place.market.market] for place in places)
    for place in places:
        place.check_candles()
        check_trades(place, whole=False)
        (gap,) = place.gaps(Channel.TRADES)
        assert gap.from_ns is not None
        assert gap.to_ns is not None
        assert gap.to_ns > gap.from_ns


TROUBLE = (
    Fault(FaultKind.HTTP, match="kline", status=200, count=2),
    Fault(FaultKind.HTTP, match="kline", status=500, count=2),
    Fault(FaultKind.SLOW, match="kline", count=2, delay_s=0.4),
    Fault(FaultKind.WRONG_JSON, match="/v5/market/kline", count=1),
)


async def test_bars_are_fetched_although_rest_is_in_trouble() -> None:
    async with playing("bybit", MARKETS[0], MARKETS[1], MARKETS[3]) as places:
        for place in places:
            place.add()
        await all_more(places, 2)
        faults = places[0].listener.faults  # All markets have one door.
        before = faults.happened
        await all_suffer(places, *TROUBLE, Fault(FaultKind.REFUSE, duration_s=1.0), CUT)
        await all_more(places, 12)
        assert faults.happened - before == sum(fault.count for fault in TROUBLE)
    for place in places:
        place.check_candles()


async def test_no_candle_is_lost_with_its_frames() -> None:
    lost = {"spot": FaultKind.DROP, "linear": FaultKind.REORDER, "inverse": FaultKind.DROP}
    async with playing("bybit", MARKETS[0], MARKETS[1], MARKETS[3]) as places:
        for place in places:
            place.add()
        await all_more(places, 2)
        for market, kind in lost.items():
            await all_suffer(places[:1], Fault(kind, market, match="kline", count=60))
        await all_more(places, 10)
        assert places[0].listener.faults.happened > 100
    for place in places:
        place.check_candles()


async def test_ten_minutes_without_rest_cost_a_gap_in_time_and_nothing_after_it() -> None:
    """Whoever is turned away by a 403 is to stay away for ten minutes; what waits is told before that, and on time."""
    outage_s = 2.0
    settings = msgspec.structs.replace(QUICK, backfill_outage_s_max=outage_s, held_s_max=0.5)
    async with playing("bybit", ("spot", "BTCUSDT"), settings=settings) as (here,):
        here.add()
        await here.more(2)
        assert here.feed.health().healthy
        await all_suffer(
            [here],
            Fault(FaultKind.HTTP, match="kline", status=429),
            Fault(FaultKind.REFUSE, duration_s=1.2),
            CUT,
        )
        await here.sink.until(lambda: here.feed.metrics.candles_held > 0)
        since_s = time.monotonic()
        await here.sink.until(lambda: not here.feed.health().healthy)
        assert here.feed.health().active_connections == 1, "the socket is well, and the market waits for REST"
        assert not here.gaps(Channel.CANDLES)
        await here.sink.until(lambda: bool(here.gaps(Channel.CANDLES)))
        assert time.monotonic() - since_s < outage_s + 1.5
        await here.more(4)
        assert here.feed.health().healthy
        assert here.listener.answered[403] == 1, "who is turned away asks no more"
        assert here.client.pools.held_s(here.market) > 500
    (gap,) = here.gaps(Channel.CANDLES)
    assert gap.from_ns is not None
    assert gap.to_ns is not None
    missing_ns = gap.to_ns - gap.from_ns
    steps = [after.open_ns - before.open_ns for before, after in pairwise(here.closed())]
    assert sorted(steps) == [60 * NS_PER_S] * (len(steps) - 1) + [missing_ns + 60 * NS_PER_S]
    assert missing_ns > 0


async def test_t3_t5_a_restart_and_a_book_said_again_are_no_gap() -> None:
    async with playing("bybit", MARKETS[0], MARKETS[1], speed=30) as places:
        now_ns = places[0].sim.clock.now_ns()
        for place in places:
            dialect_of(place).repeats_ns.append(now_ns + 20 * NS_PER_S)
            dialect_of(place).restarts_ns.append(now_ns + 40 * NS_PER_S)
            place.add(Channel.BOOK)

        async def restarted(place: Place) -> None:
            await place.sink.until(lambda: any(isinstance(e, BookDelta) and e.sequence == 5 for e in place.sink.events))
            await place.more(1)

        await asyncio.gather(*map(restarted, places))
    for place in places:
        place.check_book(200)
        assert not place.gaps(Channel.BOOK)


async def talk(
    sim: SimulatedVenue, category: str, *messages: str, until: Callable[[list[dict[str, object]]], bool]
) -> list[dict[str, object]]:
    heard: list[dict[str, object]] = []
    url = f"{sim.endpoints[category]['socket_url']}/v5/public/{category}"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as ws:
        for message in messages:
            await ws.send_str(message)
        while not until(heard):
            heard.append(json.loads((await ws.receive(timeout=10)).data))
    return heard


async def test_t1_data_of_contracts_arrives_before_the_acknowledgement_and_of_spot_after_it() -> None:
    async with SimulatedVenue("bybit", seed=7, symbols=1, history_minutes=30) as sim:
        for category, symbol, first in (("linear", "BTCUSDT", "topic"), ("spot", "BTCUSDT", "op")):
            order = json.dumps({"op": "subscribe", "args": [f"kline.1.{symbol}", f"orderbook.50.{symbol}"]})
            heard = await talk(sim, category, order, until=lambda heard: len(heard) >= 3)
            kinds = ["op" if "op" in frame else "topic" for frame in heard]
            assert kinds == ([first, "topic", "topic"] if first == "op" else ["topic", "topic", "op"])


async def test_an_address_that_asks_too_often_is_turned_away() -> None:
    async with SimulatedVenue("bybit", seed=7, symbols=1, history_minutes=30) as sim:
        url = f"{sim.endpoints['spot']['rest_url']}/v5/market/time"
        async with aiohttp.ClientSession() as http:
            answers = []
            for _ in range(1400):  # More than two windows can hold, whenever the first of them began.
                async with http.get(url) as answer:
                    answers.append((answer.status, answer.headers["X-Bapi-Limit-Status"], await answer.text()))
                if answers[-1][0] != 200:
                    break
        assert answers[0][0] == 200
        assert answers[-1] == (403, "0", "access too frequent")
