"""The shapes follow
https://docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/list-public-products ."""

import json
from decimal import Decimal

import pytest

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Instrument, Kind
from heliograph.venues.coinbase.instruments import COINBASE, instrument_of_symbol, parse_instruments

PRODUCT = {
    "product_id": "BTC-USD",
    "product_type": "SPOT",
    "base_currency_id": "BTC",
    "quote_currency_id": "USD",
    "base_increment": "0.00000001",
    "quote_increment": "0.01",
    "price_increment": "0.01",
    "status": "online",
    "alias": "",
    "trading_disabled": False,
}


def listed(**changes: object) -> list[Instrument]:
    return parse_instruments(json.dumps({"products": [PRODUCT | changes], "num_products": 1}).encode())


def test_a_product_is_an_instrument() -> None:
    (instrument,) = listed()
    assert instrument == Instrument(
        COINBASE, SPOT, "BTC-USD", "BTC", "USD", None, Kind.SPOT, None, Decimal("0.01"), Decimal("0.00000001")
    )
    assert instrument.symbol == "BTC/USD"


@pytest.mark.parametrize(
    "changes",
    [{"status": "delisted"}, {"trading_disabled": True}, {"is_disabled": True}, {"cancel_only": True}],
    ids=str,
)
def test_a_product_that_takes_no_orders_is_not_trading(changes: dict[str, object]) -> None:
    (instrument,) = listed(**changes)
    assert not instrument.trading


def test_other_names_and_futures_are_not_listed() -> None:
    assert listed(product_id="BTC-USDC", alias="BTC-USD") == []
    assert listed(product_type="FUTURE") == []


@pytest.mark.parametrize("body", [b"", b"[]", b'{"products":[{}]}', b'{"products":null}', b'{"error":"NOT_FOUND"}'])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError, match="coinbase"):
        parse_instruments(body)


def test_a_step_that_is_no_number_is_refused() -> None:
    with pytest.raises(DecodeError):
        listed(price_increment="NaN")


def test_a_symbol_alone_makes_an_instrument_in_whatever_case() -> None:
    assert instrument_of_symbol("btc-usd").id == "coinbase:spot:BTC-USD"
    assert instrument_of_symbol("00-USD").pair == "00USD"
    assert instrument_of_symbol("USDT-USDC").venue_symbol == "USDT-USDC"


@pytest.mark.parametrize("symbol", ["", "BTC", "BTCUSD", "BTC_USD", "BTC-USD-PERP", "BTC-\N{KELVIN SIGN}USD", "-USD"])
def test_what_is_no_symbol_is_refused(symbol: str) -> None:
    with pytest.raises(ConfigError):
        instrument_of_symbol(symbol)


def test_a_product_s_other_name_is_refused_with_the_one_that_is_told() -> None:
    with pytest.raises(ConfigError, match="BTC-USD"):
        instrument_of_symbol("BTC-USDC")
