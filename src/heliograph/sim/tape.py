"""The trades of one simulated instrument, any minute of them without the minutes before.

A minute's trades are drawn from a generator that is seeded by the instrument and the minute. Ids are nevertheless
contiguous for ever, because how many trades came before a minute is a formula and not a sum.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from heliograph.clock import NS_PER_MS
from heliograph.sim.noise import Wander, mix

MINUTE_NS: Final = 60_000 * NS_PER_MS
_HOUR_NS: Final = 60 * MINUTE_NS

_GRID: Final = 40_000
"""A price is some forty thousand grid steps, so that all instruments move alike however coarse their ticks are."""

_BLOCKS_MAX: Final = 64
_FOLDS_MAX: Final = 6_000


class Fold(NamedTuple):
    """What a bar says, in ticks and lots; `counter` in the unit that the tape's `counter_of` gives."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    counter: int
    taker_volume: int
    taker_counter: int
    first_fill: int
    last_fill: int


class Block(NamedTuple):
    """One minute's taker orders, in columns. The fills of order `i` are those up to `fill_ends[i]`, excluded."""

    first_id: int
    times_ns: list[int]
    grids: list[int]
    prices: list[int]
    buys: list[bool]
    fill_starts: list[int]
    fill_prices: list[int]
    fill_lots: list[int]
    fill_counters: list[int]
    fill_buys: list[bool]

    @property
    def first_fill(self) -> int:
        """The id of the first fill at or after the minute's start."""
        return self.fill_starts[0]


