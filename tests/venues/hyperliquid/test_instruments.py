from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, Kind, MarketId
from heliograph.venues.hyperliquid.instruments import (
    HYPERLIQUID,
    USDM,
    instrument_of_name,
    is_name,
    market_of_symbol,
    parse_instruments,
)


@pytest.mark.parametrize(
    ("market", "name"),
    [(USDM, "BTC"), (USDM, "kPEPE"), (USDM, "xyz:XYZ100"), (USDM, "0G"), (SPOT, "PURR/USDC"), (SPOT, "@107")],
)
def test_m19_a_name_is_kept_to_the_letter(market: MarketId, name: str) -> None:
    made = instrument_of_name(market, name)
    assert (made.venue_symbol, made.id) == (name, f"hyperliquid:{market}:{name}")
    assert market_of_symbol(name) == market
    assert not is_name(SPOT if market == USDM else USDM, name)


@pytest.mark.parametrize(
    ("market", "name"),
    [(USDM, "@107"), (USDM, "PURR/USDC"), (USDM, ""), (USDM, "a:b:c"), (USDM, "#330"), (USDM, "BTC "), (USDM, "B\nC"),
     (USDM, "BTC\n"), (SPOT, "BTC"), (SPOT, "@"), (SPOT, "@x"), (SPOT, "xyz:A/B"), (SPOT, "@107\n"), (SPOT, "A/B/C")],
)  # fmt: skip
def test_m19_what_is_no_name_of_the_market_is_refused_with_examples(market: MarketId, name: str) -> None:
    with pytest.raises(ConfigError, match="is not a name of hyperliquid") as caught:
        instrument_of_name(market, name)
    assert caught.value.accepted


@pytest.mark.parametrize(
    ("symbol", "market"),
    [
        ("BTC/USDC:USDC", USDM),
        ("xyz:XYZ100/USDC:USDC", USDM),
        ("HYPE/USDC", SPOT),
        ("", None),
        ("#1", None),
        (":", None),
    ],
)
def test_a_symbol_tells_its_market(symbol: str, market: MarketId | None) -> None:
    assert market_of_symbol(symbol) == market


def test_the_list_of_perpetuals(fixture: Callable[[str], bytes]) -> None:
    btc, pepe, matic = parse_instruments(USDM, fixture("meta.json"))
    assert btc == Instrument(
        HYPERLIQUID, USDM, "BTC", "BTC", "USDC", "USDC", Kind.PERPETUAL, None, Decimal("0.1"), Decimal("0.00001")
    )  # fmt: skip
    assert btc.symbol == "BTC/USDC:USDC"
    assert (pepe.venue_symbol, pepe.base, pepe.tick_size, pepe.lot_size) == (
        "kPEPE",
        "kPEPE",
        Decimal("0.000001"),
        Decimal(1),
    )
    assert (btc.trading, matic.trading) == (True, False)


def test_m19_a_dex_is_part_of_the_base_and_its_collateral_is_not_guessed() -> None:
    body = b'{"universe":[{"name":"xyz:XYZ100","szDecimals":4}],"collateralToken":235}'
    (made,) = parse_instruments(USDM, body)
    assert (made.venue_symbol, made.base, made.quote, made.settle) == ("xyz:XYZ100", "xyz:XYZ100", None, None)
    assert made.symbol == "xyz:XYZ100"


def test_the_lists_of_all_dexes_are_one() -> None:
    first = b'{"universe":[{"name":"BTC","szDecimals":5}],"collateralToken":0}'
    second = b'{"universe":[{"name":"xyz:BTC","szDecimals":4}],"collateralToken":0}'
    made = parse_instruments(USDM, b"[%b,%b]" % (first, second))
    assert made == [*parse_instruments(USDM, first), *parse_instruments(USDM, second)]
    assert [i.symbol for i in made] == ["BTC/USDC:USDC", "xyz:BTC/USDC:USDC"]


def test_the_list_of_pairs_finds_tokens_by_their_index(fixture: Callable[[str], bytes]) -> None:
    purr, hype = parse_instruments(SPOT, fixture("spot_meta.json"))
    assert (purr.venue_symbol, purr.symbol, purr.kind, purr.settle) == ("PURR/USDC", "PURR/USDC", Kind.SPOT, None)
    assert (hype.venue_symbol, hype.symbol) == ("@107", "HYPE/USDC")
    assert (hype.tick_size, hype.lot_size) == (Decimal("0.000001"), Decimal("0.01"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"universe":[{"name":"BTC","szDecimals":-1}]}',
        b'{"universe":[{"name":"BTC","szDecimals":99}]}',
        b'{"tokens":[],"universe":[{"name":"@1","tokens":[1,0]}]}',
    ],
)
def test_what_is_no_list_is_refused(body: bytes) -> None:
    for market in (USDM, SPOT):
        with pytest.raises(DecodeError):
            parse_instruments(market, body)


@given(st.sampled_from([USDM, SPOT]), st.text(max_size=40))
def test_any_text_is_an_instrument_or_refused(market: MarketId, name: str) -> None:
    if is_name(market, name):
        assert instrument_of_name(market, name).venue_symbol == name
    else:
        with pytest.raises(ConfigError):
            instrument_of_name(market, name)
