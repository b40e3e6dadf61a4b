"""Which streams carry what, how they are spread over sockets, and the messages that ask for them.

Sources: "WebSocket Limits" and "Live Subscribing/Unsubscribing to streams" of
https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams , and for the paths of USD-M
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams (since 2026-04-23 the old
root acknowledges and then says nothing).
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from heliograph.model.market import Channel
from heliograph.venues.contract import Connection, Subscription

STREAMS_PER_MESSAGE_MAX: Final = 100
MESSAGE_BYTES_MAX: Final = 4000
"""A message of more than 4088 bytes is never answered.

Source: https://github.com/binance/binance-connector-rust/issues/27 (undocumented by the venue).
"""


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
    wanted: dict[str, dict[str, dict[Subscription, int]]] = {}  # path, instrument, subscription: streams there
    for subscription in subscriptions:
        for path, _ in names_of(subscription, paths):
            of_instrument = wanted.setdefault(path, {}).setdefault(subscription.instrument.id, {})
            of_instrument[subscription] = sum(1 for p, _ in names_of(subscription, paths) if p == path)
    connections: list[Connection] = []
    for path, instruments in wanted.items():
        carried: list[Subscription] = []
        streams = members = 0
        for of_instrument in instruments.values():
            if carried and (members == instruments_max or streams + sum(of_instrument.values()) > streams_max):
                connections.append(Connection(path, tuple(carried)))
                carried, streams, members = [], 0, 0
            members += 1
            for subscription, count in of_instrument.items():
                if streams + count > streams_max:
                    connections.append(Connection(path, tuple(carried)))
                    carried, streams, members = [], 0, 1
                carried.append(subscription)
                streams += count
        connections.append(Connection(path, tuple(carried)))
    return connections


def messages(method: str, names: Iterable[str], first_id: int) -> list[bytes]:
    """Return the control messages that subscribe to streams, or end that, with ids counted up from `first_id`.

    Args:
        method: `SUBSCRIBE` or `UNSUBSCRIBE`.
        names: the streams.
        first_id: the first message's id.

    """
    chunks: list[list[str]] = []
    size = MESSAGE_BYTES_MAX
    for name in names:
        length = len(msgspec.json.encode(name)) + 1
        size += length
        if size > MESSAGE_BYTES_MAX or len(chunks[-1]) == STREAMS_PER_MESSAGE_MAX:
            chunks.append([])
            size = length + 80  # What is around the names.
        chunks[-1].append(name)
    return [
        msgspec.json.encode({"method": method, "params": chunk, "id": first_id + i}) for i, chunk in enumerate(chunks)
    ]
