"""One upstream subscription per key, shared by all who want it; the last value of each; fan-out."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from heliograph.clock import Clock
from heliograph.gateway.mailbox import Frames, Key, Update, key_of
from heliograph.marketdata.sink import Sink
from heliograph.metrics import FeedMetrics
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap
from heliograph.venues import markets_of
from heliograph.venues.contract import Market, Subscription, Venue, VenueError
from heliograph.venues.offering import require_streamed

LINGER_S: Final = 5.0
"""How long an upstream subscription outlives its last client: reconnecting clients cost the venue nothing."""


class Subscriber(Protocol):
    """A consumer of updates. Nothing here may block or raise."""

    def take(self, update: Update) -> None:
        """Receive an update; several may come before `flush`."""

    def flush(self) -> None:
        """The batch is complete: pass it on."""

    def refused(self, subscription: Subscription, error: VenueError) -> None:
        """The venue will not serve this subscription; the hub has dropped it already."""


class Upstream(Sink, Protocol):
    """Whom a source tells: a sink that also hears refusals."""

    def refused(self, subscriptions: Sequence[Subscription], error: VenueError) -> None:
        """The venue said no to these subscriptions for good."""


class Source(Protocol):
    """Where market data comes from: feeds in this process, or the bus."""

    async def instruments(self, market: Market, symbols: Sequence[str]) -> list[Instrument]:
        """Return the instruments that the symbols mean, in order.

        Raises:
            ConfigError: a symbol is not there.

        """

    def add(self, subscriptions: Sequence[Subscription]) -> None:
        """Begin to supply these."""

    def remove(self, subscriptions: Sequence[Subscription]) -> None:
        """Supply these no longer."""

    def feeds(self) -> Sequence[FeedMetrics]:
        """Return the counters of every feed that is wanted at present."""

    async def run(self, upstream: Upstream) -> None:
        """Supply until cancelled."""


async def find_instruments(
    source: Source, venue: Venue, market: str | None, symbols: Sequence[str], streaming: Interval | None = None
) -> list[Instrument]:
    """Return the instruments that the symbols mean at a venue, of however many of its markets.

    Args:
        source: whose instruments they are to be.
        venue: the venue.
        market: its market's name or alias, if the user gave one.
        symbols: what the user wrote.
        streaming: candles that their markets must stream; None: no matter.

    Raises:
        ConfigError: a market or symbol is not there, a symbol does not tell its market where it must, or a market
            has no such candles.

    """
    wanted = markets_of(venue, market, symbols)
    for part, _ in wanted:
        if streaming is not None:
            require_streamed(part, Channel.CANDLES, streaming)
    parts = [await source.instruments(*part) for part in wanted]
    return [instrument for part in parts for instrument in part]


class _Topic:
    """One key's clients, its last candle, and the upstream subscription that they share."""

    __slots__ = ("last", "leaving", "subscribers", "subscription")

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.subscribers: dict[Subscriber, None] = {}
        self.last: Candle | None = None
        self.leaving: object | None = None
        """What is to end the upstream subscription, if nobody comes back before."""


class Hub:
    """The table of who wants what. It is the sink of every feed behind it, and always ready.

    Args:
        source: where market data comes from.
        clock: the time of day, for the messages' `current_time`.
        linger_s: how long an upstream subscription outlives its last subscriber, in seconds.

    """

    def __init__(self, source: Source, clock: Clock, *, linger_s: float = LINGER_S) -> None:
        self.source = source
        self._frames = Frames(clock)
        self._linger_s = linger_s
        self._topics: dict[Key, _Topic] = {}
        self._timers: set[asyncio.TimerHandle] = set()

    async def run(self) -> None:
        """Run the source until cancelled; then the hub is empty."""
        try:
            await self.source.run(self)
        finally:
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
            self._topics.clear()

    def subscribe(self, subscriber: Subscriber, subscriptions: Sequence[Subscription]) -> None:
        """Give a subscriber the last value of each key, at once, and then every update, until it unsubscribes."""
        fresh = []
        snapshot = False
        for subscription in subscriptions:
            key = key_of(subscription)
            topic = self._topics.get(key)
            if topic is None:
                topic = self._topics[key] = _Topic(subscription)
                fresh.append(subscription)
            topic.leaving = None
            topic.subscribers[subscriber] = None
            if topic.last is not None:
                subscriber.take(Update(key, topic.last, self._frames))
                snapshot = True
        if fresh:
            self.source.add(fresh)
        if snapshot:
            subscriber.flush()

    def unsubscribe(self, subscriber: Subscriber, subscriptions: Sequence[Subscription]) -> None:
        """Forget a subscriber; what nobody wants for a while longer is given up upstream."""
        mark = object()
        left = []
        for subscription in subscriptions:
            topic = self._topics.get(key_of(subscription))
            if topic is None or subscriber not in topic.subscribers:
                continue
            del topic.subscribers[subscriber]
            if not topic.subscribers:
                topic.leaving = mark
                left.append(topic)
        if not left:
            return
        timer: asyncio.TimerHandle | None = None

        def drop() -> None:
            assert timer is not None
            self._timers.discard(timer)
            self._drop(left, mark)

        timer = asyncio.get_running_loop().call_later(self._linger_s, drop)
        self._timers.add(timer)

    def _drop(self, topics: Sequence[_Topic], mark: object) -> None:
        gone = [topic.subscription for topic in topics if topic.leaving is mark]
        for subscription in gone:
            del self._topics[key_of(subscription)]
        if gone:
            self.source.remove(gone)

    def ready(self) -> bool:
        """Always: a slow client holds back nobody but itself."""
        return True

    def when_ready(self, wake: Callable[[], None]) -> None:
        """Nothing to remember: the hub is always ready."""

    def push(self, events: Sequence[Event]) -> None:
        """Hand a batch to the clients that want it: one encoding an event, one write a client."""
        touched: dict[Subscriber, None] = {}
        topics = self._topics
        for event in events:
            if type(event) is not Candle and type(event) is not Gap:
                continue
            key = (event.instrument.id, event.interval)
            topic = topics.get(key)
            if topic is None:
                continue
            if type(event) is Candle and (topic.last is None or event.open_ns >= topic.last.open_ns):
                topic.last = event
            if topic.subscribers:
                update = Update(key, event, self._frames)
                for subscriber in topic.subscribers:
                    subscriber.take(update)
                touched.update(topic.subscribers)
        for subscriber in touched:
            subscriber.flush()

    def refused(self, subscriptions: Sequence[Subscription], error: VenueError) -> None:
        """Tell those who wanted these, and forget them, so that a later client asks the venue anew."""
        gone = []
        for subscription in subscriptions:
            topic = self._topics.pop(key_of(subscription), None)
            if topic is not None:
                gone.append(topic)
        if gone:
            self.source.remove([topic.subscription for topic in gone])
        for topic in gone:
            topic.leaving = None
            for subscriber in list(topic.subscribers):
                subscriber.refused(topic.subscription, error)
