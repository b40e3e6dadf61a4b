import asyncio
from collections.abc import Sequence

import pytest

from heliograph.clock import ManualClock
from heliograph.errors import ConfigError
from heliograph.gateway.hub import Hub, find_instruments
from heliograph.gateway.mailbox import Update
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap
from heliograph.venues import find_venue
from heliograph.venues.contract import Market, Subscription, VenueError
from heliograph.venues.directory import Directory
from tests.gateway.samples import MINUTE_NS, OPEN_NS, candle
from tests.gateway.script import Script, minute_candles, spot


class Listener:
    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.flushes = 0
        self.refusals: list[tuple[str, str]] = []

    def take(self, update: Update) -> None:
        self.updates.append(update)

    def flush(self) -> None:
        self.flushes += 1

    def refused(self, subscription: Subscription, error: VenueError) -> None:
        self.refusals.append((subscription.instrument.venue_symbol, error.reason))

    @property
    def closes(self) -> list[str]:
        return [str(u.event.close) for u in self.updates if type(u.event) is Candle]


def of(symbol: str, close: int, minute: int = 0, *, closed: bool = False) -> Candle:
    return candle(instrument=spot(symbol), close=close, open_ns=OPEN_NS + minute * MINUTE_NS, closed=closed)


def hub_over(script: Script, linger_s: float = 0.0) -> Hub:
    return Hub(script, ManualClock(), linger_s=linger_s)


async def test_many_subscribers_of_one_symbol_are_one_upstream_subscription() -> None:
    script = Script()
    hub = hub_over(script)
    for _ in range(100):
        hub.subscribe(Listener(), minute_candles("BTCUSDT", "ETHUSDT"))
    assert script.calls == [("add", ("BTCUSDT", "ETHUSDT"))]


async def test_an_update_is_encoded_once_for_all_and_a_batch_is_flushed_once() -> None:
    hub = hub_over(Script())
    first, second = Listener(), Listener()
    hub.subscribe(first, minute_candles("BTCUSDT", "ETHUSDT"))
    hub.subscribe(second, minute_candles("BTCUSDT"))
    hub.push([of("BTCUSDT", 1), of("ETHUSDT", 2), of("BTCUSDT", 3), of("XRPUSDT", 4)])
    assert first.closes == ["1", "2", "3"]
    assert second.closes == ["1", "3"]
    assert (first.flushes, second.flushes) == (1, 1)
    assert first.updates[0].frame is second.updates[0].frame


async def test_a_new_subscriber_gets_the_last_value_first_and_never_an_older_one() -> None:
    hub = hub_over(Script())
    hub.subscribe(Listener(), minute_candles("BTCUSDT"))
    hub.push([of("BTCUSDT", 7, minute=2)])
    hub.push([of("BTCUSDT", 5, minute=1, closed=True)])  # A backfilled candle comes after the live one.
    late = Listener()
    hub.subscribe(late, minute_candles("BTCUSDT"))
    assert late.closes == ["7"]
    assert late.flushes == 1
    hub.push([of("BTCUSDT", 8, minute=2)])
    assert late.closes == ["7", "8"]


async def test_the_last_to_leave_ends_the_upstream_subscriptions_in_one_call() -> None:
    script = Script()
    hub = hub_over(script)
    first, second = Listener(), Listener()
    hub.subscribe(first, minute_candles("BTCUSDT", "ETHUSDT"))
    hub.subscribe(second, minute_candles("BTCUSDT"))
    hub.unsubscribe(first, minute_candles("BTCUSDT", "ETHUSDT"))
    await script.until("BTCUSDT")
    hub.unsubscribe(second, minute_candles("BTCUSDT"))
    await script.until()
    assert script.calls[1:] == [("remove", ("ETHUSDT",)), ("remove", ("BTCUSDT",))]


