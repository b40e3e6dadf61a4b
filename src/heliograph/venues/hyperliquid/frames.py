"""The shapes of Hyperliquid's frames and answers, in Hyperliquid's own words.

Sources: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions#data-type-definitions
and https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint . The documentation calls prices
and volumes numbers; what is sent is text (seen 2026-08-12). Either is read, and neither through a float.

Prices stay text here, since they repeat and are looked up by it; quantities are numbers, not checked yet. Only what is
used is decoded.
"""

from decimal import Decimal
from typing import Final, Literal

import msgspec

from heliograph.model.interval import Interval
from heliograph.venues.fields import Id, Ms


class RawBar(msgspec.Struct, gc=False):
    """A candle so far; nothing in it tells whether it is for good. `v` counts the base asset."""

    t: Ms
    T: Ms
    s: str
    i: Interval
    o: str
    c: str
    h: str
    l: str  # noqa: E741 (the venue's name)
    v: Decimal
    n: Id


class RawLevel(msgspec.Struct, gc=False):
    """One price of a book."""

    px: str
    sz: Decimal


class RawTop(msgspec.Struct, gc=False):
    """The best bid, then the best ask; null where that side is empty."""

    coin: str
    time: Ms
    bbo: tuple[RawLevel | None, RawLevel | None]


class RawTrade(msgspec.Struct, gc=False):
    """One trade. `side` is the taker's: B bought, A sold."""

    coin: str
    side: Literal["A", "B"]
    px: str
    sz: Decimal
    time: Ms
    tid: Id


class RawBook(msgspec.Struct):
    """A whole book of at most 20 levels a side: bids, then asks, best first."""

    coin: str
    time: Ms
    levels: tuple[list[RawLevel], list[RawLevel]]


class RawContext(msgspec.Struct, gc=False, rename="camel"):
    """What of an instrument's context market data has a use for. Frames before 2024-12 have no `dayBaseVlm`."""

    day_ntl_vlm: Decimal
    prev_day_px: Decimal
    day_base_vlm: Decimal | None = None


class RawActive(msgspec.Struct, gc=False):
    """An instrument's context."""

    coin: str
    ctx: RawContext


class RawSubscription(msgspec.Struct):
    """What can be subscribed to; other fields than these do not tell our streams apart."""

    type: str = ""
    coin: str | None = None
    interval: str | None = None
    subscription: "RawSubscription | None" = None
    """Of a whole request that is repeated to us."""


class RawConfirmed(msgspec.Struct):
    """A request of ours, repeated."""

    method: str
    subscription: RawSubscription


class RawCandleFrame(msgspec.Struct, gc=False, tag_field="channel", tag="candle"):
    """One candle; a list of them in documentation of 2024."""

    data: RawBar | list[RawBar]


class RawTopFrame(msgspec.Struct, gc=False, tag_field="channel", tag="bbo"):
    """The top of a book."""

    data: RawTop


class RawTradesFrame(msgspec.Struct, gc=False, tag_field="channel", tag="trades"):
    """Trades of one instrument."""

    data: list[RawTrade]


class RawBookFrame(msgspec.Struct, gc=False, tag_field="channel", tag="l2Book"):
    """A whole book."""

    data: RawBook


class RawActiveFrame(msgspec.Struct, gc=False, tag_field="channel", tag="activeAssetCtx"):
    """A perpetual's context."""

    data: RawActive


class RawActiveSpotFrame(msgspec.Struct, gc=False, tag_field="channel", tag="activeSpotAssetCtx"):
    """A spot pair's context, which is subscribed to by the other name."""

    data: RawActive


class RawConfirmedFrame(msgspec.Struct, gc=False, tag_field="channel", tag="subscriptionResponse"):
    """The venue's yes."""

    data: RawConfirmed


class RawErrorFrame(msgspec.Struct, gc=False, tag_field="channel", tag="error"):
    """The venue's no, in a sentence."""

    data: str


class RawPongFrame(msgspec.Struct, gc=False, tag_field="channel", tag="pong"):
    """The answer to a ping."""


RawFrame = (
    RawTopFrame
    | RawCandleFrame
    | RawTradesFrame
    | RawBookFrame
    | RawActiveFrame
    | RawActiveSpotFrame
    | RawConfirmedFrame
    | RawErrorFrame
    | RawPongFrame
)


class RawNamed(msgspec.Struct):
    """A frame of which only the channel is read."""

    channel: str


decode_frame: Final = msgspec.json.Decoder(RawFrame).decode
decode_named: Final = msgspec.json.Decoder(RawNamed).decode
decode_subscription: Final = msgspec.json.Decoder(RawSubscription).decode
decode_bars: Final = msgspec.json.Decoder(list[RawBar]).decode


BANNER: Final = b"Websocket connection established."
"""The first frame of some connections, which is not JSON.

Source: https://github.com/hyperliquid-dex/hyperliquid-python-sdk, websocket_manager.py (undocumented by the venue).
"""
SILENT: Final = frozenset(
    {
        "allMids", "notification", "post", "assetCtxs", "spotAssetCtxs", "allDexsAssetCtxs", "outcomeMetaUpdates",
        "orderUpdates", "user", "userEvents", "userFills", "userFundings", "userNonFundingLedgerUpdates",
        "userHistoricalOrders", "userTwapSliceFills", "userTwapHistory", "twapStates", "activeAssetData",
        "webData2", "webData3", "clearinghouseState", "allDexsClearinghouseState", "openOrders", "spotState",
        "explorerBlock", "explorerTxs",
    }
)  # fmt: skip
"""Channels of which market data has no use, those of accounts among them."""
