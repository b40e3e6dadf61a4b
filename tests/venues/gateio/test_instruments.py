from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, Kind
from heliograph.venues.gateio.instruments import COINM, GATEIO, USDM, instrument_of_symbol, parse_instruments


def test_a_list_of_pairs(fixture: Callable[[str], bytes]) -> None:
    btc, poolx, mag7 = parse_instruments(SPOT, fixture("currency_pairs.json"))
    assert btc == Instrument(
        GATEIO, SPOT, "BTC_USDT", "BTC", "USDT", None, Kind.SPOT, None, Decimal("0.1"), Decimal("0.000001")
    )
    assert (btc.symbol, btc.pair) == ("BTC/USDT", "BTCUSDT")
    assert (poolx.trading, mag7.trading) == (False, True)
    assert poolx.lot_size == 1


def test_t12_a_list_of_linear_contracts_says_how_much_base_a_contract_is(fixture: Callable[[str], bytes]) -> None:
    btc, eth, old = parse_instruments(USDM, fixture("contracts_usdt.json"))
    assert btc == Instrument(
        GATEIO, USDM, "BTC_USDT", "BTC", "USDT", "USDT", Kind.PERPETUAL, None, Decimal("0.1"), Decimal(1),
        Decimal("0.0001"),
    )  # fmt: skip
    assert btc.symbol == "BTC/USDT:USDT"
    assert (eth.lot_size, eth.contract_size) == (None, Decimal("0.01")), "the step of decimal sizes is not told"
    assert not old.trading


def test_t12_an_inverse_contract_is_worth_one_unit_of_quote(fixture: Callable[[str], bytes]) -> None:
    (btc,) = parse_instruments(COINM, fixture("contracts_btc.json"))
    assert (btc.symbol, btc.contract_size) == ("BTC/USD:BTC", Decimal(1))


@pytest.mark.parametrize(
    ("market", "symbol"),
    [(SPOT, "btc_usdt"), (USDM, "BTC_USDT"), (USDM, "BTC_USDT_20220930"), (COINM, "BTC_USD"), (SPOT, "币安人生_USDT")],
)
def test_an_instrument_of_its_symbol(market: str, symbol: str) -> None:
    made = instrument_of_symbol(SPOT if market == "spot" else USDM if market == "usdm" else COINM, symbol)
    assert (made.venue_symbol, made.base, made.contract_size) == (symbol.upper(), None, None)


@pytest.mark.parametrize(
    ("market", "symbol"), [(SPOT, "BTCUSDT"), (USDM, "BTC_USD"), (COINM, "BTC_USDT"), (SPOT, "_"), (SPOT, "A_B_C")]
)
def test_m18_what_is_no_symbol_of_the_market_is_refused(market: str, symbol: str) -> None:
    with pytest.raises(ConfigError):
        instrument_of_symbol(SPOT if market == "spot" else USDM if market == "usdm" else COINM, symbol)


def test_a_multiplier_and_a_type_that_contradict_each_other_are_refused() -> None:
    row = b'[{"name":"A_USDT","type":"%s","quanto_multiplier":"%s","order_price_round":"0.1"}]'
    for kind, multiplier in ((b"direct", b"0"), (b"inverse", b"1"), (b"direct", b"-1"), (b"direct", b"NaN")):
        with pytest.raises(DecodeError):
            parse_instruments(USDM, row % (kind, multiplier))


@given(st.sampled_from([SPOT, USDM, COINM]), st.binary(max_size=100))
def test_no_bytes_raise_anything_but_a_decode_error(market: str, body: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_instruments(SPOT if market == "spot" else USDM, b"x" + body)
