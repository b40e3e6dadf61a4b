"""Which shard carries what: new subscriptions go where there is room, and a shard that carries nothing ends."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

import structlog

from heliograph.marketdata.session import Session
from heliograph.marketdata.shards import Shard
from heliograph.venues.contract import Market, Subscription

log = structlog.get_logger()


class Supervisor:
    """The shards of one market, each a task.

    Args:
        market: plans what fits on a socket.
        symbols_per_socket_max: instruments of one socket.
        make_shard: makes a shard of a path and what it is to carry.
        tasks: where the shards run.

    """

    def __init__(
        self,
        market: Market,
        symbols_per_socket_max: int,
        make_shard: Callable[[str, tuple[Subscription, ...]], Shard],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._market = market
        self._symbols_max = symbols_per_socket_max
        self._make_shard = make_shard
        self._tasks = tasks
        self._shards: dict[Shard, asyncio.Task[None]] = {}

    def __iter__(self) -> Iterator[Shard]:
        return iter(tuple(self._shards))

    def cover(self, subscriptions: Sequence[Subscription]) -> None:
        """See to it that some shard carries each of these."""
        carried = {s for shard in self._shards for s in shard.subscriptions}
        for planned in self._market.plan([s for s in subscriptions if s not in carried], self._symbols_max):
            shard = self._with_room(planned.path, planned.subscriptions)
            if shard is not None:
                shard.change((*shard.subscriptions, *planned.subscriptions))
                continue
            shard = self._make_shard(planned.path, planned.subscriptions)
            self._shards[shard] = self._tasks.create_task(shard.run())

    def uncover(self, subscriptions: Sequence[Subscription]) -> None:
        """Carry these no longer."""
        unwanted = set(subscriptions)
        for shard, task in tuple(self._shards.items()):
            left = tuple(s for s in shard.subscriptions if s not in unwanted)
            if not left:
                del self._shards[shard]
                task.cancel()
            elif len(left) < len(shard.subscriptions):
                shard.change(left)

    def session_for(self, subscription: Subscription) -> Session | None:
        """Return an open session that carries a subscription, if there is one."""
        for shard in self._shards:
            if subscription in shard.subscriptions:
                for session in reversed(shard.sessions):
                    if session.open:
                        return session
        return None

    def _with_room(self, path: str, subscriptions: tuple[Subscription, ...]) -> Shard | None:
        """Return a shard of this path that could carry these as well, by the market's own plan."""
        for shard in self._shards:
            if shard.path == path:
                together = self._market.plan((*shard.subscriptions, *subscriptions), self._symbols_max)
                if sum(connection.path == path for connection in together) == 1:
                    return shard
        return None
