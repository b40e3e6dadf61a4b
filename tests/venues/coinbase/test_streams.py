import json

from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.coinbase.instruments import instrument_of_symbol
from heliograph.venues.coinbase.streams import HEARTBEATS, PRODUCTS_MAX, STREAMS_MAX, chunk, encode, plan, streams_of
from heliograph.venues.contract import Subscription
from heliograph.venues.subscribing import Message

BTC = instrument_of_symbol("BTC-USD")


def test_each_channel_has_its_stream_and_hearts_beat_with_it() -> None:
    told = {channel: streams_of(Subscription(channel, BTC)) for channel in Channel if channel is not Channel.CANDLES}
    assert told == {
        Channel.TICKER: [("ticker", "BTC-USD"), HEARTBEATS],
        Channel.TRADES: [("market_trades", "BTC-USD"), HEARTBEATS],
        Channel.BOOK: [("level2", "BTC-USD"), HEARTBEATS],
    }


def test_candles_of_five_minutes_are_streamed_and_no_others() -> None:
    for interval in Interval:
        streams = streams_of(Subscription(Channel.CANDLES, BTC, interval))
        assert streams == ([("candles", "BTC-USD"), HEARTBEATS] if interval is Interval.M5 else [])


def test_a_socket_has_a_bound() -> None:
    instruments = [instrument_of_symbol(f"C{i}-USD") for i in range(120)]
    wanted = [Subscription(channel, i) for i in instruments for channel in (Channel.TICKER, Channel.TRADES)]
    sockets = plan(wanted, 1000)
    assert [len(socket.subscriptions) for socket in sockets] == [198, 42]
    assert all(socket.path == "" for socket in sockets)
    assert STREAMS_MAX == 200
    assert len(plan(wanted, 50)) == 3


def test_a_message_names_one_channel_and_so_many_products() -> None:
    streams = [("ticker", f"C{i}-USD") for i in range(PRODUCTS_MAX + 1)]
    messages = chunk([streams[0], HEARTBEATS, *streams[1:]])
    assert [(part[0][0], len(part)) for part in messages] == [("ticker", 50), ("ticker", 1), ("heartbeats", 1)]


def test_messages_are_as_documented() -> None:
    subscribe = encode(Message(1, True, (("level2", "ETH-USD"), ("level2", "BTC-USD"))), 0)
    assert json.loads(subscribe) == {"type": "subscribe", "product_ids": ["ETH-USD", "BTC-USD"], "channel": "level2"}
    assert json.loads(encode(Message(2, False, (HEARTBEATS,)), 0)) == {"type": "unsubscribe", "channel": "heartbeats"}
