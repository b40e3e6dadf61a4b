"""The shapes of OKX's frames and answers, in OKX's own words.

Sources: "Order Book Trading", "Market Data" of https://www.okx.com/docs-v5/en/#order-book-trading-market-data , and
"WebSocket" of https://www.okx.com/docs-v5/en/#overview-websocket .

OKX writes numbers as text, and "" for what it does not know. Prices stay text here, since they repeat and are looked up
by it; times and numbers of sequences are read as integers from text too. Only what is used is decoded.
"""

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec

from heliograph.venues.fields import NOTHING, Id, Ms

Number = Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]
"""A `seqId` or `prevSeqId`; the latter is -1 in a snapshot."""
Checksum = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**32)]


class RawArg(msgspec.Struct, frozen=True):
    """What a frame belongs to; private channels and those of a whole kind of instruments have no `instId`."""

    channel: str
    instId: str = ""  # noqa: N815 (the venue's name)


class RawRow(msgspec.Struct, array_like=True, gc=False):
    """A candle, streamed or of an answer. `vol` counts contracts and `volCcy` the base asset, except on spot.

    On spot `vol` is the base asset and `volCcy` the quote asset, as `volCcyQuote` is everywhere.
    """

    ts: Ms
    o: str
    h: str
    l: str  # noqa: E741 (the venue's name)
    c: str
    vol: str
    volCcy: str  # noqa: N815 (the venue's name)
    volCcyQuote: str  # noqa: N815 (the venue's name)
    confirm: Literal["0", "1"]


class RawCandles(msgspec.Struct, gc=False):
    """A frame of a candle channel."""

    data: list[RawRow]


class RawTrade(msgspec.Struct, gc=False):
    """A trade, or in the channel `trades` an aggregate of the fills of one taker order at one price."""

    tradeId: Id  # noqa: N815 (the venue's name)
    px: str
    sz: Decimal
    side: Literal["buy", "sell"]
    ts: Ms


class RawTrades(msgspec.Struct, gc=False):
    """A frame of `trades-all` or `trades`."""

    data: list[RawTrade]


class RawTicker(msgspec.Struct, rename="camel", gc=False):
    """The best bid and ask, and the rolling 24 hours. Of volumes `vol24h` is in contracts, on spot in base.

    `volCcy24h` is in base, on spot in quote.
    """

    last: str
    ask_px: str
    ask_sz: str
    bid_px: str
    bid_sz: str
    open24h: str
    high24h: str
    low24h: str
    vol24h: str
    vol_ccy24h: str = msgspec.field(name="volCcy24h")
    ts: Ms = msgspec.field()
    inst_id: str = ""


class RawTickers(msgspec.Struct, gc=False):
    """A frame of `tickers`."""

    data: list[RawTicker]


class RawLevel(msgspec.Struct, array_like=True, gc=False):
    """A level of a book; what follows price and quantity (a zero, and the number of orders) is passed over."""

    px: str
    sz: Decimal


class RawBook(msgspec.Struct, rename="camel"):
    """A book, its top, or its changes."""

    bids: list[RawLevel]
    asks: list[RawLevel]
    ts: Ms
    seq_id: Number | None = None
    prev_seq_id: Number | None = None
    checksum: Checksum | None = None


class RawBooks(msgspec.Struct):
    """A frame of a book channel; those that send the whole each time have no `action`."""

    data: list[RawBook]
    action: Literal["snapshot", "update"] | None = None


class RawAny(msgspec.Struct):
    """Whatever tells frames of all kinds apart; `NOTHING` where a field is absent."""

    event: str | None = None
    arg: RawArg | None = None
    data: msgspec.Raw = NOTHING
    id: str | int | None = None
    op: str | None = None
    code: str | int = ""
    msg: str = ""
    channel: str = ""


class RawAnswer(msgspec.Struct):
    """The envelope of every REST answer; `code` is "0" where all went well."""

    code: str
    msg: str = ""
    data: msgspec.Raw = NOTHING


decode_any: Final = msgspec.json.Decoder(RawAny).decode
decode_arg: Final = msgspec.json.Decoder(RawArg).decode
decode_answer: Final = msgspec.json.Decoder(RawAnswer).decode
# Not strict: integers come as text.
decode_candles: Final = msgspec.json.Decoder(RawCandles, strict=False).decode
decode_trades: Final = msgspec.json.Decoder(RawTrades, strict=False).decode
decode_tickers: Final = msgspec.json.Decoder(RawTickers, strict=False).decode
decode_books: Final = msgspec.json.Decoder(RawBooks, strict=False).decode
decode_rows: Final = msgspec.json.Decoder(list[RawRow], strict=False).decode
decode_past_trades: Final = msgspec.json.Decoder(list[RawTrade], strict=False).decode
decode_past_tickers: Final = msgspec.json.Decoder(list[RawTicker], strict=False).decode
decode_past_books: Final = msgspec.json.Decoder(list[RawBook], strict=False).decode
