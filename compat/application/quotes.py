"""Quotes as the document's example has them."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PriceQuote:
    """One update of a one-minute candle. Prices are in quote per base."""

    exchange: str
    symbol: str
    contract_type: str
    timestamp: datetime
    """When the candle opens, in UTC."""
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    """In base; None where the venue does not say."""
    trade_num: int | None
    """None where the venue does not say."""
    is_closed_candle: bool


class PriceFeedRepository(Protocol):
    """Where quotes come from."""

    def stream(self, symbols: Sequence[str]) -> AsyncIterator[PriceQuote]:
        """Yield quotes as they come, for ever."""
