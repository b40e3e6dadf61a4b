"""The shapes of Binance's frames and answers, in Binance's own words.

Sources: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams ,
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams and
https://developers.binance.com/docs/derivatives/coin-margined-futures/websocket-market-streams .

Prices stay text here, since they repeat and are looked up by it; quantities are numbers, not checked yet. Only what is
used is decoded.
"""

from decimal import Decimal
from typing import Final

import msgspec

from heliograph.model.interval import Interval
from heliograph.venues.fields import NOTHING, Id, Ms

RawLevel = tuple[str, str]


class RawBar(msgspec.Struct, gc=False):
    """The `k` of a kline event. On COIN-M `v` counts contracts and `q` the base asset."""

    t: Ms
    T: Ms
    i: Interval
    o: str
    c: str
    h: str
    l: str  # noqa: E741 (the venue's name)
    v: Decimal
    n: Id
    x: bool
    q: Decimal


class RawKline(msgspec.Struct, gc=False, tag_field="e", tag="kline"):
    """A candle so far, or for good where `k.x`."""

    E: Ms
    s: str
    k: RawBar


class RawAggTrade(msgspec.Struct, gc=False, tag_field="e", tag="aggTrade"):
    """The fills of one taker order at one price. Recordings of 2019 have no `a`."""

    s: str
    p: str
    q: Decimal
    T: Ms
    m: bool
    a: Id | None = None


class RawTrade(msgspec.Struct, gc=False, tag_field="e", tag="trade"):
    """One fill. `X` is on futures only."""

    s: str
    t: Id
    p: str
    q: Decimal
    T: Ms
    m: bool
    X: str = "MARKET"


class RawTop(msgspec.Struct, gc=False, tag_field="e", tag="bookTicker"):
    """The best bid and ask. On spot it comes without `e` and without a time."""

    s: str
    b: str
    B: Decimal
    a: str
    A: Decimal
    u: Id | None = None
    E: Ms | None = None


class RawDepth(msgspec.Struct, tag_field="e", tag="depthUpdate"):
    """Changes of a book. `pu` is on futures only."""

    E: Ms
    s: str
    U: Id
    u: Id
    b: list[tuple[str, Decimal]]
    a: list[tuple[str, Decimal]]
    pu: Id | None = None


class RawDay(msgspec.Struct, gc=False, tag_field="e", tag="24hrTicker"):
    """The rolling 24 hours. On COIN-M `v` counts contracts and `q` the base asset."""

    E: Ms
    s: str
    c: str
    o: str
    h: str
    l: str  # noqa: E741 (the venue's name)
    v: Decimal
    q: Decimal
    n: Id


RawEvent = RawKline | RawAggTrade | RawTop | RawDepth | RawTrade | RawDay


class RawCombined(msgspec.Struct):
    """A frame of a combined stream, of which only the payload is read."""

    data: RawEvent


class RawCombinedTop(msgspec.Struct):
    """A frame of a combined `@bookTicker` stream, whose payload has no `e` on spot."""

    data: RawTop


class RawProblem(msgspec.Struct):
    """The venue's no."""

    code: int
    msg: str


class RawAny(msgspec.Struct):
    """Whatever tells frames and payloads of all kinds apart; `NOTHING` where a field is absent."""

    stream: str | None = None
    data: msgspec.Raw = NOTHING
    event: msgspec.Raw = NOTHING
    e: str | None = None
    s: str | None = None
    u: msgspec.Raw = NOTHING
    st: int | str | None = None
    lastUpdateId: Id | None = None  # noqa: N815 (the venue's name)
    id: int | str | None = None
    result: msgspec.Raw = NOTHING
    error: RawProblem | None = None
    code: int | str | None = None
    msg: str = ""


class RawBook(msgspec.Struct):
    """A snapshot of a book. Spot gives neither time nor symbol."""

    lastUpdateId: Id  # noqa: N815 (the venue's name)
    bids: list[RawLevel]
    asks: list[RawLevel]
    E: Ms | None = None
    symbol: str | None = None


class RawRow(msgspec.Struct, array_like=True, gc=False):
    """A row of a klines answer. On COIN-M `v` counts contracts and `q` the base asset."""

    t: Ms
    o: str
    h: str
    l: str  # noqa: E741 (the venue's name)
    c: str
    v: str
    T: Ms
    q: str
    n: Id


class RawPastTrade(msgspec.Struct, gc=False):
    """An element of an aggTrades answer."""

    a: Id
    p: str
    q: str
    T: Ms
    m: bool


decode_combined: Final = msgspec.json.Decoder(RawCombined).decode
decode_combined_top: Final = msgspec.json.Decoder(RawCombinedTop).decode
decode_any: Final = msgspec.json.Decoder(RawAny).decode
decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode_book: Final = msgspec.json.Decoder(RawBook).decode
decode_rows: Final = msgspec.json.Decoder(list[RawRow]).decode
decode_past_trades: Final = msgspec.json.Decoder(list[RawPastTrade]).decode

TYPED: Final = frozenset({"kline", "aggTrade", "trade", "bookTicker", "depthUpdate", "24hrTicker"})
SILENT: Final = frozenset(
    {
        "markPriceUpdate", "indexPriceUpdate", "forceOrder", "24hrMiniTicker", "1hTicker", "4hTicker", "1dTicker",
        "avgPrice", "continuous_kline", "indexPrice_kline", "markPrice_kline", "compositeIndex", "contractInfo",
        "assetIndexUpdate", "tradingSession", "referencePrice",
        "executionReport", "outboundAccountPosition", "balanceUpdate", "listStatus", "externalLockUpdate",
        "eventStreamTerminated", "listenKeyExpired", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "TRADE_LITE",
        "MARGIN_CALL", "ACCOUNT_CONFIG_UPDATE", "ALGO_UPDATE", "STRATEGY_UPDATE", "GRID_UPDATE",
        "CONDITIONAL_ORDER_TRIGGER_REJECT",
    }
)  # fmt: skip
"""Events that are documented and of which market data has no use, those of private streams among them."""
