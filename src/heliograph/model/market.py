"""Market data as it happened: candles, tickers, trades, book tops, and gaps.

Every event says when it happened at the venue (`event_ns`, None where the venue does not say) and when it reached us
(`received_ns`). Prices are in quote per base. Quantities are in the venue's own unit, which the instrument explains.
"""

import enum
from decimal import Decimal

import msgspec

from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval


class Channel(enum.StrEnum):
    """What can be asked of a market."""

    CANDLES = "candles"
    TICKER = "ticker"
    TRADES = "trades"
    BOOK = "book"


class Side(enum.StrEnum):
    """The side that took liquidity."""

    BUY = "buy"
    SELL = "sell"


class Source(enum.StrEnum):
    """How we came to know."""

    STREAM = "stream"
    REST = "rest"


class TradeCause(enum.StrEnum):
    """Why a trade happened."""

    MARKET = "market"
    LIQUIDATION = "liquidation"
    DELEVERAGING = "deleveraging"


class Candle(msgspec.Struct, frozen=True, gc=False):
    """What happened in one interval, so far or for good.

    `closed` is true only when the venue said so, or when time and sequence prove it. Base volume, quote volume and
    contracts are separate quantities; one that the venue does not say is None.
    """

    instrument: Instrument
    interval: Interval
    open_ns: int
    close_ns: int
    """The first instant after the candle: the next candle's open time."""
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    base_volume: Decimal | None
    quote_volume: Decimal | None
    contracts: Decimal | None
    trade_count: int | None
    closed: bool
    event_ns: int | None
    received_ns: int
    source: Source = Source.STREAM


class BookTop(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask. A side that is empty is None, price and quantity both."""

    instrument: Instrument
    bid: Decimal | None
    bid_quantity: Decimal | None
    ask: Decimal | None
    ask_quantity: Decimal | None
    sequence: int | None
    event_ns: int | None
    received_ns: int


class DayStatistics(msgspec.Struct, frozen=True, gc=False):
    """The last 24 hours, as the venue counts them; rolling volumes can fall."""

    instrument: Instrument
    last: Decimal
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    base_volume: Decimal | None
    quote_volume: Decimal | None
    contracts: Decimal | None
    trade_count: int | None
    event_ns: int | None
    received_ns: int


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """The last price, the best bid and ask, and the day's volumes, folded from `BookTop` and `DayStatistics`.

    It exists from the moment when last, bid and ask are all known.
    """

    instrument: Instrument
    last: Decimal
    bid: Decimal
    bid_quantity: Decimal | None
    ask: Decimal
    ask_quantity: Decimal | None
    base_volume_24h: Decimal | None
    quote_volume_24h: Decimal | None
    contracts_24h: Decimal | None
    event_ns: int | None
    received_ns: int


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One trade, or one aggregate of the fills of one taker order at one price, as the venue publishes it."""

    instrument: Instrument
    trade_id: str | None
    """The venue's id, as text; None where the venue gave none."""
    sequence: int | None
    """The id as a number, where the venue numbers the trades of an instrument without holes."""
    price: Decimal
    quantity: Decimal
    side: Side
    cause: TradeCause
    event_ns: int | None
    received_ns: int
    source: Source = Source.STREAM


class Gap(msgspec.Struct, frozen=True):
    """What is missing from a sequence, and will not come: the explicit alternative to silence.

    For candles `from_ns` is the first missing open time and `to_ns` the first open time that is not missing. For
    trades and books the sequences say the same in the venue's numbers.
    """

    instrument: Instrument
    channel: Channel
    interval: Interval | None
    from_ns: int | None
    to_ns: int | None
    from_sequence: int | None
    to_sequence: int | None
    reason: str
    received_ns: int
