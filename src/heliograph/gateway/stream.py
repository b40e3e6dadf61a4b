"""A subscription for a consumer in this process: an asynchronous iterator of candles and gaps."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from heliograph.errors import HeliographError, VenueRejected, VenueUnreachable
from heliograph.gateway.hub import Hub
from heliograph.gateway.mailbox import Mailbox, Update
from heliograph.model.market import Candle, Gap
from heliograph.venues.contract import Subscription, VenueError

KEPT_MAX: Final = 1000


class Stream:
    """The updates of some subscriptions: the last value of each at once, then every one as it comes.

    A consumer that is slower than the market gets the newest open candle of each instrument, and every closed one.

    Args:
        hub: where the updates come from.
        subscriptions: at least one.
        idle_s: seconds without an update after which iteration ends with `VenueUnreachable`; None: never.
        kept_max: closed candles that may wait for the consumer, before iteration ends with an error.

    """

    def __init__(
        self, hub: Hub, subscriptions: Sequence[Subscription], *, idle_s: float | None, kept_max: int = KEPT_MAX
    ) -> None:
        self._hub = hub
        self._subscriptions = tuple(subscriptions)
        self._idle_s = idle_s
        self._kept_max = kept_max
        self._mailbox = Mailbox(kept_max)
        self._arrived = asyncio.Event()
        self._failure: HeliographError | StopAsyncIteration | None = None

    async def __aenter__(self) -> Self:
        self._hub.subscribe(self, self._subscriptions)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hub.unsubscribe(self, self._subscriptions)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Candle | Gap:
        """Return the next update.

        Raises:
            VenueRejected: the venue will not serve what was asked for.
            VenueUnreachable: nothing came for `idle_s` seconds.
            HeliographError: the consumer is too slow for the closed candles.

        """
        while True:
            update = self._mailbox.take()
            if update is not None:
                return update.event
            if self._failure is not None:
                raise self._failure
            self._arrived.clear()
            try:
                async with asyncio.timeout(self._idle_s):
                    await self._arrived.wait()
            except TimeoutError:
                assert self._idle_s is not None
                venue = self._subscriptions[0].instrument.venue
                raise VenueUnreachable(venue, idle_message(self._idle_s)) from None

    def end(self) -> None:
        """End the iteration after what has arrived."""
        self._failure = self._failure or StopAsyncIteration()
        self._arrived.set()

    def take(self, update: Update) -> None:
        """Receive an update from the hub."""
        if not self._mailbox.put(update) and self._failure is None:
            self._failure = HeliographError(f"consumer too slow: more than {self._kept_max} closed candles waiting")

    def flush(self) -> None:
        """Wake the consumer."""
        self._arrived.set()

    def refused(self, subscription: Subscription, error: VenueError) -> None:
        """End the iteration after what has arrived."""
        self._failure = VenueRejected(subscription.instrument.venue, error.code, error.reason)
        self._arrived.set()


def idle_message(idle_s: float) -> str:
    """Return the documented words for a stream that has gone silent."""
    return f"No quotes received in {idle_s:g} seconds. Cancelling stream."
