import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import ConfigError
from heliograph.model.instrument import MarketId, VenueId
from heliograph.venues import VENUES, bybit, find_market, find_venue, gateio, hyperliquid, markets_of
from heliograph.venues.contract import Venue
from heliograph.venues.naming import MARKET_WORDS

ALL: dict[str, Venue] = {v.name: v for v in (*VENUES.values(), bybit.VENUE, gateio.VENUE, hyperliquid.VENUE)}
"""Those in the table, and those whose folders are there."""

# Section 1.1 of the facts: each market by every name that the OHLCV document's users may write; None is the default.
NAMES = {
    "binance": {"spot": "spot", "usdm": "usdm um", "coinm": "coinm cm"},
    "bybit": {"spot": "spot", "linear": "linear um usd-m perp", "inverse": "inverse cm coin-m"},
    "gateio": {"spot": "spot", "usdm": "um", "coinm": "cm"},
    "hyperliquid": {"spot": "spot", "usdm": "usdm"},
    "okx": {"spot": "spot", "swap": "swap perp", "futures": "futures", "option": "option"},
}
DEFAULTS = {"binance": None, "bybit": "spot", "gateio": "spot", "hyperliquid": "usdm", "okx": None}


def told(venue: str, name: str | None, *symbols: str) -> dict[str, tuple[str, ...]]:
    return {market.market: some for market, some in markets_of(ALL[venue], name, symbols)}


@pytest.mark.parametrize("venue", sorted(VENUES))
def test_venues_are_found_by_name_in_any_case(venue: str) -> None:
    for written in (venue, venue.upper(), venue.capitalize()):
        assert find_venue(written) is VENUES[VenueId(venue)]


@pytest.mark.parametrize(
    ("venue", "market", "name"),
    [(v, m, n) for v, markets in NAMES.items() for m, names in markets.items() for n in names.split()],
)
def test_m18_markets_are_found_by_name_or_alias_in_any_case(venue: str, market: str, name: str) -> None:
    for written in (name, name.upper()):
        assert find_market(ALL[venue], written).market == market


@pytest.mark.parametrize("venue", sorted(ALL))
def test_each_name_means_one_market_and_is_a_word_for_one(venue: str) -> None:
    names = [name for market in ALL[venue].markets.values() for name in (market.market, *market.aliases)]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() for name in names)
    if venue in NAMES:
        assert MARKET_WORDS.issuperset(names)


@pytest.mark.parametrize("venue", sorted(ALL))
def test_the_page_about_symbols_names_every_market_and_every_word_for_it(venue: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "symbols.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {venue} |")]
    told = {
        found[1]: tuple(re.findall("`([^`]+)`", found[2] or ""))
        for found in re.finditer(r"`([\w-]+)`(?: \(([^)]+)\))?", row.split("|")[2])
    }
    assert told == {market.market: market.aliases for market in ALL[venue].markets.values()}


@pytest.mark.parametrize(("venue", "default"), DEFAULTS.items())
def test_the_default_market_is_as_documented(venue: str, default: str | None) -> None:
    assert ALL[venue].default_market == default
    if default is not None:
        assert find_market(ALL[venue], None).market == default


@pytest.mark.parametrize("venue", sorted(ALL))
def test_m5_a_market_that_is_nonsense_is_refused_everywhere(venue: str) -> None:
    with pytest.raises(ConfigError, match=f"Unsupported contract_type for {venue}: banana; accepted: "):
        markets_of(ALL[venue], "banana", ["BTC/USDT"])


def test_an_unknown_venue_says_which_there_are() -> None:
    there_are = ", ".join(sorted(VENUES))
    with pytest.raises(ConfigError, match=f"Unsupported exchange: nowhere; accepted: {there_are}"):
        find_venue("nowhere")


def test_an_unknown_market_says_which_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"Unsupported contract_type for binance: moon; accepted: spot, usdm \(um\), coinm \(cm\)"
    ):
        find_market(find_venue("binance"), "moon")


def test_m18_no_market_is_invented() -> None:
    """Gate settles in USDT or in bitcoin only, and Hyperliquid has no inverse contracts."""
    for venue, name in (("gateio", "eth"), ("hyperliquid", "coinm")):
        with pytest.raises(ConfigError, match="Unsupported contract_type"):
            find_market(ALL[venue], name)


def test_what_exists_but_is_not_simulated_is_told_apart_from_what_does_not() -> None:
    okx = VENUES[VenueId("okx")]
    played = msgspec.structs.replace(okx, markets={MarketId("spot"): okx.markets[MarketId("spot")]})
    for name, symbol in (("option", "BTC/USD"), (None, "BTC-USDT-SWAP"), (None, "BTC/USDT:USDT")):
        with pytest.raises(ConfigError, match=r"okx (option|swap) is not simulated; accepted: spot$"):
            markets_of(played, name, [symbol])
    with pytest.raises(ConfigError, match="Exchange okx is not simulated; accepted: binance"):
        find_venue("OKX", {VenueId("binance"): VENUES[VenueId("binance")]})


