from datetime import UTC, datetime

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Kind, MarketId
from heliograph.sim.layouts import played
from heliograph.venues.bybit.layout import LAYOUT

LISTED_NS = 1_795_000_020 * NS_PER_S


def test_bybit_lists_contracts_in_usdt_usdc_and_coins_beside_spot() -> None:
    listed = {market: [rules.listing for rules in lists(2, LISTED_NS)] for market, lists in LAYOUT.listers.items()}
    assert [listing.symbol for listing in listed[MarketId("spot")]] == ["BTCUSDT", "ETHUSDT"]
    linear = {listing.symbol: listing for listing in listed[MarketId("linear")]}
    expiry = next(listing.expiry_ns for listing in linear.values() if listing.kind is Kind.FUTURE)
    assert expiry is not None
    date = datetime.fromtimestamp(expiry // NS_PER_S, UTC)
    assert list(linear) == ["BTCUSDT", "BTCPERP", f"BTCUSDT-{date:%d%b%y}".upper(), "ETHUSDT"]
    assert [listing.settle for listing in linear.values()] == ["USDT", "USDC", "USDT", "USDT"]
    assert all(listing.contract_size is None for listing in linear.values())
    inverse = {listing.symbol: listing for listing in listed[MarketId("inverse")]}
    code = "FGHJKMNQUVXZ"[date.month - 1]
    assert list(inverse) == ["BTCUSD", f"BTCUSD{code}{date:%y}", "ETHUSD"]
    assert all(listing.inverse and listing.contract_size == 1 for listing in inverse.values())


def test_one_origin_carries_all_markets() -> None:
    assert "bybit" in played()
    assert LAYOUT.lossy == "orderbook"
