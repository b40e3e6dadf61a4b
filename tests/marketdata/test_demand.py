import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import pytest

from heliograph.bus.embedded import Server
from heliograph.clock import SystemClock
from heliograph.errors import ConfigError
from heliograph.marketdata.demand import LEASE_S_MAX, DemandTail, DemandTeller, Table, to_demands
from heliograph.model.demand import SYMBOLS_MAX, Demand
from heliograph.model.instrument import SPOT, MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues import VENUES
from heliograph.venues.contract import Subscription

WISH = Demand(
    "g1", VenueId("binance"), MarketId("spot"), ("BTCUSDT", "ETHUSDT"), Channel.CANDLES, Interval.M1, until_ms=31_000
)


def changed(**changes: Any) -> Demand:
    return msgspec.structs.replace(WISH, **changes)


def wanted(table: Table, now_ms: int) -> list[str]:
    return [s.instrument.venue_symbol for s in table.wanted(now_ms)]


def test_a_demand_lasts_until_its_time_and_a_dead_gateway_is_forgotten() -> None:
    table = Table(VENUES)
    table.take(WISH, 1_000)
    assert wanted(table, 30_999) == ["BTCUSDT", "ETHUSDT"]
    assert wanted(table, 31_000) == []


def test_a_renewal_replaces_what_the_gateway_asked_before() -> None:
    table = Table(VENUES)
    table.take(WISH, 1_000)
    table.take(changed(symbols=("ETHUSDT",), until_ms=41_000), 11_000)
    assert wanted(table, 12_000) == ["ETHUSDT"]
    table.take(changed(symbols=()), 13_000)
    assert wanted(table, 13_000) == []


def test_what_two_gateways_want_is_wanted_once_and_until_both_have_left() -> None:
    table = Table(VENUES)
    table.take(WISH, 1_000)
    table.take(changed(gateway="g2", symbols=("ETHUSDT",)), 1_000)
    assert wanted(table, 1_000) == ["BTCUSDT", "ETHUSDT"]
    table.take(changed(symbols=()), 2_000)
    assert wanted(table, 2_000) == ["ETHUSDT"]


def test_parts_add_up() -> None:
    table = Table(VENUES)
    table.take(WISH, 1_000)
    table.take(changed(symbols=("BNBUSDT",), part=1), 1_000)
    assert wanted(table, 1_000) == ["BTCUSDT", "ETHUSDT", "BNBUSDT"]


def test_no_demand_lasts_longer_than_the_longest_lease() -> None:
    table = Table(VENUES)
    table.take(changed(until_ms=10**15), 1_000)
    assert wanted(table, 1_000 + int(LEASE_S_MAX * 1000) - 1)
    assert not wanted(table, 1_000 + int(LEASE_S_MAX * 1000))


@pytest.mark.parametrize(
    "wish",
    [
        changed(exchange=VenueId("nowhere")),
        changed(market=MarketId("banana")),
        changed(interval=Interval.D2),
        changed(symbols=("no such thing!",)),
    ],
)
def test_what_there_is_not_is_refused_and_changes_nothing(wish: Demand) -> None:
    table = Table(VENUES)
    with pytest.raises(ConfigError):
        table.take(wish, 1_000)
    assert wanted(table, 1_000) == []


def test_what_is_asked_for_is_what_was_wanted() -> None:
    market = VENUES[VenueId("binance")].markets[SPOT]
    many = [Subscription(Channel.TRADES, market.instrument(f"S{n}USDT")) for n in range(SYMBOLS_MAX + 1)]
    bars = [
        Subscription(Channel.CANDLES, market.instrument("BTCUSDT"), interval) for interval in (Interval.M1, Interval.H1)
    ]
    table = Table(VENUES)
    demands = to_demands("feed", [*many, *bars], 9_000)
    assert [len(each.symbols) for each in demands] == [SYMBOLS_MAX, 1, 1, 1]
    for each in demands:
        table.take(each, 1_000)
    assert set(table.wanted(1_000)) == {*many, *bars}


async def test_feeds_hear_of_each_others_wishes_and_not_of_their_own(valkey: Server) -> None:
    wish = Subscription(Channel.TRADES, VENUES[VenueId("binance")].markets[SPOT].instrument("BTCUSDT"))
    heard: dict[str, list[Subscription]] = {"own": [], "other": []}
    clock = SystemClock()
    came = asyncio.Event()

    def note(name: str, begun: Sequence[Subscription], _: Sequence[Subscription]) -> None:
        heard[name] += begun
        came.set()

    tails = [DemandTail(valkey.url, VENUES, clock, partial(note, name), name) for name in heard]
    tasks = [asyncio.create_task(work.run()) for work in (*tails, DemandTeller(valkey.url, "own", clock, [wish]))]
    async with asyncio.timeout(10):
        await came.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert heard == {"own": [], "other": [wish]}
