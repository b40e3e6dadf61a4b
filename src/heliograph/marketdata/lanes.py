"""Two lanes between a feed and its consumer: every event that must arrive, and the newest of those that may be merged.

Closed candles, trades, book deltas and gaps ride the keep-every lane, first in, first out; when it is full the sockets
are held back until it is half empty. Open candles, tickers and tops of books ride the latest-wins lane: one slot for
each instrument and kind, so that its size is bounded by what was subscribed. The keep-every lane is emptied first.
While the consumer keeps up, nothing is queued at all.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Final, Protocol

from heliograph.clock import NS_PER_S
from heliograph.marketdata.sink import Sink
from heliograph.metrics import FeedMetrics
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import Event
from heliograph.model.instrument import InstrumentId
from heliograph.model.market import Candle, Gap, Ticker, Trade

PUSH_MAX: Final = 256
"""Queued events that the sink gets at a time, so that it can say "not now" between."""


class Valve(Protocol):
    """What holds the sockets back."""

    def hold(self) -> None:
        """Read no more for now."""

    def release(self) -> None:
        """Read again."""


class Lanes:
    """The lanes of one feed. Everything happens in the loop's thread.

    Args:
        sink: the consumer.
        metrics: where deliveries and depths are counted.
        valve: what is held while the keep-every lane is full.
        now_ns: tells the time of day in nanoseconds; it is asked once a delivery.
        keep_max: events in the keep-every lane at which the valve is held. A batch that comes before that takes effect
            may exceed it.
        slots_max: slots of the latest-wins lane at most, beyond which the one not updated for longest is dropped; 0: no
            bound but one slot for each instrument and kind.

    """

    def __init__(
        self,
        sink: Sink,
        metrics: FeedMetrics,
        valve: Valve,
        now_ns: Callable[[], int],
        *,
        keep_max: int,
        slots_max: int,
    ) -> None:
        self._sink = sink
        self._metrics = metrics
        self._valve = valve
        self._now_ns = now_ns
        self._keep_max = keep_max
        self._slots_max = slots_max
        self._keep: deque[Event] = deque()
        self._slots: dict[tuple[InstrumentId, object], Candle | Ticker | BookSnapshot] = {}
        self.room = asyncio.Event()
        """Set while the sockets are not held back: whoever can wait before they put, waits for this."""
        self.room.set()
        self._emptied: asyncio.Future[None] | None = None
        sink.when_ready(self.drain)

    @property
    def depth(self) -> int:
        """How many events wait in the keep-every lane."""
        return len(self._keep)

    @property
    def waiting(self) -> int:
        """How many events wait in both lanes."""
        return len(self._keep) + len(self._slots)

    def put(self, events: Sequence[Event]) -> None:
        """Deliver a batch, or queue it behind what waits already."""
        if not events:
            return
        if not self._keep and not self._slots and self._sink.ready():
            self._push(events)
            return
        for event in events:
            self._queue(event)
        if self._sink.ready():
            self.drain()
        if len(self._keep) >= self._keep_max and self.room.is_set():
            self.room.clear()
            self._metrics.queue_blocked += 1
            self._valve.hold()
        self._measure()

    def drain(self) -> None:
        """Deliver what waits for as long as the sink takes it."""
        while self._keep and self._sink.ready():
            batch = list(islice(self._keep, PUSH_MAX))
            for _ in batch:
                self._keep.popleft()
            self._push(batch)
        while self._slots and not self._keep and self._sink.ready():
            keys = list(islice(self._slots, PUSH_MAX))
            self._push([self._slots.pop(key) for key in keys])
        self._measure()
        if not self.room.is_set() and len(self._keep) <= self._keep_max // 2:
            self.room.set()
            self._valve.release()
        if self._emptied is not None and not self.waiting:
            self._emptied.set_result(None)
            self._emptied = None

    async def empty(self) -> None:
        """Wait until nothing waits any more. One caller at a time."""
        self.drain()
        if self.waiting:
            self._emptied = asyncio.get_running_loop().create_future()
            try:
                await self._emptied
            finally:
                self._emptied = None

    def forget(self, instrument: InstrumentId, kind: object) -> None:
        """Drop what the latest-wins lane holds of a stream that nobody wants any more.

        Args:
            instrument: whose.
            kind: a candle's interval, `Ticker` or `BookSnapshot`.

        """
        self._slots.pop((instrument, kind), None)

    def discard(self, instruments: Collection[InstrumentId]) -> None:
        """Drop all that waits of these instruments: somebody else delivers it."""
        self._keep = deque(event for event in self._keep if event.instrument.id not in instruments)
        for key in [key for key in self._slots if key[0] in instruments]:
            del self._slots[key]
        self.drain()

    def _queue(self, event: Event) -> None:
        if type(event) is Candle:
            key = (event.instrument.id, event.interval)
            if not event.closed:
                self._take_slot(key, event)
                return
            live = self._slots.get(key)
            if type(live) is Candle and live.open_ns <= event.open_ns:
                del self._slots[key]  # else it would come after the final revision
                self._metrics.conflated += 1
        elif type(event) is Ticker or type(event) is BookSnapshot:
            self._take_slot((event.instrument.id, type(event)), event)
            return
        self._keep.append(event)

    def _take_slot(self, key: tuple[InstrumentId, object], event: Candle | Ticker | BookSnapshot) -> None:
        slots = self._slots
        if slots.pop(key, None) is not None:
            self._metrics.conflated += 1
        elif self._slots_max and len(slots) >= self._slots_max:
            del slots[next(iter(slots))]
            self._metrics.conflated += 1
        slots[key] = event

    def _push(self, events: Sequence[Event]) -> None:
        self._sink.push(events)
        metrics = self._metrics
        kinds = list(map(type, events))
        for kind in set(kinds):
            number = kinds.count(kind)
            metrics.events[_CHANNELS[kind]] += number
            if kind is Candle:
                closed = sum([event.closed for event in events if type(event) is Candle])
                metrics.quotes_closed += closed
                metrics.quotes_open += number - closed
        metrics.observe_latency((self._now_ns() - events[0].received_ns) / NS_PER_S, len(kinds))

    def _measure(self) -> None:
        self._metrics.queue_depth_closed = len(self._keep)
        self._metrics.queue_depth_open = len(self._slots)


_CHANNELS: Final[dict[type, str]] = {
    Candle: "candles",
    Ticker: "ticker",
    Trade: "trades",
    BookSnapshot: "book",
    BookDelta: "book_deltas",
    Gap: "gaps",
}
