"""The shapes of Coinbase's frames and answers, in Coinbase's own words.

Sources: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels and the public
pages below https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api .

A frame says what it is by its `channel`, and its fields come in any order. Numbers are text throughout. Prices stay
text here, since they repeat and are looked up by it; quantities are numbers, not checked yet. Only what is used is
decoded.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.venues.fields import NOTHING, Id

SecondsText = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,11}$")]
NumberText = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,18}$")]
Kind = Literal["snapshot", "update"]
Maker = Literal["BUY", "SELL"]

_INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_SECONDS_MAX: Final = 4096
_seconds: dict[str, int] = {}


class RawBar(msgspec.Struct, gc=False):
    """One candle so far; `start` is in seconds since the epoch, `volume` is of the base asset."""

    product_id: str
    start: SecondsText
    open: str
    high: str
    low: str
    close: str
    volume: Decimal


class RawBars(msgspec.Struct):
    """Candles of any products."""

    type: Kind
    candles: list[RawBar]


class RawFill(msgspec.Struct, gc=False):
    """One trade; `side` is the maker's."""

    product_id: str
    trade_id: NumberText
    price: str
    size: Decimal
    side: Maker
    time: str


class RawFills(msgspec.Struct):
    """Trades of any products, the newest first."""

    type: Kind
    trades: list[RawFill]


class RawTicker(msgspec.Struct, gc=False):
    """The last price, the best bid and ask, and the last 24 hours; the volume is of the base asset."""

    product_id: str
    price: str
    volume_24_h: str = ""
    low_24_h: str = ""
    high_24_h: str = ""
    best_bid: str = ""
    best_bid_quantity: str = ""
    best_ask: str = ""
    best_ask_quantity: str = ""


class RawTickers(msgspec.Struct):
    """Tickers of any products."""

    type: Kind
    tickers: list[RawTicker]


class RawLevel(msgspec.Struct, gc=False):
    """What there is at a price from now on; nothing, if the quantity is zero."""

    side: Literal["bid", "offer"]
    price_level: str
    new_quantity: Decimal


class RawBook(msgspec.Struct):
    """A whole book, in no order, or what has changed of it."""

    type: Kind
    product_id: str
    updates: list[RawLevel]


class RawSubscribed(msgspec.Struct):
    """All that the connection is subscribed to, by channel."""

    subscriptions: dict[str, list[str]]


class _RawFrame(msgspec.Struct, tag_field="channel"):
    """What all frames have: when it was made, and its number, which counts all frames of the connection."""

    timestamp: str
    sequence_num: Id


class RawCandlesFrame(_RawFrame, tag="candles"):
    """A frame of candles."""

    events: list[RawBars]


class RawTradesFrame(_RawFrame, tag="market_trades"):
    """A frame of trades."""

    events: list[RawFills]


class RawTickersFrame(_RawFrame, tag="ticker"):
    """A frame of tickers."""

    events: list[RawTickers]


class RawBooksFrame(_RawFrame, tag="l2_data"):
    """A frame of books."""

    events: list[RawBook]


class RawHeartbeatFrame(_RawFrame, tag="heartbeats"):
    """A sign of life, every second."""


class RawSubscriptionsFrame(_RawFrame, tag="subscriptions"):
    """The answer to every message of ours."""

    events: list[RawSubscribed]


class RawTickerBatchFrame(_RawFrame, tag="ticker_batch"):
    """Tickers of every five seconds, of which we have no use."""


class RawStatusFrame(_RawFrame, tag="status"):
    """Products and their states, of which we have no use."""


class RawUserFrame(_RawFrame, tag="user"):
    """An account's orders, of which market data has no use."""


class RawBalanceFrame(_RawFrame, tag="futures_balance_summary"):
    """An account's balance, of which market data has no use."""


RawFrame = (
    RawCandlesFrame
    | RawTradesFrame
    | RawTickersFrame
    | RawBooksFrame
    | RawHeartbeatFrame
    | RawSubscriptionsFrame
    | RawTickerBatchFrame
    | RawStatusFrame
    | RawUserFrame
    | RawBalanceFrame
)


class RawError(msgspec.Struct, tag="error"):
    """A no, which does not say to what."""

    message: str = ""


class RawAny(msgspec.Struct):
    """What tells frames apart from answers."""

    channel: str | None = None
    products: msgspec.Raw = NOTHING
    product_id: str | None = None
    candles: msgspec.Raw = NOTHING
    trades: msgspec.Raw = NOTHING
    pricebook: msgspec.Raw = NOTHING


class RawRow(msgspec.Struct, gc=False):
    """A row of a candles answer."""

    start: SecondsText
    open: str
    high: str
    low: str
    close: str
    volume: str


class RawRows(msgspec.Struct):
    """A candles answer, the newest first."""

    candles: list[RawRow]


class RawPastTrades(msgspec.Struct):
    """A trades answer, the newest first."""

    trades: list[RawFill]


class RawPriceLevel(msgspec.Struct, gc=False):
    """A level of a book that was asked for."""

    price: str
    size: Decimal


class RawPriceBook(msgspec.Struct):
    """A book that was asked for, its best prices first."""

    product_id: str
    bids: list[RawPriceLevel]
    asks: list[RawPriceLevel]
    time: str


class RawPriceBookAnswer(msgspec.Struct):
    """The answer that holds a book."""

    pricebook: RawPriceBook


class RawProblem(msgspec.Struct):
    """The body of an answer that is none."""

    error: str
    message: str = ""


decode_frame: Final = msgspec.json.Decoder(RawFrame).decode
decode_error: Final = msgspec.json.Decoder(RawError).decode
decode_any: Final = msgspec.json.Decoder(RawAny).decode
decode_rows: Final = msgspec.json.Decoder(RawRows).decode
decode_trades: Final = msgspec.json.Decoder(RawPastTrades).decode
decode_book: Final = msgspec.json.Decoder(RawPriceBookAnswer).decode
decode_problem: Final = msgspec.json.Decoder(RawProblem).decode


def instant_ns(written: str) -> int:
    """Read a time, of which the venue gives as many as nine decimals of a second; raise `ValueError` if it is none."""
    match = _INSTANT.fullmatch(written)
    if match is None:
        raise ValueError(f"not a time: {written[:50]!r}")
    prefix, decimals = match.groups()
    seconds = _seconds.get(prefix)
    if seconds is None:
        if len(_seconds) >= _SECONDS_MAX:  # Frames name the same few seconds over and over.
            _seconds.clear()
        seconds = _seconds[prefix] = int(datetime.fromisoformat(prefix).replace(tzinfo=UTC).timestamp())
    return seconds * NS_PER_S + (int(decimals.ljust(9, "0")) if decimals else 0)
