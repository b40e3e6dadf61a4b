from typing import Any

import msgspec
import pytest

from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.testing.declaration import check_declaration
from heliograph.testing.stage import Stage
from heliograph.venues import luno
from heliograph.venues.contract import CandlePage, InstrumentPage, Rate
from tests.testing.breaking import BINANCE, altered, caught, limited


@pytest.mark.parametrize(
    ("fields", "claim"),
    [
        ({"name": "Binance"}, "a venue's name is small letters"),
        ({"markets": {}}, "a venue has markets"),
        ({"documentation": "ask them"}, "names its documentation"),
        ({"default_market": "moon"}, "the default market is one of them"),
    ],
)
def test_a_venue_says_what_it_is(fields: dict[str, Any], claim: str) -> None:
    stage = Stage(BINANCE)
    stage.venue = msgspec.structs.replace(BINANCE, **fields)
    with pytest.raises(AssertionError, match=claim):
        check_declaration(stage)


@pytest.mark.parametrize(
    ("fields", "claim"),
    [
        ({"aliases": ("um",)}, "each name or alias means one market"),
        ({"aliases": ("UM",)}, "each name or alias means one market|small letters"),
        ({"venue": "okx"}, "a market says of which venue it is"),
        ({"socket_url": "ws://stream.binance.com"}, "its URL is wss"),
        ({"rest_url": "https://api.binance.com/"}, "its URL is https"),
        ({"channels": ()}, "its channels are some"),
        ({"channels": (Channel.BOOK, Channel.BOOK)}, "its channels are some, each once"),
        ({"intervals": ()}, "its intervals are some"),
        ({"past_only": (Interval.MO3,)}, "are among its intervals"),
    ],
)
def test_a_market_says_what_it_is(fields: dict[str, Any], claim: str) -> None:
    caught(check_declaration, altered(**fields), claim)


@pytest.mark.parametrize(
    ("limits", "claim"),
    [
        ({"weight_max": 0}, "limits are positive"),
        ({"connects_window_s": -1}, "limits are positive"),
        ({"stream_silence_s_max": 0}, "limits are positive"),
        ({"connections_max": 0}, "limits are positive"),
        ({"address_messages": Rate(0, 60)}, "rates are positive"),
        ({"endpoints": {"/path": Rate(1, 0)}}, "rates are positive"),
        ({"endpoints": {"path": Rate(1, 1)}}, "endpoints are named by their paths"),
    ],
)
def test_a_limit_that_nobody_could_keep_is_found(limits: dict[str, Any], claim: str) -> None:
    caught(check_declaration, limited(**limits), claim)


def test_a_list_that_costs_nothing_is_found() -> None:
    def free(market: Any) -> Any:
        return lambda: msgspec.structs.replace(market.instruments_request(), weight=0)

    caught(check_declaration, altered(instruments_request=free), "its list of instruments is asked for")


def test_a_market_that_takes_any_text_for_an_instrument_is_found() -> None:
    def gullible(market: Any) -> Any:
        return lambda symbol: msgspec.structs.replace(market.instrument("BTCUSDT"), venue_symbol=symbol)

    stage = Stage(BINANCE)
    spot = next(iter(BINANCE.markets.values()))
    stage.venue = msgspec.structs.replace(
        BINANCE, markets=BINANCE.markets | {spot.market: msgspec.structs.replace(spot, instrument=gullible(spot))}
    )
    with pytest.raises(AssertionError, match="refused with `ConfigError`"):
        check_declaration(stage)


def test_markets_that_share_a_pool_and_declare_it_differently_are_found() -> None:
    def larger(market: Any) -> Any:
        limits = market.limits
        return msgspec.structs.replace(limits, weight_max=9) if market.market == "coinm" else limits

    caught(check_declaration, altered(limits=larger), "share a pool declare it alike")


def test_a_market_that_is_not_played_is_found() -> None:
    stage = Stage(BINANCE)
    spot = next(iter(BINANCE.markets.values()))
    stage.venue = msgspec.structs.replace(
        BINANCE, markets=BINANCE.markets | {"moon": msgspec.structs.replace(spot, market="moon")}
    )
    with pytest.raises(AssertionError, match="every market is in the layout"):
        check_declaration(stage)


def test_a_market_that_needs_a_key_and_takes_none_is_found() -> None:
    caught(check_declaration, altered(luno.VENUE, with_credentials=None), "takes what `with_credentials` is given")


def test_a_market_that_tells_not_even_its_list_without_a_key_is_found() -> None:
    def secretive(market: Any) -> Any:
        request = market.candle_request(CandlePage(market.instrument("XBTZAR"), Interval.M1, 0, None))
        return lambda: msgspec.structs.replace(request, purpose=InstrumentPage(market.market))

    caught(check_declaration, altered(luno.VENUE, instruments_request=secretive), "its list of instruments is answered")
