"""What Heliograph counts, and how Prometheus reads it.

A feed counts into plain integers (a hot path cannot afford a lock a message), and one collector renders them when it is
scraped, under the documented names of the OHLCV connector (`connector_…`) and under ours (`heliograph_…`).
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

LATENCY_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)

_LABELS = ("exchange", "contract_type")

Family = TypeVar("Family", CounterMetricFamily, GaugeMetricFamily)


class FeedMetrics:
    """The counters of one market's feed. Whoever counts adds to the attributes; nothing here takes a lock.

    Args:
        exchange: the venue's name.
        contract_type: the market's name.

    """

    def __init__(self, exchange: str, contract_type: str) -> None:
        self.exchange = exchange
        self.contract_type = contract_type
        self.quotes_closed = 0
        self.quotes_open = 0
        self.events: Counter[str] = Counter()  # by channel
        self.active_connections = 0
        self.connection_errors: Counter[str] = Counter()  # by error type, a closed set
        self.consecutive_failures = 0
        self.reconnections = 0
        self.backfills_succeeded = 0
        self.backfills_failed = 0
        self.gaps_found = 0
        self.gaps_filled = 0
        self.gaps_unfilled = 0
        self.queue_depth_closed = 0
        self.queue_depth_open = 0
        self.queue_blocked = 0
        self.circuit_state = 0  # 0 closed, 1 open, 2 half open
        self.duplicates = 0
        self.conflicts = 0
        self.conflated = 0
        self.frames_refused = 0
        self.venue_errors = 0
        self.limited = 0
        self.book_resyncs = 0
        self.streams_stale = 0
        self.candles_held = 0
        self.last_message_ns: int | None = None
        self.latency_counts = [0] * (len(LATENCY_BUCKETS_S) + 1)
        self.latency_sum_s = 0.0

    def observe_latency(self, latency_s: float, count: int) -> None:
        """Count `count` quotes that took `latency_s` seconds from the socket to their consumer."""
        self.latency_counts[bisect_left(LATENCY_BUCKETS_S, latency_s)] += count
        self.latency_sum_s += latency_s * count


class WorkerMetrics:
    """How a feed worker shares the markets with others."""

    def __init__(self) -> None:
        self.workers = 0
        """Workers that are up, this one included, as it last saw."""
        self.shards: dict[tuple[str, str], int] = {}  # that are this worker's, by market
        self.moves: Counter[str] = Counter({"taken": 0, "given_back": 0, "lost": 0})


class LinkMetrics:
    """One end of a settlement link as it is at a moment.

    Args:
        side: `custodian` or `exchange`.
        link: which.
        halted: whether a person must look before anything goes on.
        unacknowledged: messages that the other side is not known to have.
        unpublished: of a custodian's, those that a sibling of the primary has not got yet.
        waiting: of the other side's messages, those that wait for their turn.
        refused: messages that were not accepted, by their code.
        reloads: how often the primary was read again, or the replica connected to.

    """

    def __init__(
        self,
        side: str,
        link: str,
        *,
        halted: bool,
        unacknowledged: int,
        unpublished: int,
        waiting: int,
        refused: Mapping[str, int],
        reloads: int,
    ) -> None:
        self.side = side
        self.link = link
        self.halted = halted
        self.unacknowledged = unacknowledged
        self.unpublished = unpublished
        self.waiting = waiting
        self.refused = dict(refused)
        self.reloads = reloads


class LinkCollector(Collector):
    """Renders the ends of settlement links at scrape time.

    Args:
        ends: each tells how it is when it is asked.

    """

    def __init__(self, ends: Sequence[Callable[[], LinkMetrics]]) -> None:
        self._ends = ends

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        found = [end() for end in self._ends]
        for name, what in _LINK_GAUGES:
            gauge = GaugeMetricFamily(f"heliograph_settlement_{name}", what, labels=_LINK_LABELS)
            for end in found:
                gauge.add_metric([end.side, end.link], float(getattr(end, name)))
            yield gauge
        refused = CounterMetricFamily(
            "heliograph_settlement_refused", "Messages that were not accepted.", labels=[*_LINK_LABELS, "code"]
        )
        reloads = CounterMetricFamily(
            "heliograph_settlement_reloads", "Times that memory was dropped and read again.", labels=_LINK_LABELS
        )
        for end in found:
            reloads.add_metric([end.side, end.link], end.reloads)
            for code, count in sorted(end.refused.items()):
                refused.add_metric([end.side, end.link, code], count)
        yield from (refused, reloads)


class FeedCollector(Collector):
    """Renders every registered feed's counters at scrape time."""

    def __init__(self) -> None:
        self._feeds: list[FeedMetrics] = []
        self.worker: WorkerMetrics | None = None
        """Set where this process shares the markets with others."""

    def add(self, feed: FeedMetrics) -> None:
        """Include a feed's counters from now on."""
        self._feeds.append(feed)

    def remove(self, feed: FeedMetrics) -> None:
        """Leave a feed's counters out from now on."""
        self._feeds.remove(feed)

    def collect(self) -> Iterator[Metric]:
        """Yield every family under the documented name, then under ours."""
        yield InfoMetricFamily(
            "connector_build", "Version of the connector's contract.", {"version": "0.2.0", "architecture": "clean"}
        )
        for prefix in ("connector", "heliograph"):
            yield from self._families(prefix)
        yield from self._own_families()

    def _families(self, prefix: str) -> Iterator[Metric]:
        quotes = CounterMetricFamily(f"{prefix}_quotes_processed", "Candles delivered.", labels=[*_LABELS, "is_closed"])
        errors = CounterMetricFamily(
            f"{prefix}_connection_errors", "Connections that failed.", labels=[*_LABELS, "error_type"]
        )
        backfills = CounterMetricFamily(
            f"{prefix}_rest_backfills", "REST backfills, by outcome.", labels=[*_LABELS, "status"]
        )
        latency = HistogramMetricFamily(
            f"{prefix}_quote_latency_seconds", "From the socket to the consumer.", labels=_LABELS
        )
        for feed in self._feeds:
            labels = [feed.exchange, feed.contract_type]
            quotes.add_metric([*labels, "True"], feed.quotes_closed)
            quotes.add_metric([*labels, "False"], feed.quotes_open)
            for error_type, count in sorted(feed.connection_errors.items()):
                errors.add_metric([*labels, error_type], count)
            backfills.add_metric([*labels, "success"], feed.backfills_succeeded)
            backfills.add_metric([*labels, "failure"], feed.backfills_failed)
            latency.add_metric(labels, *_histogram(feed))
        yield from (quotes, errors, backfills, latency)
        for name, attribute, what in _COUNTERS:
            yield self._plain(CounterMetricFamily(f"{prefix}_{name}", what, labels=_LABELS), attribute)
        for name, attribute, what in _GAUGES:
            yield self._plain(GaugeMetricFamily(f"{prefix}_{name}", what, labels=_LABELS), attribute)

    def _own_families(self) -> Iterator[Metric]:
        events = CounterMetricFamily("heliograph_events", "Events delivered.", labels=[*_LABELS, "channel"])
        for feed in self._feeds:
            for channel, count in sorted(feed.events.items()):
                events.add_metric([feed.exchange, feed.contract_type, channel], count)
        yield events
        for name, attribute, what in _OWN_COUNTERS:
            yield self._plain(CounterMetricFamily(f"heliograph_{name}", what, labels=_LABELS), attribute)
        for name, attribute, what in _OWN_GAUGES:
            yield self._plain(GaugeMetricFamily(f"heliograph_{name}", what, labels=_LABELS), attribute)

        if self.worker is not None:
            yield from _worker_families(self.worker)

    def _plain(self, family: Family, attribute: str) -> Family:
        for feed in self._feeds:
            family.add_metric([feed.exchange, feed.contract_type], getattr(feed, attribute))
        return family


