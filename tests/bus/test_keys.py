"""The names of streams, to the letter."""

from decimal import Decimal

from heliograph.bus import keys
from heliograph.model.instrument import SPOT, Instrument, InstrumentId, MarketId, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Channel, Gap, Side, Ticker, Trade, TradeCause

BINANCE = VenueId("binance")
BITCOIN = Instrument(BINANCE, SPOT, "BTCUSDT", "BTC", "USDT")
PERPETUAL = Instrument(BINANCE, MarketId("usdm"), "BTCUSDT", "BTC", "USDT", "USDT")
ONE = Decimal(1)


def test_spot_streams_have_the_documents_names() -> None:
    ticker = Ticker(BITCOIN, ONE, ONE, ONE, ONE, ONE, None, None, None, None, 1)
    trade = Trade(BITCOIN, "1", 1, ONE, ONE, Side.BUY, TradeCause.MARKET, 1, 1)
    gap = Gap(BITCOIN, Channel.TRADES, None, None, None, 1, 2, "lost", 1)
    assert keys.of_event(ticker) == "binance:BTCUSDT:ticker"
    assert keys.of_event(trade) == "binance:BTCUSDT:trades"
    assert keys.of_event(gap) == "binance:BTCUSDT:gaps"
    assert keys.candles(BITCOIN, Interval.M1) == "binance:BTCUSDT:candles_1m"


def test_two_markets_never_share_a_stream() -> None:
    assert keys.candles(PERPETUAL, Interval.M1) == "binance_usdm:BTCUSDT:candles_1m"


def test_the_merged_feed_names_its_shard() -> None:
    assert keys.merged_feed("binance", "spot", 3) == "feed:binance:spot:3"


def test_an_instruments_shard_is_for_good() -> None:
    """Known values: another rule would break every bus that is in use."""
    assert keys.shard_of(BITCOIN.id) == 9
    assert {keys.shard_of(InstrumentId(f"binance:spot:{n}")) for n in range(1000)} == set(range(keys.SHARDS))
    assert keys.shard_leases("binance", "spot") == "feed:leases:binance:spot"
