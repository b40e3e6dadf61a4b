"""The shapes of Gate's frames and answers, in Gate's own words.

Sources: https://www.gate.com/docs/developers/apiv4/ws/en/ , https://www.gate.com/docs/developers/futures/ws/en/ and
https://www.gate.com/docs/developers/apiv4/en/ .

Prices stay text here, since they repeat and are looked up by it; quantities are numbers, not checked yet: Gate writes
them as JSON numbers or, where decimal sizes are switched on, as text. Only what is used is decoded. Answers to control
messages share the channel's name with the data and differ by `event`, so they are refused by these types.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec

from heliograph.venues.fields import Id, Ms, Seconds

Update = Literal["update"]
RawPair = tuple[str, Decimal]


class RawSpotBar(msgspec.Struct, gc=False):
    """A spot candle: `v` is the quote volume and `a` the base volume. Frames before 2024 have no `w`."""

    t: str
    v: Decimal
    c: str
    h: str
    l: str  # noqa: E741 (the venue's name)
    o: str
    n: str
    a: Decimal
    w: bool = False


class RawFuturesBar(msgspec.Struct, gc=False):
    """A futures candle: `v` counts contracts, `a` is in the settlement asset. Frames before 2024 lack `a` and `w`."""

    t: Seconds
    v: Decimal
    c: str
    h: str
    l: str  # noqa: E741 (the venue's name)
    o: str
    n: str
    a: Decimal | None = None
    w: bool = False


class RawSpotFill(msgspec.Struct, gc=False):
    """A spot trade. The time is milliseconds with a fraction, as text.

    `id_market` counts the trades of the pair, and `range` says from which to which of these numbers the frame speaks:
    of one, in all that was seen. Frames before 2025 have neither.
    """

    id: Id
    create_time_ms: Decimal
    side: Literal["buy", "sell"]
    currency_pair: str
    amount: Decimal
    price: str
    id_market: Id | None = None
    range: str = ""


class RawFuturesFill(msgspec.Struct, gc=False):
    """A futures trade: the sign of `size` is the taker's side. Internal ones come of liquidations."""

    id: Id
    create_time_ms: Ms
    size: Decimal
    contract: str
    price: str
    is_internal: bool = False


class RawTop(msgspec.Struct, gc=False):
    """The best bid and ask; an empty side has an empty price, and an empty book time and number zero."""

    t: Ms
    u: Id
    s: str
    b: str
    B: Decimal
    a: str
    A: Decimal


class RawSpotDepth(msgspec.Struct):
    """Changes of a spot book, or all of it where `full`."""

    t: Ms
    s: str
    U: Id
    u: Id
    b: list[RawPair]
    a: list[RawPair]
    full: bool = False


class RawLevel(msgspec.Struct, gc=False):
    """A level of a futures book."""

    p: str
    s: Decimal


class RawFuturesDepth(msgspec.Struct):
    """Changes of a futures book, or all of it where `full`."""

    t: Ms
    s: str
    U: Id
    u: Id
    b: list[RawLevel]
    a: list[RawLevel]
    full: bool = False


class RawSpotDay(msgspec.Struct, gc=False):
    """The rolling 24 hours of a pair; text that is empty says nothing."""

    currency_pair: str
    last: str
    base_volume: str
    quote_volume: str
    high_24h: str = ""
    low_24h: str = ""


class RawFuturesDay(msgspec.Struct, gc=False):
    """The rolling 24 hours of a contract: `volume_24h` counts contracts."""

    contract: str
    last: str
    volume_24h: str | int = ""
    volume_24h_base: str | int = ""
    volume_24h_quote: str | int = ""
    high_24h: str = ""
    low_24h: str = ""
    t: Ms | None = None


class RawSpotCandle(msgspec.Struct, tag_field="channel", tag="spot.candlesticks", gc=False):
    """A candle so far, or for good where `w`."""

    event: Update
    result: RawSpotBar
    time: Seconds | None = None
    time_ms: Ms | None = None


