import json
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from heliograph.clock import NS_PER_MS
from heliograph.model.book import BookSnapshot
from heliograph.model.numbers import Amounts
from heliograph.venues.hyperliquid import VENUE
from heliograph.venues.hyperliquid.book import to_book
from heliograph.venues.hyperliquid.frames import RawBook
from heliograph.venues.hyperliquid.instruments import USDM

BTC = VENUE.markets[USDM].instrument("BTC")


def book(levels: object) -> BookSnapshot:
    raw = msgspec.json.decode(json.dumps({"coin": "BTC", "time": 5, "levels": levels}), type=RawBook)
    return to_book(raw, BTC, Amounts(100), 7)


def level(price: str, quantity: str = "1") -> dict[str, object]:
    return {"px": price, "sz": quantity, "n": 1}


def test_a_book_is_whole_best_first_and_has_no_sequence(fixture: Callable[[str], bytes]) -> None:
    raw = msgspec.json.decode(msgspec.json.encode(json.loads(fixture("book.json"))["data"]), type=RawBook)
    assert to_book(raw, BTC, Amounts(100), 7) == BookSnapshot(
        BTC,
        [(Decimal("64082.0"), Decimal("1.5")), (Decimal("64081.0"), Decimal("0.00012"))],
        [(Decimal("64083.0"), Decimal("2.25"))],
        None,
        1_770_000_000_123 * NS_PER_MS,
        7,
    )


def test_sides_may_be_empty() -> None:
    empty = book([[], []])
    assert (empty.bids, empty.asks) == ([], [])


@pytest.mark.parametrize(
    "levels",
    [
        [[level("1"), level("2")], []],
        [[level("1"), level("1")], []],
        [[], [level("2"), level("1")]],
        [[level("1", "-1")], []],
        [[level("1", "Infinity")], []],
        [[level("-1")], []],
    ],
)
def test_levels_out_of_order_or_below_nothing_are_no_book(levels: object) -> None:
    with pytest.raises(ValueError):
        book(levels)


def test_a_number_of_too_many_digits_is_no_book() -> None:
    with pytest.raises(ArithmeticError):
        book([[level("1", "1." + "1" * 60)], []])
