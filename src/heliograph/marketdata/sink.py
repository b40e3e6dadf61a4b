"""Where a feed's events go."""

from collections.abc import Callable, Sequence
from typing import Protocol

from heliograph.model.event import Event
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.venues.contract import Subscription


class Sink(Protocol):
    """A consumer of events that can say "not now".

    While it is not ready the lanes hold: the keep-every lane fills up to its bound and then holds the sockets back, and
    the latest-wins lane conflates.
    """

    def ready(self) -> bool:
        """Tell whether `push` may be called."""

    def push(self, events: Sequence[Event]) -> None:
        """Take a batch, in order, within one loop turn. Must neither block nor raise, nor keep the list."""

    def when_ready(self, wake: Callable[[], None]) -> None:
        """Remember `wake` and call it each time that the sink becomes ready again."""


class Resume(Protocol):
    """What a sink's store already holds, asked before a stream's events begin to come."""

    async def open(self, subscriptions: Sequence[Subscription]) -> None:
        """Get ready to take these streams' events.

        Raises:
            BusError: the store is away; to be asked again.

        """

    async def last_closed(self, instrument: Instrument, interval: Interval) -> int | None:
        """Return the open time of the newest closed candle that is stored, or None.

        Raises:
            BusError: the store is away; to be asked again.

        """

    async def last_trade(self, instrument: Instrument) -> int | None:
        """Return the sequence of the newest trade that is stored, or None.

        Raises:
            BusError: the store is away; to be asked again.

        """
