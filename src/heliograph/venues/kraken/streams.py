"""Which streams carry what, how they are spread over sockets, and the messages that ask for them.

A connection has one interval of an instrument's candles (undocumented, seen 2026-07-04): the second is refused with
"Already subscribed to one ohlc interval on this symbol". So each further interval goes to another socket.

Sources: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ohlc and the pages beside it.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Connection, Subscription
from heliograph.venues.spreading import chunks, spread
from heliograph.venues.subscribing import Message

PATH: Final = "/v2"
STREAMS_MAX: Final = 500
"""Streams of one socket. No limit is documented; 300 symbols were seen on one."""
SYMBOLS_MAX: Final = 100
"""Symbols of one message; no limit is documented."""
BOOK_DEPTH: Final = 25
"""Levels of each side: the least that has the twenty that are published. Of these the checksum proves ten."""
PING: Final = b'{"method":"ping"}'

MINUTES: Final = {
    Interval.M1: 1,
    Interval.M5: 5,
    Interval.M15: 15,
    Interval.M30: 30,
    Interval.H1: 60,
    Interval.H4: 240,
    Interval.D1: 1440,
}
"""There are candles of 7 and of 15 days too; on which day they begin is not documented."""
INTERVALS: Final = {minutes: interval for interval, minutes in MINUTES.items()}


class Stream(NamedTuple):
    """One channel of one symbol; candles also have their minutes."""

    channel: str
    symbol: str
    minutes: int = 0


def streams_of(subscription: Subscription) -> list[Stream]:
    """Return the stream that carries a subscription."""
    symbol = subscription.instrument.venue_symbol
    match subscription.channel:
        case Channel.CANDLES:
            assert subscription.interval is not None
            return [Stream("ohlc", symbol, MINUTES[subscription.interval])]
        case Channel.TICKER:
            return [Stream("ticker", symbol)]
        case Channel.TRADES:
            return [Stream("trade", symbol)]
        case Channel.BOOK:
            return [Stream("book", symbol)]


def plan(subscriptions: Sequence[Subscription], instruments_max: int) -> list[Connection]:
    """Spread subscriptions over sockets.

    All subscriptions of an instrument share a socket, but for the candles of each interval beyond the first.

    Args:
        subscriptions: what is wanted; a repetition counts once.
        instruments_max: instruments of one socket, at least one.

    """
    intervals: dict[str, dict[Interval | None, int]] = {}
    layers: list[list[Subscription]] = [[]]
    for subscription in dict.fromkeys(subscriptions):
        layer = 0
        if subscription.channel is Channel.CANDLES:
            known = intervals.setdefault(subscription.instrument.id, {})
            layer = known.setdefault(subscription.interval, len(known))
        if layer == len(layers):
            layers.append([])
        layers[layer].append(subscription)
    spreads = (spread(layer, instruments_max, streams_of, streams_max=STREAMS_MAX) for layer in layers)
    return [Connection(PATH, carried) for sockets in spreads for carried in sockets]


def chunk(streams: Iterable[Stream]) -> list[tuple[Stream, ...]]:
    """Spread streams over messages, each of which names one channel."""
    groups: dict[tuple[str, int], list[Stream]] = {}
    for stream in streams:
        groups.setdefault((stream.channel, stream.minutes), []).append(stream)
    return [message for group in groups.values() for message in chunks(group, count_max=SYMBOLS_MAX)]


def encode(message: Message[Stream], _now_ns: int) -> bytes:
    """Return the text of a control message."""
    first = message.streams[0]
    params: dict[str, object] = {"channel": first.channel, "symbol": [stream.symbol for stream in message.streams]}
    if first.channel == "ohlc":
        params["interval"] = first.minutes
    elif first.channel == "book":
        params["depth"] = BOOK_DEPTH
    elif first.channel == "ticker":
        params["event_trigger"] = "bbo"
    if message.subscribes:
        params["snapshot"] = True
    method = "subscribe" if message.subscribes else "unsubscribe"
    return msgspec.json.encode({"method": method, "params": params, "req_id": message.number})
