"""The past onto an instrument's stream: in order, once, and only behind what is there.

The stream itself is the journal: its newest closed candle is where a killed backfill goes on. Entries cannot be put in
front of others, so a stream that has begun later, or that lacks what the venue has, is refused.

History goes to the instrument's own stream, not to the merged feed, whose readers want the present.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from heliograph.bus import keys
from heliograph.bus.cluster_reader import ClusterReader
from heliograph.bus.entries import Stream
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Reader
from heliograph.bus.scatter import Scatter
from heliograph.clock import from_iso, iso_ms
from heliograph.errors import BusError, ConfigError
from heliograph.marketdata.download import Part
from heliograph.marketdata.history import Hole, Series, Span, Verdict, missing, parts, verify, with_holes
from heliograph.model.market import Candle, Channel, Gap
from heliograph.model.wire import Encoder

READ_ENTRIES: Final = 1000
APPEND_ENTRIES: Final = 500
FLUSH_S_MAX: Final = 60.0

Streams = tuple[Stream, Stream]
"""A series' stream of candles, and its instrument's of gaps."""


class Bus:
    """The connections that the timelines of a process share.

    Args:
        publisher: appends; open.
        reader: reads; open.
        stream_maxlen: entries that a stream keeps, about.
        prefix: stands in front of each stream's usual name.

    """

    def __init__(
        self, publisher: Publisher | Scatter, reader: Reader | ClusterReader, stream_maxlen: int, prefix: str = ""
    ) -> None:
        self.publisher = publisher
        self.stream_maxlen = stream_maxlen
        self.prefix = prefix
        self._reader = reader

    async def candles(self, key: str) -> list[tuple[int, bool]]:
        """Return each candle of a stream, oldest entry first: its open time, and whether it is closed.

        Raises:
            BusError: the server is away, or the key is not a stream.

        """
        found: list[tuple[int, bool]] = []
        start = "-"
        while True:
            entries = await self._reader.entries(key, start, "+", READ_ENTRIES)
            for entry in entries:
                try:
                    mark = _decoder.decode(entry.data)
                    found.append((from_iso(mark.open_time), mark.closed))
                except (msgspec.MsgspecError, ValueError) as e:
                    raise BusError(f"the stream {key} has an entry that is no candle: {entry.id}") from e
            if len(entries) < READ_ENTRIES:
                return found
            start = f"({entries[-1].id}"


class _Mark(msgspec.Struct):
    open_time: str
    closed: bool


_decoder = msgspec.json.Decoder(_Mark)


class Timeline:
    """The stream of one series' candles; opened, continued part by part, finished, and closed.

    Args:
        bus: where it is.
        series: what it is to hold.
        ask: asks the venue for a part of the series.

    """

    def __init__(self, bus: Bus, series: Series, ask: Callable[[Series, Span], Awaitable[Part]]) -> None:
        self.where = bus.prefix + keys.candles(series.instrument, series.interval)
        self.done_ns = series.from_ns
        self.holes: tuple[Hole, ...] = ()
        self._bus = bus
        self._series = series
        self._ask = ask
        self._encode = Encoder().encode
        self._streams: Streams | None = None
        self._untold: list[Hole] = []

    async def open(self) -> None:
        """Find out where the stream is.

        Raises:
            ConfigError: it cannot take the series.
            BusError: the server is away, or the key is not a stream.

        """
        bus, series = self._bus, self._series
        if series.candles > bus.stream_maxlen:
            raise ConfigError(
                f"{series.candles} candles of {series.name} do not fit a stream that keeps {bus.stream_maxlen}",
                ("a later --from", "a greater HELIOGRAPH_STREAM_MAXLEN", "--output csv or parquet"),
            )
        gaps_key = bus.prefix + keys.of_kind(series.instrument, Gap)
        self._streams = (
            await bus.publisher.open_stream(self.where, maxlen=bus.stream_maxlen),
            await bus.publisher.open_stream(gaps_key, maxlen=bus.stream_maxlen),
        )
        marks = await bus.candles(self.where)
        closed = {open_ns for open_ns, is_closed in marks if is_closed}
        newest_ns = max(closed, default=-1)
        if newest_ns >= series.from_ns:
            self.done_ns = min(series.to_ns, series.interval.next_open(newest_ns))
        if self.done_ns < series.to_ns and any(
            open_ns >= self.done_ns for open_ns, is_closed in marks if not is_closed
        ):
            raise ConfigError(
                f"a feed writes {self.where}: it has open candles after {iso_ms(self.done_ns)}",
                ("the feed, which fills its own holes", "another --key-prefix"),
            )
        await self._explain(closed)

    async def commit(self, part: Part) -> None:
        """Append a part, which begins at `done_ns`; once this returns, the server has acknowledged it.

        Raises:
            BusError: the server is away, or somebody else writes the stream as well.

        """
        publisher = self._bus.publisher
        assert self._streams is not None, "the timeline is open"
        stream, gaps = self._streams
        untold = self._untold + part.holes
        for at in range(0, len(part.candles), APPEND_ENTRIES):
            streams, data = [], []
            for candle in part.candles[at : at + APPEND_ENTRIES]:
                while untold and untold[0].from_ns < candle.open_ns:
                    streams.append(gaps)
                    data.append(self._encode(self._gap(untold.pop(0), candle)))
                streams.append(stream)
                data.append(self._encode(candle))
            publisher.append_many(streams, data)
            await publisher.flush(FLUSH_S_MAX)
        if publisher.refused_ids or publisher.failed:
            raise BusError(f"somebody else appends to {self.where} as well, or to another stream of this backfill")
        # A hole at the end is none yet for the stream's readers: nothing follows it.
        self._untold = untold
        self.done_ns = part.span.to_ns
        self.holes = with_holes(self.holes, part.holes)

    async def finish(self) -> Verdict:
        """Read the stream back and hold it against the grid.

        Raises:
            BusError: the server is away.

        """
        series = self._series
        marks = await self._bus.candles(self.where)
        recorded = [open_ns for open_ns, closed in marks if closed and series.from_ns <= open_ns < series.to_ns]
        verdict = verify(series.interval, series.from_ns, self.done_ns, recorded, self.holes)
        # What a feed appends meanwhile is outside the range, and yet the range must not stand behind it.
        newest_ns, behind = -1, 0
        for open_ns, closed in marks:
            behind += closed and series.from_ns <= open_ns < series.to_ns and open_ns < newest_ns
            newest_ns = max(newest_ns, open_ns)
        return msgspec.structs.replace(verdict, disordered=max(verdict.disordered, behind))

    async def close(self) -> None:
        """Leave the stream as it is."""

    async def _explain(self, closed: set[int]) -> None:
        """Be sure that what the stream lacks before its end is lacking at the venue too: nothing can be inserted."""
        series = self._series
        for stretch in missing(series.interval, Span(series.from_ns, self.done_ns), closed):
            for span in parts(series.interval, stretch.from_ns, stretch.to_ns, READ_ENTRIES):
                part = await self._ask(series, span)
                if part.candles:
                    raise ConfigError(
                        f"{self.where} goes on after {iso_ms(part.candles[0].open_ns)} without it, and older candles"
                        " cannot be put before newer ones",
                        ("a later --from", "the stream deleted", "another --key-prefix"),
                    )
                self.holes = with_holes(self.holes, part.holes)

    def _gap(self, hole: Hole, candle: Candle) -> Gap:
        interval = self._series.interval
        return Gap(
            candle.instrument,
            Channel.CANDLES,
            interval,
            hole.from_ns,
            hole.to_ns,
            None,
            None,
            hole.reason,
            candle.received_ns,
        )
