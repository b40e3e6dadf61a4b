from decimal import Decimal

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import SPOT, MarketId
from heliograph.sim.world import World
from heliograph.venues.dialect import Ask
from heliograph.venues.gateio.layout import LAYOUT

LISTED_NS = 1_795_000_020 * NS_PER_S
USDM, COINM = MarketId("usdm"), MarketId("coinm")
WORLD = World(5, 2, LISTED_NS, listers=LAYOUT.listers)


def test_gate_lists_spot_linear_contracts_and_one_that_is_settled_in_bitcoin() -> None:
    listed = {market: [rules.listing for rules in lists(12, LISTED_NS)] for market, lists in LAYOUT.listers.items()}
    assert {market: len(listings) for market, listings in listed.items()} == {SPOT: 12, USDM: 12, COINM: 1}
    assert [listing.symbol for listing in listed[SPOT]][:2] == ["BTC_USDT", "ETH_USDT"]
    bitcoin, ether = listed[USDM][:2]
    assert (bitcoin.symbol, bitcoin.contract_size, bitcoin.lot_size) == ("BTC_USDT", Decimal("0.0001"), 1)
    assert (ether.contract_size, ether.lot_size, ether.settle) == (Decimal("0.01"), Decimal("0.1"), "USDT")
    (inverse,) = listed[COINM]
    assert (inverse.symbol, inverse.contract_size, inverse.inverse) == ("BTC_USD", 1, True)


def test_two_hosts_share_the_markets_so_that_no_two_instruments_have_one_name() -> None:
    (first, everything), (second, futures) = LAYOUT.origins(WORLD.markets)
    assert (list(first.markets), list(second.markets)) == ([SPOT], [USDM, COINM])
    for dialect in (first, second):
        symbols = [symbol for scene in dialect.markets.values() for symbol in scene.listings]
        assert len(symbols) == len(set(symbols))
    paths = {"spot/time": (200, 404), "futures/btc/contracts": (200, 200), "futures/usdt/tickers": (200, 200)}
    for path, statuses in paths.items():
        asked = Ask(f"/api/v4/{path}")
        assert (everything.answer(asked, LISTED_NS).status, futures.answer(asked, LISTED_NS).status) == statuses
    assert LAYOUT.lossy == "book"
