"""Which topics carry what, how they are spread over sockets, and the messages that ask for them.

Sources: https://bybit-exchange.github.io/docs/v5/ws/connect (arguments and heartbeat) and the pages of the topics below
https://bybit-exchange.github.io/docs/v5/websocket/public .
"""

import enum
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Connection, Subscription
from heliograph.venues.spreading import chunks, spread
from heliograph.venues.subscribing import Message

ARGS_CHARACTERS_MAX: Final = 21_000
"""Of the `args` of one public connection, all of its requests together."""
BOOK_DEPTH: Final = 200
TOP_DEPTH: Final = 1
TOPICS_REMEMBERED_MAX: Final = 50_000
PING: Final = b'{"op":"ping"}'

INTERVALS: Final = {
    "1": Interval.M1,
    "3": Interval.M3,
    "5": Interval.M5,
    "15": Interval.M15,
    "30": Interval.M30,
    "60": Interval.H1,
    "120": Interval.H2,
    "240": Interval.H4,
    "360": Interval.H6,
    "720": Interval.H12,
    "D": Interval.D1,
    "W": Interval.W1,
    "M": Interval.MO1,
}
INTERVAL_NAMES: Final = {interval: name for name, interval in INTERVALS.items()}


class Kind(enum.Enum):
    """What a topic carries."""

    KLINES = "kline"
    TRADES = "publicTrade"
    TICKERS = "tickers"
    BOOKS = "orderbook"


class Topic(NamedTuple):
    """A topic's parts: `interval` is of klines only, `depth` of books only (else 0)."""

    kind: Kind
    symbol: str
    interval: Interval | None
    depth: int


SILENT: Final = frozenset(
    {
        "liquidation", "allLiquidation", "insurance", "priceLimit", "adlAlert", "system", "kline_lt", "tickers_lt",
        "lt", "execution", "order", "position", "wallet", "greeks", "dcp", "spread", "rfq",
    }
)  # fmt: skip
"""First words of topics that are documented and of which market data has no use, those of private sockets among them.

`orderbook.rpi.…` is another: a second book of the same symbol.
"""


class Topics(dict[str, Topic]):
    """What is known of topics, by their text; where every topic is welcome, read as they turn up.

    Args:
        all_welcome: whether it is so.

    """

    def __init__(self, *, all_welcome: bool) -> None:
        super().__init__()
        self._all_welcome = all_welcome

    def __missing__(self, text: str) -> Topic:
        """Read the topic, or raise `KeyError` or `ValueError`."""
        if not self._all_welcome:
            raise KeyError(text)
        topic = parse_topic(text)
        if len(self) >= TOPICS_REMEMBERED_MAX:
            self.clear()
        self[text] = topic
        return topic


def parse_topic(text: str) -> Topic:
    """Read a topic; raise `KeyError` or `ValueError` if it is none of ours."""
    parts = text.split(".")
    kind = Kind(parts[0])
    if kind in (Kind.TRADES, Kind.TICKERS) and len(parts) == 2:
        return Topic(kind, parts[1], None, 0)
    if kind is Kind.KLINES and len(parts) == 3:
        return Topic(kind, parts[2], INTERVALS[parts[1]], 0)
    if kind is Kind.BOOKS and len(parts) == 3 and parts[1].isascii() and parts[1].isdigit() and len(parts[1]) < 6:
        return Topic(kind, parts[2], None, int(parts[1]))
    raise ValueError(f"a topic that is not documented: {text[:50]!r}")


def topics_of(subscription: Subscription, *, top_in_book: bool) -> list[str]:
    """Return the topics that carry a subscription.

    Args:
        subscription: what is wanted.
        top_in_book: whether the best bid and ask are in a book of one level only, since tickers do not have them.

    """
    symbol = subscription.instrument.venue_symbol
    match subscription.channel:
        case Channel.CANDLES:
            assert subscription.interval is not None
            return [f"kline.{INTERVAL_NAMES[subscription.interval]}.{symbol}"]
        case Channel.TICKER:
            top = [f"orderbook.{TOP_DEPTH}.{symbol}"] if top_in_book else []
            return [f"tickers.{symbol}", *top]
        case Channel.TRADES:
            return [f"publicTrade.{symbol}"]
        case Channel.BOOK:
            return [f"orderbook.{BOOK_DEPTH}.{symbol}"]


def plan(
    path: str, topics_max: int, subscriptions: Sequence[Subscription], instruments_max: int, *, top_in_book: bool
) -> list[Connection]:
    """Spread subscriptions over sockets.

    All subscriptions of an instrument share a socket, unless they alone are more than it may carry.

    Args:
        path: the market's.
        topics_max: topics of one socket.
        subscriptions: what is wanted; a repetition counts once.
        instruments_max: instruments of one socket, at least one.
        top_in_book: see `topics_of`.

    """
    sockets = spread(
        subscriptions,
        instruments_max,
        partial(topics_of, top_in_book=top_in_book),
        streams_max=topics_max,
        size_of=_length,
        size_max=ARGS_CHARACTERS_MAX - 1,
    )
    return [Connection(path, carried) for carried in sockets]


def characters(topics: Sequence[str]) -> int:
    """Return the length of the `args` that hold these topics, brackets, quotes and commas counted."""
    return len(msgspec.json.encode(topics).decode()) if topics else 2


def chunk(topics: Sequence[str], args_max: int | None) -> list[tuple[str, ...]]:
    """Spread topics over requests.

    Args:
        topics: what to ask for, or to give up.
        args_max: arguments of one request; None where only their characters are bounded.

    """
    return chunks(topics, count_max=args_max, size_of=_length, size_max=ARGS_CHARACTERS_MAX - 1)


def encode(message: Message[str], _now_ns: int) -> bytes:
    """Return the text of a control message."""
    operation = "subscribe" if message.subscribes else "unsubscribe"
    return msgspec.json.encode({"op": operation, "req_id": str(message.number), "args": message.streams})


def _length(topic: str) -> int:
    return characters([topic]) - 1  # With its comma, or the bracket at the end.
