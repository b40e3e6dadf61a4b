import asyncio

import msgspec

from heliograph.clock import NS_PER_MS
from heliograph.connect.limits import loop_clock_ns
from heliograph.connect.pools import Connects, Pools, window_s
from heliograph.model.instrument import MarketId, VenueId
from heliograph.venues import binance
from heliograph.venues.contract import Market, Rate

MARKET = next(iter(binance.VENUE.markets.values()))


def market(name: str, venue: str = "venue", **limits: object) -> Market:
    changed = msgspec.structs.replace(MARKET.limits, **limits)
    return msgspec.structs.replace(MARKET, venue=VenueId(venue), market=MarketId(name), limits=changed)


def test_markets_share_by_the_name_of_a_pool_within_their_venue() -> None:
    pools = Pools()
    one, two = market("one", weight_pool="p"), market("two", weight_pool="p", connect_pool="q")
    assert pools.weight(one) is pools.weight(two)
    assert pools.connects(one) is not pools.connects(two)
    assert pools.connects(two) is pools.connects(market("three", connect_pool="q"))
    assert pools.weight(one) is not pools.weight(market("one", venue="other", weight_pool="p"))
    assert pools.weight(market("p")) is not pools.weight(one), "a market's own budget is nobody's pool"


def test_an_endpoint_is_shared_by_the_markets_that_ask_it() -> None:
    pools = Pools()
    one, two = (market(name, endpoints={"/a": Rate(3, 2.0)}) for name in ("one", "two"))
    assert pools.endpoint(one, "/a") is pools.endpoint(two, "/a") is not None
    assert pools.endpoint(one, "/b") is None
    assert (window_s(one.limits, "/a"), window_s(one.limits, "/b")) == (2.0, 60)


def test_messages_are_shared_where_the_venue_counts_them_by_address() -> None:
    pools = Pools()
    one, two = (market(name, connect_pool="p", address_messages=Rate(5, 1.0)) for name in ("one", "two"))
    assert pools.messages(one) is pools.messages(two) is not None
    assert pools.messages(market("three")) is None


async def test_t28_connects_are_counted_from_their_beginning_until_a_window_after_their_end() -> None:
    """The venue counts a connect somewhere between the two, so two windows of ours never meet in one of its."""
    connects = Connects(2, 0.1, None)
    begun: list[int] = []
    ended: list[int] = []

    async def one(lasts_s: float) -> None:
        await connects.room()
        begun.append(loop_clock_ns())
        with connects.attempt():
            await asyncio.sleep(lasts_s)
        ended.append(loop_clock_ns())

    async with asyncio.TaskGroup() as tasks:
        for lasts_s in (0.08, 0.02, 0.0, 0.05, 0.0, 0.0, 0.03):
            tasks.create_task(one(lasts_s))
    assert len(begun) == 7
    for at_ns in begun:
        counted = sum(e_ns > at_ns - 99 * NS_PER_MS for e_ns in ended if e_ns <= at_ns)
        under_way = sum(b_ns <= at_ns for b_ns in begun) - sum(e_ns <= at_ns for e_ns in ended)
        assert counted + under_way <= 2


async def test_turns_to_connect_come_in_the_order_of_asking() -> None:
    connects = Connects(1, 0.01, None)
    served: list[int] = []

    async def one(number: int) -> None:
        await connects.room()
        with connects.attempt():
            served.append(number)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for number in range(6):
            tasks.create_task(one(number))
    assert served == list(range(6))


async def test_a_turn_that_is_not_used_is_not_spent() -> None:
    connects = Connects(1, 60.0, None)
    async with asyncio.timeout(5):
        for _ in range(3):
            await connects.room()


async def test_a_venue_that_wants_to_be_left_alone_holds_those_who_wait() -> None:
    connects = Connects(1, 0.01, None)
    connects.hold(0.1)
    started_ns = loop_clock_ns()
    await connects.room()
    assert loop_clock_ns() - started_ns >= 100 * NS_PER_MS


async def test_a_place_is_given_up_once_however_often_that_is_said() -> None:
    connects = Connects(9, 1.0, 2)
    first, second = await connects.place(), await connects.place()
    assert (connects.full, connects.open) == (True, 2)
    waiting = asyncio.ensure_future(connects.place())
    await asyncio.sleep(0)
    assert not waiting.done()
    first.leave()
    first.leave()
    third = await waiting
    assert (connects.full, connects.open) == (True, 2)
    for place in (second, third):
        place.leave()
    assert (connects.full, connects.open) == (False, 0)


async def test_a_cancelled_wait_leaves_the_turn_to_the_next() -> None:
    connects = Connects(1, 0.05, 1)
    place = await connects.place()
    given_up, next_one = (asyncio.ensure_future(connects.place()) for _ in range(2))
    await asyncio.sleep(0)
    given_up.cancel()
    place.leave()
    (await next_one).leave()
    assert connects.open == 0


async def test_a_market_is_held_for_as_long_as_any_of_its_budgets() -> None:
    market = binance.VENUE.markets[MarketId("spot")]
    limits = msgspec.structs.replace(market.limits, endpoints={"/slow": Rate(1, 1.0)})
    market = msgspec.structs.replace(market, limits=limits)
    pools = Pools()
    assert pools.held_s(market) == 0
    pools.weight(market).hold(loop_clock_ns(), 5.0)
    assert 4 < pools.held_s(market) <= 5
    slow = pools.endpoint(market, "/slow")
    assert slow is not None
    slow.hold(loop_clock_ns(), 9.0)
    assert 8 < pools.held_s(market) <= 9
