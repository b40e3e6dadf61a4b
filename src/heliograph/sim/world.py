"""One seeded world: a venue's markets of the same coins, every number of which follows from the seed and the time.

Nothing is remembered that could not be computed again. A simulator that is killed and started with the same seed and
epoch therefore goes on with the same trades, ids, candles and books, and its REST interface knows the past.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from heliograph.errors import ConfigError
from heliograph.model.instrument import MarketId
from heliograph.model.interval import Interval
from heliograph.sim.ladder import Ladder
from heliograph.sim.noise import mix, name_key
from heliograph.sim.tape import MINUTE_NS, Fold, Tape
from heliograph.venues.binance.layout import LAYOUT
from heliograph.venues.scene import Aggregate, Bar, Book, BookChange, Fill, Listing
from heliograph.venues.universe import COINS_MAX, Lister, Rules

HISTORY_MINUTES: Final = 360
_SATOSHI_DIGITS: Final = 8


class _Stock:
    """One listed instrument: its tape, its book, and the units that turn ticks and lots into amounts."""

    def __init__(self, rules: Rules, key: int, coin_key: int, *, sparse_ids: bool) -> None:
        listing = rules.listing
        self.listing = listing
        self.tick_digits = _digits(listing.tick_size)
        self.lot_digits = _digits(listing.lot_size)
        tick, lot = int(listing.tick_size.scaleb(self.tick_digits)), int(listing.lot_size.scaleb(self.lot_digits))
        if tick != 1 or lot != 1:
            raise ConfigError(f"the simulator needs decimal steps, not {listing.tick_size} and {listing.lot_size}")
        inverse_scale = None
        self.counter_digits = self.tick_digits + self.lot_digits
        self.counter_size = Decimal(1)
        if listing.contract_size is not None and not listing.inverse:
            self.counter_size = listing.contract_size
        if listing.contract_size is not None and listing.inverse:
            inverse_scale = int(listing.contract_size.scaleb(self.tick_digits + _SATOSHI_DIGITS))
            self.counter_digits = _SATOSHI_DIGITS
        self.tape = Tape(
            key,
            coin_key,
            int(rules.coin.price.scaleb(self.tick_digits)),
            rules.coin.tenths_per_minute,
            rules.lots_mean,
            listing.listed_ns,
            inverse_scale,
        )
        self.ladder = Ladder(key, self.tape, rules.lots_mean, sparse_ids=sparse_ids)

    def price(self, ticks: int) -> Decimal:
        return Decimal(ticks).scaleb(-self.tick_digits)

    def quantity(self, lots: int) -> Decimal:
        return Decimal(lots).scaleb(-self.lot_digits)

    def counter(self, units: int) -> Decimal:
        return Decimal(units).scaleb(-self.counter_digits) * self.counter_size

    def bar(self, from_ns: int, end_ns: int, now_ns: int) -> Bar:
        fold = self.tape.fold(from_ns, min(end_ns, now_ns + 1))
        if fold is None:
            # Nothing happened at `from_ns` or after it, so what is last now was last then.
            price = self.tape.last_price(min(end_ns - 1, now_ns))
            fold = Fold(price, price, price, price, 0, 0, 0, 0, -1, -1)
        return Bar(
            from_ns,
            end_ns,
            self.price(fold.open),
            self.price(fold.high),
            self.price(fold.low),
            self.price(fold.close),
            self.quantity(fold.volume),
            self.counter(fold.counter),
            self.quantity(fold.taker_volume),
            self.counter(fold.taker_counter),
            fold.last_fill - fold.first_fill + 1 if fold.first_fill > 0 else 0,
            fold.first_fill,
            fold.last_fill,
        )

    def aggregates(self, minute: int, low: int, high: int) -> list[Aggregate]:
        block = self.tape.block(minute)
        base = block.fill_starts[0]
        return [
            Aggregate(
                block.first_id + index,
                block.fill_starts[index],
                block.fill_starts[index + 1] - 1,
                self.price(block.prices[index]),
                self.quantity(
                    sum(block.fill_lots[block.fill_starts[index] - base : block.fill_starts[index + 1] - base])
                ),
                block.times_ns[index],
                block.buys[index],
            )
            for index in range(low, high)
        ]

    def fills(self, minute: int, low: int, high: int) -> list[Fill]:
        block = self.tape.block(minute)
        base = block.fill_starts[0]
        return [
            Fill(
                fill_id,
                self.price(block.fill_prices[fill_id - base]),
                self.quantity(block.fill_lots[fill_id - base]),
                self.counter(block.fill_counters[fill_id - base]),
                block.times_ns[index],
                block.buys[index],
            )
            for index in range(low, high)
            for fill_id in range(block.fill_starts[index], block.fill_starts[index + 1])
        ]


class MarketWorld:
    """One market of the world; a `Scene`.

    Args:
        seed: the same seed and listing time make the same world.
        market: its name.
        rules: what it lists.

    """

    def __init__(self, seed: int, market: MarketId, rules: Iterable[Rules]) -> None:
        self.market = market
        self._stocks: dict[str, _Stock] = {}
        for rule in rules:
            symbol = rule.listing.symbol
            key = mix(seed, name_key(f"{market}:{symbol}"))
            coin_key = mix(seed, name_key(rule.coin.name))
            self._stocks[symbol] = _Stock(rule, key, coin_key, sparse_ids=market != "spot")
        self._listings = {symbol: stock.listing for symbol, stock in self._stocks.items()}

    @property
    def listings(self) -> Mapping[str, Listing]:
        """Every instrument, by the venue's symbol."""
        return self._listings

    def bar(self, symbol: str, from_ns: int, end_ns: int, now_ns: int) -> Bar:
        """Fold what happened from `from_ns` to before `end_ns`, as far as it has happened by `now_ns`, included."""
        return self._stocks[symbol].bar(from_ns, end_ns, now_ns)

    def bars(self, symbol: str, interval: Interval, from_ns: int, count: int, now_ns: int) -> list[Bar]:
        """Return at most `count` bars from the first that opens at or after `from_ns`, the live one included."""
        stock = self._stocks[symbol]
        listed_open_ns = interval.open_of(stock.listing.listed_ns)
        open_ns = interval.open_of(from_ns)
        if open_ns < from_ns:
            open_ns = interval.next_open(open_ns)
        open_ns = max(open_ns, listed_open_ns)
        bars: list[Bar] = []
        while open_ns <= now_ns and len(bars) < count:
            end_ns = interval.next_open(open_ns)
            bars.append(stock.bar(open_ns, end_ns, now_ns))
            open_ns = end_ns
        return bars

    def aggregates(self, symbol: str, from_ns: int, to_ns: int) -> list[Aggregate]:
        """Return those after `from_ns`, up to and including `to_ns`."""
        stock = self._stocks[symbol]
        return [
            item
            for minute, low, high in _stretch(stock.tape, from_ns, to_ns)
            for item in stock.aggregates(minute, low, high)
        ]

    def fills(self, symbol: str, from_ns: int, to_ns: int) -> list[Fill]:
        """Return those after `from_ns`, up to and including `to_ns`."""
        stock = self._stocks[symbol]
        return [
            item
            for minute, low, high in _stretch(stock.tape, from_ns, to_ns)
            for item in stock.fills(minute, low, high)
        ]

    def aggregates_from(self, symbol: str, first_id: int, count: int, now_ns: int) -> list[Aggregate]:
        """Return at most `count` from the given id on, as far as they have happened."""
        stock = self._stocks[symbol]
        found: list[Aggregate] = []
        minute = stock.tape.order_minute(first_id)
        while len(found) < count and minute * MINUTE_NS <= now_ns:
            block = stock.tape.block(minute)
            low = max(0, first_id - block.first_id)
            high = min(bisect_right(block.times_ns, now_ns), low + count - len(found))
            found += stock.aggregates(minute, low, high)
            minute += 1
        return found

    def fills_from(self, symbol: str, first_id: int, count: int, now_ns: int) -> list[Fill]:
        """Return at most `count` from the given id on, as far as they have happened."""
        stock = self._stocks[symbol]
        first_order = stock.tape.order_of_fill(max(1, first_id))
        found: list[Fill] = []
        minute = stock.tape.order_minute(first_order)
        while len(found) < count and minute * MINUTE_NS <= now_ns:
            block = stock.tape.block(minute)
            low = max(0, first_order - block.first_id)
            fills = stock.fills(minute, low, bisect_right(block.times_ns, now_ns))
            found += [fill for fill in fills if fill.id >= first_id][: count - len(found)]
            minute += 1
        return found

    def last_ids(self, symbol: str, now_ns: int) -> tuple[int, int]:
        """Return the ids of the last aggregate and the last fill that have happened; 0 where there is none."""
        block, index = self._stocks[symbol].tape.last_order(now_ns)
        return (block.first_id + index, block.fill_starts[index + 1] - 1) if index >= 0 else (0, 0)

    def book(self, symbol: str, depth: int, now_ns: int) -> Book:
        """Return at most `depth` levels a side."""
        stock = self._stocks[symbol]
        update_id, time_ns, bids, asks = stock.ladder.snapshot(depth, now_ns)
        return Book(update_id, time_ns, self._levels(stock, bids), self._levels(stock, asks))

    def book_change(self, symbol: str, from_ns: int, to_ns: int) -> BookChange | None:
        """Return what leads from the book at one instant to that at the other; None where they are the same."""
        stock = self._stocks[symbol]
        change = stock.ladder.change(from_ns, to_ns)
        if change is None:
            return None
        previous_id, first_id, last_id, time_ns, bids, asks = change
        return BookChange(previous_id, first_id, last_id, time_ns, self._levels(stock, bids), self._levels(stock, asks))

    def _levels(self, stock: _Stock, rungs: list[tuple[int, int]]) -> tuple[tuple[Decimal, Decimal], ...]:
        return tuple([(stock.price(ticks), stock.quantity(lots)) for ticks, lots in rungs])


