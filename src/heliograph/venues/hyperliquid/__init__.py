"""Hyperliquid: perpetuals (those of HIP-3 dexes among them) and spot, public market data.

Source of the limits: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/rate-limits-and-user-limits ,
all of them for one address, both markets together: 10 connections, 30 new ones a minute, 1000 subscriptions, 2000
messages a minute, REST weight of 1200 a minute. Older versions of that page allow 100 connections; we keep to ten.
"""

from functools import partial
from typing import Final

from heliograph.model.instrument import SPOT, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.model.symbol import Symbol
from heliograph.venues.contract import InstrumentPage, Limits, Market, Rate, Request, Venue
from heliograph.venues.hyperliquid.answers import read_answer
from heliograph.venues.hyperliquid.control import market_of
from heliograph.venues.hyperliquid.instruments import (
    HYPERLIQUID,
    USDM,
    instrument_of_name,
    market_of_symbol,
    parse_instruments,
)
from heliograph.venues.hyperliquid.market import MESSAGES_PER_TICK, Feed
from heliograph.venues.hyperliquid.rest import WEIGHT, candle_request, info_request, parse_error
from heliograph.venues.hyperliquid.streams import STREAMS_MAX, plan

_ADDRESS: Final = "address"

_LIMITS: Final = Limits(
    streams_per_connection_max=STREAMS_MAX,
    connects_max=30,
    connects_window_s=60,
    messages_per_s_max=MESSAGES_PER_TICK + 1,
    connection_life_s=float("inf"),  # None is documented.
    silence_s_max=60,
    weight_max=1200,
    weight_window_s=60,
    weight_header="",  # The venue does not tell how much is used.
    weight_pool=_ADDRESS,
    connect_pool=_ADDRESS,
    connections_max=10,
    address_messages=Rate(2000, 60),
)
_LISTS: Final = {USDM: "allPerpMetas", SPOT: "spotMeta"}


def _instruments_request(market: MarketId) -> Request:
    return info_request({"type": _LISTS[market]}, WEIGHT, InstrumentPage(market))


def _spell(symbol: Symbol) -> str | None:
    # A perpetual is named for its coin alone.
    return symbol.base if symbol.quote.upper() == "USDC" and symbol.expiry is None else None


def _market(market: MarketId, aliases: tuple[str, ...]) -> Market:
    return Market(
        venue=HYPERLIQUID,
        market=market,
        aliases=aliases,
        socket_url="wss://api.hyperliquid.xyz",
        rest_url="https://api.hyperliquid.xyz",
        limits=_LIMITS,
        intervals=(
            Interval.M1,
            Interval.M3,
            Interval.M5,
            Interval.M15,
            Interval.M30,
            Interval.H1,
            Interval.H2,
            Interval.H4,
            Interval.H8,
            Interval.H12,
            Interval.D1,
            Interval.D3,
            Interval.W1,
            Interval.MO1,
        ),
        channels=(Channel.CANDLES, Channel.TICKER, Channel.TRADES, Channel.BOOK),
        instrument=partial(instrument_of_name, market),
        instruments_request=partial(_instruments_request, market),
        parse_instruments=partial(parse_instruments, market),
        plan=plan,
        feed=partial(Feed, market),
        candle_request=candle_request,
        trade_request=None,
        parse_error=parse_error,
        read_answer=partial(read_answer, market),
        spell=_spell if market == USDM else None,
    )


_USDM: Final = _market(USDM, ("um", "usd-m", "perp"))
_SPOT: Final = _market(SPOT, ())

VENUE: Final = Venue(
    name=HYPERLIQUID,
    markets={m.market: m for m in (_USDM, _SPOT)},
    default_market=USDM,
    documentation="https://hyperliquid.gitbook.io/hyperliquid-docs, as of 2026-07",
    market_of=market_of,
    market_of_symbol=market_of_symbol,
)
