"""Kraken: spot, public market data.

Sources of the limits: https://docs.kraken.com/exchange/api-reference/spot-websocket and
https://support.kraken.com/articles/206548367-what-are-the-api-rate-limits- .
"""

from typing import Final

from heliograph.model.instrument import SPOT
from heliograph.model.market import Channel
from heliograph.model.symbol import Symbol
from heliograph.venues.contract import (
    TOO_MANY_REQUESTS,
    InstrumentPage,
    Limits,
    Market,
    Rate,
    Refusal,
    Request,
    Venue,
)
from heliograph.venues.kraken.answers import read_answer
from heliograph.venues.kraken.control import market_of
from heliograph.venues.kraken.instruments import KRAKEN, instrument_of_symbol, parse_instruments
from heliograph.venues.kraken.market import MESSAGES_PER_TICK, Feed
from heliograph.venues.kraken.rest import (
    CANDLES_PATH,
    DISPLAY,
    PAIRS_PATH,
    TRADES_PATH,
    candle_request,
    parse_error,
    trade_request,
)
from heliograph.venues.kraken.streams import MINUTES, STREAMS_MAX, plan

# About 150 connects in any 10 minutes, beyond which an address is turned away for 10 minutes. A life of connections is
# not documented. A sign of life comes each second. REST suffers one request a second: of an address, and of candles and
# trades of an address and a pair. What a pair has of its own cannot be said here, so that all pairs share it.
_LIMITS: Final = Limits(
    streams_per_connection_max=STREAMS_MAX,
    connects_max=140,
    connects_window_s=600,
    messages_per_s_max=MESSAGES_PER_TICK + 1,
    connection_life_s=float("inf"),
    silence_s_max=15,
    weight_max=1,
    weight_window_s=1,
    weight_header="",
    endpoints=dict.fromkeys((CANDLES_PATH, TRADES_PATH), Rate(1, 1)),
    refusals=(
        TOO_MANY_REQUESTS,
        Refusal(code="EGeneral:Too many requests", wait_s=5),
        Refusal(code="EAPI:Rate limit exceeded", wait_s=15),
        Refusal(words="throttled", wait_s=15),
    ),
    passing_codes=frozenset({"EService:Unavailable", "EService:Busy", "EService:Timeout", "EGeneral:Internal error"}),
)


def _instruments_request() -> Request:
    return Request(PAIRS_PATH, (DISPLAY,), 1, InstrumentPage(SPOT))


def _spell(symbol: Symbol) -> str | None:
    return None if symbol.settle else f"{symbol.base}/{symbol.quote}".upper()


_SPOT: Final = Market(
    venue=KRAKEN,
    market=SPOT,
    aliases=(),
    socket_url="wss://ws.kraken.com",
    rest_url="https://api.kraken.com",
    limits=_LIMITS,
    intervals=tuple(MINUTES),
    channels=(Channel.CANDLES, Channel.TICKER, Channel.TRADES, Channel.BOOK),
    instrument=instrument_of_symbol,
    instruments_request=_instruments_request,
    parse_instruments=parse_instruments,
    plan=plan,
    feed=Feed,
    candle_request=candle_request,
    trade_request=trade_request,
    parse_error=parse_error,
    read_answer=read_answer,
    success_code="",
    spell=_spell,
)

VENUE: Final = Venue(
    name=KRAKEN,
    markets={SPOT: _SPOT},
    default_market=SPOT,
    documentation="https://docs.kraken.com/exchange, as of 2026-07",
    market_of=market_of,
)
