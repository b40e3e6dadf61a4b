"""Binance: spot, USD-M and COIN-M futures, public market data.

Sources of the limits: "WebSocket Limits" and "IP Limits" of the pages named at each market; the spread of weights is in
the reference of each endpoint.
"""

from functools import partial
from typing import Final

from heliograph.model.instrument import SPOT, MarketId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.binance.answers import read_answer
from heliograph.venues.binance.control import market_of
from heliograph.venues.binance.instruments import BINANCE, COINM, USDM, instrument_of_symbol, parse_instruments
from heliograph.venues.binance.market import Feed, Rules
from heliograph.venues.binance.rest import Rest, candle_request, parse_error, trade_request
from heliograph.venues.binance.streams import ONE_PATH, SPLIT_PATHS, plan
from heliograph.venues.contract import InstrumentPage, Limits, Market, Request, Venue
from heliograph.venues.joined_book import Rule

_MINUTES_AND_MORE: Final = (
    Interval.M1,
    Interval.M3,
    Interval.M5,
    Interval.M15,
    Interval.M30,
    Interval.H1,
    Interval.H2,
    Interval.H4,
    Interval.H6,
    Interval.H8,
    Interval.H12,
    Interval.D1,
    Interval.D3,
    Interval.W1,
    Interval.MO1,
)

# https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams: 1024 streams, 5 messages a second with
# pings and pongs, 300 connections in 5 minutes, 24 hours, a ping every 20 s.
_SPOT_LIMITS: Final = Limits(
    streams_per_connection_max=1024,
    connects_max=300,
    connects_window_s=300,
    messages_per_s_max=5,
    connection_life_s=86_400,
    silence_s_max=60,
    weight_max=6000,
    weight_window_s=60,
    weight_header="X-MBX-USED-WEIGHT-1M",
    stream_silence_s_max=60,
)

# https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams: 10 messages a second,
# a ping every 3 minutes. 1024 streams are documented, 200 were before, and 200 is what long-lived clients keep to. Both
# kinds of futures share the weight of an address; that they share its connects is not said, and assumed to be safe.
_FUTURES_LIMITS: Final = Limits(
    streams_per_connection_max=200,
    connects_max=300,
    connects_window_s=300,
    messages_per_s_max=10,
    connection_life_s=86_400,
    silence_s_max=240,
    weight_max=2400,
    weight_window_s=60,
    weight_header="X-MBX-USED-WEIGHT-1M",
    stream_silence_s_max=60,
    weight_pool="futures",
    connect_pool="futures",
)

_FUTURES_KLINES: Final = ((99, 1), (499, 2), (1000, 5), (1500, 10))
_SPOT_RULES: Final = Rules(
    SPOT,
    partial(instrument_of_symbol, SPOT),
    ONE_PATH,
    Rest("/api/v3", 1000, ((1000, 2),), trades_weight=4, depth_weight=50, counts_contracts=False),
    Rule.FIRST_FOLLOWS,
    segment=None,
    messages_per_tick=4,
)
_USDM_RULES: Final = Rules(
    USDM,
    partial(instrument_of_symbol, USDM),
    SPLIT_PATHS,
    Rest("/fapi/v1", 1500, _FUTURES_KLINES, trades_weight=20, depth_weight=20, counts_contracts=False),
    Rule.NAMES_PREVIOUS,
    segment=1,
    messages_per_tick=8,
)
_COINM_RULES: Final = Rules(
    COINM,
    partial(instrument_of_symbol, COINM),
    ONE_PATH,
    Rest("/dapi/v1", 1500, _FUTURES_KLINES, trades_weight=20, depth_weight=20, counts_contracts=True),
    Rule.NAMES_PREVIOUS,
    segment=2,
    messages_per_tick=8,
)


def _instruments_request(rules: Rules, weight: int) -> Request:
    return Request(f"{rules.rest.prefix}/exchangeInfo", (), weight, InstrumentPage(rules.market))


def _market(
    rules: Rules, aliases: tuple[str, ...], socket_url: str, rest_url: str, limits: Limits, list_weight: int
) -> Market:
    return Market(
        venue=BINANCE,
        market=rules.market,
        aliases=aliases,
        socket_url=socket_url,
        rest_url=rest_url,
        limits=limits,
        intervals=(Interval.S1, *_MINUTES_AND_MORE) if rules.market == SPOT else _MINUTES_AND_MORE,
        channels=(Channel.CANDLES, Channel.TICKER, Channel.TRADES, Channel.BOOK),
        instrument=rules.instrument,
        instruments_request=partial(_instruments_request, rules, list_weight),
        parse_instruments=partial(parse_instruments, rules.market),
        plan=partial(plan, rules.paths, limits.streams_per_connection_max),
        feed=partial(Feed, rules),
        candle_request=partial(candle_request, rules.rest),
        trade_request=partial(trade_request, rules.rest),
        parse_error=parse_error,
        read_answer=partial(read_answer, rules),
    )


_SPOT: Final = _market(
    _SPOT_RULES, (), "wss://stream.binance.com:9443", "https://api.binance.com", _SPOT_LIMITS, list_weight=20
)
_USDM: Final = _market(
    _USDM_RULES, ("um",), "wss://fstream.binance.com", "https://fapi.binance.com", _FUTURES_LIMITS, list_weight=1
)
_COINM: Final = _market(
    _COINM_RULES, ("cm",), "wss://dstream.binance.com", "https://dapi.binance.com", _FUTURES_LIMITS, list_weight=1
)

VENUE: Final = Venue(
    name=BINANCE,
    markets={MarketId(m.market): m for m in (_SPOT, _USDM, _COINM)},
    default_market=None,
    documentation="https://developers.binance.com/docs, as of 2026-07",
    market_of=market_of,
)
