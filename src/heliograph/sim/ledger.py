"""What truly happened in a simulated world, to hold against what a reader ended up with."""

from collections import Counter

from heliograph.clock import Clock
from heliograph.model.instrument import MarketId
from heliograph.model.interval import Interval
from heliograph.sim.world import World
from heliograph.venues.scene import Aggregate, Bar, Fill


class Ledger:
    """Every candle that closed and every trade that happened, whether or not a frame about it was sent or lost.

    Args:
        world: what happened.
        clock: up to when, in simulated time.

    """

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._clock = clock
        self.sent: Counter[tuple[str, str]] = Counter()
        """Frames that left for a client, by market and kind of stream; a frame to two clients counts twice."""

    def candles(
        self, market: str, symbol: str, interval: Interval, from_ns: int, to_ns: int | None = None
    ) -> list[Bar]:
        """Return the closed candles that open at or after `from_ns` and before `to_ns` (None: up to now).

        Raises:
            KeyError: there is no such market or symbol.

        """
        now_ns = self._clock.now_ns()
        until_ns = now_ns if to_ns is None else min(now_ns, to_ns)
        scene = self._world.markets[MarketId(market)]
        found: list[Bar] = []
        while page := scene.bars(symbol, interval, from_ns, 1000, now_ns):
            found += [bar for bar in page if bar.end_ns <= now_ns and bar.open_ns < until_ns]
            from_ns = page[-1].end_ns
            if from_ns >= until_ns:
                break
        return found

    def trades(self, market: str, symbol: str, from_ns: int, to_ns: int | None = None) -> list[Aggregate]:
        """Return the aggregate trades from `from_ns` to before `to_ns` (None: up to now).

        Raises:
            KeyError: there is no such market or symbol.

        """
        scene = self._world.markets[MarketId(market)]
        return scene.aggregates(symbol, from_ns - 1, self._until(to_ns))

    def fills(self, market: str, symbol: str, from_ns: int, to_ns: int | None = None) -> list[Fill]:
        """Return the single trades from `from_ns` to before `to_ns` (None: up to now).

        Raises:
            KeyError: there is no such market or symbol.

        """
        return self._world.markets[MarketId(market)].fills(symbol, from_ns - 1, self._until(to_ns))

    def _until(self, to_ns: int | None) -> int:
        now_ns = self._clock.now_ns()
        return now_ns if to_ns is None else min(now_ns, to_ns - 1)
