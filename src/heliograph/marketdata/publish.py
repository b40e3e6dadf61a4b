"""A feed's events onto Valkey: each encoded once, to its instrument's stream and to its shard's merged feed."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import structlog

from heliograph.bus import keys
from heliograph.bus.cluster_reader import ClusterReader
from heliograph.bus.entries import Stream
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Entry, Reader
from heliograph.bus.scatter import Scatter
from heliograph.clock import from_iso
from heliograph.errors import BusError
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument, InstrumentId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap, Ticker, Trade
from heliograph.model.wire import Encoder
from heliograph.venues.contract import Subscription

log = structlog.get_logger()

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
        leased: write only the shards that `take` names, until `give_up` does; else all of them.

    """

    def __init__(
        self,
        publisher: Publisher | Scatter,
        reader: Reader | ClusterReader,
        *,
        stream_maxlen: int,
        feed_maxlen: int,
        shards: int = keys.SHARDS,
        leased: bool = False,
    ) -> None:
        self._publisher = publisher
        self._reader = reader
        self._stream_maxlen = stream_maxlen
        self._feed_maxlen = feed_maxlen
        self._shards = shards
        self._encode = Encoder().encode
        self._streams: Prepared = {}
        self._ours: dict[str, set[tuple[InstrumentId, object]]] | None = {} if leased else None  # by merged feed
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
        try:
            targets = [
                streams[event.instrument.id, event.interval if type(event) is Candle else type(event)]
                for event in events
            ]
        except KeyError:
            if self._ours is None:
                raise
            # Some of them were on their way when their shard was given up: its next writer tells them.
            self.push([event for event in events if _place(event) in streams])
            return
        self._publisher.append_many(targets, [encode(event) for event in events])

    def take(self, venue: str, market: str, shard: int) -> None:
        """Write a shard from now on: its streams may be opened."""
        assert self._ours is not None
        self._ours[keys.merged_feed(venue, market, shard)] = set()

    def give_up(self, venue: str, market: str, shard: int) -> None:
        """Write nothing more of a shard, and drop what of it is pending: somebody else writes it."""
        self._publisher.close_streams(self._stop(keys.merged_feed(venue, market, shard)))

    async def hand_over(self, venue: str, market: str, shards: Iterable[int], timeout_s: float) -> bool:
        """Take no more events of these shards, and write what was taken, so that somebody else may go on from there.

        Returns:
            Whether the server has acknowledged all of it in time. Else it was dropped, but may be on its way: nobody
            may go on before the lease has ended.

        """
        stopped = [key for shard in shards for key in self._stop(keys.merged_feed(venue, market, shard))]
        try:
            await self._publisher.flush(timeout_s)
        except BusError as e:
            log.warning("stopped before everything was written", error=str(e))
            return False
        finally:
            self._publisher.close_streams(stopped)
        return True

    def hold_until(self, until_s: float, asked_s: float) -> None:
        """Write until then: see `Hold.until`."""
        self._publisher.hold.until(until_s, asked_s)

    def when_linked(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each connect, which waits for `hold_until`."""
        self._publisher.hold.when_linked(callback)

    def _stop(self, feed: str) -> list[str]:
        """Take no more events for a merged feed, and return the streams that were open, itself first."""
        assert self._ours is not None
        return [feed, *(self._streams.pop(place).key for place in self._ours.pop(feed, set()))]

    async def open(self, subscriptions: Sequence[Subscription]) -> None:
        """Prepare every stream that these subscriptions' events go to.

        Raises:
            BusError: the server is away, a key holds something else than a stream, or the shard is not ours.

        """
        for subscription in subscriptions:
            instrument = subscription.instrument
            feed = self._merged_key(instrument)
            ours = self._check_ours(feed)
            merged = await self._publisher.open_stream(feed, maxlen=self._feed_maxlen)
            self._check_still(feed, ours, merged)
            names: list[tuple[object, str]] = [
                (kind, keys.of_kind(instrument, kind)) for kind in _KINDS[subscription.channel]
            ]
            if subscription.interval is not None:
                names.append((subscription.interval, keys.candles(instrument, subscription.interval)))
            for kind, key in names:
                if (instrument.id, kind) not in self._streams:
                    stream = await self._publisher.open_stream(key, maxlen=self._stream_maxlen, merged=merged)
                    self._check_still(feed, ours, stream if stream.merged is merged else None)
                    self._streams[instrument.id, kind] = stream
                    if ours is not None:
                        ours.add((instrument.id, kind))

    def _check_still(self, feed: str, ours: object, opened: Stream | None) -> None:
        """Make sure that a shard was ours all the time that it took to open a stream, or close the stream again."""
        if self._ours is None or self._ours.get(feed) is ours:
            return
        if opened is not None and (opened.merged is not None or feed not in self._ours):
            self._publisher.close_streams([opened.key])
        raise BusError(f"{feed} has changed hands")

    def _check_ours(self, feed: str) -> set[tuple[InstrumentId, object]] | None:
        if self._ours is None:
            return None
        if feed not in self._ours:
            raise BusError(f"{feed} is another worker's")
        return self._ours[feed]

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
        shard = keys.shard_of(instrument.id, self._shards)
        return keys.merged_feed(instrument.venue, instrument.market, shard)


def _place(event: Event) -> tuple[InstrumentId, object]:
    return event.instrument.id, event.interval if type(event) is Candle else type(event)


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
