"""The symbols of streams."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.model.instrument import Instrument, MarketId, VenueId
from heliograph.model.pair import pair_of


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("BTCUSDT", "BTCUSDT"),
        ("BTC-USDT", "BTCUSDT"),
        ("BTC_USDT", "BTCUSDT"),
        ("PURR/USDC", "PURRUSDC"),
        ("XBTZAR", "XBTZAR"),
        ("1000SATS_FDUSD", "1000SATSFDUSD"),
        ("BTCUSD_PERP", "BTCUSDPERP"),
        ("BTCUSDT_261225", "BTCUSDT261225"),
        ("BTC-USDT-SWAP", "BTCUSDTSWAP"),
        ("BTC-USD-261225", "BTCUSD261225"),
        ("BTC_USDT_20261225", "BTCUSDT20261225"),
        ("BTCUSDT-26DEC25", "BTCUSDT26DEC25"),
        ("比特币USDT", "比特币USDT"),
    ],
)
def test_an_ordinary_name_is_told_in_upper_case_without_separators(name: str, pair: str) -> None:
    assert pair_of(name) == pair


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("kPEPE", "KPEPE"),
        ("@107", "107"),
        ("xyz:XYZ100", "XYZ100"),
        ("xyz:XYZ100", "XYZXYZ100"),
        ("A_BC", "AB_C"),
        ("XB_USD", "X_BUSD"),
        ("BTC_USD1_261225", "BTC_USD_1261225"),
        ("BTCUSD1-6DEC25", "BTCUSD-16DEC25"),
        ("ETH-USD-220624-1800.5-P", "ETH-USD-220624-18005-P"),
        ("BTC-USD_UM-SWAP", "BTC-USDUM-SWAP"),
        ("a:b", "a%3Ab"),
        ("straße", "STRASSE"),
    ],
)
def test_m19_t17_two_names_never_share_a_stream(name: str, other: str) -> None:
    assert pair_of(name) != pair_of(other)


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("kPEPE", "kPEPE"),
        ("@107", "@107"),
        ("xyz:XYZ100", "xyz%3AXYZ100"),
        ("A_BC", "A_BC"),
        ("kBTC_USDT", "kBTC_USDT"),
        ("BTC-USD-261225-100000-C", "BTC-USD-261225-100000-C"),
        ("a b%c", "a%20b%25c"),
    ],
)
def test_m19_any_other_name_is_kept_to_the_letter(name: str, pair: str) -> None:
    assert pair_of(name) == pair
    instrument = Instrument(VenueId("hyperliquid"), MarketId("usdm"), name)
    assert instrument.pair == pair


PIECES = st.sampled_from(
    ["A", "B", "BTC", "USD", "USDT", "B1", "1", "26", "DEC", "261225", "SWAP", "PERP", "k", "@", ":", "%3A", "."]
)
NAMES = st.lists(PIECES, min_size=1, max_size=4)


@given(st.sampled_from(["-", "_", "/"]), NAMES, NAMES)
def test_m19_names_of_one_way_of_writing_have_pairs_of_their_own(
    separator: str, one: list[str], other: list[str]
) -> None:
    """A market separates the parts of all its names, or of none, by one character."""
    first, second = separator.join(one), separator.join(other)
    if (separator in first) is (separator in second):
        assert (pair_of(first) == pair_of(second)) is (first == second)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_m19_what_shares_a_pair_differs_in_separators_alone(one: str, other: str) -> None:
    if pair_of(one) == pair_of(other):
        assert re.sub("[-_/]", "", one) == re.sub("[-_/]", "", other)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_pair_is_one_part_of_a_key(name: str) -> None:
    assert not re.search(r"[:\s]", pair_of(name))