_LINK_LABELS = ("side", "link")
_LINK_GAUGES = (
    ("halted", "1 if nothing goes on before a person has looked."),
    ("unacknowledged", "Messages that the other side is not known to have."),
    ("unpublished", "Messages that a sibling of the primary has not got yet."),
    ("waiting", "Messages of the other side that wait for their turn or for a decision."),
)
_COUNTERS = (
    ("reconnections", "reconnections", "Connections made again."),
    ("queue_blocking_events", "queue_blocked", "Times a full queue held the socket back."),
    ("duplicates_filtered", "duplicates", "Events already delivered, dropped."),
)
_GAUGES = (
    ("active_connections", "active_connections", "Open sockets to the venue."),
    ("queue_depth_closed", "queue_depth_closed", "Events waiting in the keep-every lane."),
    ("queue_depth_open", "queue_depth_open", "Instruments waiting in the latest-wins lane."),
    ("circuit_breaker_state", "circuit_state", "0 closed, 1 open, 2 half open."),
)
_OWN_GAUGES = (
    ("streams_stale", "streams_stale", "Wanted streams of which nothing can be told, for longer than that may be."),
    ("candles_held", "candles_held", "Closed candles that wait for REST to fill the hole before them."),
)
_OWN_COUNTERS = (
    ("gaps_found", "gaps_found", "Holes noticed in a sequence."),
    ("gaps_filled", "gaps_filled", "Holes that a backfill closed."),
    ("gaps_unfilled", "gaps_unfilled", "Holes reported as gaps."),
    ("conflicts", "conflicts", "Second final candles that disagreed with the one delivered, dropped."),
    ("conflated", "conflated", "Updates replaced by a newer one before delivery."),
    ("frames_refused", "frames_refused", "Frames that are not what the venue documents."),
    ("venue_errors", "venue_errors", "Refusals by the venue."),
    ("rate_limited", "limited", "Refusals for having asked too often, waited out."),
    ("book_resyncs", "book_resyncs", "Order books built again from a snapshot."),
)


def _worker_families(worker: WorkerMetrics) -> Iterator[Metric]:
    yield GaugeMetricFamily("heliograph_feed_workers", "Feed workers that are up.", worker.workers)
    shards = GaugeMetricFamily("heliograph_feed_shards", "Shards that are this worker's.", labels=_LABELS)
    for market, count in worker.shards.items():
        shards.add_metric([*market], count)
    moves = CounterMetricFamily("heliograph_feed_shard_moves", "Shards that changed hands.", labels=["outcome"])
    for outcome, count in worker.moves.items():
        moves.add_metric([outcome], count)
    yield from (shards, moves)


def _histogram(feed: FeedMetrics) -> tuple[list[tuple[str, float]], float]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*(str(b) for b in LATENCY_BUCKETS_S), "+Inf"), feed.latency_counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets, feed.latency_sum_s
