import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import SPOT, Instrument, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Connection, Subscription
from heliograph.venues.gateio import VENUE
from heliograph.venues.gateio.bars import FUTURES_INTERVALS, SPOT_INTERVALS, names_of
from heliograph.venues.gateio.instruments import GATEIO
from heliograph.venues.gateio.market import Feed
from heliograph.venues.gateio.rest import book_request
from heliograph.venues.gateio.streams import Stream, Wire, encode, ping, plan, streams_of
from heliograph.venues.subscribing import Message

SPOT_WIRE = Wire("spot", "/ws/v4/", names_of(SPOT_INTERVALS))
USDM_WIRE = Wire("futures", "/v4/ws/usdt", names_of(FUTURES_INTERVALS))


def wants(number: int, channel: Channel, interval: Interval | None = None) -> Subscription:
    return Subscription(channel, Instrument(GATEIO, SPOT, f"S{number}_USDT"), interval)


def test_each_channel_has_its_streams() -> None:
    assert streams_of(wants(1, Channel.CANDLES, Interval.MO1), SPOT_WIRE) == [
        Stream("spot.candlesticks", ("30d", "S1_USDT"))
    ]
    assert streams_of(wants(1, Channel.TICKER), USDM_WIRE) == [
        Stream("futures.book_ticker", ("S1_USDT",)),
        Stream("futures.tickers", ("S1_USDT",)),
    ]
    assert streams_of(wants(1, Channel.TRADES), SPOT_WIRE) == [Stream("spot.trades", ("S1_USDT",))]
    assert streams_of(wants(1, Channel.BOOK), SPOT_WIRE) == [Stream("spot.order_book_update", ("S1_USDT", "100ms"))]


def test_changes_of_a_contract_s_book_are_of_as_many_levels_as_its_snapshot() -> None:
    (stream,) = streams_of(wants(1, Channel.BOOK), USDM_WIRE)
    assert stream == Stream("futures.order_book_update", ("S1_USDT", "100ms", "100"))
    market = VENUE.markets[MarketId("usdm")]
    feed = market.feed(Connection("", ()))
    assert isinstance(feed, Feed)
    assert ("limit", stream.payload[2]) in book_request(feed._rules.rest, market.instrument("BTC_USDT")).query


def test_a_message_names_one_symbol() -> None:
    said = json.loads(encode(Message(3, True, (Stream("spot.candlesticks", ("1m", "BTC_USDT")),)), 17 * NS_PER_S))
    assert said == {
        "time": 17, "id": 3, "channel": "spot.candlesticks", "event": "subscribe", "payload": ["1m", "BTC_USDT"]
    }  # fmt: skip
    assert json.loads(ping(USDM_WIRE, 17)) == {"time": 17, "channel": "futures.ping"}


@pytest.mark.parametrize(("count", "sockets"), [(0, 0), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_t30_streams_are_spread_at_the_bound_and_one_beyond(count: int, sockets: int) -> None:
    connections = plan(SPOT_WIRE, 10, [wants(i, Channel.TRADES) for i in range(count)], 1000)
    assert [len(c.subscriptions) for c in connections] == [min(10, count - i) for i in range(0, count, 10)]
    assert (len(connections), {c.path for c in connections}) == (sockets, {"/ws/v4/"} if sockets else set())


@pytest.mark.parametrize(("count", "sockets"), [(3, 1), (4, 2)])
def test_t30_instruments_are_spread_at_the_bound_and_one_beyond(count: int, sockets: int) -> None:
    assert len(plan(SPOT_WIRE, 500, [wants(i, Channel.TICKER) for i in range(count)], 3)) == sockets


@given(
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from([Channel.TICKER, Channel.TRADES, Channel.BOOK]))),
    st.integers(2, 6),
    st.integers(1, 4),
)
def test_every_subscription_is_carried_once_within_both_bounds(
    wanted: list[tuple[int, Channel]], streams_max: int, instruments_max: int
) -> None:
    subscriptions = [wants(number, channel) for number, channel in wanted]
    connections = plan(SPOT_WIRE, streams_max, subscriptions, instruments_max)
    carried = [s for c in connections for s in c.subscriptions]
    assert sorted(map(str, carried)) == sorted(map(str, set(subscriptions)))
    for connection in connections:
        assert 0 < sum(len(streams_of(s, SPOT_WIRE)) for s in connection.subscriptions) <= streams_max
        assert len({s.instrument for s in connection.subscriptions}) <= instruments_max