class World:
    """Every market of a simulated venue.

    Args:
        seed: which world.
        coins: how many coins each market lists.
        epoch_ns: trading began `history_minutes` before this instant, in nanoseconds since the Unix epoch.
        history_minutes: how far back REST reaches.
        listers: the venue's markets, and what each lists.

    Raises:
        ConfigError: so many coins there are not, or trading would have begun before 1970.

    """

    def __init__(
        self,
        seed: int,
        coins: int,
        epoch_ns: int,
        history_minutes: int = HISTORY_MINUTES,
        listers: Mapping[MarketId, Lister] = LAYOUT.listers,
    ) -> None:
        if not 1 <= coins <= COINS_MAX:
            raise ConfigError(f"cannot simulate {coins} symbols", (f"1 to {COINS_MAX}",))
        listed_ns = (epoch_ns // MINUTE_NS - history_minutes) * MINUTE_NS
        if listed_ns < 0:
            raise ConfigError(f"trading cannot begin {history_minutes} minutes before {epoch_ns}", ("after 1970",))
        self.seed = seed
        self.epoch_ns = epoch_ns
        self.markets = {market: MarketWorld(seed, market, lists(coins, listed_ns)) for market, lists in listers.items()}


def _digits(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # A step is a finite number of ours.
    return max(0, -exponent)


def _stretch(tape: Tape, from_ns: int, to_ns: int) -> list[tuple[int, int, int]]:
    found = []
    for minute in range(max(from_ns, tape.listed_ns) // MINUTE_NS, to_ns // MINUTE_NS + 1):
        times_ns = tape.block(minute).times_ns
        low, high = bisect_right(times_ns, from_ns), bisect_right(times_ns, to_ns)
        if low < high:
            found.append((minute, low, high))
    return found
