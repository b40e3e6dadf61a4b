from decimal import Decimal

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Kind, MarketId
from heliograph.sim.layouts import layout_of, played
from heliograph.sim.world import World
from heliograph.venues.kraken.layout import LAYOUT

LISTED_NS = 1_795_000_020 * NS_PER_S
SPOT = MarketId("spot")


def test_kraken_can_be_played() -> None:
    assert "kraken" in played()
    assert layout_of("kraken") is LAYOUT


def test_the_first_coins_are_listed_against_the_dollar_and_some_in_other_currencies() -> None:
    listed = [rules.listing for rules in LAYOUT.listers[SPOT](12, LISTED_NS)]
    assert [listing.symbol for listing in listed[:3]] == ["BTC/USD", "ETH/USD", "BNB/USD"]
    assert [listing.symbol for listing in listed[-3:]] == ["BTC/USDT", "BTC/EUR", "ETH/BTC"]
    assert all(listing.symbol == f"{listing.base}/{listing.quote}" for listing in listed)
    assert {(listing.kind, listing.lot_size) for listing in listed} == {(Kind.SPOT, Decimal("0.00000001"))}


def test_one_origin_carries_the_one_market() -> None:
    markets = World(1, 1, LISTED_NS, listers=LAYOUT.listers).markets
    ((sockets, _rest),) = LAYOUT.origins(markets)
    assert set(sockets.markets) == {SPOT}
