"""Recorded answers of Hyperliquid's REST interface, read by the question that they answer.

All questions go to one URL, so a recording puts the request's body behind it: `…/info {"type":"meta"}`.

Sources: as in `rest`, and
https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint#l2-book-snapshot .
"""

from typing import Final

import msgspec

from heliograph.model.event import VenueEvent
from heliograph.model.instrument import SPOT, Instrument, MarketId
from heliograph.model.numbers import Amounts
from heliograph.venues.answering import reading
from heliograph.venues.candle_pages import newest_open
from heliograph.venues.hyperliquid.book import to_book
from heliograph.venues.hyperliquid.control import question_of
from heliograph.venues.hyperliquid.frames import RawBook, RawTrade, decode_bars
from heliograph.venues.hyperliquid.instruments import USDM, instrument_of_name, parse_instruments
from heliograph.venues.hyperliquid.rest import to_candle, to_trade

LEVELS_MAX: Final = 40

_LISTS: Final = {USDM: ("meta", "allPerpMetas"), SPOT: ("spotMeta",)}
_SILENT: Final = frozenset(
    {
        "allMids", "metaAndAssetCtxs", "spotMetaAndAssetCtxs", "perpDexs", "fundingHistory", "predictedFundings",
        "openOrders", "frontendOpenOrders", "historicalOrders", "orderStatus", "userFills", "userFillsByTime",
        "userRateLimit", "userFunding", "userRole", "userFees", "clearinghouseState", "spotClearinghouseState",
        "subAccounts", "vaultDetails", "portfolio", "exchangeStatus", "tokenDetails", "spotDeployState",
    }
)  # fmt: skip
"""Questions that are documented and of whose answers market data has no use."""

_decode_book = msgspec.json.Decoder(RawBook | None).decode
_decode_trades = msgspec.json.Decoder(list[RawTrade]).decode
_decode_anything = msgspec.json.Decoder(msgspec.Raw).decode


def read_answer(market: MarketId, url: str, body: bytes, received_ns: int) -> list[VenueEvent | Instrument]:
    """Read a recorded answer.

    Args:
        market: the market.
        url: what was asked: a text that ends with the question.
        body: the answer.
        received_ns: when it came.

    Raises:
        DecodeError: the answer is not what is documented for that question, or the question is not known.

    """
    with reading(url):
        return _read(market, url, body, received_ns)


def _read(market: MarketId, url: str, body: bytes, received_ns: int) -> list[VenueEvent | Instrument]:
    _decode_anything(body)
    question = question_of(url)
    if question is None or question.type in _SILENT:
        if "{" not in url:
            raise ValueError("an answer without its question")
        return []
    if question.type in _LISTS[market]:
        return [*parse_instruments(market, body)]
    if question.req is not None and question.type == "candleSnapshot":
        instrument = instrument_of_name(market, question.req.coin)
        rows = decode_bars(body)
        return [*newest_open([to_candle(row, instrument, received_ns) for row in rows])]
    if question.coin is not None and question.type == "l2Book":
        book = _decode_book(body)
        instrument = instrument_of_name(market, question.coin)
        return [] if book is None else [to_book(book, instrument, Amounts(LEVELS_MAX), received_ns)]
    if question.coin is not None and question.type == "recentTrades":
        instrument = instrument_of_name(market, question.coin)
        return [to_trade(raw, instrument, received_ns) for raw in _decode_trades(body)]
    raise ValueError("an answer to something that is not known")
