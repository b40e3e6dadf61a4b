"""OKX v5: spot, perpetual swaps, futures and options, public market data.

Sources of the limits: "Connect" and "Connection count limit" of
https://www.okx.com/docs-v5/en/#overview-websocket , and "Rate Limit" of each endpoint.
"""

import math
from functools import partial
from typing import Final

from heliograph.model.instrument import SPOT, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import (
    BANNED,
    TOO_MANY_REQUESTS,
    InstrumentPage,
    Limits,
    Market,
    Rate,
    Refusal,
    Request,
    Venue,
)
from heliograph.venues.okx.answers import read_answer
from heliograph.venues.okx.control import market_of
from heliograph.venues.okx.instruments import (
    FUTURES,
    OKX,
    OPTION,
    SWAP,
    TYPES,
    instrument_of_symbol,
    market_of_symbol,
    parse_instruments,
)
from heliograph.venues.okx.market import Feed
from heliograph.venues.okx.rest import (
    HISTORY,
    HISTORY_WEIGHT,
    PASSING,
    RECENT,
    TRADES,
    candle_request,
    parse_error,
    trade_request,
)
from heliograph.venues.okx.streams import BARS, CHANNELS_MAX, REQUESTS_PER_HOUR_MAX, plan

# Connects: 3 a second and IP. Silence: the venue cuts a socket on which it sent nothing for 30 s, and we ask for a sign
# of life after 20. No life of a connection is documented. 480 subscriptions and the like an hour and connection, in
# which pings do not count. REST is counted by endpoint: 40 requests in 2 s for recent candles, and 20 in 2 s for the
# rest; no header tells what is used. A book without changes is told about each 60 s.
_ADDRESS: Final = "address"
_TICKERS: Final = "/api/v5/market/tickers"
_LISTS: Final = "/api/v5/public/instruments"
_LIMITS: Final = Limits(
    streams_per_connection_max=CHANNELS_MAX,
    connects_max=3,
    connects_window_s=1,
    messages_per_s_max=3,
    connection_life_s=math.inf,
    silence_s_max=30,
    weight_max=40,
    weight_window_s=2,
    weight_header="",
    stream_silence_s_max=90,
    weight_pool=_ADDRESS,
    connect_pool=_ADDRESS,
    connection_messages=Rate(REQUESTS_PER_HOUR_MAX, 3600),
    endpoints={RECENT: Rate(40, 2)} | dict.fromkeys((HISTORY, TRADES, _TICKERS, _LISTS), Rate(20, 2)),
    refusals=(TOO_MANY_REQUESTS, BANNED, Refusal(code="50011")),
    passing_codes=PASSING,
)


def _instruments_request(market: MarketId) -> Request:
    # The list of options is given for one underlying only; their tickers are given for all, without the sizes.
    path = _TICKERS if market == OPTION else _LISTS
    return Request(path, (("instType", TYPES[market]),), HISTORY_WEIGHT, InstrumentPage(market))


def _market(market: MarketId, *aliases: str) -> Market:
    absent = (Interval.S1,) if market == OPTION else ()
    return Market(
        venue=OKX,
        market=market,
        aliases=aliases,
        socket_url="wss://ws.okx.com:8443",
        rest_url="https://www.okx.com",
        limits=_LIMITS,
        intervals=tuple(interval for interval in BARS if interval not in absent),
        channels=(Channel.CANDLES, Channel.TICKER, Channel.TRADES, Channel.BOOK),
        instrument=partial(instrument_of_symbol, market),
        instruments_request=partial(_instruments_request, market),
        parse_instruments=parse_instruments,
        plan=plan,
        feed=Feed,
        candle_request=candle_request,
        trade_request=trade_request,
        parse_error=parse_error,
        read_answer=read_answer,
        success_code="0",
    )


VENUE: Final = Venue(
    name=OKX,
    markets={
        SPOT: _market(SPOT),
        SWAP: _market(SWAP, "perp"),
        FUTURES: _market(FUTURES, "future"),
        OPTION: _market(OPTION, "options"),
    },
    default_market=None,  # A symbol tells its own.
    documentation="https://www.okx.com/docs-v5/en/, as of 2026-07",
    market_of=market_of,
    market_of_symbol=market_of_symbol,
)
