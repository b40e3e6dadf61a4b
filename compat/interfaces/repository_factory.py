"""Makes the repository that the document's example streams from."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import structlog
from application.quotes import PriceFeedRepository, PriceQuote

from heliograph import config
from heliograph.app import at_endpoint, open_source
from heliograph.clock import NS_PER_S, SystemClock
from heliograph.config import ConnectorSettings
from heliograph.gateway.hub import Hub, find_instruments
from heliograph.gateway.stream import Stream
from heliograph.metrics import FeedCollector
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap
from heliograph.venues import VENUES, find_market, find_venue, markets_of
from heliograph.venues.contract import Subscription, Venue

log = structlog.get_logger()


def build_price_feed_repository(
    exchange: str, contract_type: str | None = None, *, endpoint: str | None = None
) -> PriceFeedRepository:
    """Return the quotes of one venue; it connects when they are asked for.

    Args:
        exchange: the venue's name, such as `binance`.
        contract_type: the market's name or alias, such as `spot`; Binance needs it, and where symbols tell their
            market, as at OKX, it matters only to those that do not.
        endpoint: `http://host:port` of the venue to use instead of the real one; default: the environment's
            `HELIOGRAPH_ENDPOINT`, if it is set.

    Raises:
        ConfigError: there is no such venue, market or address; it says what is accepted.

    """
    address = endpoint or os.environ.get("HELIOGRAPH_ENDPOINT")
    venues = VENUES if address is None else at_endpoint(address)
    venue = find_venue(exchange, venues)
    if venue.market_of_symbol is None:
        find_market(venue, contract_type)
    else:
        markets_of(venue, contract_type, ())  # Its symbols tell their markets.
    return _Quotes(venue, contract_type)


class _Quotes:
    def __init__(self, venue: Venue, contract_type: str | None) -> None:
        self._venue = venue
        self._contract_type = contract_type

    def stream(self, symbols: Sequence[str]) -> AsyncIterator[PriceQuote]:
        return self._quotes(tuple(symbols))

    async def _quotes(self, symbols: tuple[str, ...]) -> AsyncGenerator[PriceQuote, None]:
        settings = config.load(ConnectorSettings)
        clock = SystemClock()
        async with open_source(settings, FeedCollector(), clock) as source:
            instruments = await find_instruments(source, self._venue, self._contract_type, symbols, Interval.M1)
            hub = Hub(source, clock)
            wanted = [Subscription(Channel.CANDLES, instrument, Interval.M1) for instrument in instruments]
            # A task of its own, not a task group: what a group cancels would be whoever iterates, wherever they are.
            running = asyncio.create_task(hub.run())
            try:
                async with Stream(hub, wanted, idle_s=None) as stream:
                    running.add_done_callback(lambda _: stream.end())
                    async for event in stream:
                        if isinstance(event, Gap):
                            log.warning("candles missing", symbol=event.instrument.venue_symbol, reason=event.reason)
                        else:
                            yield to_quote(event)
                await running
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)


def to_quote(candle: Candle) -> PriceQuote:
    """Return a candle as the document's quote; its prices become floats."""
    return PriceQuote(
        exchange=candle.instrument.venue,
        symbol=candle.instrument.venue_symbol,
        contract_type=candle.instrument.market,
        timestamp=datetime.fromtimestamp(candle.open_ns // NS_PER_S, UTC),
        open=float(candle.open),
        high=float(candle.high),
        low=float(candle.low),
        close=float(candle.close),
        volume=_float(candle.base_volume),
        trade_num=candle.trade_count,
        is_closed_candle=candle.closed,
    )


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
