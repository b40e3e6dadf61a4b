"""What a venue counts for one address, kept once for all who use it: connects, connections, messages, REST weight.

Markets share what the venue counts together, by the names of the pools in their `Limits`; whoever composes feeds and
clients shares one `Pools` among them. Other processes behind the same address are not seen.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from heliograph.clock import NS_PER_S
from heliograph.connect.limits import Window, loop_clock_ns
from heliograph.venues.contract import Limits, Market


class Place:
    """One of the connections that a venue lets us have at once."""

    def __init__(self, connects: "Connects") -> None:
        self._connects: Connects | None = connects

    def leave(self) -> None:
        """Give it up; again does nothing."""
        connects, self._connects = self._connects, None
        if connects is not None:
            connects._left()


class Connects:
    """How often connections may be made, and how many may be open. Turns are given in the order of asking.

    A connect is counted from its beginning until a window after its end, since the venue sees it somewhere in between.

    Args:
        connects_max: connects in any window.
        window_s: the window's length in seconds.
        open_max: connections at once; None: as many as one likes.

    """

    def __init__(self, connects_max: int, window_s: float, open_max: int | None) -> None:
        self.open = 0
        """How many places are taken."""
        self._connects_max = connects_max
        self._window = Window(connects_max, window_s)
        self._under_way = 0
        self._queue = asyncio.Lock()
        self._ended = asyncio.Event()
        self._places = None if open_max is None else asyncio.Semaphore(open_max)

    @property
    def full(self) -> bool:
        """Whether no place is left."""
        return self._places is not None and self._places.locked()

    def hold(self, wait_s: float) -> None:
        """Let nobody connect for so many seconds: the venue asked to be left alone."""
        self._window.hold(loop_clock_ns(), wait_s)

    async def place(self) -> Place:
        """Wait until one connection more may be open, and take its place."""
        if self._places is not None:
            await self._places.acquire()
        self.open += 1
        return Place(self)

    async def room(self) -> None:
        """Wait until a connect may begin; whoever uses it begins at once, before anything else is awaited."""
        async with self._queue:
            while True:
                if self._under_way >= self._connects_max:
                    self._ended.clear()
                    await self._ended.wait()
                    continue
                wait_ns = self._window.delay_ns(loop_clock_ns(), self._under_way + 1)
                if wait_ns <= 0:
                    return
                await asyncio.sleep(wait_ns / NS_PER_S)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Count what is done inside as one connect."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._window.book(loop_clock_ns())
            self._ended.set()

    def _left(self) -> None:
        self.open -= 1
        if self._places is not None:
            self._places.release()


class Pools:
    """The budgets of all venues."""

    def __init__(self) -> None:
        self.limited: Counter[tuple[str, str]] = Counter()
        """How often a venue said that we had asked too often, by venue and market."""
        self.in_a_row: Counter[Window] = Counter()
        """How often in a row each budget turned out to be spent; a refusal that another one has foretold is no more."""
        self._weights: dict[tuple[str, str], Window] = {}
        self._endpoints: dict[tuple[str, str], Window] = {}
        self._connects: dict[tuple[str, str], Connects] = {}
        self._messages: dict[tuple[str, str], Window] = {}

    def weight(self, market: Market) -> Window:
        """Return the budget of REST weight that a market uses."""
        limits = market.limits
        key = (market.venue, limits.weight_pool or f"market {market.market}")
        if key not in self._weights:
            self._weights[key] = Window(limits.weight_max, limits.weight_window_s)
        return self._weights[key]

    def endpoint(self, market: Market, path: str) -> Window | None:
        """Return the budget of requests of one endpoint, where the venue counts those by themselves."""
        rate = market.limits.endpoints.get(path)
        if rate is None:
            return None
        key = (market.venue, path)
        if key not in self._endpoints:
            self._endpoints[key] = Window(rate.count_max, rate.window_s)
        return self._endpoints[key]

    def held_s(self, market: Market) -> float:
        """Return for how long the venue is to be left alone with what a market asks of it, in seconds."""
        windows = [self.weight(market), *(self.endpoint(market, path) for path in market.limits.endpoints)]
        now_ns = loop_clock_ns()
        return max(window.held_ns(now_ns) for window in windows if window is not None) / NS_PER_S

    def connects(self, market: Market) -> Connects:
        """Return what a market's sockets have to wait for."""
        limits, key = market.limits, _connect_key(market)
        if key not in self._connects:
            self._connects[key] = Connects(limits.connects_max, limits.connects_window_s, limits.connections_max)
        return self._connects[key]

    def messages(self, market: Market) -> Window | None:
        """Return the budget of messages of all a market's sockets together, where there is one."""
        rate, key = market.limits.address_messages, _connect_key(market)
        if rate is not None and key not in self._messages:
            self._messages[key] = Window(rate.count_max, rate.window_s)
        return self._messages.get(key)


def window_s(limits: Limits, path: str) -> float:
    """Return how long, in seconds, a spent budget of a path may take to be full again."""
    rate = limits.endpoints.get(path)
    return limits.weight_window_s if rate is None else rate.window_s


def _connect_key(market: Market) -> tuple[str, str]:
    return (market.venue, market.limits.connect_pool or f"market {market.market}")
