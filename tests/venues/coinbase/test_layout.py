from heliograph.clock import NS_PER_S
from heliograph.model.instrument import SPOT, Kind
from heliograph.sim.layouts import layout_of, played
from heliograph.sim.world import World
from heliograph.venues.coinbase.layout import LAYOUT

LISTED_NS = 1_795_000_020 * NS_PER_S


def test_coinbase_can_be_played() -> None:
    assert "coinbase" in played()
    assert layout_of("coinbase") is LAYOUT


def test_the_first_coins_are_listed_in_dollars_and_two_in_other_currencies() -> None:
    listed = [rules.listing for rules in LAYOUT.listers[SPOT](12, LISTED_NS)]
    assert [listing.symbol for listing in listed[:3]] == ["BTC-USD", "ETH-USD", "BNB-USD"]
    assert [listing.symbol for listing in listed[-2:]] == ["ETH-BTC", "USDT-USDC"]
    assert all(listing.symbol == f"{listing.base}-{listing.quote}" for listing in listed)
    assert {listing.kind for listing in listed} == {Kind.SPOT}


def test_one_origin_carries_the_one_market() -> None:
    markets = World(1, 1, LISTED_NS, listers=LAYOUT.listers).markets
    ((sockets, _rest),) = LAYOUT.origins(markets)
    assert set(sockets.markets) == {SPOT}
