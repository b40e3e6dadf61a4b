"""The order book of one simulated instrument, at any instant without those before.

Time goes in steps of 100 ms. The best ask follows the tape; the quantity at a price is drawn anew every few seconds,
each price at its own moment, so that some levels change at every step. A change over many steps names every level
that may have changed at any of them: that is what lets it join a snapshot taken half-way.
"""

from typing import Final

from heliograph.clock import NS_PER_MS
from heliograph.sim.noise import mix
from heliograph.sim.tape import Tape

STEP_NS: Final = 100 * NS_PER_MS
DEPTH: Final = 100
"""Levels on each side."""

_PERIOD: Final = 32
"""Steps for which a quantity stands; below the number of levels, so that every step changes something."""

_Rungs = list[tuple[int, int]]


class Ladder:
    """The book that belongs to a tape.

    Args:
        key: the instrument's own randomness.
        tape: what the best prices follow.
        lots_mean: the middle quantity of a level, in lots.
        sparse_ids: whether update ids have holes between one change and the next, as those of futures have.

    """

    def __init__(self, key: int, tape: Tape, lots_mean: int, *, sparse_ids: bool) -> None:
        self._key = key + 3
        self._tape = tape
        self._lots_mean = lots_mean
        self._sparse = sparse_ids
        self._stride = 64 if sparse_ids else 4
        self._first_step = tape.listed_ns // STEP_NS

    def update_id(self, step: int) -> int:
        """Return the id of the last update of a step."""
        since = step - self._first_step
        return 1_000_000 + since * self._stride + mix(self._key, -since) % self._stride

    def snapshot(self, depth: int, now_ns: int) -> tuple[int, int, _Rungs, _Rungs]:
        """Return update id, time, and the best `depth` levels of each side in ticks and lots."""
        step = now_ns // STEP_NS
        ask = self._tape.touch(step * STEP_NS)
        depth = min(depth, DEPTH)
        price_of = self._tape.price_of
        bids = [(price_of(grid), self._lots(grid, step)) for grid in range(ask - 1, ask - 1 - depth, -1)]
        asks = [(price_of(grid), self._lots(grid, step)) for grid in range(ask, ask + depth)]
        return self.update_id(step), step * STEP_NS, bids, asks

    def change(self, from_ns: int, to_ns: int) -> tuple[int, int, int, int, _Rungs, _Rungs] | None:
        """Return previous, first and last update id, time, and the levels that may have changed; None within a step."""
        before, step = from_ns // STEP_NS, to_ns // STEP_NS
        if step <= before:
            return None
        low, high = self._tape.touches(before * STEP_NS, step * STEP_NS)
        ask = self._tape.touch(step * STEP_NS)
        bids: _Rungs = []
        asks: _Rungs = []
        for grid in range(high + DEPTH - 1, low - DEPTH - 1, -1):
            # A level that came into the window, left it or changed sides, at any of the steps, is named outright.
            moved = low != high and (grid < high - DEPTH or grid >= low + DEPTH or low <= grid < high)
            phase = 7 * grid
            if not moved and (step + phase) // _PERIOD == (before + phase) // _PERIOD:
                continue
            price = self._tape.price_of(grid)
            is_bid, is_ask = ask - DEPTH <= grid < ask, ask <= grid < ask + DEPTH
            if is_bid or grid < high:
                bids.append((price, self._lots(grid, step) if is_bid else 0))
            if is_ask or grid >= low:
                asks.append((price, self._lots(grid, step) if is_ask else 0))
        asks.reverse()
        previous_id, last_id = self.update_id(before), self.update_id(step)
        hole = (self.update_id(before + 1) - previous_id - 1) // 2 if self._sparse else 0
        return previous_id, previous_id + 1 + hole, last_id, step * STEP_NS, bids, asks

    def _lots(self, grid: int, step: int) -> int:
        return 1 + mix(self._key, grid * 0x10001 + (step + 7 * grid) // _PERIOD * 0x9E3779B1) % (2 * self._lots_mean)
