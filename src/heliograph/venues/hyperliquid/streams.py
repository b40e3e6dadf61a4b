"""Which streams carry what, how they are spread over sockets, and the messages that ask for them.

Sources: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions and
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/rate-limits-and-user-limits .
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from heliograph.model.market import Channel
from heliograph.venues.contract import Connection, Subscription
from heliograph.venues.spreading import spread
from heliograph.venues.subscribing import Message

PATH: Final = "/ws"
STREAMS_MAX: Final = 1000
"""Streams of one address, over all its sockets; so no socket can carry more."""
CONNECTIONS_MAX: Final = 5
"""Sockets of one market: the venue allows ten to an address, which both markets share."""


class Stream(NamedTuple):
    """What one subscription message asks for."""

    type: str
    coin: str
    interval: str = ""

    def message(self, method: str) -> bytes:
        """Return the control message.

        Args:
            method: `subscribe` or `unsubscribe`.

        """
        subscription = {"type": self.type, "coin": self.coin}
        if self.interval:
            subscription["interval"] = self.interval
        return msgspec.json.encode({"method": method, "subscription": subscription})


def streams_of(subscription: Subscription) -> list[Stream]:
    """Return the streams that carry a subscription.

    A ticker takes three: the context has no price of a last trade, so that comes of the trades themselves.
    """
    coin = subscription.instrument.venue_symbol
    match subscription.channel:
        case Channel.CANDLES:
            assert subscription.interval is not None
            return [Stream("candle", coin, subscription.interval.value)]
        case Channel.TICKER:
            return [Stream("bbo", coin), Stream("activeAssetCtx", coin), Stream("trades", coin)]
        case Channel.TRADES:
            return [Stream("trades", coin)]
        case Channel.BOOK:
            return [Stream("l2Book", coin)]


def plan(subscriptions: Sequence[Subscription], instruments_max: int) -> list[Connection]:
    """Spread subscriptions over sockets.

    All subscriptions of an instrument share a socket, unless they alone are more than it may carry. Where sockets of
    `instruments_max` would be more than the venue allows, they carry more instruments each instead.

    Args:
        subscriptions: what is wanted; a repetition counts once.
        instruments_max: instruments of one socket, at least one.

    """
    count = len({subscription.instrument.id for subscription in subscriptions})
    members_max = max(instruments_max, -(-count // CONNECTIONS_MAX))
    sockets = spread(subscriptions, members_max, streams_of, streams_max=STREAMS_MAX)
    return [Connection(PATH, carried) for carried in sockets]


def encode(message: Message[Stream], _now_ns: int) -> bytes:
    """Return the text of a control message, which names one stream."""
    (stream,) = message.streams
    return stream.message("subscribe" if message.subscribes else "unsubscribe")
