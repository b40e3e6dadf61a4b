"""Which channels carry what, how they are spread over sockets, and the messages that ask for them.

Sources: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview and
https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels .
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Connection, Subscription
from heliograph.venues.spreading import chunks, spread
from heliograph.venues.subscribing import Message

Stream = tuple[str, str]
"""A channel, and the product; heartbeats are of none."""

HEARTBEATS: Final[Stream] = ("heartbeats", "")
STREAMED: Final = Interval.M5
"""The one length of candles that the socket has; the others are REST's alone."""
STREAMS_MAX: Final = 200
"""Of one socket. No bound is documented; books are large, and one connection's numbers hold all its books together."""
PRODUCTS_MAX: Final = 50
"""Products of one message; likewise."""

_CHANNELS: Final = {Channel.TICKER: "ticker", Channel.TRADES: "market_trades", Channel.BOOK: "level2"}


def streams_of(subscription: Subscription) -> list[Stream]:
    """Return the streams that carry a subscription; none where only REST has it.

    Heartbeats are among them: most channels close after a minute or so without an update, unless hearts beat.
    """
    product = subscription.instrument.venue_symbol
    if subscription.channel is not Channel.CANDLES:
        return [(_CHANNELS[subscription.channel], product), HEARTBEATS]
    return [("candles", product), HEARTBEATS] if subscription.interval is STREAMED else []


def plan(subscriptions: Sequence[Subscription], instruments_max: int) -> list[Connection]:
    """Spread subscriptions over sockets.

    Args:
        subscriptions: what is wanted; a repetition counts once.
        instruments_max: instruments of one socket, at least one.

    """
    sockets = spread(subscriptions, instruments_max, streams_of, streams_max=STREAMS_MAX)
    return [Connection("", carried) for carried in sockets]


def chunk(streams: Sequence[Stream]) -> list[tuple[Stream, ...]]:
    """Spread streams over messages, each of which names one channel."""
    channels = dict.fromkeys(channel for channel, _ in streams)
    return [
        part
        for channel in channels
        for part in chunks([stream for stream in streams if stream[0] == channel], count_max=PRODUCTS_MAX)
    ]


def encode(message: Message[Stream], _now_ns: int) -> bytes:
    """Return the text of a control message."""
    content: dict[str, object] = {"type": "subscribe" if message.subscribes else "unsubscribe"}
    products = [product for _, product in message.streams if product]
    if products:
        content["product_ids"] = products
    return msgspec.json.encode({**content, "channel": message.streams[0][0]})
