import json

import pytest

from heliograph.model.instrument import SPOT
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Connection, Subscription
from heliograph.venues.okx.instruments import SWAP, instrument_of_symbol
from heliograph.venues.okx.streams import (
    ARGS_PER_MESSAGE_MAX,
    BARS,
    BOOKS_MAX,
    BUSINESS,
    CHANNELS_MAX,
    PUBLIC,
    chunk,
    encode,
    plan,
    stream_of,
)
from heliograph.venues.subscribing import Message

BTC = instrument_of_symbol(SPOT, "BTC-USDT")


def wants(channel: Channel, symbol: str = "BTC-USDT", interval: Interval | None = None) -> Subscription:
    return Subscription(channel, instrument_of_symbol(SPOT, symbol), interval)


def many(channel: Channel, count: int) -> list[Subscription]:
    return [wants(channel, f"A{number}-USDT") for number in range(count)]


def sizes(connections: list[Connection]) -> list[int]:
    return [len(connection.subscriptions) for connection in connections]


@pytest.mark.parametrize(
    ("subscription", "path", "channel"),
    [
        (wants(Channel.CANDLES, interval=Interval.M1), BUSINESS, "candle1m"),
        (wants(Channel.CANDLES, interval=Interval.MO1), BUSINESS, "candle1Mutc"),
        (wants(Channel.TRADES), BUSINESS, "trades-all"),
        (wants(Channel.TICKER), PUBLIC, "tickers"),
        (wants(Channel.BOOK), PUBLIC, "books"),
    ],
)
def test_a_channel_is_where_the_venue_serves_it(subscription: Subscription, path: str, channel: str) -> None:
    assert stream_of(subscription) == (path, (channel, "BTC-USDT"))


def test_t31_whatever_opens_on_a_day_opens_on_utcs() -> None:
    long = {i: name for i, name in BARS.items() if i.length_ns is None or i.length_ns >= 6 * 3600 * 10**9}
    assert set(long) == set(Interval) - {*list(BARS)[:9], Interval.S10, Interval.H8}
    assert all(name.endswith("utc") for name in long.values())
    assert not any(name.endswith("utc") for i, name in BARS.items() if i not in long)


@pytest.mark.parametrize(("count", "expected"), [(BOOKS_MAX, [29]), (BOOKS_MAX + 1, [29, 1])])
def test_t30_books_are_less_than_thirty_a_socket(count: int, expected: list[int]) -> None:
    assert sizes(plan(many(Channel.BOOK, count), 1000)) == expected


@pytest.mark.parametrize(("count", "expected"), [(CHANNELS_MAX, [800]), (CHANNELS_MAX + 1, [800, 1])])
def test_t30_channels_of_a_socket_have_a_bound(count: int, expected: list[int]) -> None:
    assert sizes(plan(many(Channel.TRADES, count), 10_000)) == expected


@pytest.mark.parametrize(("count", "expected"), [(50, [50]), (51, [50, 1])])
def test_instruments_of_a_socket_are_bounded_by_the_settings(count: int, expected: list[int]) -> None:
    assert sizes(plan(many(Channel.TICKER, count), 50)) == expected


@pytest.mark.parametrize(("count", "expected"), [(100, [100]), (101, [100, 1])])
def test_t30_arguments_of_a_message_are_chunked(count: int, expected: list[int]) -> None:
    keys = [("tickers", f"A{number}-USDT") for number in range(count)]
    assert [len(part) for part in chunk(keys)] == expected
    assert ARGS_PER_MESSAGE_MAX == 100


def test_all_arguments_of_the_fullest_socket_are_less_than_64_kb() -> None:
    keys = [("candle12Hutc", f"{'A' * 20}-{'B' * 8}-261225") for _ in range(CHANNELS_MAX)]
    assert sum(len(encode(Message(1, True, part), 0)) for part in chunk(keys)) < 65_536


def test_books_and_the_rest_and_the_paths_have_sockets_of_their_own() -> None:
    wanted = [wants(Channel.BOOK), wants(Channel.TICKER), wants(Channel.TRADES), wants(Channel.TICKER)]
    assert plan(wanted, 50) == [
        Connection(PUBLIC, (wanted[0],)),
        Connection(PUBLIC, (wanted[1],)),
        Connection(BUSINESS, (wanted[2],)),
    ]


def test_a_message_says_what_the_venue_documents() -> None:
    key = stream_of(Subscription(Channel.CANDLES, instrument_of_symbol(SWAP, "btc-usdt-swap"), Interval.H1))[1]
    assert json.loads(encode(Message(1, False, (key,)), 0)) == {
        "id": "1",
        "op": "unsubscribe",
        "args": [{"channel": "candle1H", "instId": "BTC-USDT-SWAP"}],
    }
