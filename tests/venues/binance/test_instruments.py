import contextlib
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Kind, MarketId
from heliograph.venues.binance.instruments import COINM, USDM, instrument_of_symbol, parse_instruments

MARKETS = st.sampled_from([SPOT, USDM, COINM])


def test_a_spot_pair_has_steps_and_no_contract(fixture: Callable[[str], bytes]) -> None:
    pair, halted = parse_instruments(SPOT, fixture("exchange_info_spot.json"))
    assert pair.id == "binance:spot:ETHBTC"
    assert (pair.base, pair.quote, pair.settle, pair.kind) == ("ETH", "BTC", None, Kind.SPOT)
    assert (str(pair.tick_size), str(pair.lot_size), pair.contract_size) == ("0.00001", "0.0001", None)
    assert pair.trading
    assert not halted.trading
    assert (halted.tick_size, halted.lot_size) == (None, None), "a step of zero is no step"


def test_usdm_has_perpetuals_futures_and_what_is_not_launched_yet(fixture: Callable[[str], bytes]) -> None:
    perpetual, future, pending = parse_instruments(USDM, fixture("exchange_info_usdm.json"))
    assert (perpetual.kind, perpetual.settle, perpetual.expiry_ns) == (Kind.PERPETUAL, "USDT", None)
    assert perpetual.lot_size == Decimal("0.001"), "not that of market orders"
    assert (future.kind, future.expiry_ns) == (Kind.FUTURE, 1_798_185_600_000_000_000)
    assert future.symbol == "BTC/USDT:USDT-261225"
    assert (pending.kind, pending.trading) == (None, False)


def test_coinm_contracts_are_worth_dollars_and_settle_in_the_base(fixture: Callable[[str], bytes]) -> None:
    future, perpetual = parse_instruments(COINM, fixture("exchange_info_coinm.json"))
    assert (future.contract_size, perpetual.contract_size) == (Decimal(100), Decimal(10))
    assert (future.settle, perpetual.settle) == ("BTC", "ETH")
    assert (future.trading, perpetual.kind) == (True, Kind.PERPETUAL)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"symbols":[{"symbol":1}]}', b"[" * 10_000, b'{"symbols":null}'])
def test_what_is_no_list_of_instruments_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError, match="not a list of binance spot instruments"):
        parse_instruments(SPOT, body)


@pytest.mark.parametrize(
    ("market", "symbol"),
    [
        (SPOT, "btcusdt"), (SPOT, "1000SATSUSDT"), (USDM, "BTCUSDT_261225"), (USDM, "币安人生USDT"),
        (COINM, "btcusd_perp"), (COINM, "ETHUSD_261225"),
    ],
)  # fmt: skip
def test_a_symbol_alone_makes_an_instrument(market: MarketId, symbol: str) -> None:
    instrument = instrument_of_symbol(market, symbol)
    assert (instrument.venue_symbol, instrument.market, instrument.base) == (symbol.upper(), market, None)


@pytest.mark.parametrize(
    ("market", "symbol"),
    [
        (SPOT, ""), (SPOT, "BTC/USDT"), (SPOT, "BTCUSD_PERP"), (USDM, "BTCUSD_PERP"), (COINM, "BTCUSDT"),
        (SPOT, "BTCUSDT\n"), (SPOT, "X" * 41), (COINM, "BTCUSDT_261225"),
    ],
)  # fmt: skip
def test_a_symbol_of_another_market_is_refused_with_what_would_do(market: MarketId, symbol: str) -> None:
    with pytest.raises(ConfigError) as caught:
        instrument_of_symbol(market, symbol)
    assert caught.value.accepted


@given(MARKETS, st.text(max_size=60))
def test_no_text_makes_a_symbol_raise_anything_else(market: MarketId, text: str) -> None:
    with contextlib.suppress(ConfigError):
        instrument_of_symbol(market, text)


@given(MARKETS, st.binary(max_size=200))
def test_no_body_makes_a_list_raise_anything_else(market: MarketId, body: bytes) -> None:
    with contextlib.suppress(DecodeError):
        parse_instruments(market, body)
