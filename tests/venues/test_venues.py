import pytest

from heliograph.errors import ConfigError
from heliograph.venues import VENUES, find_market, find_venue


def test_venues_are_found_by_name_in_any_case() -> None:
    assert find_venue("Binance") is VENUES[find_venue("binance").name]


@pytest.mark.parametrize(
    ("name", "market"), [("spot", "spot"), ("USDM", "usdm"), ("um", "usdm"), ("coinm", "coinm"), ("CM", "coinm")]
)
def test_markets_are_found_by_name_or_alias(name: str, market: str) -> None:
    assert find_market(find_venue("binance"), name).market == market


def test_an_unknown_venue_says_which_there_are() -> None:
    with pytest.raises(ConfigError, match="Unsupported exchange: nowhere; accepted: binance"):
        find_venue("nowhere")


def test_an_unknown_market_says_which_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"Unsupported contract_type for binance: moon; accepted: spot, usdm \(um\), coinm \(cm\)"
    ):
        find_market(find_venue("binance"), "moon")


def test_binance_has_no_default_market() -> None:
    with pytest.raises(ConfigError, match=r"Exchange binance needs a market \(contract_type\); accepted: spot"):
        find_market(find_venue("binance"), None)


def test_every_market_declares_itself_whole() -> None:
    for venue in VENUES.values():
        for name, market in venue.markets.items():
            assert (market.venue, market.market) == (venue.name, name)
            assert market.socket_url.startswith("wss://")
            assert market.rest_url.startswith("https://")
            assert not market.socket_url.endswith("/")
            assert market.instruments_request().weight > 0
            assert len(set(market.intervals)) == len(market.intervals)
