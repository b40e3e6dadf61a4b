from collections.abc import Callable
from decimal import Decimal

import pytest

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import SPOT, Kind
from heliograph.venues.kraken.instruments import instrument_of_symbol, parse_instruments


def test_pairs_are_known_by_the_names_that_people_use(fixture: Callable[[str], bytes]) -> None:
    bitcoin, ada = parse_instruments(fixture("rest_pairs.json"))
    assert (bitcoin.venue_symbol, bitcoin.base, bitcoin.quote, bitcoin.kind) == ("BTC/USD", "BTC", "USD", Kind.SPOT)
    assert (bitcoin.tick_size, bitcoin.lot_size, bitcoin.trading) == (Decimal("0.1"), Decimal("1E-8"), True)
    assert (bitcoin.exchange, bitcoin.pair, bitcoin.symbol) == ("kraken", "BTCUSD", "BTC/USD")
    # Without a step of prices, their decimals tell it.
    assert (ada.tick_size, ada.trading) == (Decimal("1E-6"), False)


@pytest.mark.parametrize("symbol", ["BTC/USD", "AAPLx/USD", "ETH/BTC"])
def test_an_instrument_of_its_symbol_alone_is_named_to_the_letter(symbol: str) -> None:
    instrument = instrument_of_symbol(symbol)
    assert (instrument.venue_symbol, instrument.market, instrument.kind) == (symbol, SPOT, None)


@pytest.mark.parametrize("text", ["", "BTCUSD", "XXBTZUSD", "BTC-USD", "BTC/USD/EUR", "BTC/U SD", "BTC/", "../BTCUSDT"])
def test_what_is_no_symbol_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a symbol of kraken"):
        instrument_of_symbol(text)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"error":["EGeneral:Too many requests"]}', b'{"error":[],"result":[]}',
     b'{"error":[],"result":{"XXBTZUSD":{"base":"XXBT","quote":"ZUSD","pair_decimals":1,"lot_decimals":8}}}'],
)  # fmt: skip
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError, match="not a list of kraken pairs"):
        parse_instruments(body)


def test_a_pair_without_a_symbol_is_left_out_of_others() -> None:
    pair = b'{"base":"BTC","quote":"USD","pair_decimals":1,"lot_decimals":8}'
    body = b'{"error":[],"result":{"XBTUSD.d":' + pair + b',"BTC/USD":' + pair + b"}}"
    assert [instrument.venue_symbol for instrument in parse_instruments(body)] == ["BTC/USD"]
