from decimal import Decimal

import pytest

from heliograph.model.instrument import Kind
from heliograph.venues.scene import Bar, Listing

ONE = Decimal(1)


def listing(quote: str, settle: str | None, size: str | None) -> Listing:
    worth = None if size is None else Decimal(size)
    return Listing("X", "X", "BTC", quote, settle, Kind.PERPETUAL, 0, None, ONE, ONE, worth)


@pytest.mark.parametrize(
    ("quote", "settle", "size", "base", "quoted", "contracts"),
    [
        ("USDT", None, None, 8, 3, None),
        ("USDT", "USDT", None, 8, 3, None),
        ("USDT", "USDT", "0.01", Decimal("0.08"), 3, 8),
        ("USDT", "USDT", "1", 8, 3, 8),
        ("USD", "BTC", "100", 3, 800, 8),
    ],
)
def test_a_bar_has_traded_base_quote_and_perhaps_contracts(
    quote: str, settle: str | None, size: str | None, base: Decimal, quoted: int, contracts: int | None
) -> None:
    bar = Bar(0, 1, ONE, ONE, ONE, ONE, Decimal(8), Decimal(3), ONE, ONE, 1, 1, 1)
    assert listing(quote, settle, size).volumes(bar) == (base, quoted, contracts)
    assert listing(quote, settle, size).inverse == (settle == "BTC")
