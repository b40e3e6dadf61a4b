"""Luno: spot, public market data, which takes an API key all the same.

Source of the limits: https://www.luno.com/en/developers/api#tag/Rate-Limiting
"""

from functools import partial
from typing import Final

import msgspec

from heliograph.model.instrument import SPOT
from heliograph.model.market import Channel
from heliograph.venues.contract import (
    TOO_MANY_REQUESTS,
    Credentials,
    InstrumentPage,
    Limits,
    Market,
    Refusal,
    Request,
    Venue,
)
from heliograph.venues.luno.answers import MARKETS_PATH, read_answer
from heliograph.venues.luno.control import market_of
from heliograph.venues.luno.instruments import LUNO, instrument_of_symbol, parse_instruments, spell
from heliograph.venues.luno.market import Feed
from heliograph.venues.luno.rest import candle_request, parse_error, trade_request
from heliograph.venues.luno.signing import authorization
from heliograph.venues.luno.streams import DURATIONS_S, plan

# 300 calls a minute and 50 sessions at once, both documented, less a tenth of the calls for others of the same key.
# That one may be limited for connecting too often is documented, and not how often that is: as often as once a second
# is what we allow ourselves. The headers of answers tell of other limits (5000 in a second, seen 2026-09-22), whose
# reset is no time of day, so that they are not read. The venue pings every 13.5 s (seen 2026-09-22), its own client
# gives a connection up that is silent for 60.
_LIMITS: Final = Limits(
    streams_per_connection_max=1,
    connects_max=60,
    connects_window_s=60,
    messages_per_s_max=5,
    connection_life_s=float("inf"),
    silence_s_max=60,
    weight_max=270,
    weight_window_s=60,
    weight_header="",
    weight_pool="address",
    connect_pool="address",
    connections_max=50,
    refusals=(TOO_MANY_REQUESTS, Refusal(code="ErrTooManyRequests")),
    passing_codes=frozenset({"ErrInternal", "ErrDeadlineExceeded", "ErrUnderMaintenance"}),
)


def _with_credentials(credentials: Credentials) -> Market:
    return msgspec.structs.replace(
        _SPOT,
        headers={"Authorization": authorization(credentials)},
        feed=partial(Feed, credentials),
        needs_credentials=False,
    )


_SPOT: Final = Market(
    venue=LUNO,
    market=SPOT,
    aliases=(),
    socket_url="wss://ws.luno.com",
    rest_url="https://api.luno.com",
    limits=_LIMITS,
    intervals=tuple(DURATIONS_S),
    channels=(Channel.CANDLES, Channel.TICKER, Channel.TRADES, Channel.BOOK),
    instrument=instrument_of_symbol,
    instruments_request=lambda: Request(MARKETS_PATH, (), 1, InstrumentPage(SPOT)),
    parse_instruments=parse_instruments,
    plan=plan,
    feed=partial(Feed, None),
    candle_request=candle_request,
    trade_request=trade_request,
    parse_error=parse_error,
    read_answer=read_answer,
    spell=spell,
    needs_credentials=True,
    with_credentials=_with_credentials,
)

VENUE: Final = Venue(
    name=LUNO,
    markets={SPOT: _SPOT},
    default_market=SPOT,
    documentation="https://www.luno.com/en/developers/api, version 1.2.5 of 2026-01",
    market_of=market_of,
)
