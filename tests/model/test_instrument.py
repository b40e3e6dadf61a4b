"""Names of instruments."""

import pytest

from heliograph.clock import from_iso
from heliograph.model.instrument import SPOT, Instrument, Kind, MarketId, VenueId

BINANCE = VenueId("binance")


@pytest.mark.parametrize(
    ("instrument", "exchange", "pair", "symbol"),
    [
        (Instrument(BINANCE, SPOT, "BTCUSDT", "BTC", "USDT"), "binance", "BTCUSDT", "BTC/USDT"),
        (
            Instrument(BINANCE, MarketId("usdm"), "BTCUSDT", "BTC", "USDT", "USDT", Kind.PERPETUAL),
            "binance_usdm",
            "BTCUSDT",
            "BTC/USDT:USDT",
        ),
        (
            Instrument(
                BINANCE,
                MarketId("coinm"),
                "BTCUSD_261225",
                "BTC",
                "USD",
                "BTC",
                Kind.FUTURE,
                from_iso("2026-12-25T08:00Z"),
            ),
            "binance_coinm",
            "BTCUSD261225",
            "BTC/USD:BTC-261225",
        ),
        (Instrument(BINANCE, SPOT, "ETHBTC"), "binance", "ETHBTC", "ETHBTC"),
    ],
)
def test_an_instrument_knows_its_names(instrument: Instrument, exchange: str, pair: str, symbol: str) -> None:
    assert (instrument.exchange, instrument.pair, instrument.symbol) == (exchange, pair, symbol)


def test_the_same_symbol_in_two_markets_is_two_instruments() -> None:
    """T17: BTCUSDT exists at spot and at USD-M."""
    spot, usdm = (Instrument(BINANCE, MarketId(m), "BTCUSDT", "BTC", "USDT") for m in ("spot", "usdm"))
    assert spot.id == "binance:spot:BTCUSDT"
    assert usdm.id == "binance:usdm:BTCUSDT"
    assert spot != usdm
