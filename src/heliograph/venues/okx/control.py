"""Telling apart what is not data: acknowledgements, errors, notices, and the channels that market data has no use for.

Sources: "Subscribe", "Notification" and "Connection count limit" of
https://www.okx.com/docs-v5/en/#overview-websocket ;
error codes of https://www.okx.com/docs-v5/en/#error-code-websocket .
"""

import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from heliograph.model.instrument import MarketId
from heliograph.venues.faults import FAULTS
from heliograph.venues.okx.frames import RawAny, decode_any
from heliograph.venues.okx.instruments import TYPES, market_of_symbol
from heliograph.venues.okx.streams import Key

UPGRADE: Final = "64008"
"""The code of the notice that the connection will be closed within 60 s for an upgrade of the venue's service."""

PASSING: Final = frozenset({"60014", "63999", "64007"})
"""Codes of a no that another connection may not meet: too many requests, and the venue's own faults."""

EVENTS: Final = frozenset({"subscribe", "unsubscribe", "login", "channel-conn-count"})

OPERATIONS: Final = frozenset(
    {
        "order", "batch-orders", "cancel-order", "batch-cancel-orders", "amend-order", "batch-amend-orders",
        "mass-cancel", "sprd-order", "sprd-cancel-order", "sprd-amend-order", "sprd-mass-cancel",
    }
)  # fmt: skip
"""Orders over a socket; their replies are documented, and none of market data's business."""

_SILENT: Final = frozenset(
    {
        "account", "positions", "balance_and_position", "orders", "orders-algo", "algo-advance", "fills",
        "liquidation-warning", "account-greeks", "deposit-info", "withdrawal-info", "rfqs", "quotes",
        "instruments", "open-interest", "funding-rate", "price-limit", "mark-price", "index-tickers",
        "estimated-price", "opt-summary", "liquidation-orders", "adl-warning", "option-trades",
        "call-auction-details", "economic-calendar", "status", "books-elp", "public-struc-block-trades",
        "public-block-trades", "struc-block-trades", "block-tickers", "candle5D", "candle5Dutc",
    }
)  # fmt: skip
_SILENT_PREFIXES: Final = ("mark-price-candle", "index-candle", "grid-", "sprd-", "copytrading-")

_NAMED: Final = re.compile(r"channel:([^,\s]+),\s*instId:([^,\s]+)")


def is_silent(channel: str) -> bool:
    """Tell whether a channel is documented, and market data has no use for it."""
    return channel in _SILENT or channel.startswith(_SILENT_PREFIXES)


def named_by(message: str) -> Key | None:
    """Return the channel and the instrument that an error's text names, if it does."""
    found = _NAMED.search(message)
    return None if found is None else (found[1], found[2])


def market_of(url: str | None, frame: bytes) -> MarketId | None:
    """Tell the market by the instrument that a URL or a frame names; None where neither does."""
    try:
        if url is not None:
            query = dict(parse_qsl(urlsplit(url).query))
            by_type = next((market for market, name in TYPES.items() if name == query.get("instType")), None)
            told = by_type or market_of_symbol(query.get("instId", ""))
            if told is not None:
                return told
        raw: RawAny = decode_any(frame)
        return None if raw.arg is None else market_of_symbol(raw.arg.instId)
    except FAULTS:
        return None
