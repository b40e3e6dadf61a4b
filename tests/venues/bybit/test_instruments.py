import contextlib
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Kind, MarketId
from heliograph.venues.bybit.instruments import INVERSE, LINEAR, instrument_of_symbol, is_inverse, parse_instruments

MARKETS = st.sampled_from([SPOT, LINEAR, INVERSE])


def test_a_spot_pair_has_a_precision_for_a_step_and_no_contract(fixture: Callable[[str], bytes]) -> None:
    (pair,) = parse_instruments(SPOT, fixture("instruments_spot.json"))
    assert pair.id == "bybit:spot:BTCUSDT"
    assert (pair.symbol, pair.kind, pair.settle, pair.contract_size) == ("BTC/USDT", Kind.SPOT, None, None)
    assert (str(pair.tick_size), str(pair.lot_size), pair.trading) == ("0.1", "0.000001", True)


def test_linear_has_perpetuals_futures_and_what_is_not_launched_yet(fixture: Callable[[str], bytes]) -> None:
    perpetual, future, pending = parse_instruments(LINEAR, fixture("instruments_linear.json"))
    assert (perpetual.symbol, perpetual.kind, perpetual.expiry_ns) == ("BTC/USDT:USDT", Kind.PERPETUAL, None)
    assert (perpetual.lot_size, perpetual.contract_size) == (Decimal("0.001"), None), "quantities are in base"
    assert (future.symbol, future.kind) == ("BTC/USDC:USDC-261225", Kind.FUTURE)
    assert future.expiry_ns == 1_798_185_600_000_000_000
    assert not pending.trading


def test_inverse_contracts_are_worth_a_dollar_and_settle_in_the_base(fixture: Callable[[str], bytes]) -> None:
    perpetual, future = parse_instruments(INVERSE, fixture("instruments_inverse.json"))
    assert (perpetual.symbol, future.symbol) == ("BTC/USD:BTC", "BTC/USD:BTC-261225")
    assert (str(perpetual.contract_size), str(perpetual.lot_size)) == ("1", "1")
    assert perpetual.exchange == "bybit_inverse"
    assert not future.trading, "it is being delivered"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"[" * 10_000, b'{"retCode":10001,"retMsg":"params error","result":{}}',
     b'{"retCode":0,"result":{"category":"linear","list":[]}}',
     b'{"retCode":0,"result":{"category":"spot","list":[{}]}}'],
)  # fmt: skip
def test_what_is_no_list_of_instruments_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError, match="not a list of bybit spot instruments"):
        parse_instruments(SPOT, body)


@pytest.mark.parametrize(
    ("market", "symbol"),
    [(SPOT, "btcusdt"), (SPOT, "1SOLUSDT"), (LINEAR, "10000LADYSUSDT"), (LINEAR, "BTCPERP"), (LINEAR, "BTC-26DEC25"),
     (LINEAR, "btcusdt-5jan26"), (INVERSE, "BTCUSD"), (INVERSE, "ethusdh26")],
)  # fmt: skip
def test_a_symbol_alone_makes_an_instrument(market: MarketId, symbol: str) -> None:
    instrument = instrument_of_symbol(market, symbol)
    assert (instrument.venue_symbol, instrument.market, instrument.base) == (symbol.upper(), market, None)
    assert instrument.contract_size == (1 if market == INVERSE else None)


@pytest.mark.parametrize(
    ("market", "symbol"),
    [(SPOT, ""), (SPOT, "BTC/USDT"), (SPOT, "BTC-26DEC25"), (SPOT, "BTCUSDT\n"), (SPOT, "X" * 41), (LINEAR, "BTCUSD"),
     (LINEAR, "BTCUSDZ25"), (LINEAR, "BTC-USDT"), (INVERSE, "BTCUSDT"), (INVERSE, "BTCUSDA25")],
)  # fmt: skip
def test_a_symbol_of_another_market_is_refused_with_what_would_do(market: MarketId, symbol: str) -> None:
    with pytest.raises(ConfigError) as caught:
        instrument_of_symbol(market, symbol)
    assert caught.value.accepted


def test_t17_a_symbol_that_two_markets_have_is_two_instruments() -> None:
    assert instrument_of_symbol(SPOT, "BTCUSDT").id != instrument_of_symbol(LINEAR, "BTCUSDT").id
    assert not is_inverse("BTCUSDT")


@given(MARKETS, st.text(max_size=60))
def test_no_text_makes_a_symbol_raise_anything_else(market: MarketId, text: str) -> None:
    with contextlib.suppress(ConfigError):
        instrument_of_symbol(market, text)


@given(MARKETS, st.binary(max_size=200))
def test_no_body_makes_a_list_raise_anything_else(market: MarketId, body: bytes) -> None:
    with contextlib.suppress(DecodeError):
        parse_instruments(market, body)
