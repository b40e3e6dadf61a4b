"""The shapes of Bybit's frames and answers, in Bybit's own words.

Sources: https://bybit-exchange.github.io/docs/v5/websocket/public/kline , …/trade , …/ticker and …/orderbook ;
https://bybit-exchange.github.io/docs/v5/market/kline , …/tickers , …/orderbook , …/recent-trade .

A frame says what it is by its `topic` alone, and its fields come in any order. Prices stay text here, since they repeat
and are looked up by it; quantities are numbers, not checked yet. Only what is used is decoded.
"""

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec

from heliograph.venues.fields import NOTHING, Id, Ms

MsText = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,13}$")]
RawLevel = tuple[str, Decimal]


class RawBar(msgspec.Struct, gc=False):
    """One candle of a kline frame. On inverse contracts `volume` counts contracts, and `turnover` the base asset."""

    start: Ms
    open: str
    high: str
    low: str
    close: str
    volume: Decimal
    turnover: Decimal
    confirm: bool


class RawKlines(msgspec.Struct):
    """Candles so far, or for good where `confirm`; only the topic says whose they are."""

    topic: str
    ts: Ms
    data: list[RawBar]


class RawTrade(msgspec.Struct, gc=False):
    """One fill; `S` is the side of the taker."""

    T: Ms
    s: str
    S: Literal["Buy", "Sell"]
    v: Decimal
    p: str
    i: str


class RawTrades(msgspec.Struct):
    """Up to 1024 fills."""

    topic: str
    data: list[RawTrade]


class RawTicker(msgspec.Struct, gc=False):
    """What is used of a ticker. In a delta an absent field has not changed; spot never has the best bid and ask.

    On inverse contracts `volume24h` counts contracts, and `turnover24h` the base asset.
    """

    symbol: str
    lastPrice: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815 (the venue's names)
    prevPrice24h: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    highPrice24h: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    lowPrice24h: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    volume24h: str | msgspec.UnsetType = msgspec.UNSET
    turnover24h: str | msgspec.UnsetType = msgspec.UNSET
    bid1Price: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    bid1Size: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    ask1Price: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    ask1Size: str | msgspec.UnsetType = msgspec.UNSET  # noqa: N815


class RawTickers(msgspec.Struct):
    """A ticker, or what has changed of it. `cs` is the cross sequence, which orders all that befalls a symbol."""

    topic: str
    type: Literal["snapshot", "delta"]
    ts: Ms
    data: RawTicker
    cs: Id | None = None


class RawBook(msgspec.Struct):
    """Levels of a book. `u` numbers what a depth tells of a symbol without holes, `seq` is the cross sequence."""

    s: str
    b: list[RawLevel]
    a: list[RawLevel]
    u: Id
    seq: Id | None = None
    ts: Ms | None = None
    """In answers only: frames have it beside the data."""


class RawBooks(msgspec.Struct):
    """A whole book, or what has changed of it."""

    topic: str
    type: Literal["snapshot", "delta"]
    ts: Ms
    data: RawBook


RawEvent = RawKlines | RawTrades | RawTickers | RawBooks


class RawAny(msgspec.Struct):
    """Whatever tells frames of all kinds apart."""

    topic: str | None = None
    op: str | None = None
    success: bool | None = None
    ret_msg: str = ""
    ret_code: int | None = None
    req_id: str | None = None
    type: str | None = None
    data: msgspec.Raw = NOTHING


class RawAnswer(msgspec.Struct):
    """The envelope of every answer; `time` is the venue's clock when it answered."""

    retCode: int  # noqa: N815 (the venue's names)
    retMsg: str = ""  # noqa: N815
    result: msgspec.Raw = NOTHING
    time: Ms | None = None


class RawRow(msgspec.Struct, array_like=True, gc=False):
    """A row of a kline answer, units as in `RawBar`."""

    start: MsText
    open: str
    high: str
    low: str
    close: str
    volume: str
    turnover: str


class RawRows(msgspec.Struct):
    """The result of a kline answer, newest first."""

    symbol: str
    category: str
    list: list[RawRow]


decode_klines: Final = msgspec.json.Decoder(RawKlines).decode
decode_trades: Final = msgspec.json.Decoder(RawTrades).decode
decode_tickers: Final = msgspec.json.Decoder(RawTickers).decode
decode_books: Final = msgspec.json.Decoder(RawBooks).decode
decode_any: Final = msgspec.json.Decoder(RawAny).decode
decode_answer: Final = msgspec.json.Decoder(RawAnswer).decode
decode_rows: Final = msgspec.json.Decoder(RawRows).decode
decode_book: Final = msgspec.json.Decoder(RawBook).decode
