"""A feed's events onto Valkey: each encoded once, to its instrument's stream and to its shard's merged feed."""

import asyncio
import contextlib
import zlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from heliograph.bus import keys
from heliograph.bus.entries import Stream
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Entry, Reader
from heliograph.clock import from_iso
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument, InstrumentId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap, Ticker, Trade
from heliograph.model.wire import Encoder
from heliograph.venues.contract import Subscription

TAILS: Final = (64, 1024, 16_384, 1_000_000)
"""Entries to look for a closed candle in, one after the other until there is one, or no more entries."""

Prepared = dict[tuple[InstrumentId, object], Stream]

_KINDS: Final[dict[Channel, tuple[type, ...]]] = {
    Channel.CANDLES: (Gap,),
    Channel.TICKER: (Ticker,),
    Channel.TRADES: (Trade, Gap),
    Channel.BOOK: (BookSnapshot, BookDelta, Gap),
}


class StreamSink:
    """A sink whose store is Valkey's streams, and what is known of them before a feed begins.

    Args:
        publisher: appends; open.
        reader: reads streams' ends; open.
        stream_maxlen: entries that an instrument's stream keeps, about.
        feed_maxlen: entries that a merged feed keeps, about.
        shards: over how many merged feeds a market's instruments are spread, by a hash of their id.

    """

    def __init__(
        self, publisher: Publisher, reader: Reader, *, stream_maxlen: int, feed_maxlen: int, shards: int = 1
    ) -> None:
        self._publisher = publisher
        self._reader = reader
        self._stream_maxlen = stream_maxlen
        self._feed_maxlen = feed_maxlen
        self._shards = shards
        self._encode = Encoder().encode
        self._streams: Prepared = {}
        self._asking = asyncio.Lock()  # The reader's questions take turns: it opens their connection at the first one.

    def ready(self) -> bool:
        """Tell whether the publisher takes more."""
        return self._publisher.writable

    def when_ready(self, wake: Callable[[], None]) -> None:
        """Call `wake` each time that the publisher takes more again."""
        self._publisher.when_writable(wake)

    def push(self, events: Sequence[Event]) -> None:
        """Append a batch, each event to a stream that `open` has prepared."""
        streams, encode = self._streams, self._encode
        self._publisher.append_many(
            [
                streams[event.instrument.id, event.interval if type(event) is Candle else type(event)]
                for event in events
            ],
            [encode(event) for event in events],
        )

    async def open(self, subscriptions: Sequence[Subscription]) -> None:
        """Prepare every stream that these subscriptions' events go to.

        Raises:
            BusError: the server is away, or a key holds something else than a stream.

        """
        for subscription in subscriptions:
            instrument = subscription.instrument
            merged = await self._publisher.open_stream(self._merged_key(instrument), maxlen=self._feed_maxlen)
            names: list[tuple[object, str]] = [
                (kind, keys.of_kind(instrument, kind)) for kind in _KINDS[subscription.channel]
            ]
            if subscription.interval is not None:
                names.append((subscription.interval, keys.candles(instrument, subscription.interval)))
            for kind, key in names:
                if (instrument.id, kind) not in self._streams:
                    self._streams[instrument.id, kind] = await self._publisher.open_stream(
                        key, maxlen=self._stream_maxlen, merged=merged
                    )

    async def last_closed(self, instrument: Instrument, interval: Interval) -> int | None:
        """Return the open time of the newest closed candle on the stream, in nanoseconds.

        A stream too short to hold one, as of days, holds live revisions only: then nothing closed since the oldest of
        them, and the candle before that one is the newest that had closed. None: the stream is empty.

        Raises:
            BusError: the server is away.

        """
        key = keys.candles(instrument, interval)
        for count in TAILS:
            async with self._asking:
                entries = await self._reader.last_entries(key, count)
            marks = [mark for entry in entries if (mark := _mark_of(entry)) is not None]
            closed = [open_ns for open_ns, closed in marks if closed]
            if closed:
                return max(closed)
            if len(entries) < count:
                break
        if not marks:
            return None
        oldest_ns = marks[0][0]
        return interval.open_of(oldest_ns - 1) if interval.length_ns is None else oldest_ns - interval.length_ns

    async def last_trade(self, instrument: Instrument) -> int | None:
        """Return the number of the newest trade on the stream.

        Raises:
            BusError: the server is away.

        """
        key = keys.of_kind(instrument, Trade)
        for count in TAILS:
            async with self._asking:
                entries = await self._reader.last_entries(key, count)
            for entry in reversed(entries):
                with contextlib.suppress(msgspec.MsgspecError):
                    return _number_decoder.decode(entry.data).sequence
            if len(entries) < count:
                break
        return None

    def _merged_key(self, instrument: Instrument) -> str:
        shard = zlib.crc32(instrument.id.encode()) % self._shards
        return keys.merged_feed(instrument.venue, instrument.market, shard)


class _Mark(msgspec.Struct):
    open_time: str
    closed: bool


class _Number(msgspec.Struct):
    sequence: int | None


def _mark_of(entry: Entry) -> tuple[int, bool] | None:
    """Return a candle's open time and whether it is closed; None of an entry that some other writer left there."""
    try:
        mark = _mark_decoder.decode(entry.data)
        return from_iso(mark.open_time), mark.closed
    except (msgspec.MsgspecError, ValueError):
        return None


_mark_decoder = msgspec.json.Decoder(_Mark)
_number_decoder = msgspec.json.Decoder(_Number)
