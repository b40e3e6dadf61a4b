import json

from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Subscription
from heliograph.venues.kraken.instruments import instrument_of_symbol
from heliograph.venues.kraken.streams import MINUTES, SYMBOLS_MAX, Stream, chunk, encode, plan, streams_of
from heliograph.venues.subscribing import Message

BTC, ETH = instrument_of_symbol("BTC/USD"), instrument_of_symbol("ETH/USD")


def candles(*pairs: tuple[str, Interval]) -> list[Subscription]:
    return [Subscription(Channel.CANDLES, instrument_of_symbol(symbol), interval) for symbol, interval in pairs]


def test_each_channel_has_its_stream() -> None:
    assert streams_of(Subscription(Channel.CANDLES, BTC, Interval.H4)) == [Stream("ohlc", "BTC/USD", 240)]
    told = {c: streams_of(Subscription(c, BTC)) for c in (Channel.TICKER, Channel.TRADES, Channel.BOOK)}
    assert [stream.channel for streams in told.values() for stream in streams] == ["ticker", "trade", "book"]


def test_no_socket_has_two_intervals_of_an_instrument() -> None:
    wanted = candles(
        ("BTC/USD", Interval.M1), ("BTC/USD", Interval.M5), ("ETH/USD", Interval.M5), ("BTC/USD", Interval.H1)
    )
    wanted += [Subscription(Channel.BOOK, BTC), *wanted]
    planned = plan(wanted, 100)
    assert [[(s.instrument.venue_symbol, s.interval) for s in c.subscriptions] for c in planned] == [
        [("BTC/USD", Interval.M1), ("BTC/USD", None), ("ETH/USD", Interval.M5)],
        [("BTC/USD", Interval.M5)],
        [("BTC/USD", Interval.H1)],
    ]
    assert {connection.path for connection in planned} == {"/v2"}


def test_sockets_carry_so_many_instruments() -> None:
    assert len(plan(candles(*((f"C{n}/USD", Interval.M1) for n in range(7))), 3)) == 3
    assert plan([], 3) == []


def test_a_message_names_one_channel_and_so_many_symbols() -> None:
    streams = [Stream("ohlc", f"C{n}/USD", 1) for n in range(SYMBOLS_MAX + 1)]
    made = chunk([*streams, Stream("ohlc", "BTC/USD", 5), Stream("book", "BTC/USD")])
    assert [len(message) for message in made] == [SYMBOLS_MAX, 1, 1, 1]


def test_messages_say_what_the_channel_needs() -> None:
    told = [
        json.loads(encode(Message(7, subscribes, (stream,)), 0))
        for stream in (Stream("ohlc", "BTC/USD", 5), Stream("book", "BTC/USD"), Stream("ticker", "BTC/USD"))
        for subscribes in (True, False)
    ]
    assert told[0] == {
        "method": "subscribe",
        "params": {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 5, "snapshot": True},
        "req_id": 7,
    }
    assert told[1]["params"] == {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 5}
    assert (told[2]["params"]["depth"], told[3]["params"]["depth"]) == (25, 25)
    assert told[4]["params"]["event_trigger"] == "bbo"


def test_intervals_whose_grid_is_not_documented_are_left_out() -> None:
    assert set(MINUTES.values()) == {1, 5, 15, 30, 60, 240, 1440}
