"""A book of single orders, folded to levels: what each update changes by price, and the trades in it.

Rules of the venue: the message numbered n leads from the state numbered n - 1 to that numbered n. Whatever is in it is
applied in order: trades, which reduce the order that rested, then what is created, then what is deleted. An order that
is filled gets no deletion.

Source: https://www.luno.com/en/developers/api#tag/Streaming-API
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple

from heliograph.clock import NS_PER_MS
from heliograph.errors import DecodeError
from heliograph.model.book import BookDelta, BookSnapshot, Level, OrderBook
from heliograph.model.instrument import Instrument
from heliograph.model.market import BookTop, Side, Trade, TradeCause
from heliograph.model.numbers import ZERO, Amounts, amount
from heliograph.venues.luno.frames import RawFrame, RawOrder, RawTradeUpdate

_SIDES: Final = {"BID": Side.BUY, "ASK": Side.SELL}
_TAKERS: Final = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


class Order(NamedTuple):
    """An order that rests."""

    side: Side
    price: Decimal
    volume: Decimal


class Orders:
    """The orders of one pair.

    Args:
        instrument: the pair.
        prices: prices by their text.
        strict: whether a trade of an order that is not known is refused; else it is passed over.

    """

    def __init__(self, instrument: Instrument, prices: Amounts, *, strict: bool) -> None:
        self.number: int | None = None
        """That of the last message taken; None before the first whole book."""
        self._instrument = instrument
        self._prices = prices
        self._strict = strict
        self._orders: dict[str, Order] = {}
        self._sums: dict[Side, dict[Decimal, Decimal]] = {Side.BUY: {}, Side.SELL: {}}
        self._levels = OrderBook(instrument)
        self._touched: dict[Side, dict[Decimal, None]] = {Side.BUY: {}, Side.SELL: {}}

    def replace(self, raw: RawFrame, received_ns: int) -> BookSnapshot:
        """Take a whole book; raise `DecodeError`, or one of `FAULTS`, if it cannot be one."""
        self.number = None
        self._orders.clear()
        for side, orders in ((Side.BUY, raw.bids), (Side.SELL, raw.asks)):
            self._sums[side].clear()
            for order in orders or ():
                self._add(order.id, self._resting(side, order))
        self._changes()
        number = int(raw.sequence)
        bids = sorted(self._sums[Side.BUY].items(), reverse=True)
        asks = sorted(self._sums[Side.SELL].items())
        snapshot = BookSnapshot(self._instrument, bids, asks, number, raw.timestamp * NS_PER_MS, received_ns)
        self._levels.replace(snapshot)
        self.number = number
        return snapshot

    def apply(self, raw: RawFrame, first: int, received_ns: int, trades: list[Trade]) -> BookDelta:
        """Take an update whose turn it is, and return the levels that it changes; none at all is as good as some.

        Args:
            raw: the update.
            first: the first number that the changes stand for.
            received_ns: when it came.
            trades: where its trades are appended.

        Raises:
            DecodeError: it does not fit; the book is void from then on. One of `FAULTS`, with the same effect, if it
                is no update.

        """
        number, event_ns = int(raw.sequence), raw.timestamp * NS_PER_MS
        made: list[Trade] = []
        for update in raw.trade_updates or ():
            trade = self._trade(update, event_ns, received_ns)
            if trade is not None:
                made.append(trade)
        if raw.create_update is not None:
            create = raw.create_update
            if create.type not in _SIDES:
                raise ValueError(f"an order that is neither BID nor ASK: {create.type[:20]!r}")
            self._remove(create.order_id)
            order = Order(_SIDES[create.type], self._prices[create.price], amount(create.volume))
            self._add(create.order_id, order)
        if raw.delete_update is not None:
            self._remove(raw.delete_update.order_id)
        bids, asks = self._changes()
        delta = BookDelta(self._instrument, bids, asks, first, number, event_ns, received_ns)
        if bids or asks:
            self._levels.apply(delta)
        self.number = number
        trades += made
        return delta

    def top(self, event_ns: int | None, received_ns: int) -> BookTop:
        """Return the best levels."""
        bid, bid_quantity = next(iter(self._levels.bids(1)), (None, None))
        ask, ask_quantity = next(iter(self._levels.asks(1)), (None, None))
        return BookTop(
            self._instrument, bid, bid_quantity, ask, ask_quantity, self.number, event_ns, received_ns
        )  # fmt: skip

    def _resting(self, side: Side, raw: RawOrder) -> Order:
        return Order(side, self._prices[raw.price], amount(raw.volume))

    def _trade(self, raw: RawTradeUpdate, event_ns: int, received_ns: int) -> Trade | None:
        base = amount(raw.base)
        if not base:
            raise ValueError("a trade of nothing")
        order = self._orders.get(raw.maker_order_id)
        if order is None:
            if self._strict:
                raise DecodeError("a trade of an order that is not in the book")
            return None
        left = order.volume - base
        if left < 0:
            raise DecodeError("more was traded than the order had")
        self._remove(raw.maker_order_id)
        if left:
            self._add(raw.maker_order_id, order._replace(volume=left))
        trade_id = None if raw.sequence is None else str(raw.sequence)
        return Trade(
            self._instrument, trade_id, raw.sequence, order.price, base, _TAKERS[order.side], TradeCause.MARKET,
            event_ns, received_ns,
        )  # fmt: skip

    def _add(self, order_id: str, order: Order) -> None:
        if order_id in self._orders:
            raise DecodeError("two orders of one id")
        self._orders[order_id] = order
        sums = self._sums[order.side]
        sums[order.price] = sums.get(order.price, ZERO) + order.volume
        self._touched[order.side][order.price] = None

    def _remove(self, order_id: str) -> None:
        order = self._orders.pop(order_id, None)
        if order is None:
            return
        sums = self._sums[order.side]
        left = sums[order.price] - order.volume
        if left:
            sums[order.price] = left
        else:
            del sums[order.price]
        self._touched[order.side][order.price] = None

    def _changes(self) -> tuple[list[Level], list[Level]]:
        """Return what was touched since the last time, as it stands, best prices first."""
        bids = self._standing(Side.BUY, sorted(self._touched[Side.BUY], reverse=True))
        return bids, self._standing(Side.SELL, sorted(self._touched[Side.SELL]))

    def _standing(self, side: Side, prices: Iterable[Decimal]) -> list[Level]:
        sums = self._sums[side]
        levels = [(price, sums.get(price, ZERO)) for price in prices]
        self._touched[side].clear()
        return levels
