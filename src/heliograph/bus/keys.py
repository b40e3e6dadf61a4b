"""The names of streams on the bus."""

import zlib
from typing import Final

from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument, InstrumentId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Gap, Ticker, Trade

FEED_DEMAND = "feed:demand"
"""Where gateways ask for instruments: the one key that a gateway may write."""

FEED_WORKERS = "feed:workers"
"""The feed workers that share the instruments among themselves, each with the time until which it counts as alive."""

SHARDS: Final = 32
"""Into how many shards each market's instruments fall, however many workers there are. A shard has one writer at a
time, who alone writes its merged feed and the streams of its instruments. Part of the names on the bus: gateways and
feeds of one bus must agree on it."""

_SUFFIXES: Final[dict[type, str]] = {
    Ticker: "ticker",
    Trade: "trades",
    BookSnapshot: "orderbook",
    BookDelta: "book_deltas",
    Gap: "gaps",
}


def candles(instrument: Instrument, interval: Interval) -> str:
    """Return the stream of an instrument's candles of one interval."""
    return f"{instrument.exchange}:{instrument.pair}:candles_{interval.value}"


def of_kind(instrument: Instrument, kind: type) -> str:
    """Return the stream of an instrument's events of one kind, which is not `Candle`: those have one an interval."""
    return f"{instrument.exchange}:{instrument.pair}:{_SUFFIXES[kind]}"


def of_event(event: Event) -> str:
    """Return the stream that an event belongs on."""
    if isinstance(event, Candle):
        return candles(event.instrument, event.interval)
    return of_kind(event.instrument, type(event))


def shard_of(instrument: InstrumentId, shards: int = SHARDS) -> int:
    """Return the shard that an instrument falls into, for good."""
    return zlib.crc32(instrument.encode()) % shards


def shard_leases(venue: str, market: str) -> str:
    """Return the hash that says who serves each shard of a market, and until when."""
    return f"feed:leases:{venue}:{market}"


def merged_feed(venue: str, market: str, shard: int) -> str:
    """Return the stream that carries every entry of one shard, with the fields `key` and `data`."""
    return f"feed:{venue}:{market}:{shard}"
