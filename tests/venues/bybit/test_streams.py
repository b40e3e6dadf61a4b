"""Topics, sockets and requests."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.instrument import Instrument, MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.bybit import VENUE
from heliograph.venues.bybit.streams import (
    ARGS_CHARACTERS_MAX,
    INTERVALS,
    Kind,
    Topic,
    Topics,
    characters,
    chunk,
    encode,
    parse_topic,
    plan,
    topics_of,
)
from heliograph.venues.contract import Connection, Subscription
from heliograph.venues.subscribing import Message

PATH = "/v5/public/linear"


def instrument(symbol: str) -> Instrument:
    return Instrument(VenueId("bybit"), MarketId("linear"), symbol)


BTC = instrument("BTCUSDT")
CANDLES = Subscription(Channel.CANDLES, BTC, Interval.H4)
TICKER = Subscription(Channel.TICKER, BTC)
TRADES = Subscription(Channel.TRADES, BTC)
BOOK = Subscription(Channel.BOOK, BTC)


def carried(connection: Connection, *, top_in_book: bool = False) -> list[str]:
    return [topic for s in connection.subscriptions for topic in topics_of(s, top_in_book=top_in_book)]


def test_each_channel_has_its_topic_and_the_ticker_of_spot_has_two() -> None:
    assert [topics_of(s, top_in_book=False) for s in (CANDLES, TICKER, TRADES, BOOK)] == [
        ["kline.240.BTCUSDT"],
        ["tickers.BTCUSDT"],
        ["publicTrade.BTCUSDT"],
        ["orderbook.200.BTCUSDT"],
    ]
    assert topics_of(TICKER, top_in_book=True) == ["tickers.BTCUSDT", "orderbook.1.BTCUSDT"]


def test_t31_every_interval_of_the_venue_is_known_by_its_name() -> None:
    assert " ".join(INTERVALS) == "1 3 5 15 30 60 120 240 360 720 D W M"
    assert " ".join(INTERVALS.values()) == "1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d 1w 1M"


@pytest.mark.parametrize("interval", INTERVALS.values())
def test_a_topic_reads_back(interval: Interval) -> None:
    (text,) = topics_of(Subscription(Channel.CANDLES, BTC, interval), top_in_book=False)
    assert parse_topic(text) == Topic(Kind.KLINES, "BTCUSDT", interval, 0)


def test_books_have_a_depth_and_symbols_may_have_a_date() -> None:
    assert parse_topic("orderbook.1.BTCUSDT") == Topic(Kind.BOOKS, "BTCUSDT", None, 1)
    assert parse_topic("publicTrade.BTCUSDT-26DEC25") == Topic(Kind.TRADES, "BTCUSDT-26DEC25", None, 0)


@pytest.mark.parametrize(
    "text",
    ["", "kline", "kline.1", "kline.7.BTCUSDT", "kline.1.BTC.USDT", "tickers", "tickers.A.B", "orderbook.rpi.BTCUSDT",
     "orderbook.-1.BTCUSDT", "orderbook.²00.BTCUSDT", "orderbook.1000000.A", "execution", "Kline.1.A"],
)  # fmt: skip
def test_what_is_no_topic_of_ours_is_refused(text: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        parse_topic(text)
    with pytest.raises((KeyError, ValueError)):
        Topics(all_welcome=True)[text]


def test_topics_are_remembered_only_where_all_are_welcome() -> None:
    welcome, closed = Topics(all_welcome=True), Topics(all_welcome=False)
    assert welcome["tickers.X"] is welcome["tickers.X"]
    with pytest.raises(KeyError):
        closed["tickers.X"]


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (50, [50]), (51, [50, 1]), (101, [50, 50, 1])])
def test_m14_a_socket_carries_so_many_instruments_and_the_next_takes_the_rest(count: int, sizes: list[int]) -> None:
    wanted = [Subscription(Channel.TRADES, instrument(f"S{i}")) for i in range(count)]
    assert [len(c.subscriptions) for c in plan(PATH, 500, wanted, 50, top_in_book=False)] == sizes


@pytest.mark.parametrize(("count", "sockets"), [(10, 1), (11, 2), (20, 2), (21, 3)])
def test_t30_a_socket_carries_no_more_topics_than_its_bound(count: int, sockets: int) -> None:
    wanted = [Subscription(Channel.TRADES, instrument(f"S{i}")) for i in range(count)]
    assert len(plan(PATH, 10, wanted, 1000, top_in_book=False)) == sockets


def test_t30_a_socket_carries_21000_characters_of_arguments_and_not_one_more() -> None:
    def wanted(last: int) -> list[Subscription]:
        sizes = [188] * 104 + [last]  # of whole topics; quotes and a comma make each longer by three
        return [Subscription(Channel.TRADES, instrument(f"{i:03}" + "X" * (size - 15))) for i, size in enumerate(sizes)]

    room = ARGS_CHARACTERS_MAX - 1 - 104 * 191 - 3
    (full,) = plan(PATH, 500, wanted(room), 500, top_in_book=False)
    assert characters(carried(full)) == ARGS_CHARACTERS_MAX
    assert [len(c.subscriptions) for c in plan(PATH, 500, wanted(room + 1), 500, top_in_book=False)] == [104, 1]


def test_an_instrument_with_more_topics_than_a_socket_may_carry_is_spread() -> None:
    wanted = [Subscription(Channel.CANDLES, BTC, interval) for interval in INTERVALS.values()]
    connections = plan(PATH, 4, wanted, 50, top_in_book=False)
    assert [len(c.subscriptions) for c in connections] == [4, 4, 4, 1]


SUBSCRIPTIONS = st.builds(
    lambda channel, number, interval: Subscription(
        channel, instrument(f"S{number}"), interval if channel is Channel.CANDLES else None
    ),
    st.sampled_from(Channel),
    st.integers(0, 30),
    st.sampled_from([Interval.M1, Interval.H1]),
)


@given(st.lists(SUBSCRIPTIONS), st.integers(1, 12), st.integers(2, 40), st.booleans())
def test_a_plan_carries_each_topic_once_within_all_bounds(
    wanted: list[Subscription], instruments_max: int, topics_max: int, top_in_book: bool
) -> None:
    connections = plan(PATH, topics_max, wanted, instruments_max, top_in_book=top_in_book)
    topics = [topic for c in connections for topic in carried(c, top_in_book=top_in_book)]
    assert len(topics) == len(set(topics))
    assert set(topics) == {topic for s in wanted for topic in topics_of(s, top_in_book=top_in_book)}
    for connection in connections:
        mine = carried(connection, top_in_book=top_in_book)
        assert connection.path == PATH
        assert 1 <= len(mine) <= topics_max
        assert characters(mine) <= ARGS_CHARACTERS_MAX
        assert len({s.instrument.id for s in connection.subscriptions}) <= instruments_max


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (10, [10]), (11, [10, 1]), (20, [10, 10])])
def test_t30_a_request_of_spot_holds_ten_arguments(count: int, sizes: list[int]) -> None:
    assert [len(c) for c in chunk([f"publicTrade.S{i}" for i in range(count)], 10)] == sizes


def test_t30_a_request_holds_21000_characters_and_not_one_more() -> None:
    def topics(last: int) -> list[str]:
        return ["x" * 197] * 104 + ["x" * last]

    room = ARGS_CHARACTERS_MAX - 1 - 104 * 200 - 3
    (full,) = chunk(topics(room), None)
    assert len(msgspec.json.encode(full)) == ARGS_CHARACTERS_MAX
    assert [len(c) for c in chunk(topics(room + 1), None)] == [104, 1]


@given(st.lists(st.text(min_size=1, max_size=60), max_size=500), st.none() | st.integers(1, 20))
def test_requests_hold_every_topic_in_order(topics: list[str], args_max: int | None) -> None:
    made = chunk(topics, args_max)
    assert [topic for part in made for topic in part] == topics
    assert all(part and (args_max is None or len(part) <= args_max) for part in made)
    assert all(characters(part) <= ARGS_CHARACTERS_MAX for part in made)


def test_a_request_says_what_and_which() -> None:
    sent: Any = msgspec.json.decode(encode(Message(7, True, ("tickers.BTCUSDT",)), 0))
    assert sent == {"op": "subscribe", "req_id": "7", "args": ["tickers.BTCUSDT"]}


def test_the_markets_spread_their_own_paths() -> None:
    paths = {
        name: [c.path for c in market.plan([Subscription(Channel.TICKER, market.instrument("BTCUSD"))], 50)]
        for name, market in VENUE.markets.items()
        if name != "linear"
    }
    assert paths == {"spot": ["/v5/public/spot"], "inverse": ["/v5/public/inverse"]}
    linear = VENUE.markets[MarketId("linear")]
    assert [c.path for c in linear.plan([TICKER], 50)] == ["/v5/public/linear"]
