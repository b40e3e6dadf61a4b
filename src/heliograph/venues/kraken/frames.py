"""Kraken's WebSocket v2 frames, in its words.

Prices and quantities are JSON numbers whose digits count, zeros at the end included: the checksum of a book is of them.

Sources: https://docs.kraken.com/exchange/api-reference/spot-websocket-v2/ohlc and the pages beside it, `ticker`,
`trade`, `book`, `status` and `heartbeat`; for acknowledgements, the same pages.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec

from heliograph.venues.fields import Id

Time = Annotated[datetime, msgspec.Meta(tz=True)]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
Kind = Literal["snapshot", "update"]


def to_ns(time: datetime) -> int:
    """Return an instant in nanoseconds since the epoch; finer than microseconds it was not read."""
    return (time - _EPOCH) // _MICROSECOND * 1000


class RawCandle(msgspec.Struct):
    """A candle; in snapshots those of the newest stretches come first to last, and the last is live."""

    symbol: str
    interval: int
    interval_begin: Time
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trades: Id


class RawTicker(msgspec.Struct):
    """The top of the book, and the last 24 hours."""

    symbol: str
    bid: Decimal
    bid_qty: Decimal
    ask: Decimal
    ask_qty: Decimal
    last: Decimal
    volume: Decimal
    low: Decimal
    high: Decimal
    timestamp: Time | None = None


class RawTrade(msgspec.Struct):
    """A trade, and the side of its taker."""

    symbol: str
    side: Literal["buy", "sell"]
    price: Decimal
    qty: Decimal
    trade_id: Id
    timestamp: Time


class RawLevel(msgspec.Struct):
    """A price and what rests at it; 0 takes it out."""

    price: Decimal
    qty: Decimal


class RawBook(msgspec.Struct):
    """A book, or what changed of it, and the checksum of what it is then."""

    symbol: str
    bids: list[RawLevel]
    asks: list[RawLevel]
    checksum: Id
    timestamp: Time | None = None


class RawCandles(msgspec.Struct, tag_field="channel", tag="ohlc"):
    """Candles; `timestamp` is when the venue told them."""

    type: Kind
    data: list[RawCandle]
    timestamp: Time | None = None


class RawTickers(msgspec.Struct, tag_field="channel", tag="ticker"):
    """Tickers."""

    type: Kind
    data: list[RawTicker]


class RawTrades(msgspec.Struct, tag_field="channel", tag="trade"):
    """Trades, the earliest first."""

    type: Kind
    data: list[RawTrade]


class RawBooks(msgspec.Struct, tag_field="channel", tag="book"):
    """A book."""

    type: Kind
    data: list[RawBook]


class RawStatus(msgspec.Struct, tag_field="channel", tag="status"):
    """The state of the trading engine."""


class RawHeartbeat(msgspec.Struct, tag_field="channel", tag="heartbeat"):
    """A sign of life."""


RawFrame = RawCandles | RawTickers | RawTrades | RawBooks | RawStatus | RawHeartbeat


class RawResult(msgspec.Struct):
    """What an acknowledgement is of."""

    symbol: str | None = None


class RawAnswer(msgspec.Struct):
    """An answer to a request; one to several symbols has an answer for each."""

    method: str | None = None
    success: bool | None = None
    error: str | None = None
    symbol: str | None = None
    result: RawResult | None = None
    req_id: int | None = None


class RawLimit(msgspec.Struct, rename={"error": "Error"}):
    """What is said to a client that sends too many messages."""

    error: str


class RawNamed(msgspec.Struct):
    """A frame, as far as it says what it is."""

    channel: str


decode_frame = msgspec.json.Decoder(RawFrame).decode
decode_answer = msgspec.json.Decoder(RawAnswer | None).decode
decode_limit = msgspec.json.Decoder(RawLimit).decode
decode_named = msgspec.json.Decoder(RawNamed).decode
SILENT: Final = frozenset({"instrument", "level3", "executions", "balances"})
"""Channels that are documented and of which market data has no use."""