@pytest.mark.parametrize(
    ("venue", "symbol", "market"),
    [
        ("binance", "BTC/USDT", "spot"),
        ("binance", "btc/usdt:usdt", "usdm"),
        ("binance", "BTC/USDT:USDT-260925", "usdm"),
        ("binance", "BTC/USD:BTC", "coinm"),
        ("bybit", "BTCUSDT", "spot"),
        ("bybit", "BTC/USDT:USDT", "linear"),
        ("bybit", "BTC/USD:BTC-260925", "inverse"),
        ("gateio", "BTC_USDT", "spot"),
        ("gateio", "BTC/USDT:USDT", "usdm"),
        ("gateio", "BTC/USD:BTC", "coinm"),
        ("hyperliquid", "BTC", "usdm"),
        ("hyperliquid", "BTC/USDC:USDC", "usdm"),
        ("hyperliquid", "xyz:XYZ100", "usdm"),
        ("hyperliquid", "@107", "spot"),
        ("hyperliquid", "PURR/USDC", "spot"),
        ("okx", "BTC-USDT", "spot"),
        ("okx", "BTC/USDT", "spot"),
        ("okx", "btc-usdt-swap", "swap"),
        ("okx", "BTC/USDT:USDT", "swap"),
        ("okx", "BTC/USD:BTC", "swap"),
        ("okx", "BTC-USD-260925", "futures"),
        ("okx", "BTC/USD:BTC-260925", "futures"),
        ("okx", "BTC-USD-260925-100000-C", "option"),
        ("okx", "BTC/USD:BTC-260925-100000-C", "option"),
    ],
)
def test_m19_t17_a_symbol_tells_its_market_where_none_is_named(venue: str, symbol: str, market: str) -> None:
    assert told(venue, None, symbol) == {market: (symbol,)}


@pytest.mark.parametrize("venue", sorted(VENUES))
def test_every_venue_has_a_market_for_a_pair_that_is_written_in_the_unified_form(venue: str) -> None:
    ((market, some),) = markets_of(VENUES[VenueId(venue)], None, ["BTC/USDT"])
    assert (market.market, some) == ("spot", ("BTC/USDT",))


def test_t17_symbols_of_several_markets_are_sorted_and_keep_their_order() -> None:
    asked = ("BTC-USDT-SWAP", "BTC-USDT", "ETH/USDT:USDT", "ETH/USDT")
    assert told("okx", None, *asked) == {"swap": ("BTC-USDT-SWAP", "ETH/USDT:USDT"), "spot": ("BTC-USDT", "ETH/USDT")}
    assert told("binance", None, "BTC/USDT:USDT", "BTC/USDT") == {"usdm": ("BTC/USDT:USDT",), "spot": ("BTC/USDT",)}


def test_a_market_that_is_named_is_meant_for_every_symbol() -> None:
    assert told("binance", "um", "BTCUSDT", "BTC/USDT") == {"usdm": ("BTCUSDT", "BTC/USDT")}
    assert told("hyperliquid", "spot", "BTC") == {"spot": ("BTC",)}


@pytest.mark.parametrize("name", ["spot", "um", "LINEAR", "coin-m", "perp"])
def test_okx_ignores_whatever_market_is_named_where_the_symbol_tells(name: str) -> None:
    assert told("okx", name, "BTC-USDT-SWAP", "ETH-USDT") == {"swap": ("BTC-USDT-SWAP",), "spot": ("ETH-USDT",)}


def test_okxs_own_markets_help_symbols_that_do_not_tell() -> None:
    assert told("okx", "swap", "BTC/USDT", "BTC-USDT") == {"swap": ("BTC/USDT",), "spot": ("BTC-USDT",)}
    assert told("okx", "spot", "BTCUSDT") == {"spot": ("BTCUSDT",)}
    with pytest.raises(ConfigError, match="BTCUSDT does not tell its market at okx; accepted: the venue's own name, "):
        told("okx", None, "BTCUSDT")


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCUSD_PERP", "nonsense", ""])
def test_binance_needs_a_market_for_what_is_not_unified(symbol: str) -> None:
    with pytest.raises(ConfigError) as refused:
        told("binance", None, symbol)
    assert str(refused.value) == (
        "Exchange binance needs a market (contract_type); accepted: spot, usdm (um), coinm (cm)"
    )


def test_a_venue_without_such_contracts_says_so() -> None:
    spot = msgspec.structs.replace(
        bybit.VENUE, name=VenueId("luno"), markets={MarketId("spot"): bybit.VENUE.markets[MarketId("spot")]}
    )
    with pytest.raises(ConfigError, match="luno has no market for XBT/ZAR:ZAR; accepted: spot"):
        markets_of(spot, None, ["XBT/ZAR:ZAR"])


@given(
    st.sampled_from(sorted(ALL)),
    st.none() | st.text(max_size=8) | st.sampled_from(sorted(MARKET_WORDS)),
    st.lists(st.text(max_size=20), max_size=4),
)
def test_any_text_is_sorted_whole_or_refused(venue: str, name: str | None, symbols: list[str]) -> None:
    try:
        found = markets_of(ALL[venue], name, symbols)
    except ConfigError:
        return
    assert sorted(s for _, some in found for s in some) == sorted(symbols)


def test_every_market_declares_itself_whole() -> None:
    for venue in ALL.values():
        for name, market in venue.markets.items():
            assert (market.venue, market.market) == (venue.name, name)
            assert market.socket_url.startswith("wss://")
            assert market.rest_url.startswith("https://")
            assert not market.socket_url.endswith("/")
            assert market.instruments_request().weight > 0
            assert len(set(market.intervals)) == len(market.intervals)
