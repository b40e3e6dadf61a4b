from decimal import Decimal

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Kind, MarketId
from heliograph.sim.layouts import layout_of, played
from heliograph.sim.world import World
from heliograph.venues.luno.layout import LAYOUT

LISTED_NS = 1_795_000_020 * NS_PER_S
SPOT = MarketId("spot")


def test_luno_can_be_played() -> None:
    assert "luno" in played()
    assert layout_of("luno") is LAYOUT


def test_the_first_coins_are_listed_against_tether_and_two_in_other_currencies() -> None:
    listed = [rules.listing for rules in LAYOUT.listers[SPOT](12, LISTED_NS)]
    assert [listing.symbol for listing in listed[:3]] == ["XBTUSDT", "ETHUSDT", "BNBUSDT"]
    assert [listing.symbol for listing in listed[-2:]] == ["XBTZAR", "ETHXBT"]
    assert all(listing.symbol == (listing.base + listing.quote).replace("BTC", "XBT") for listing in listed)
    assert {listing.kind for listing in listed} == {Kind.SPOT}
    assert len({listing.symbol for listing in listed}) == 14


def test_orders_are_worth_some_two_thousand_dollars_in_every_currency() -> None:
    rules = {one.listing.symbol: one for one in LAYOUT.listers[SPOT](1, LISTED_NS)}
    assert rules["XBTZAR"].listing.tick_size == 1
    for symbol, dollars in (("XBTUSDT", 64_000), ("XBTZAR", 64_000), ("ETHXBT", 3_200)):
        worth = rules[symbol].lots_mean * rules[symbol].listing.lot_size * dollars
        assert abs(worth - 2_000) < 40, symbol
    assert rules["XBTZAR"].coin.price == Decimal(1_152_000)


def test_one_origin_carries_the_one_market() -> None:
    markets = World(1, 1, LISTED_NS, listers=LAYOUT.listers).markets
    ((sockets, _rest),) = LAYOUT.origins(markets)
    assert set(sockets.markets) == {SPOT}