class Tape:
    """The trades of one instrument since it was listed.

    Args:
        key: the instrument's own randomness.
        coin_key: the randomness that it shares with other markets of the same coin.
        price_ticks: the price to wander around, in ticks.
        tenths_per_minute: taker orders a minute, in tenths.
        lots_mean: what one order trades on average, in lots.
        listed_ns: when trading began, on a minute.
        inverse_scale: None where the counter amount is ticks times lots; else what to divide by the price in ticks.

    """

    def __init__(
        self,
        key: int,
        coin_key: int,
        price_ticks: int,
        tenths_per_minute: int,
        lots_mean: int,
        listed_ns: int,
        inverse_scale: int | None,
    ) -> None:
        self._key = key
        self._step_ticks = max(1, price_ticks // _GRID)
        self._middle = price_ticks // self._step_ticks
        width = self._middle / _GRID
        self._wander = Wander(coin_key, 12 * width)
        self._restless = 1.6 * width + 0.4
        self._rate = tenths_per_minute
        self._lots_mean = lots_mean
        self.listed_ns = listed_ns
        self._listed_minute = listed_ns // MINUTE_NS
        self._inverse_scale = inverse_scale
        self._orders_before_listing = self._orders_before(self._listed_minute)
        self._blocks: OrderedDict[int, Block] = OrderedDict()
        self._minutes: OrderedDict[int, Fold | None] = OrderedDict()
        self._hours: OrderedDict[int, Fold | None] = OrderedDict()

    def price_of(self, grid: int) -> int:
        """Return the price in ticks of a grid step; it rises with the step, by uneven amounts."""
        return grid * self._step_ticks + (mix(self._key, grid) % self._step_ticks if self._step_ticks > 1 else 0)

    def order_minute(self, order_id: int) -> int:
        """Return the minute in which a taker order happens."""
        if order_id < 1:
            return self._listed_minute
        target = order_id - 1 + self._orders_before_listing
        minute = target * 10 // self._rate - 2
        while self._orders_before(minute + 1) <= target:
            minute += 1
        return max(minute, self._listed_minute)

    def order_of_fill(self, fill_id: int) -> int:
        """Return the taker order that a fill belongs to."""
        order_id = max(1, fill_id // 2 - 1)
        while self.first_fill(order_id + 1) <= fill_id:
            order_id += 1
        return order_id

    def first_fill(self, order_id: int) -> int:
        """Return the id of an order's first fill: each order has one to three, two on average."""
        return 2 * order_id - 1 + (mix(self._key, -order_id) & 1 if order_id > 1 else 0)

    def block(self, minute: int) -> Block:
        """Return one minute's trades; those before listing have none."""
        block = self._blocks.get(minute)
        if block is None:
            block = self._draw(minute)
            self._blocks[minute] = block
            if len(self._blocks) > _BLOCKS_MAX:
                self._blocks.popitem(last=False)
        return block

    def last_order(self, now_ns: int) -> tuple[Block, int]:
        """Return the block and the index of the last order that has happened; index -1 before the very first."""
        minute = now_ns // MINUTE_NS
        while minute >= self._listed_minute:
            block = self.block(minute)
            index = bisect_right(block.times_ns, now_ns) - 1
            if index >= 0:
                return block, index
            minute -= 1
        return self.block(self._listed_minute), -1

    def last_price(self, now_ns: int) -> int:
        """Return the price in ticks of the last trade, or of the listing where nothing has traded."""
        block, index = self.last_order(now_ns)
        return block.prices[index] if index >= 0 else self.price_of(self._anchor(self._listed_minute))

    def touch(self, now_ns: int) -> int:
        """Return the grid step of the best ask; the best bid is one below."""
        block, index = self.last_order(now_ns)
        if index < 0:
            return self._anchor(self._listed_minute) + 1
        return block.grids[index] + (not block.buys[index])

    def touches(self, from_ns: int, to_ns: int) -> tuple[int, int]:
        """Return the lowest and the highest step of the best ask in a stretch of time, both ends included."""
        low = high = self.touch(from_ns)
        for minute in range(from_ns // MINUTE_NS, to_ns // MINUTE_NS + 1):
            block = self.block(minute)
            for index in range(bisect_right(block.times_ns, from_ns), bisect_right(block.times_ns, to_ns)):
                ask = block.grids[index] + (not block.buys[index])
                low, high = min(low, ask), max(high, ask)
        return low, high

    def fold(self, from_ns: int, end_ns: int) -> Fold | None:
        """Fold the trades from `from_ns` to before `end_ns`; None where there is none."""
        from_ns = max(from_ns, self.listed_ns)
        parts: list[Fold | None] = []
        at_ns = from_ns
        while at_ns < end_ns:
            if at_ns % _HOUR_NS == 0 and at_ns + _HOUR_NS <= end_ns:
                parts.append(self._hour(at_ns // _HOUR_NS))
                at_ns += _HOUR_NS
            elif at_ns % MINUTE_NS == 0 and at_ns + MINUTE_NS <= end_ns:
                parts.append(self._minute(at_ns // MINUTE_NS))
                at_ns += MINUTE_NS
            else:
                block = self.block(at_ns // MINUTE_NS)
                stop_ns = min(end_ns, at_ns // MINUTE_NS * MINUTE_NS + MINUTE_NS)
                parts.append(_slice(block, bisect_left(block.times_ns, at_ns), bisect_left(block.times_ns, stop_ns)))
                at_ns = stop_ns
        return _join(parts)

    def _minute(self, minute: int) -> Fold | None:
        if minute in self._minutes:
            return self._minutes[minute]
        block = self._blocks.get(minute) or self._draw(minute)
        fold = _slice(block, 0, len(block.times_ns))
        self._minutes[minute] = fold
        if len(self._minutes) > _FOLDS_MAX:
            self._minutes.popitem(last=False)
        return fold

    def _hour(self, hour: int) -> Fold | None:
        if hour in self._hours:
            return self._hours[hour]
        fold = _join([self._minute(minute) for minute in range(hour * 60, hour * 60 + 60)])
        self._hours[hour] = fold
        if len(self._hours) > _FOLDS_MAX:
            self._hours.popitem(last=False)
        return fold

    def _orders_before(self, minute: int) -> int:
        # The jitter is below what a minute adds at least, so the count never falls.
        return minute * self._rate // 10 + mix(self._key + 1, minute) % (self._rate // 20 + 1)

    def _anchor(self, minute: int) -> int:
        return self._middle + round(self._wander.at(minute))

    def _draw(self, minute: int) -> Block:
        if minute < self._listed_minute:
            return Block(1, [], [], [], [], [1], [], [], [], [])
        before = self._orders_before(minute)
        count = self._orders_before(minute + 1) - before
        first_id = before - self._orders_before_listing + 1
        draw = Random(mix(self._key + 2, minute)).random
        start_ns = minute * MINUTE_NS
        times_ns = sorted([start_ns + int(draw() * 60_000) * NS_PER_MS for _ in range(count)])
        grids, buys = self._walk(minute, count, draw)
        prices = [self.price_of(grid) for grid in grids]
        fill_starts = [self.first_fill(first_id + index) for index in range(count + 1)]
        fill_prices: list[int] = []
        fill_lots: list[int] = []
        fill_counters: list[int] = []
        fill_buys: list[bool] = []
        scale, mean = self._inverse_scale, self._lots_mean
        for index in range(count):
            price, buys_here = prices[index], buys[index]
            for _ in range(fill_starts[index + 1] - fill_starts[index]):
                share = draw()
                lots = 1 + int(mean * 2 * share * share * share)
                fill_prices.append(price)
                fill_lots.append(lots)
                fill_counters.append(price * lots if scale is None else lots * scale // price)
                fill_buys.append(buys_here)
        return Block(
            first_id, times_ns, grids, prices, buys, fill_starts, fill_prices, fill_lots, fill_counters, fill_buys
        )

    def _walk(self, minute: int, count: int, draw: Callable[[], float]) -> tuple[list[int], list[bool]]:
        if not count:
            return [], []
        steps = [draw() - 0.5 for _ in range(count)]
        drift = sum(steps) / count
        start = self._anchor(minute)
        slope = (self._anchor(minute + 1) - start) / count
        grids, buys, offset, last = [], [], 0.0, start
        for index, step in enumerate(steps):
            offset += (step - drift) * 2 * self._restless
            grid = round(start + slope * index + offset)
            # A taker who moves the price up has bought; where it stands still, either may be.
            buys.append(grid > last or (grid == last and step > 0))
            grids.append(grid)
            last = grid
        return grids, buys


def _slice(block: Block, first: int, end: int) -> Fold | None:
    if first >= end:
        return None
    base = block.fill_starts[0]
    low, high = block.fill_starts[first] - base, block.fill_starts[end] - base
    prices = block.prices[first:end]
    lots, counters = block.fill_lots[low:high], block.fill_counters[low:high]
    bought = block.fill_buys[low:high]
    return Fold(
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        sum(lots),
        sum(counters),
        sum([lot for lot, buy in zip(lots, bought, strict=True) if buy]),
        sum([counter for counter, buy in zip(counters, bought, strict=True) if buy]),
        base + low,
        base + high - 1,
    )


def _join(parts: list[Fold | None]) -> Fold | None:
    folds = [part for part in parts if part is not None]
    if len(folds) < 2:
        return folds[0] if folds else None
    opens, highs, lows, closes, volumes, counters, taker_volumes, taker_counters, firsts, lasts = zip(
        *folds, strict=True
    )
    return Fold(
        opens[0],
        max(highs),
        min(lows),
        closes[-1],
        sum(volumes),
        sum(counters),
        sum(taker_volumes),
        sum(taker_counters),
        firsts[0],
        lasts[-1],
    )
