import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.instrument import Instrument, MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.binance.streams import (
    MESSAGE_BYTES_MAX,
    ONE_PATH,
    SPLIT_PATHS,
    STREAMS_PER_MESSAGE_MAX,
    Paths,
    chunk,
    encode,
    names_of,
    plan,
)
from heliograph.venues.contract import Connection, Subscription
from heliograph.venues.subscribing import Message


def instrument(symbol: str) -> Instrument:
    return Instrument(VenueId("binance"), MarketId("usdm"), symbol)


BTC = instrument("BTCUSDT")
CANDLES = Subscription(Channel.CANDLES, BTC, Interval.MO1)
TICKER = Subscription(Channel.TICKER, BTC)
TRADES = Subscription(Channel.TRADES, BTC)
BOOK = Subscription(Channel.BOOK, BTC)


def carried(connections: list[Connection], paths: Paths) -> list[tuple[str, str]]:
    return [
        (path, name)
        for connection in connections
        for subscription in connection.subscriptions
        for path, name in names_of(subscription, paths)
        if path == connection.path
    ]


def test_usdm_takes_book_and_top_from_public_and_the_rest_from_market() -> None:
    assert {s.channel: names_of(s, SPLIT_PATHS) for s in (CANDLES, TICKER, TRADES, BOOK)} == {
        Channel.CANDLES: [("/market/stream", "btcusdt@kline_1M")],
        Channel.TICKER: [("/public/stream", "btcusdt@bookTicker"), ("/market/stream", "btcusdt@ticker")],
        Channel.TRADES: [("/market/stream", "btcusdt@aggTrade")],
        Channel.BOOK: [("/public/stream", "btcusdt@depth@100ms")],
    }


def test_a_ticker_of_usdm_needs_two_sockets_and_of_spot_one() -> None:
    assert [c.path for c in plan(SPLIT_PATHS, 200, [TICKER], 50)] == ["/public/stream", "/market/stream"]
    assert plan(ONE_PATH, 1024, [TICKER], 50) == [Connection("/stream", (TICKER,))]


def test_nothing_wanted_needs_no_socket() -> None:
    assert plan(SPLIT_PATHS, 200, [], 50) == []


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (50, [50]), (51, [50, 1]), (100, [50, 50]), (101, [50, 50, 1])])
def test_a_socket_carries_so_many_instruments_and_the_next_takes_the_rest(count: int, sizes: list[int]) -> None:
    wanted = [Subscription(Channel.CANDLES, instrument(f"S{i}"), Interval.M1) for i in range(count)]
    assert [len(c.subscriptions) for c in plan(ONE_PATH, 1024, wanted, 50)] == sizes


@pytest.mark.parametrize(("count", "sockets"), [(10, 1), (11, 2), (20, 2), (21, 3)])
def test_a_socket_carries_no_more_streams_than_the_venue_allows(count: int, sockets: int) -> None:
    wanted = [Subscription(Channel.TRADES, instrument(f"S{i}")) for i in range(count)]
    assert len(plan(ONE_PATH, 10, wanted, 1000)) == sockets


def test_an_instrument_with_more_streams_than_a_socket_may_carry_is_spread() -> None:
    intervals = list(Interval)
    wanted = [Subscription(Channel.CANDLES, BTC, interval) for interval in intervals]
    connections = plan(ONE_PATH, 4, wanted, 50)
    assert [len(c.subscriptions) for c in connections] == [4, 4, 4, 4, 3]
    assert len(carried(connections, ONE_PATH)) == len(intervals)


SUBSCRIPTIONS = st.builds(
    lambda channel, number, interval: Subscription(
        channel, instrument(f"S{number}"), interval if channel is Channel.CANDLES else None
    ),
    st.sampled_from(Channel),
    st.integers(0, 30),
    st.sampled_from([Interval.M1, Interval.H1]),
)


@given(st.lists(SUBSCRIPTIONS), st.integers(1, 12), st.integers(2, 40), st.sampled_from([ONE_PATH, SPLIT_PATHS]))
def test_a_plan_carries_each_stream_once_within_both_bounds(
    wanted: list[Subscription], instruments_max: int, streams_max: int, paths: Paths
) -> None:
    connections = plan(paths, streams_max, wanted, instruments_max)
    streams = carried(connections, paths)
    assert len(streams) == len(set(streams))
    assert set(streams) == {stream for s in wanted for stream in names_of(s, paths)}
    for connection in connections:
        assert len(carried([connection], paths)) <= streams_max
        assert 1 <= len({s.instrument.id for s in connection.subscriptions}) <= instruments_max


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (100, [100]), (101, [100, 1]), (200, [100, 100])])
def test_messages_hold_so_many_streams_and_no_more(count: int, sizes: list[int]) -> None:
    assert [len(names) for names in chunk([f"s{i}@trade" for i in range(count)])] == sizes


@given(st.lists(st.text(min_size=1, max_size=60), max_size=400))
def test_messages_hold_every_stream_in_order_and_stay_short(names: list[str]) -> None:
    parts = chunk(names)
    assert [name for part in parts for name in part] == names
    assert all(len(part) <= STREAMS_PER_MESSAGE_MAX for part in parts)
    assert all(len(encode(Message(10**9, False, part), 0)) <= MESSAGE_BYTES_MAX for part in parts)


def test_a_message_says_what_the_venue_documents() -> None:
    sent = msgspec.json.decode(encode(Message(7, True, ("btcusdt@trade",)), 0))
    assert sent == {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 7}
    assert msgspec.json.decode(encode(Message(8, False, ("a",)), 0))["method"] == "UNSUBSCRIBE"
