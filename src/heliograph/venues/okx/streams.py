"""Which channels carry what, how they are spread over sockets, and the messages that ask for them.

Sources: "Connect", "Subscribe" and "Connection count limit" of https://www.okx.com/docs-v5/en/#overview-websocket ;
"Candlesticks channel" of https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-candlesticks-channel .
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Connection, Subscription
from heliograph.venues.okx.frames import RawArg
from heliograph.venues.spreading import chunks, spread
from heliograph.venues.subscribing import Message

PUBLIC: Final = "/ws/v5/public"
BUSINESS: Final = "/ws/v5/business"
BOOKS: Final = "books"

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


def streams_of(path: str, subscription: Subscription) -> list[Key]:
    """Return the channel that carries a subscription, if it is served at a path."""
    served_at, key = stream_of(subscription)
    return [key] if served_at == path else []


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
            return PUBLIC, (BOOKS, symbol)


def plan(subscriptions: Sequence[Subscription], instruments_max: int) -> list[Connection]:
    """Spread subscriptions over sockets; books have their own.

    Args:
        subscriptions: what is wanted; a repetition counts once.
        instruments_max: instruments of one socket, at least one.

    """
    kinds: dict[tuple[str, bool], list[Subscription]] = {}  # what goes together
    for subscription in subscriptions:
        kinds.setdefault((stream_of(subscription)[0], subscription.channel is Channel.BOOK), []).append(subscription)
    return [
        Connection(path, carried)
        for (path, books), wanted in kinds.items()
        for carried in spread(
            wanted, instruments_max, partial(streams_of, path), streams_max=BOOKS_MAX if books else CHANNELS_MAX
        )
    ]


def chunk(keys: Sequence[Key]) -> list[tuple[Key, ...]]:
    """Spread channels over control messages."""
    return chunks(keys, count_max=ARGS_PER_MESSAGE_MAX)


def encode(message: Message[Key], _now_ns: int) -> bytes:
    """Return the text of a control message."""
    args = [RawArg(channel, symbol) for channel, symbol in message.streams]
    operation = "subscribe" if message.subscribes else "unsubscribe"
    return msgspec.json.encode({"id": str(message.number), "op": operation, "args": args})
