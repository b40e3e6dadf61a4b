import json
from decimal import Decimal

import pytest

from heliograph.clock import NS_PER_MS
from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Kind, MarketId
from heliograph.venues.okx.instruments import (
    FUTURES,
    OPTION,
    SWAP,
    any_instrument,
    instrument_of_symbol,
    market_of_symbol,
    parse_instruments,
)


def listed(**fields: str) -> bytes:
    row = {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "settleCcy": "USDT", "state": "live"}
    return json.dumps({"code": "0", "msg": "", "data": [row | fields]}).encode()


@pytest.mark.parametrize(
    ("symbol", "market"),
    [
        ("BTC-USDT", SPOT),
        ("btc-usdt", SPOT),
        ("BTC-USDT-SWAP", SWAP),
        ("BTC-USD_UM-SWAP", SWAP),
        ("BTC-USD-261225", FUTURES),
        ("BTC-USD_UM_XPERP-310404", FUTURES),
        ("BTC-USD-220624-50000-C", OPTION),
        ("ETH-USD-220624-1800.5-P", OPTION),
        ("BTCUSDT", None),
        ("BTC/USDT", None),
        ("BTC-USDT-SWAP-X", None),
        ("", None),
    ],
)
def test_the_symbol_tells_the_market(symbol: str, market: MarketId | None) -> None:
    assert market_of_symbol(symbol) == market


def test_a_symbol_of_another_market_is_refused_with_examples() -> None:
    with pytest.raises(ConfigError, match=r"'BTC-USDT' is not a symbol of okx swap; accepted: BTC-USDT-SWAP"):
        instrument_of_symbol(SWAP, "BTC-USDT")
    with pytest.raises(ValueError, match="not a symbol of okx"):
        any_instrument("nonsense")


def test_t17_the_same_pair_in_two_markets_is_two_instruments() -> None:
    assert any_instrument("BTC-USDT").id != any_instrument("BTC-USDT-SWAP").id
    assert (any_instrument("BTC-USDT").exchange, any_instrument("BTC-USDT-SWAP").exchange) == ("okx", "okx_swap")


def test_t12_the_size_of_a_contract_is_its_value_by_its_multiplier() -> None:
    (swap,) = parse_instruments(listed(ctVal="0.01", ctMult="10", tickSz="0.1", lotSz="1"))
    assert (swap.contract_size, swap.tick_size, swap.lot_size) == (Decimal("0.10"), Decimal("0.1"), Decimal(1))
    assert (swap.symbol, swap.kind, swap.expiry_ns) == ("BTC/USDT:USDT", Kind.PERPETUAL, None)


def test_a_future_says_when_it_ends_and_a_suspended_one_does_not_trade() -> None:
    body = listed(
        instType="FUTURES", instId="BTC-USD-261225", uly="BTC-USD", settleCcy="BTC", expTime="1798185600000",
        ctVal="100", ctMult="1", state="suspend",
    )  # fmt: skip
    (future,) = parse_instruments(body)
    assert (future.symbol, future.market) == ("BTC/USD:BTC-261225", FUTURES)
    assert future.expiry_ns == 1_798_185_600_000 * NS_PER_MS
    assert future.trading is False


def test_options_of_one_expiry_keep_names_apart() -> None:
    """Their list is that of tickers, which tells their names only."""
    rows = [{"instType": "OPTION", "instId": f"BTC-USD-261225-{k}-C", "last": "", "ts": "1"} for k in (90000, 95000)]
    options = parse_instruments(json.dumps({"code": "0", "data": rows}).encode())
    assert [option.symbol for option in options] == ["BTC-USD-261225-90000-C", "BTC-USD-261225-95000-C"]
    assert {option.kind for option in options} == {Kind.OPTION}


def test_what_is_empty_is_not_known() -> None:
    (swap,) = parse_instruments(listed(ctVal="", ctMult="", tickSz="", lotSz="", settleCcy="", expTime=""))
    assert (swap.contract_size, swap.tick_size, swap.lot_size, swap.settle) == (None, None, None, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"code":"0","data":{}}',
        b'{"code":"50011","msg":"Too Many Requests","data":[]}',
        listed(tickSz="NaN"),
        listed(ctVal="1e99", ctMult="1"),
        listed(instType="FUTURES", expTime="soon"),
    ],
)
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError, match="not a list of okx instruments"):
        parse_instruments(body)
