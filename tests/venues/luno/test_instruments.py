from decimal import Decimal

import pytest

from heliograph.errors import ConfigError, DecodeError
from heliograph.model.instrument import Kind
from heliograph.model.symbol import Symbol
from heliograph.venues.directory import Directory
from heliograph.venues.luno import VENUE
from heliograph.venues.luno.instruments import instrument_of_symbol, parse_instruments, spell

ROW = (  # recorded 2026-09-22
    b'{"market_id":"XBTUSDT","trading_status":"%b","base_currency":"XBT","counter_currency":"USDT","min_volume":'
    b'"0.0005","max_volume":"100.00","volume_scale":4,"min_price":"100.00","max_price":"1000000.00","price_scale":2,'
    b'"fee_scale":8}'
)


@pytest.mark.parametrize(
    ("status", "trading"), [(b"ACTIVE", True), (b"POST_ONLY", True), (b"SUSPENDED", False), (b"UNKNOWN", False)]
)
def test_bitcoin_is_btc_here_and_xbt_there(status: bytes, trading: bool) -> None:
    (instrument,) = parse_instruments(b'{"markets":[' + ROW % status + b"]}")
    assert (instrument.venue_symbol, instrument.symbol) == ("XBTUSDT", "BTC/USDT")
    assert (instrument.base, instrument.quote, instrument.kind) == ("BTC", "USDT", Kind.SPOT)
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.01"), Decimal("0.0001"))
    assert instrument.trading is trading


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"markets":[{}]}', ROW % b"ACTIVE"])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError, match="luno markets"):
        parse_instruments(body)


def test_a_pair_alone_is_an_instrument() -> None:
    instrument = instrument_of_symbol("xbtzar")
    assert (instrument.venue_symbol, instrument.base) == ("XBTZAR", None)
    for text in ("", "XBT/ZAR", "XBT-ZAR", "XBT", "X" * 21):
        with pytest.raises(ConfigError, match="XBTZAR"):
            instrument_of_symbol(text)


@pytest.mark.parametrize(
    ("text", "name"), [("BTC/ZAR", "XBTZAR"), ("ETH/BTC", "ETHXBT"), ("btc/usdt", "XBTUSDT"), ("BTC/USDT:USDT", None)]
)
def test_unified_symbols_are_spelled_with_xbt(text: str, name: str | None) -> None:
    symbol = Symbol.parse(text)
    assert symbol is not None
    assert spell(symbol) == name


def test_users_write_either() -> None:
    market = next(iter(VENUE.markets.values()))
    listed = parse_instruments(b'{"markets":[' + ROW % b"ACTIVE" + b"]}")
    for directory in (Directory(market, listed), Directory(market)):
        for text in ("XBTUSDT", "xbtusdt", "BTC/USDT"):
            assert [instrument.venue_symbol for instrument in directory.find([text])] == ["XBTUSDT"]
