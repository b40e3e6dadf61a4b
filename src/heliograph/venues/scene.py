"""What a simulated market has to show: the facts that a dialect puts into its venue's words.

A dialect is the server's half of a venue's protocol. It asks a `Scene` and never keeps what it was told, so that a
simulator that was killed and started again says the same as before. Quantities are in the venue's unit, which is base,
or contracts where the listing has a contract size; the counter amount is base for inverse contracts, and else quote.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

import msgspec

from heliograph.model.instrument import Kind
from heliograph.model.interval import Interval


class Listing(msgspec.Struct, frozen=True):
    """One instrument as the market's list of rules has it."""

    symbol: str
    pair: str
    base: str
    quote: str
    settle: str | None
    kind: Kind
    listed_ns: int
    """The first instant at which it trades; on a minute."""
    expiry_ns: int | None
    tick_size: Decimal
    lot_size: Decimal
    contract_size: Decimal | None
    """What one contract is worth: base if linear, quote if inverse; None where quantities are in base."""

    @property
    def inverse(self) -> bool:
        """Whether profit is paid in the base asset while a contract is worth an amount of quote; no option is."""
        return self.settle is not None and self.settle == self.base and self.kind is not Kind.OPTION

    def volumes(self, bar: "Bar") -> tuple[Decimal, Decimal, Decimal | None]:
        """Return what a bar has traded in base, in quote, and in contracts, if there are any."""
        if self.contract_size is None:
            return bar.volume, bar.counter, None
        worth = bar.volume * self.contract_size
        return (bar.counter, worth, bar.volume) if self.inverse else (worth, bar.counter, bar.volume)


class Fill(msgspec.Struct, frozen=True, gc=False):
    """One trade between two orders; ids count from 1 without holes."""

    id: int
    price: Decimal
    quantity: Decimal
    counter: Decimal
    time_ns: int
    taker_buys: bool


class Aggregate(msgspec.Struct, frozen=True, gc=False):
    """The fills of one taker order at one price; ids count from 1 without holes."""

    id: int
    first_fill: int
    last_fill: int
    price: Decimal
    quantity: Decimal
    time_ns: int
    taker_buys: bool


class Bar(msgspec.Struct, frozen=True, gc=False):
    """The fold of the fills of one stretch of time; where there were none, all prices are the last one before it."""

    open_ns: int
    end_ns: int
    """The first instant after the bar, whether or not it has come."""
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    counter: Decimal
    taker_volume: Decimal
    taker_counter: Decimal
    fills: int
    first_fill: int
    """-1 where there were none, and the last likewise."""
    last_fill: int


Level = tuple[Decimal, Decimal]
"""Price and quantity."""


class Book(msgspec.Struct, frozen=True, gc=False):
    """The book as it stands at one update, the best level of each side first."""

    update_id: int
    time_ns: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class BookChange(msgspec.Struct, frozen=True, gc=False):
    """What leads from the book at `previous_id` to that at `last_id`: the new quantity of each level that changed.

    A quantity of zero takes the level out. It leads on from every book in between as well.
    """

    previous_id: int
    first_id: int
    last_id: int
    time_ns: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Scene(Protocol):
    """One market of a simulated venue, at any instant since its instruments were listed.

    All methods are functions of their arguments: the same question has the same answer, in any process.
    """

    @property
    def listings(self) -> Mapping[str, Listing]:
        """Every instrument, by the venue's symbol."""

    def bar(self, symbol: str, from_ns: int, end_ns: int, now_ns: int) -> Bar:
        """Fold what happened from `from_ns` to before `end_ns`, as far as it has happened by `now_ns`, included."""

    def bars(self, symbol: str, interval: Interval, from_ns: int, count: int, now_ns: int) -> list[Bar]:
        """Return at most `count` bars from the first that opens at or after `from_ns`, the live one included."""

    def aggregates(self, symbol: str, from_ns: int, to_ns: int) -> list[Aggregate]:
        """Return those after `from_ns`, up to and including `to_ns`."""

    def aggregates_from(self, symbol: str, first_id: int, count: int, now_ns: int) -> list[Aggregate]:
        """Return at most `count` from the given id on, as far as they have happened."""

    def fills(self, symbol: str, from_ns: int, to_ns: int) -> list[Fill]:
        """Return those after `from_ns`, up to and including `to_ns`."""

    def fills_from(self, symbol: str, first_id: int, count: int, now_ns: int) -> list[Fill]:
        """Return at most `count` from the given id on, as far as they have happened."""

    def last_ids(self, symbol: str, now_ns: int) -> tuple[int, int]:
        """Return the ids of the last aggregate and the last fill that have happened; 0 where there is none."""

    def book(self, symbol: str, depth: int, now_ns: int) -> Book:
        """Return at most `depth` levels a side."""

    def book_change(self, symbol: str, from_ns: int, to_ns: int) -> BookChange | None:
        """Return what leads from the book at one instant to that at the other; None where they are the same."""
