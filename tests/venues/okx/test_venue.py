"""What OKX declares of itself."""

import pytest

from heliograph.model.instrument import SPOT, MarketId
from heliograph.model.interval import Interval
from heliograph.venues.okx import VENUE
from heliograph.venues.okx.instruments import OPTION


def test_the_symbol_tells_the_market_so_that_users_need_not() -> None:
    assert VENUE.market_of_symbol is not None
    assert VENUE.market_of_symbol("btc-usdt-swap") == "swap"
    assert VENUE.default_market is None


@pytest.mark.parametrize("name", ["spot", "swap", "futures", "option"])
def test_every_market_declares_itself_whole(name: str) -> None:
    market = VENUE.markets[MarketId(name)]
    assert (market.venue, market.market) == (VENUE.name, name)
    assert market.socket_url == "wss://ws.okx.com:8443"
    assert market.instruments_request().query == (("instType", market.market.upper()),)
    assert market.trade_request is not None
    assert market.limits.weight_max >= market.instruments_request().weight > 0


def test_options_have_no_candles_of_a_second_and_are_listed_by_their_tickers() -> None:
    assert Interval.S1 not in VENUE.markets[OPTION].intervals
    assert Interval.S1 in VENUE.markets[SPOT].intervals
    assert VENUE.markets[OPTION].instruments_request().path == "/api/v5/market/tickers"
