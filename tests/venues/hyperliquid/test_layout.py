from decimal import Decimal

import pytest

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Kind, MarketId
from heliograph.venues.hyperliquid.layout import LAYOUT

LISTED_NS = 1_795_000_020 * NS_PER_S
LISTED = {market: [rules.listing for rules in lists(40, LISTED_NS)] for market, lists in LAYOUT.listers.items()}


def test_perpetuals_bear_bare_names_beside_one_in_both_cases_and_one_of_another_exchange() -> None:
    names = [listing.symbol for listing in LISTED[MarketId("usdm")]]
    assert (names[:2], names[-2:]) == (["BTC", "ETH"], ["kPEPE", "xyz:XYZ100"])
    assert {(listing.quote, listing.settle, listing.kind) for listing in LISTED[MarketId("usdm")]} == {
        ("USDC", "USDC", Kind.PERPETUAL)
    }


def test_pairs_bear_an_index_that_is_neither_their_place_nor_their_tokens() -> None:
    listed = LISTED[MarketId("spot")]
    assert [(listing.symbol, listing.base) for listing in listed[:2]] == [("@142", "UBTC"), ("@151", "UETH")]
    assert {listing.symbol for listing in listed} >= {"PURR/USDC", "@107", "@26"}
    assert len({listing.symbol for listing in listed}) == len(listed)


@pytest.mark.parametrize(("market", "most"), [("usdm", 6), ("spot", 8)])
def test_prices_keep_to_five_figures_and_to_the_decimals_that_the_size_leaves(market: str, most: int) -> None:
    for rules in LAYOUT.listers[MarketId(market)](40, LISTED_NS):
        listing = rules.listing
        decimals = [-step.adjusted() for step in (listing.tick_size, listing.lot_size)]
        assert sum(decimals) <= most
        figures = rules.coin.price.adjusted() + 1 + decimals[0]
        assert listing.tick_size == 1 or figures <= 5


def test_a_token_is_so_cheap_that_a_minute_trades_more_than_a_float_holds_exactly() -> None:
    (catnip,) = (rules for rules in LAYOUT.listers[MarketId("spot")](1, LISTED_NS) if rules.listing.symbol == "@26")
    a_minute = catnip.lots_mean * catnip.listing.lot_size * catnip.coin.tenths_per_minute / 10
    assert catnip.listing.lot_size == Decimal("0.01")
    assert a_minute > 2**20
