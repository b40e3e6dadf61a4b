"""A consumer that reads a feed at its own pace."""

import asyncio
from decimal import Decimal

import pytest

from heliograph.errors import VenueRejected
from heliograph.marketdata.tap import Tap
from heliograph.model.event import Event
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.market import Side, Trade, TradeCause

BITCOIN = Instrument(VenueId("binance"), SPOT, "BTCUSDT")
ONE = Decimal(1)


def trades(*numbers: int) -> list[Event]:
    return [Trade(BITCOIN, str(n), n, ONE, ONE, Side.BUY, TradeCause.MARKET, None, 0) for n in numbers]


async def test_what_was_pushed_is_taken_in_order_at_once() -> None:
    tap = Tap()
    tap.push(trades(1, 2))
    tap.push(trades(3))
    assert await tap.take() == trades(1, 2, 3)


async def test_a_consumer_that_came_first_is_woken() -> None:
    tap = Tap()
    taking = asyncio.create_task(tap.take())
    await asyncio.sleep(0)
    tap.push(trades(1))
    assert await taking == trades(1)


async def test_a_full_tap_is_not_ready_and_says_when_it_is_again() -> None:
    tap = Tap(waiting_max=2)
    woken: list[bool] = []
    tap.when_ready(lambda: woken.append(tap.ready()))
    tap.push(trades(1))
    assert tap.ready()
    tap.push(trades(2, 3))
    assert not tap.ready()
    await tap.take()
    assert woken == [True]
    tap.push(trades(4))
    await tap.take()
    assert woken == [True]


async def test_the_end_comes_after_what_waits() -> None:
    tap = Tap()
    tap.push(trades(1))
    tap.end()
    assert await tap.take() == trades(1)
    assert await tap.take() == []


async def test_a_failure_comes_after_what_waits() -> None:
    tap = Tap()
    tap.push(trades(1))
    tap.fail(VenueRejected("binance", "-1121", "Invalid symbol."))
    assert await tap.take() == trades(1)
    with pytest.raises(VenueRejected, match="Invalid symbol"):
        await tap.take()