class RawFuturesCandle(msgspec.Struct, tag_field="channel", tag="futures.candlesticks"):
    """Candles so far, or for good where `w`: the one that has just ended may come with its successor."""

    event: Update
    result: list[RawFuturesBar]
    time: Seconds | None = None
    time_ms: Ms | None = None


class RawSpotTrade(msgspec.Struct, tag_field="channel", tag="spot.trades", gc=False):
    """One trade."""

    event: Update
    result: RawSpotFill


class RawFuturesTrade(msgspec.Struct, tag_field="channel", tag="futures.trades"):
    """Some trades."""

    event: Update
    result: list[RawFuturesFill]


class RawSpotTop(msgspec.Struct, tag_field="channel", tag="spot.book_ticker", gc=False):
    """The best bid and ask of a pair."""

    event: Update
    result: RawTop


class RawFuturesTop(msgspec.Struct, tag_field="channel", tag="futures.book_ticker", gc=False):
    """The best bid and ask of a contract."""

    event: Update
    result: RawTop


class RawSpotBook(msgspec.Struct, tag_field="channel", tag="spot.order_book_update"):
    """Changes of a pair's book."""

    event: Update
    result: RawSpotDepth


class RawFuturesBook(msgspec.Struct, tag_field="channel", tag="futures.order_book_update"):
    """Changes of a contract's book."""

    event: Update
    result: RawFuturesDepth


class RawSpotTicker(msgspec.Struct, tag_field="channel", tag="spot.tickers", gc=False):
    """The rolling 24 hours of a pair."""

    event: Update
    result: RawSpotDay
    time: Seconds | None = None
    time_ms: Ms | None = None


class RawFuturesTicker(msgspec.Struct, tag_field="channel", tag="futures.tickers"):
    """The rolling 24 hours of some contracts."""

    event: Update
    result: list[RawFuturesDay]
    time: Seconds | None = None
    time_ms: Ms | None = None


RawEvent = (
    RawSpotCandle
    | RawFuturesCandle
    | RawSpotTrade
    | RawFuturesTrade
    | RawSpotTop
    | RawFuturesTop
    | RawSpotBook
    | RawFuturesBook
    | RawSpotTicker
    | RawFuturesTicker
)


class RawBook(msgspec.Struct):
    """A snapshot of a book by REST. `update` is milliseconds on spot, and seconds with a fraction on futures."""

    asks: list[tuple[str, str] | RawLevel]
    bids: list[tuple[str, str] | RawLevel]
    update: Decimal | None = None
    id: Id | None = None


class RawRow(msgspec.Struct, array_like=True, gc=False):
    """A row of a spot candlesticks answer, in Gate's order: the close comes before the high, the open after the low."""

    t: str
    quote: str
    close: str
    high: str
    low: str
    open: str
    base: str | None = None
    closed: Literal["true", "false"] | None = None


class RawSpotPast(msgspec.Struct):
    """An element of a trades answer of spot. The time is milliseconds with a fraction.

    `sequence_id` counts the trades of the pair without holes, as a socket's `id_market` does.
    """

    id: str
    create_time_ms: Decimal
    currency_pair: str
    side: Literal["buy", "sell"]
    amount: str
    price: str
    sequence_id: str = ""


class RawObject(msgspec.Struct, gc=False):
    """An element of a futures candlesticks answer."""

    t: Seconds
    v: Decimal
    c: str
    h: str
    l: str  # noqa: E741 (the venue's name)
    o: str
    sum: Decimal | None = None


decode_event: Final = msgspec.json.Decoder(RawEvent).decode
decode_book: Final = msgspec.json.Decoder(RawBook).decode
decode_past_trades: Final = msgspec.json.Decoder(list[RawSpotPast]).decode
decode_rows: Final = msgspec.json.Decoder(list[RawRow]).decode
decode_objects: Final = msgspec.json.Decoder(list[RawObject]).decode
