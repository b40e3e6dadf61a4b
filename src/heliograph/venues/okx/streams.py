"""Which channels carry what, how they are spread over sockets, and the messages that ask for them.

Sources: "Connect", "Subscribe" and "Connection count limit" of https://www.okx.com/docs-v5/en/#overview-websocket ;
"Candlesticks channel" of https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-candlesticks-channel .
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Connection, Subscription
from heliograph.venues.okx.frames import RawArg

PUBLIC: Final = "/ws/v5/public"
BUSINESS: Final = "/ws/v5/business"

ARGS_PER_MESSAGE_MAX: Final = 100
"""Ours: some 8 KB, of the 64 KB that the venue allows for all channels of a connection together."""
CHANNELS_MAX: Final = 800
"""Channels of one socket: 64 KB of arguments of at most 80 bytes."""
BOOKS_MAX: Final = 29
"""Books of one socket: the venue recommends less than 30 channels of so many levels."""
REQUESTS_PER_HOUR_MAX: Final = 480
"""Subscribe, unsubscribe and login messages of one socket."""

BARS: Final[Mapping[Interval, str]] = {
    Interval.S1: "1s",
    Interval.M1: "1m",
    Interval.M3: "3m",
    Interval.M5: "5m",
    Interval.M15: "15m",
    Interval.M30: "30m",
    Interval.H1: "1H",
    Interval.H2: "2H",
    Interval.H4: "4H",
    Interval.H6: "6Hutc",
    Interval.H12: "12Hutc",
    Interval.D1: "1Dutc",
    Interval.D2: "2Dutc",
    Interval.D3: "3Dutc",
    Interval.W1: "1Wutc",
    Interval.MO1: "1Mutc",
    Interval.MO3: "3Mutc",
}
"""The venue's names of intervals. From six hours on, the names without `utc` open on Hong Kong's days."""

Key = tuple[str, str]
"""A channel and an instrument, by the venue's names."""


def stream_of(subscription: Subscription) -> tuple[str, Key]:
    """Return the path and the channel that carry a subscription."""
    symbol = subscription.instrument.venue_symbol
    match subscription.channel:
        case Channel.CANDLES:
            assert subscription.interval is not None
            return BUSINESS, (f"candle{BARS[subscription.interval]}", symbol)
        case Channel.TICKER:
            return PUBLIC, ("tickers", symbol)
        case Channel.TRADES:
            return BUSINESS, ("trades-all", symbol)
        case Channel.BOOK:
            return PUBLIC, ("books", symbol)


def plan(subscriptions: Sequence[Subscription], instruments_max: int) -> list[Connection]:
    """Spread subscriptions over sockets; books have their own.

    Args:
        subscriptions: what is wanted; a repetition counts once.
        instruments_max: instruments of one socket, at least one.

    """
    kinds: dict[tuple[str, bool], dict[str, dict[Subscription, None]]] = {}  # what goes together, by instrument
    for subscription in subscriptions:
        kind = (stream_of(subscription)[0], subscription.channel is Channel.BOOK)
        kinds.setdefault(kind, {}).setdefault(subscription.instrument.id, {})[subscription] = None
    connections: list[Connection] = []
    for (path, books), instruments in kinds.items():
        channels_max = BOOKS_MAX if books else CHANNELS_MAX
        carried: list[Subscription] = []
        members = 0
        for of_instrument in instruments.values():
            if carried and (members == instruments_max or len(carried) + len(of_instrument) > channels_max):
                connections.append(Connection(path, tuple(carried)))
                carried, members = [], 0
            members += 1
            carried.extend(of_instrument)
        connections.append(Connection(path, tuple(carried)))
    return connections


class Message(msgspec.Struct, frozen=True):
    """A control message: what it asks, and its text."""

    id: str
    keys: tuple[Key, ...]
    subscribes: bool
    payload: bytes


def messages(operation: str, keys: Iterable[Key], first_id: int) -> list[Message]:
    """Return the control messages that subscribe to channels, or end that, with ids counted up from `first_id`.

    Args:
        operation: `subscribe` or `unsubscribe`.
        keys: the channels.
        first_id: the first message's id.

    """
    wanted = list(keys)
    made: list[Message] = []
    for start in range(0, len(wanted), ARGS_PER_MESSAGE_MAX):
        chunk = tuple(wanted[start : start + ARGS_PER_MESSAGE_MAX])
        name = str(first_id + len(made))
        args = [RawArg(channel, symbol) for channel, symbol in chunk]
        payload = msgspec.json.encode({"id": name, "op": operation, "args": args})
        made.append(Message(name, chunk, operation == "subscribe", payload))
    return made
