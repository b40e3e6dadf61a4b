"""The names of streams on the bus."""

from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Gap, Ticker, Trade

FEED_DEMAND = "feed:demand"
"""Where gateways ask for instruments: the one key that a gateway may write."""


def candles(instrument: Instrument, interval: Interval) -> str:
    """Return the stream of an instrument's candles of one interval."""
    return f"{instrument.exchange}:{instrument.pair}:candles_{interval.value}"


def of_event(event: Event) -> str:
    """Return the stream that an event belongs on."""
    instrument = event.instrument
    prefix = f"{instrument.exchange}:{instrument.pair}:"
    match event:
        case Candle():
            return f"{prefix}candles_{event.interval.value}"
        case Ticker():
            return f"{prefix}ticker"
        case Trade():
            return f"{prefix}trades"
        case BookSnapshot():
            return f"{prefix}orderbook"
        case BookDelta():
            return f"{prefix}book_deltas"
        case Gap():
            return f"{prefix}gaps"


def merged_feed(venue: str, market: str, shard: int) -> str:
    """Return the stream that carries every entry of one shard, with the fields `key` and `data`."""
    return f"feed:{venue}:{market}:{shard}"
