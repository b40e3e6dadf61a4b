from decimal import Decimal

import msgspec

from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle

BTCUSDT = Instrument(VenueId("binance"), SPOT, "BTCUSDT")
MINUTE_NS = 60 * 10**9
OPEN_NS = 29_000_000 * MINUTE_NS


def candle(**changes: object) -> Candle:
    whole = Candle(
        instrument=BTCUSDT,
        interval=Interval.M1,
        open_ns=OPEN_NS,
        close_ns=OPEN_NS + MINUTE_NS,
        open=Decimal("30000.10"),
        high=Decimal("30010.00"),
        low=Decimal("29990.5"),
        close=Decimal(30005),
        base_volume=Decimal("12.34500000"),
        quote_volume=Decimal(370000),
        contracts=None,
        trade_count=42,
        closed=False,
        event_ns=None,
        received_ns=OPEN_NS,
    )
    return msgspec.structs.replace(whole, **changes)
