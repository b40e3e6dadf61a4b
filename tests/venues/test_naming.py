"""Unified symbols at venues."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.instrument import SPOT, MarketId
from heliograph.model.symbol import Symbol
from heliograph.venues.naming import MARKET_WORDS, markets_for, spellings


def read(text: str) -> Symbol:
    symbol = Symbol.parse(text)
    assert symbol is not None
    return symbol


@pytest.mark.parametrize(
    ("text", "markets"),
    [
        ("BTC/USDT", ("spot",)),
        ("BTC/USDT:USDT", ("usdm", "linear", "swap", "futures")),
        ("BTC/USD:BTC", ("coinm", "inverse", "swap", "futures")),
        ("BTC/USDT:USDT-261225", ("usdm", "linear", "futures")),
        ("BTC/USD:BTC-261225", ("coinm", "inverse", "futures")),
        ("BTC/USD:BTC-261225-1-P", ("option",)),
    ],
)
def test_a_symbol_says_which_markets_can_have_it(text: str, markets: tuple[str, ...]) -> None:
    assert markets_for(read(text)) == markets
    assert MARKET_WORDS.issuperset(markets)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("btc/usdt", "BTCUSDT"),
        ("BTC/USDT", "BTC-USDT"),
        ("BTC/USDT", "BTC_USDT"),
        ("BTC/USDT:USDT", "BTC-USDT-SWAP"),
        ("BTC/USD:BTC", "BTCUSD_PERP"),
        ("BTC/USD:BTC-261225", "BTC-USD-261225"),
        ("BTC/USDT:USDT-261225", "BTCUSDT_261225"),
        ("BTC/USDT:USDT-261225", "BTC_USDT_20261225"),
        ("BTC/USDT:USDT-261225", "BTCUSDT-25DEC26"),
        ("BTC/USD:BTC-261225-100000-c", "BTC-USD-261225-100000-C"),
    ],
)
def test_every_venues_way_of_writing_is_among_the_spellings(text: str, name: str) -> None:
    assert spellings(read(text), MarketId("usdm")).count(name) == 1


def test_a_pair_at_spot_is_never_taken_for_a_contract() -> None:
    assert spellings(read("BTC/USDT"), SPOT) == ["BTCUSDT", "BTC-USDT", "BTC_USDT"]


def test_what_is_no_day_has_no_month() -> None:
    assert spellings(read("A/B:B-999999"), MarketId("usdm"))[:3] == ["AB_999999", "AB-999999", "AB_20999999"]


@given(st.from_regex(r"[A-Z]{1,5}/[A-Z]{1,5}(:[A-Z]{1,5}(-[0-9]{6}(-[0-9]{1,5}-[CP])?)?)?", fullmatch=True))
def test_each_way_is_there_once(text: str) -> None:
    names = spellings(read(text), MarketId("swap"))
    assert len(set(names)) == len(names)
