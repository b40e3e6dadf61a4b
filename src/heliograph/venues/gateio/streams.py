"""Which streams carry what, how they are spread over sockets, and the messages that ask for them.

Sources: https://www.gate.com/docs/developers/apiv4/ws/en/ and https://www.gate.com/docs/developers/futures/ws/en/ .
Neither bounds the streams of a socket; who reads too slowly is cut off
(https://github.com/gateio/gatews/issues/25, an answer of the venue's staff).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Connection, Subscription
from heliograph.venues.spreading import spread
from heliograph.venues.subscribing import Message

STREAMS_PER_CONNECTION_MAX: Final = 500
"""Ours: the venue names none."""

FUTURES_LEVELS: Final = 100
"""Levels on each side of a contract's book: the most that changes are told of, and as many as a snapshot may have.

With more in the snapshot than in the changes, those beyond would stand for ever.

Source: https://www.gate.com/docs/developers/futures/ws/en/ ("How to maintain local order book", the notes)
"""


class Stream(NamedTuple):
    """One channel with the arguments of one subscription to it."""

    channel: str
    payload: tuple[str, ...]


class Wire(msgspec.Struct, frozen=True):
    """How a market's streams are called."""

    prefix: str
    """`spot` or `futures`."""
    path: str
    """Of the socket."""
    lengths: Mapping[Interval, str]
    """Gate's names of the lengths of candles."""


def streams_of(subscription: Subscription, wire: Wire) -> list[Stream]:
    """Return the streams that carry a subscription.

    Each has one symbol: a request that names several fails as a whole, and names no more than one of those at fault.
    """
    symbol = subscription.instrument.venue_symbol
    match subscription.channel:
        case Channel.CANDLES:
            assert subscription.interval is not None
            return [Stream(f"{wire.prefix}.candlesticks", (wire.lengths[subscription.interval], symbol))]
        case Channel.TICKER:
            return [Stream(f"{wire.prefix}.{name}", (symbol,)) for name in ("book_ticker", "tickers")]
        case Channel.TRADES:
            return [Stream(f"{wire.prefix}.trades", (symbol,))]
        case Channel.BOOK:
            levels = () if wire.prefix == "spot" else (str(FUTURES_LEVELS),)
            return [Stream(f"{wire.prefix}.order_book_update", (symbol, "100ms", *levels))]


def plan(wire: Wire, streams_max: int, subscriptions: Sequence[Subscription], instruments_max: int) -> list[Connection]:
    """Spread subscriptions over sockets.

    All subscriptions of an instrument share a socket, unless they alone are more than it may carry.

    Args:
        wire: the market's.
        streams_max: streams of one socket.
        subscriptions: what is wanted; a repetition counts once.
        instruments_max: instruments of one socket, at least one.

    """
    sockets = spread(subscriptions, instruments_max, partial(streams_of, wire=wire), streams_max=streams_max)
    return [Connection(wire.path, carried) for carried in sockets]


def encode(message: Message[Stream], now_ns: int) -> bytes:
    """Return the text of a control message, which names one stream."""
    (stream,) = message.streams
    return msgspec.json.encode(
        {
            "time": now_ns // NS_PER_S,
            "id": message.number,
            "channel": stream.channel,
            "event": "subscribe" if message.subscribes else "unsubscribe",
            "payload": stream.payload,
        }
    )


def ping(wire: Wire, time_s: int) -> bytes:
    """Return the message that keeps a quiet socket alive."""
    return msgspec.json.encode({"time": time_s, "channel": f"{wire.prefix}.ping"})
