"""What Luno says, in its words.

Sources: https://www.luno.com/en/developers/api#tag/Streaming-API and, of REST, #tag/Market of the same page. A trade
also bears `order_id`, which means the same as `maker_order_id` and is deprecated.
"""

from decimal import Decimal
from typing import Final

import msgspec

from heliograph.venues.fields import Id, Ms


class RawOrder(msgspec.Struct):
    """An order of the book that a stream begins with."""

    id: str
    price: str
    volume: Decimal


class RawTradeUpdate(msgspec.Struct):
    """A trade of the stream. `counter` is an amount, not a price (seen 2026-09-22)."""

    base: Decimal
    counter: Decimal
    maker_order_id: str
    sequence: Id | None = None
    """Since 2026; frames of 2018 to 2024 lack it."""


class RawCreateUpdate(msgspec.Struct):
    """An order that comes to rest in the book."""

    order_id: str
    type: str
    price: str
    volume: Decimal


class RawDeleteUpdate(msgspec.Struct):
    """An order that leaves it."""

    order_id: str


class RawStatusUpdate(msgspec.Struct):
    """What the market is like from now on."""

    status: str


class RawFrame(msgspec.Struct):
    """Any frame but a sign of life: a whole book if it has sides, an update if not, a refusal if it has an error."""

    sequence: str = ""
    timestamp: Ms = 0
    asks: list[RawOrder] | None = None
    bids: list[RawOrder] | None = None
    status: str | None = None
    trade_updates: list[RawTradeUpdate] | None = None
    create_update: RawCreateUpdate | None = None
    delete_update: RawDeleteUpdate | None = None
    status_update: RawStatusUpdate | None = None
    error_code: str | None = None
    error: str | None = None
    api_key_id: str | None = None
    """In what the client says, which recordings may have among the frames."""


class RawCandle(msgspec.Struct):
    """A candle of REST; the volume is in base."""

    timestamp: Ms
    open: str
    high: str
    low: str
    close: str
    volume: str


class RawCandles(msgspec.Struct):
    """Candles, the oldest first."""

    candles: list[RawCandle]
    duration: int
    pair: str


class RawTrade(msgspec.Struct):
    """A trade of REST; `is_buy` if the taker bought."""

    sequence: Id
    timestamp: Ms
    price: str
    volume: str
    is_buy: bool


class RawTrades(msgspec.Struct):
    """Trades, the newest first."""

    trades: list[RawTrade]


class RawTicker(msgspec.Struct):
    """How a pair stands, as of the last change of its book. Sides that are empty say 0."""

    pair: str
    timestamp: Ms
    last_trade: str
    rolling_24_hour_volume: str


class RawTickers(msgspec.Struct):
    """How all pairs stand."""

    tickers: list[RawTicker]


class RawLevel(msgspec.Struct):
    """A level, or an order, of a book of REST."""

    price: str
    volume: Decimal


class RawBook(msgspec.Struct):
    """A book of REST, which has no number."""

    timestamp: Ms
    asks: list[RawLevel]
    bids: list[RawLevel]


class RawError(msgspec.Struct):
    """What REST says where it refuses."""

    error: str
    error_code: str


decode_frame: Final = msgspec.json.Decoder(RawFrame).decode
decode_candles: Final = msgspec.json.Decoder(RawCandles).decode
decode_trades: Final = msgspec.json.Decoder(RawTrades).decode
decode_ticker: Final = msgspec.json.Decoder(RawTicker).decode
decode_tickers: Final = msgspec.json.Decoder(RawTickers).decode
decode_book: Final = msgspec.json.Decoder(RawBook).decode
decode_error: Final = msgspec.json.Decoder(RawError).decode
