"""Coinbase, by its Advanced Trade interfaces: spot, public market data.

Sources of the limits:
https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-rate-limits and, for REST,
https://docs.cdp.coinbase.com/exchange/rest-api/rate-limits .
"""

from typing import Final

from heliograph.model.instrument import SPOT
from heliograph.model.market import Channel
from heliograph.venues.coinbase.answers import market_of, read_answer
from heliograph.venues.coinbase.instruments import COINBASE, instrument_of_symbol, parse_instruments
from heliograph.venues.coinbase.market import Feed
from heliograph.venues.coinbase.rest import (
    GRANULARITY_NAMES,
    PRODUCTS_PATH,
    candle_request,
    parse_error,
    trade_request,
)
from heliograph.venues.coinbase.streams import STREAMED, STREAMS_MAX, plan
from heliograph.venues.contract import InstrumentPage, Limits, Market, Rate, Request, Venue

# Eight connects and eight messages a second and address, and ten public REST requests, all documented (those of REST
# for the Exchange interface, whose gate is the same). Nothing is said of a connection's life, nor of how many streams
# it carries: that bound is ours. Hearts beat every second. A book's first frame has some 112 bytes a level, and BTC-USD
# has had 42,000 levels (2026-09): almost 5 MB.
_LIMITS: Final = Limits(
    streams_per_connection_max=STREAMS_MAX,
    connects_max=8,
    connects_window_s=1,
    messages_per_s_max=8,
    connection_life_s=float("inf"),
    silence_s_max=15,
    weight_max=10,
    weight_window_s=1,
    weight_header="",
    weight_pool="address",
    connect_pool="address",
    address_messages=Rate(8, 1),
    passing_codes=frozenset({"INTERNAL", "UNAVAILABLE"}),
    message_bytes_max=32 * 1024 * 1024,
)

_SPOT: Final = Market(
    venue=COINBASE,
    market=SPOT,
    aliases=(),
    socket_url="wss://advanced-trade-ws.coinbase.com",
    rest_url="https://api.coinbase.com",
    limits=_LIMITS,
    intervals=tuple(GRANULARITY_NAMES),
    channels=(Channel.CANDLES, Channel.TICKER, Channel.TRADES, Channel.BOOK),
    instrument=instrument_of_symbol,
    instruments_request=lambda: Request(PRODUCTS_PATH, (("product_type", "SPOT"),), 1, InstrumentPage(SPOT)),
    parse_instruments=parse_instruments,
    plan=plan,
    feed=Feed,
    candle_request=candle_request,
    trade_request=trade_request,
    parse_error=parse_error,
    read_answer=read_answer,
    headers={"Cache-Control": "no-cache"},  # Public answers are else up to a second old.
    past_only=tuple(interval for interval in GRANULARITY_NAMES if interval is not STREAMED),
)

VENUE: Final = Venue(
    name=COINBASE,
    markets={SPOT: _SPOT},
    default_market=SPOT,
    documentation="https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket , as of 2026-06",
    market_of=market_of,
)
