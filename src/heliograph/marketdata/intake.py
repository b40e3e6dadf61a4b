"""The one way in: what sockets and requests tell goes through the pipeline into the lanes."""

import time
from collections.abc import Sequence

from heliograph.clock import Clock
from heliograph.marketdata.lanes import Lanes
from heliograph.marketdata.pipeline import Pipeline
from heliograph.metrics import FeedMetrics
from heliograph.model.event import Event, VenueEvent
from heliograph.venues.contract import CandlePage, Purpose, TradePage


class Intake:
    """A pipeline and the lanes behind it, with the clocks that they are told.

    Args:
        pipeline: decides what is delivered.
        lanes: deliver it.
        metrics: where backfills and the last message are counted.
        clock: the time of day.

    """

    def __init__(self, pipeline: Pipeline, lanes: Lanes, metrics: FeedMetrics, clock: Clock) -> None:
        self.lanes = lanes
        self.pipeline = pipeline
        self._metrics = metrics
        self._clock = clock

    def take(self, events: Sequence[VenueEvent], source: int, received_ns: int, now_ns: int) -> None:
        """Take what one read of a socket, or one answer, told.

        Args:
            events: as the codec made them.
            source: which connection they came from.
            received_ns: the time of day.
            now_ns: the monotonic clock's time.

        """
        out: list[Event] = []
        self.pipeline.take(events, source, now_ns, out)
        self._metrics.last_message_ns = received_ns
        if out:
            self.lanes.put(out)

    def finished(self, purpose: Purpose) -> None:
        """Take note that all of the answer to a page has been taken."""
        out: list[Event] = []
        if isinstance(purpose, CandlePage | TradePage):
            self._metrics.backfills_succeeded += 1
        self.pipeline.answered(purpose, time.monotonic_ns(), self._clock.now_ns(), out)
        self.lanes.put(out)

    def failed(self, purpose: Purpose, reason: str, *, unreachable: bool = False) -> None:
        """Take note that a page will not be answered; `unreachable` if that is because nobody could be asked."""
        out: list[Event] = []
        if isinstance(purpose, CandlePage | TradePage):
            self._metrics.backfills_failed += 1
        now_ns, received_ns = time.monotonic_ns(), self._clock.now_ns()
        self.pipeline.failed(purpose, reason, now_ns, received_ns, out, unreachable=unreachable)
        self.lanes.put(out)

    def lost(self, source: int) -> None:
        """Take note that a connection is gone for good."""
        out: list[Event] = []
        self.pipeline.lost(source, time.monotonic_ns(), out)
        self.lanes.put(out)

    def due(self) -> list[CandlePage | TradePage]:
        """Return the pages to ask for at present."""
        out: list[Event] = []
        pages = self.pipeline.due(time.monotonic_ns(), self._clock.now_ns(), out)
        self.lanes.put(out)
        return pages

    def tell_books(self) -> None:
        """Deliver the tops of books whose turn it is."""
        out: list[Event] = []
        self.pipeline.tell_books(time.monotonic_ns(), out)
        self.lanes.put(out)
