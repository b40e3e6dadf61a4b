"""Bybit v5: spot, linear and inverse contracts, public market data.

Sources of the limits: https://bybit-exchange.github.io/docs/v5/ws/connect and
https://bybit-exchange.github.io/docs/v5/rate-limit .
"""

from functools import partial
from typing import Final

import msgspec

from heliograph.model.instrument import SPOT, MarketId
from heliograph.model.market import Channel
from heliograph.model.symbol import Symbol
from heliograph.venues.bybit.answers import read_answer
from heliograph.venues.bybit.control import market_of
from heliograph.venues.bybit.instruments import BYBIT, INVERSE, LINEAR, instrument_of_symbol, parse_instruments
from heliograph.venues.bybit.market import Feed, Rules
from heliograph.venues.bybit.rest import Rest, candle_request, parse_error
from heliograph.venues.bybit.streams import INTERVALS, plan
from heliograph.venues.contract import (
    TOO_MANY_REQUESTS,
    BudgetHeaders,
    InstrumentPage,
    Limits,
    Market,
    Refusal,
    Request,
    Venue,
)
from heliograph.venues.faults import FAULTS

# 500 connections in 5 minutes and 600 requests in 5 s, of an address to one host, which all three markets share, less
# the edge that the venue advises against; 1000 connections to each market, of which all together stay below. Headers
# tell what a user has left of one endpoint, which is another budget: they count when nothing is left. An address that
# asks too often is turned away for 10 minutes, by a status that has other meanings. A connection's arguments have
# 21,000 characters, which 500 topics of up to 39 characters never reach (the longest that was seen has 30); `plan`
# counts them besides. Nothing is said of a connection's life, nor of how many messages it takes: 18 in one burst were
# seen to be answered (2026-09). Our ping's pong comes every 20 s.
_ADDRESS: Final = "address"
_LIMITS: Final = Limits(
    streams_per_connection_max=500,
    connects_max=450,
    connects_window_s=300,
    messages_per_s_max=10,
    connection_life_s=float("inf"),
    silence_s_max=60,
    weight_max=540,
    weight_window_s=5,
    weight_header="",
    weight_pool=_ADDRESS,
    connect_pool=_ADDRESS,
    connections_max=1000,
    headers=BudgetHeaders("X-Bapi-Limit-Status", "X-Bapi-Limit", "X-Bapi-Limit-Reset-Timestamp", 0.001),
    refusals=(
        TOO_MANY_REQUESTS,
        Refusal(status=403, words="access too frequent", wait_s=600),
        Refusal(code="10006"),
        Refusal(code="10018"),
    ),
    passing_codes=frozenset({"10000", "10016"}),
)

_SPOT_RULES: Final = Rules(
    SPOT, partial(instrument_of_symbol, SPOT), Rest(SPOT, counts_contracts=False), top_in_book=True, args_max=10
)
_LINEAR_RULES: Final = Rules(
    LINEAR,
    partial(instrument_of_symbol, LINEAR),
    Rest(LINEAR, counts_contracts=False),
    top_in_book=False,
    args_max=None,
)
_INVERSE_RULES: Final = Rules(
    INVERSE, partial(instrument_of_symbol, INVERSE), Rest(INVERSE, counts_contracts=True), top_in_book=False,
    args_max=None,
)  # fmt: skip


def _instruments_request(market: MarketId) -> Request:
    query = (("category", str(market)), ("limit", "1000"))  # The most; spot gives all whatever is asked.
    return Request("/v5/market/instruments-info", query, 1, InstrumentPage(market))


class _RawResult(msgspec.Struct):
    cursor: str = msgspec.field(name="nextPageCursor", default="")


class _RawPage(msgspec.Struct):
    result: _RawResult


def _next_instruments(request: Request, body: bytes) -> Request | None:
    try:
        cursor = msgspec.json.decode(body, type=_RawPage).result.cursor
    except FAULTS:  # Then it is no list either, which whoever reads it says.
        return None
    query = tuple(pair for pair in request.query if pair[0] != "cursor")
    return msgspec.structs.replace(request, query=(*query, ("cursor", cursor))) if cursor else None


def _spell(symbol: Symbol) -> str | None:
    # Perpetuals in USDC have no quote in their names: https://bybit-exchange.github.io/docs/v5/enum#symbol
    return f"{symbol.base}PERP" if symbol.quote.upper() == "USDC" and symbol.expiry is None else None


def _market(rules: Rules, aliases: tuple[str, ...]) -> Market:
    path = f"/v5/public/{rules.market}"
    return Market(
        venue=BYBIT,
        market=rules.market,
        aliases=aliases,
        socket_url="wss://stream.bybit.com",
        rest_url="https://api.bybit.com",
        limits=_LIMITS,
        intervals=tuple(INTERVALS.values()),
        channels=(Channel.CANDLES, Channel.TICKER, Channel.TRADES, Channel.BOOK),
        instrument=rules.instrument,
        instruments_request=partial(_instruments_request, rules.market),
        parse_instruments=partial(parse_instruments, rules.market),
        plan=partial(plan, path, _LIMITS.streams_per_connection_max, top_in_book=rules.top_in_book),
        feed=partial(Feed, rules),
        candle_request=partial(candle_request, rules.rest),
        trade_request=None,
        parse_error=parse_error,
        read_answer=partial(read_answer, rules),
        spell=_spell if rules.market == LINEAR else None,
        success_code="0",
        next_instruments=_next_instruments,
    )


VENUE: Final = Venue(
    name=BYBIT,
    markets={
        market.market: market
        for market in (
            _market(_SPOT_RULES, ()),
            _market(_LINEAR_RULES, ("um", "usd-m", "perp")),
            _market(_INVERSE_RULES, ("cm", "coin-m")),
        )
    },
    default_market=SPOT,
    documentation="https://bybit-exchange.github.io/docs/v5/intro, as of 2026-07",
    market_of=market_of,
)
