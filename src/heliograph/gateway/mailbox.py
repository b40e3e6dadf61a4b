"""What a consumer has yet to take, in bounded memory and without silent loss."""

from collections import deque

from heliograph.clock import Clock
from heliograph.gateway.protocol import QuoteEncoder, gap, text_frame
from heliograph.model.instrument import InstrumentId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Gap
from heliograph.venues.contract import Subscription

Key = tuple[InstrumentId, Interval | None]
"""What a client subscribes to: the candles of one instrument and interval."""


def key_of(subscription: Subscription) -> Key:
    """Return the key under which a subscription's updates are found."""
    return (subscription.instrument.id, subscription.interval)


class Frames:
    """Makes each update's WebSocket frame, when the first client wants it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._encoder = QuoteEncoder()

    def of(self, event: Candle | Gap) -> bytes:
        """Return the frame that tells a client of the event."""
        if type(event) is Candle:
            return text_frame(self._encoder.quote(event, self._clock.now_ns()))
        assert type(event) is Gap
        return text_frame(gap(event))


class Update:
    """One event on its way to the clients that want it; its frame is encoded once for all of them."""

    __slots__ = ("_frame", "_frames", "event", "key")

    def __init__(self, key: Key, event: Candle | Gap, frames: Frames) -> None:
        self.key = key
        self.event = event
        self._frames = frames
        self._frame: bytes | None = None

    @property
    def frame(self) -> bytes:
        """The update as a WebSocket frame."""
        if self._frame is None:
            self._frame = self._frames.of(self.event)
        return self._frame

    @property
    def is_quote(self) -> bool:
        """Whether it counts towards a client's limit."""
        return type(self.event) is Candle

    @property
    def replaceable(self) -> bool:
        """Whether a newer update of the same key says all that this one does."""
        event = self.event
        return type(event) is Candle and not event.closed

    def supersedes(self, earlier: "Update") -> bool:
        """Whether the earlier open candle is this candle, or one before it."""
        mine, theirs = self.event, earlier.event
        return type(mine) is Candle and type(theirs) is Candle and theirs.open_ns <= mine.open_ns


class Mailbox:
    """Closed candles and gaps in order, up to a bound; of open candles the newest of each key.

    A closed candle takes the place of its own open one that waited before it, so that each key's updates come out in
    the order in which they happened.

    Args:
        kept_max: closed candles and gaps that may wait.

    """

    def __init__(self, kept_max: int) -> None:
        self._kept_max = kept_max
        self._kept: deque[Update] = deque()
        self._newest: dict[Key, Update] = {}
        self.conflated = 0

    def __len__(self) -> int:
        return len(self._kept) + len(self._newest)

    def put(self, update: Update) -> bool:
        """Keep an update; False: there is no room for one that may not be lost."""
        if update.replaceable:
            if self._newest.pop(update.key, None) is not None:
                self.conflated += 1
            self._newest[update.key] = update
            return True
        if len(self._kept) >= self._kept_max:
            return False
        self._kept.append(update)
        waiting = self._newest.get(update.key)
        if waiting is not None and update.supersedes(waiting):
            del self._newest[update.key]
            self.conflated += 1
        return True

    def take(self) -> Update | None:
        """Remove and return what comes first: closed candles and gaps, then open candles."""
        if self._kept:
            return self._kept.popleft()
        if self._newest:
            return self._newest.pop(next(iter(self._newest)))
        return None
