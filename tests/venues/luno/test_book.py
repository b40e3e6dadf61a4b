from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.errors import DecodeError
from heliograph.model.book import BookDelta, OrderBook
from heliograph.model.market import Side, Trade
from heliograph.model.numbers import Amounts
from heliograph.venues.faults import FAULTS
from heliograph.venues.luno.book import Orders
from heliograph.venues.luno.frames import RawFrame, decode_frame
from heliograph.venues.luno.instruments import instrument_of_symbol

PAIR = instrument_of_symbol("XBTZAR")
BOOK = {
    "sequence": "10",
    "asks": [
        {"id": "A1", "price": "101", "volume": "1.5"},
        {"id": "A2", "price": "101", "volume": "0.5"},
        {"id": "A3", "price": "103", "volume": "2"},
    ],
    "bids": [{"id": "B1", "price": "99", "volume": "1"}, {"id": "B2", "price": "98", "volume": "4"}],
    "status": "ACTIVE",
    "timestamp": 1_790_127_197_639,
}


def raw(**fields: Any) -> RawFrame:
    return decode_frame(msgspec.json.encode({"timestamp": 1_790_127_197_640, **fields}))


def orders(*, strict: bool = True) -> Orders:
    made = Orders(PAIR, Amounts(100), strict=strict)
    made.replace(raw(**BOOK), 1)
    return made


def levels(*pairs: tuple[str, str]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(volume)) for price, volume in pairs]


def apply(book: Orders, **fields: Any) -> tuple[BookDelta, list[Trade]]:
    trades: list[Trade] = []
    assert book.number is not None
    return book.apply(raw(sequence=str(book.number + 1), **fields), book.number + 1, 2, trades), trades


def trade(maker: str, base: str, **more: Any) -> dict[str, Any]:
    return {"base": base, "counter": "1", "maker_order_id": maker, "taker_order_id": "T", "order_id": maker} | more


def test_orders_of_one_price_are_one_level() -> None:
    book = Orders(PAIR, Amounts(100), strict=True)
    snapshot = book.replace(raw(**BOOK), 7)
    assert (snapshot.bids, snapshot.asks) == (levels(("99", "1"), ("98", "4")), levels(("101", "2"), ("103", "2")))
    assert (snapshot.sequence, snapshot.event_ns, snapshot.received_ns) == (10, 1_790_127_197_639_000_000, 7)


def test_a_trade_reduces_the_order_that_rested_and_the_other_side_took() -> None:
    book = orders()
    delta, trades = apply(book, trade_updates=[trade("A1", "1", sequence=7), trade("B1", "1", sequence=8)])
    assert (delta.asks, delta.bids) == (levels(("101", "1")), levels(("99", "0")))
    assert [(t.price, t.quantity, t.side, t.trade_id, t.sequence) for t in trades] == [
        (Decimal(101), Decimal(1), Side.BUY, "7", 7),
        (Decimal(99), Decimal(1), Side.SELL, "8", 8),
    ]
    with pytest.raises(DecodeError, match="not in the book"):
        apply(book, trade_updates=[trade("B1", "0.1")])


def test_all_kinds_in_one_message_are_applied_in_order() -> None:
    """A taker takes most of A1, whose rest is stopped at once, and rests itself with what is left of it."""
    delta, trades = apply(
        orders(),
        trade_updates=[trade("A2", "0.5"), trade("A1", "1.4")],
        create_update={"order_id": "T", "type": "BID", "price": "100", "volume": "3"},
        delete_update={"order_id": "A1"},
        status_update={"status": "POSTONLY"},
    )
    assert [t.quantity for t in trades] == [Decimal("0.5"), Decimal("1.4")]
    assert (delta.bids, delta.asks) == (levels(("100", "3")), levels(("101", "0")))


def test_what_is_empty_changes_nothing_and_takes_its_number() -> None:
    book = orders()
    delta, trades = apply(book, trade_updates=[], create_update=None)
    assert (delta.bids, delta.asks, trades, book.number) == ([], [], [], 11)
    delta, _ = apply(book, delete_update={"order_id": "nobody"})
    assert (delta.bids, delta.asks, book.number) == ([], [], 12)


def test_what_does_not_fit_is_impossible() -> None:
    with pytest.raises(DecodeError, match="more was traded"):
        apply(orders(), trade_updates=[trade("A1", "1.6")])
    twice = raw(**BOOK | {"asks": [{"id": "B1", "price": "101", "volume": "1"}]})
    with pytest.raises(DecodeError, match="one id"):
        orders().replace(twice, 1)
    with pytest.raises(ValueError, match="neither BID nor ASK"):
        apply(orders(), create_update={"order_id": "N", "type": "SELL", "price": "1", "volume": "1"})
    with pytest.raises(ValueError, match="of nothing"):
        apply(orders(), trade_updates=[trade("A1", "0")])
    for number in ("NaN", "-1", "Infinity"):
        with pytest.raises(FAULTS):
            apply(orders(), create_update={"order_id": "N", "type": "BID", "price": "1", "volume": number})


def test_who_does_not_check_passes_over_trades_of_orders_that_are_not_known() -> None:
    _, trades = apply(orders(strict=False), trade_updates=[trade("nobody", "1"), trade("A1", "1")])
    assert len(trades) == 1


def test_the_top_follows_and_a_side_may_be_empty() -> None:
    book = orders()
    top = book.top(5, 6)
    assert (top.bid, top.bid_quantity, top.ask, top.ask_quantity) == (99, 1, 101, 2)
    assert (top.sequence, top.event_ns, top.received_ns) == (10, 5, 6)
    apply(book, trade_updates=[trade("B1", "1"), trade("B2", "4"), trade("A1", "1.5"), trade("A2", "0.5")])
    top = book.top(5, 6)
    assert (top.bid, top.bid_quantity, top.ask, top.ask_quantity) == (None, None, 103, 2)


_PRICES = st.integers(1, 5)
_STEPS = st.lists(
    st.tuples(st.sampled_from(["create", "delete", "trade"]), st.integers(0, 7), _PRICES, st.integers(1, 4)),
    max_size=40,
)


@settings(deadline=None)
@given(_STEPS)
def test_deltas_fold_to_the_sums_of_the_orders(steps: list[tuple[str, int, int, int]]) -> None:
    book = Orders(PAIR, Amounts(100), strict=True)
    folded = OrderBook(PAIR)
    folded.replace(book.replace(raw(sequence="1", asks=[], bids=[]), 0))
    resting: dict[str, tuple[str, int, int]] = {}
    for kind, number, price, volume in steps:
        name, side = f"O{number}", "BID" if number % 2 else "ASK"
        fields: dict[str, Any] = {}
        if kind == "create":
            fields = {"create_update": {"order_id": name, "type": side, "price": str(price), "volume": str(volume)}}
            resting[name] = (side, price, volume)
        elif kind == "delete":
            fields = {"delete_update": {"order_id": name}}
            resting.pop(name, None)
        elif name in resting:
            base = min(volume, resting[name][2])
            fields = {"trade_updates": [trade(name, str(base))]}
            left = resting[name][2] - base
            resting[name] = (*resting[name][:2], left)
            if not left:
                del resting[name]
        folded.apply(apply(book, **fields)[0])
    for side, found in (("BID", folded.bids()), ("ASK", folded.asks())):
        sums: dict[int, int] = {}
        for where, price, volume in resting.values():
            if where == side:
                sums[price] = sums.get(price, 0) + volume
        assert dict(found) == sums
