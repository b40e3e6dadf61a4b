"""Which streams carry what, how they are spread over sockets, and the messages that ask for them.

Sources: "WebSocket Limits" and "Live Subscribing/Unsubscribing to streams" of
https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams , and for the paths of USD-M
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams (since 2026-04-23 the old
root acknowledges and then says nothing).
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from heliograph.model.market import Channel
from heliograph.venues.contract import Connection, Subscription
from heliograph.venues.spreading import chunks, spread
from heliograph.venues.subscribing import Message

STREAMS_PER_MESSAGE_MAX: Final = 100
MESSAGE_BYTES_MAX: Final = 4000
"""A message of more than 4088 bytes is never answered.

Source: https://github.com/binance/binance-connector-rust/issues/27 (undocumented by the venue).
"""
_AROUND: Final = 80
"""What is around the names."""


class Paths(msgspec.Struct, frozen=True):
    """Where a market serves its fast streams (depth and book top) and the rest; the same path on two of the markets."""

    fast: str
    rest: str


ONE_PATH: Final = Paths("/stream", "/stream")
SPLIT_PATHS: Final = Paths("/public/stream", "/market/stream")


def names_of(subscription: Subscription, paths: Paths) -> list[tuple[str, str]]:
    """Return the streams that carry a subscription, each with its path."""
    symbol = subscription.instrument.venue_symbol.lower()
    match subscription.channel:
        case Channel.CANDLES:
            assert subscription.interval is not None
            return [(paths.rest, f"{symbol}@kline_{subscription.interval.value}")]
        case Channel.TICKER:
            return [(paths.fast, f"{symbol}@bookTicker"), (paths.rest, f"{symbol}@ticker")]
        case Channel.TRADES:
            return [(paths.rest, f"{symbol}@aggTrade")]
        case Channel.BOOK:
            return [(paths.fast, f"{symbol}@depth@100ms")]


def streams_of(paths: Paths, path: str, subscription: Subscription) -> list[str]:
    """Return those of the streams that carry a subscription which are served at a path."""
    return [name for served_at, name in names_of(subscription, paths) if served_at == path]


def plan(
    paths: Paths, streams_max: int, subscriptions: Sequence[Subscription], instruments_max: int
) -> list[Connection]:
    """Spread subscriptions over sockets.

    All subscriptions of an instrument that share a path share a socket, unless they alone are more than it may carry.

    Args:
        paths: the market's paths.
        streams_max: streams of one socket.
        subscriptions: what is wanted; a repetition counts once.
        instruments_max: instruments of one socket, at least one.

    """
    return [
        Connection(path, carried)
        for path in dict.fromkeys(path for wanted in subscriptions for path, _ in names_of(wanted, paths))
        for carried in spread(subscriptions, instruments_max, partial(streams_of, paths, path), streams_max=streams_max)
    ]


def chunk(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Spread streams over control messages."""
    return chunks(names, count_max=STREAMS_PER_MESSAGE_MAX, size_of=_length, size_max=MESSAGE_BYTES_MAX - _AROUND)


def encode(message: Message[str], _now_ns: int) -> bytes:
    """Return the text of a control message."""
    method = "SUBSCRIBE" if message.subscribes else "UNSUBSCRIBE"
    return msgspec.json.encode({"method": method, "params": message.streams, "id": message.number})


def _length(name: str) -> int:
    return len(msgspec.json.encode(name)) + 1
