from datetime import UTC, datetime
from decimal import Decimal

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import MarketId
from heliograph.venues.okx.layout import LAYOUT
from heliograph.venues.scene import Bar

LISTED_NS = 1_795_000_020 * NS_PER_S


def test_okx_lists_linear_and_inverse_contracts_beside_spot() -> None:
    listed = {market: [rules.listing for rules in lists(2, LISTED_NS)] for market, lists in LAYOUT.listers.items()}
    assert [listing.symbol for listing in listed[MarketId("spot")]] == ["BTC-USDT", "ETH-USDT"]
    swaps = {listing.symbol: listing for listing in listed[MarketId("swap")]}
    assert list(swaps) == ["BTC-USDT-SWAP", "ETH-USDT-SWAP", "BTC-USD-SWAP", "ETH-USD-SWAP"]
    assert [listing.contract_size for listing in swaps.values()] == [Decimal("0.01"), Decimal("0.1"), 100, 10]
    assert [listing.inverse for listing in swaps.values()] == [False, False, True, True]
    linear, inverse = listed[MarketId("futures")]
    assert linear.expiry_ns == inverse.expiry_ns is not None
    expiry = datetime.fromtimestamp(linear.expiry_ns // NS_PER_S, UTC)
    assert [linear.symbol, inverse.symbol] == [f"BTC-USDT-{expiry:%y%m%d}", f"BTC-USD-{expiry:%y%m%d}"]


def test_an_option_is_named_by_its_expiry_its_strike_and_its_right() -> None:
    call, put = (rules.listing for rules in LAYOUT.listers[MarketId("option")](2, LISTED_NS))
    assert [listing.symbol.split("-", 3)[3] for listing in (call, put)] == ["64000-C", "64000-P"]
    premium = Decimal("0.05")
    bar = Bar(0, 60, premium, premium, premium, premium, Decimal(3), Decimal("0.0015"), Decimal(0), Decimal(0), 1, 1, 1)
    assert call.volumes(bar) == (Decimal("0.03"), Decimal("0.0015"), Decimal(3))