async def test_who_comes_back_in_time_costs_the_venue_nothing() -> None:
    script = Script()
    hub = hub_over(script, linger_s=0.05)
    listener = Listener()
    hub.subscribe(listener, minute_candles("BTCUSDT", "ETHUSDT"))
    hub.unsubscribe(listener, minute_candles("BTCUSDT", "ETHUSDT"))
    hub.subscribe(listener, minute_candles("BTCUSDT"))
    await script.until("BTCUSDT")
    assert script.calls == [("add", ("BTCUSDT", "ETHUSDT")), ("remove", ("ETHUSDT",))]


async def test_a_refusal_reaches_those_who_asked_and_a_later_one_asks_the_venue_anew() -> None:
    script = Script()
    hub = hub_over(script)
    first, second = Listener(), Listener()
    hub.subscribe(first, minute_candles("BTCUSDT", "ETHUSDT"))
    hub.subscribe(second, minute_candles("ETHUSDT"))
    hub.refused(minute_candles("BTCUSDT"), VenueError("-1121", "Invalid symbol."))
    assert (first.refusals, second.refusals) == ([("BTCUSDT", "Invalid symbol.")], [])
    hub.subscribe(second, minute_candles("BTCUSDT"))
    assert script.calls[1:] == [("remove", ("BTCUSDT",)), ("add", ("BTCUSDT",))]


async def test_a_gap_is_told_and_is_no_last_value() -> None:
    hub = hub_over(Script())
    listener, late = Listener(), Listener()
    hub.subscribe(listener, minute_candles("BTCUSDT"))
    hub.push([Gap(spot("BTCUSDT"), Channel.CANDLES, Interval.M1, 0, MINUTE_NS, None, None, "none there", 0)])
    assert b'"type":"gap"' in listener.updates[0].frame
    hub.subscribe(late, minute_candles("BTCUSDT"))
    assert late.updates == []


async def test_a_cancelled_hub_forgets_its_clients_and_its_timers() -> None:
    script = Script()
    hub = hub_over(script, linger_s=60)
    running = asyncio.create_task(hub.run())
    listener = Listener()
    hub.subscribe(listener, minute_candles("BTCUSDT"))
    hub.unsubscribe(listener, minute_candles("BTCUSDT"))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    hub.subscribe(listener, minute_candles("BTCUSDT"))
    assert script.calls == [("add", ("BTCUSDT",)), ("add", ("BTCUSDT",))]


class Directories(Script):
    """A source that knows no list, and takes every symbol at its word."""

    async def instruments(self, market: Market, symbols: Sequence[str]) -> list[Instrument]:
        self.calls.append((market.market, tuple(symbols)))
        return Directory(market).find(symbols)


async def test_t17_one_question_finds_instruments_of_several_markets() -> None:
    source = Directories()
    found = await find_instruments(source, find_venue("okx"), None, ["BTC-USDT-SWAP", "BTC-USDT", "ETH/USDT:USDT"])
    assert [i.id for i in found] == ["okx:swap:BTC-USDT-SWAP", "okx:swap:ETH-USDT-SWAP", "okx:spot:BTC-USDT"]
    assert source.calls == [("swap", ("BTC-USDT-SWAP", "ETH/USDT:USDT")), ("spot", ("BTC-USDT",))]


async def test_what_one_market_does_not_have_costs_the_whole_question() -> None:
    with pytest.raises(ConfigError, match="Duplicate symbol: BTC/USDT:USDT"):
        await find_instruments(Directories(), find_venue("okx"), None, ["BTC-USDT", "BTC-USDT-SWAP", "BTC/USDT:USDT"])


async def test_a_market_that_streams_no_such_candles_is_refused_with_those_that_it_streams() -> None:
    with pytest.raises(ConfigError, match=r"streams no candles of interval 1m, though it has past ones; accepted: 5m$"):
        await find_instruments(Directories(), find_venue("coinbase"), None, ["BTC-USD"], Interval.M1)
    assert await find_instruments(Directories(), find_venue("coinbase"), None, ["BTC-USD"])
