"""Events as a codec makes them, with only what a test cares about to be said."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Side, Source, Trade, TradeCause

BTC = Instrument(VenueId("binance"), SPOT, "BTCUSDT")
MINUTE_NS = 60 * NS_PER_S
BASE_NS = 1_700_000_040 * NS_PER_S
"""A whole minute, which tests count their bars from."""


def _candle(
    bar: int,
    *,
    closed: bool = False,
    event_s: float | None = None,
    count: int | None = 1,
    volume: str = "1",
    close: str = "100",
    source: Source = Source.STREAM,
    instrument: Instrument = BTC,
) -> Candle:
    open_ns = BASE_NS + bar * MINUTE_NS
    return Candle(
        instrument,
        Interval.M1,
        open_ns,
        open_ns + MINUTE_NS,
        Decimal(100),
        Decimal(200),
        Decimal(50),
        Decimal(close),
        Decimal(volume),
        None,
        None,
        count,
        closed,
        None if event_s is None else open_ns + int(event_s * NS_PER_S),
        open_ns,
        source,
    )


def _trade(
    sequence: int | None, *, trade_id: str | None = None, event_s: float | None = 0, instrument: Instrument = BTC
) -> Trade:
    return Trade(
        instrument,
        trade_id if sequence is None else str(sequence),
        sequence,
        Decimal(100),
        Decimal(1),
        Side.BUY,
        TradeCause.MARKET,
        None if event_s is None else BASE_NS + int(event_s * NS_PER_S),
        BASE_NS,
    )


@pytest.fixture(scope="session")
def candle() -> Callable[..., Candle]:
    """Make a candle of BTCUSDT, one minute long, `bar` minutes after the base."""
    return _candle


@pytest.fixture(scope="session")
def trade() -> Callable[..., Trade]:
    """Make a trade of BTCUSDT."""
    return _trade


@pytest.fixture(scope="session")
def btc() -> Instrument:
    """The instrument of the other fixtures."""
    return BTC
