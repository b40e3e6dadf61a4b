from typing import Any

import msgspec
import pytest

from heliograph.testing import names
from heliograph.testing.names import check_names, check_streams
from heliograph.testing.stage import Stage
from heliograph.venues.directory import Directory
from tests.testing.breaking import BINANCE, altered, caught


def relisted(**fields: Any) -> Any:
    def parse(market: Any) -> Any:
        return lambda body: [msgspec.structs.replace(i, **fields) for i in market.parse_instruments(body)]

    return altered(parse_instruments=parse)


@pytest.mark.parametrize(
    ("fields", "claim"),
    [
        ({"venue_symbol": "NOPE"}, "is an instrument of the market"),
        ({"base": "XBT"}, "`base` is what the venue lists"),
        ({"kind": None}, "`kind` is what the venue lists"),
        ({"contract_size": 7}, "`contract_size` is what the venue lists"),
        ({"tick_size": 7}, "`tick_size` is a step of prices"),
        ({"venue": "okx"}, "is said to be of this market"),
    ],
)
def test_a_list_that_is_misread_is_found(fields: dict[str, Any], claim: str) -> None:
    caught(check_names, relisted(**fields), claim, "spot")


def test_t17_an_instrument_that_is_another_without_the_list_is_found() -> None:
    def other(market: Any) -> Any:
        return lambda symbol: msgspec.structs.replace(market.instrument(symbol), market="usdm")

    caught(check_names, altered(instrument=other), "is the same without the list", "spot")


def test_an_instrument_that_its_own_name_does_not_find_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "Directory", lambda market, listed: Directory(market, [*listed][:1]))
    caught(check_names, BINANCE, "is found by each of its names", "spot")


def test_a_symbol_that_tells_another_market_is_found() -> None:
    venue = msgspec.structs.replace(BINANCE, market_of_symbol=lambda _symbol: "coinm")
    caught(check_names, venue, "tells the right one", "spot")


def test_t17_two_markets_whose_streams_have_the_same_names_are_found() -> None:
    check_streams(Stage(BINANCE))
    caught(check_streams, relisted(market="spot"), "has streams of its own")
