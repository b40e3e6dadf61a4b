"""Telling apart the frames that are not market data: answers to control messages, pongs, notices, private events.

Sources: "Server Response" and "Service Upgrade Notification" of https://www.gate.com/docs/developers/apiv4/ws/en/ and
of https://www.gate.com/docs/developers/futures/ws/en/ .
"""

import enum
from typing import Final
from urllib.parse import urlsplit

import msgspec

from heliograph.model.instrument import SPOT, MarketId
from heliograph.venues.faults import FAULTS
from heliograph.venues.fields import NOTHING
from heliograph.venues.gateio.instruments import COINM, USDM

_SILENT: Final = frozenset(
    {
        "pong", "order_book", "obu", "contract_stats", "public_liquidates", "trades_v2",
        "orders", "orders_v2", "usertrades", "usertrades_v2", "balances", "margin_balances", "funding_balances",
        "cross_balances", "cross_loan", "priceorders", "positions", "liquidates", "auto_deleverages",
        "position_closes", "reduce_risk_limits", "autoorders", "adl_ranks",
    }
)  # fmt: skip
"""Channels that are documented and of which market data has no use, those of private streams among them."""
_TYPED: Final = frozenset({"candlesticks", "trades", "book_ticker", "tickers", "order_book_update"})


class RawError(msgspec.Struct):
    """The venue's no: 1 and 2 are invalid arguments, 3 a fault of the server's, 4 a failed authentication."""

    code: int
    message: str = ""


class RawAny(msgspec.Struct):
    """Whatever tells frames apart; `NOTHING` where a field is absent."""

    channel: str = ""
    event: str | None = None
    id: int | str | None = None
    error: RawError | None = None
    result: msgspec.Raw = NOTHING
    header: msgspec.Raw = NOTHING


class RawNotice(msgspec.Struct):
    """The result of a `system` event."""

    type: str


class RawStatus(msgspec.Struct):
    """The result of an answer to a control message."""

    status: str


class Answer(msgspec.Struct, frozen=True):
    """The venue's answer to a control message of ours."""

    id: int | str | None
    event: str | None
    error: RawError | None


class Other(enum.Enum):
    """What else a frame can be."""

    SILENT = "nothing for us"
    UPGRADE = "the venue is about to close the connection"
    DATA = "market data"


_decode_any: Final = msgspec.json.Decoder(RawAny).decode
_decode_notice: Final = msgspec.json.Decoder(RawNotice).decode
_decode_status: Final = msgspec.json.Decoder(RawStatus).decode


def sort(frame: bytes) -> Answer | Other:
    """Return what a frame is; raises one of `FAULTS` if it is nothing that is documented."""
    raw = _decode_any(frame)
    prefix, _, name = raw.channel.partition(".")
    if raw.header:
        return Other.SILENT  # An answer of the interface for orders.
    if prefix not in ("spot", "futures"):
        raise ValueError(f"a channel that is not documented: {raw.channel[:50]!r}")
    if raw.error is not None:
        return Answer(raw.id, raw.event, raw.error)
    if raw.event in ("subscribe", "unsubscribe"):
        status = _decode_status(raw.result).status
        return Answer(raw.id, raw.event, None if status == "success" else RawError(0, status[:50]))
    if name == "system":
        notice = _decode_notice(raw.result).type
        if notice != "upgrade":
            raise ValueError(f"a notice that is not documented: {notice[:50]!r}")
        return Other.UPGRADE
    if name in _SILENT:
        return Other.SILENT
    if name in _TYPED:
        return Other.DATA
    raise ValueError(f"a channel that is not documented: {raw.channel[:50]!r}")


class RawTraits(msgspec.Struct):
    """The fields by which an update names its symbol."""

    s: str = ""
    n: str = ""
    contract: str = ""


_decode_traits: Final = msgspec.json.Decoder(RawTraits | list[RawTraits]).decode


def market_of(url: str | None, frame: bytes) -> MarketId | None:
    """Tell the market by the URL, or by the channel and the symbol; answers on futures channels do not tell."""
    try:
        told = None if url is None else _market_by_url(url)
        if told is not None:
            return told
        raw = _decode_any(frame)
        if raw.channel.startswith("spot."):
            return SPOT
        if raw.channel.startswith("futures.") and raw.result:
            traits = _decode_traits(raw.result)
            return _market_by_traits(traits[0] if isinstance(traits, list) else traits)
    except FAULTS:
        return None
    return None


def _market_by_url(url: str) -> MarketId | None:
    parts = urlsplit(url)
    steps = [step for step in parts.path.split("/") if step]
    if "spot" in steps or (steps == ["ws", "v4"] and not (parts.hostname or "").startswith("fx-")):
        return SPOT
    if "futures" in steps or "delivery" in steps or steps[:2] == ["v4", "ws"]:
        if "usdt" in steps:
            return USDM
        if "btc" in steps:
            return COINM
    return None


def _market_by_traits(raw: RawTraits) -> MarketId | None:
    symbol = raw.s or raw.contract or raw.n.partition("_")[2]
    parts = symbol.split("_")
    return {"USDT": USDM, "USD": COINM}.get(parts[1]) if len(parts) > 1 else None
