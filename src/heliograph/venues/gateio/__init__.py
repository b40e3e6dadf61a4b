"""Gate.io: spot, USDT-settled and coin-settled perpetual contracts, public market data.

Sources of the limits: "Rate limit" of https://www.gate.com/docs/developers/apiv4/en/ (200 requests in 10 s for each
public endpoint and address, 300 sockets for each address) and https://github.com/gateio/gatews/issues/25 (no bound on
streams and messages, at most 100 sockets recommended).
"""

from functools import partial
from typing import Final

import msgspec

from heliograph.model.instrument import SPOT, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import (
    TOO_MANY_REQUESTS,
    BudgetHeaders,
    InstrumentPage,
    Limits,
    Market,
    Rate,
    Refusal,
    Request,
    Venue,
)
from heliograph.venues.gateio.answers import read_answer
from heliograph.venues.gateio.bars import FUTURES_INTERVALS, SPOT_INTERVALS, Units, names_of
from heliograph.venues.gateio.control import market_of
from heliograph.venues.gateio.instruments import COINM, GATEIO, USDM, instrument_of_symbol, parse_instruments
from heliograph.venues.gateio.market import Feed, Rules
from heliograph.venues.gateio.rest import Rest, candle_request, parse_error, trade_request
from heliograph.venues.gateio.streams import FUTURES_LEVELS, STREAMS_PER_CONNECTION_MAX, Wire, plan

_ADDRESS: Final = "address"
_LIMITS: Final = Limits(
    streams_per_connection_max=STREAMS_PER_CONNECTION_MAX,
    connects_max=100,  # Ours: how often sockets may be opened is not said.
    connects_window_s=60,
    messages_per_s_max=100,  # Ours: none is named.
    connection_life_s=float("inf"),
    silence_s_max=30,  # Three pings that were not answered.
    weight_max=200,
    weight_window_s=10,
    weight_header="",
    weight_pool=_ADDRESS,
    connect_pool=_ADDRESS,
    connections_max=100,
    headers=BudgetHeaders("X-Gate-RateLimit-Requests-Remain", "X-Gate-RateLimit-Limit"),
    refusals=(TOO_MANY_REQUESTS, Refusal(code="TOO_MANY_REQUESTS"), Refusal(code="TOO_FAST")),
)


def _instruments_request(rules: Rules, name: str) -> Request:
    return Request(f"{rules.rest.prefix}/{name}", (), 1, InstrumentPage(rules.market))


def _limits(prefix: str, *names: str) -> Limits:
    return msgspec.structs.replace(_LIMITS, endpoints={f"{prefix}/{name}": Rate(200, 10) for name in names})


def _market(rules: Rules, list_name: str, aliases: tuple[str, ...], socket_url: str) -> Market:
    return Market(
        venue=GATEIO,
        market=rules.market,
        aliases=aliases,
        socket_url=socket_url,
        rest_url="https://api.gateio.ws",
        limits=_limits(rules.rest.prefix, "candlesticks", "order_book", "trades", list_name),
        intervals=tuple(sorted(rules.intervals.values(), key=list(Interval).index)),
        channels=(Channel.CANDLES, Channel.TICKER, Channel.TRADES, Channel.BOOK),
        instrument=rules.instrument,
        instruments_request=partial(_instruments_request, rules, list_name),
        parse_instruments=partial(parse_instruments, rules.market),
        plan=partial(plan, rules.wire, STREAMS_PER_CONNECTION_MAX),
        feed=partial(Feed, rules),
        candle_request=partial(candle_request, rules.rest),
        # Only trades of spot are said to be numbered without holes.
        trade_request=partial(trade_request, rules.rest) if rules.rest.market == SPOT else None,
        parse_error=parse_error,
        read_answer=partial(read_answer, rules),
        # Else sizes are cut to whole contracts. https://www.gate.com/announcements/article/48788
        headers={} if rules.rest.market == SPOT else {"X-Gate-Size-Decimal": "1"},
        # The candlestick channels have neither. https://www.gate.com/docs/developers/apiv4/ws/en/#candlesticks-channel
        past_only=tuple(i for i in (Interval.W1, Interval.MO1) if i in rules.intervals.values()),
    )


_SPOT: Final = Rules(
    SPOT,
    partial(instrument_of_symbol, SPOT),
    SPOT_INTERVALS,
    Wire("spot", "/ws/v4/", names_of(SPOT_INTERVALS)),
    Rest(SPOT, "/api/v4/spot", "currency_pair", Units.SPOT, names_of(SPOT_INTERVALS), 1000, 1000),
)


def _futures(market: MarketId, settle: str, units: Units) -> Rules:
    lengths = names_of(FUTURES_INTERVALS)
    return Rules(
        market,
        partial(instrument_of_symbol, market),
        FUTURES_INTERVALS,
        Wire("futures", f"/v4/ws/{settle}", lengths),
        Rest(market, f"/api/v4/futures/{settle}", "contract", units, lengths, 2000, FUTURES_LEVELS),
    )


_FUTURES_URL: Final = "wss://fx-ws.gateio.ws"
_MARKETS: Final = (
    _market(_SPOT, "currency_pairs", (), "wss://api.gateio.ws"),
    _market(_futures(USDM, "usdt", Units.LINEAR), "contracts", ("um",), _FUTURES_URL),
    # There is no coin settle but btc, whatever a symbol's base is.
    _market(_futures(COINM, "btc", Units.INVERSE), "contracts", ("cm",), _FUTURES_URL),
)

VENUE: Final = Venue(
    name=GATEIO,
    markets={market.market: market for market in _MARKETS},
    default_market=SPOT,
    documentation="https://www.gate.com/docs/developers/, as of 2026-09",
    market_of=market_of,
)
