"""What a simulated Coinbase lists, and where its market is."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from heliograph.model.instrument import SPOT, Kind, MarketId
from heliograph.venues.coinbase import dialect, dialect_rest
from heliograph.venues.dialect import Dialect, Layout, Rest
from heliograph.venues.scene import Listing, Scene
from heliograph.venues.universe import Coin, Rules, coin_of, lots_mean


def spot(coins: int, listed_ns: int) -> list[Rules]:
    """Return the first `coins` in dollars, ether in bitcoin, and tether in USDC, where it has a book of its own."""
    listed = []
    for rank in range(coins):
        coin, steps = coin_of(rank)
        listed.append((coin, coin, "USD", steps.spot_tick, steps.spot_lot))
    cross = Coin("ETH", Decimal("0.05"), 20)
    listed.append((cross, coin_of(1)[0], "BTC", Decimal("0.00001"), Decimal("0.0001")))
    tether = Coin("USDT", Decimal("0.9998"), 20)
    listed.append((tether, tether, "USDC", Decimal("0.0001"), Decimal("0.01")))
    return [_listed(*one, listed_ns) for one in listed]


def _listed(coin: Coin, worth: Coin, quote: str, tick: Decimal, lot: Decimal, listed_ns: int) -> Rules:
    symbol = f"{coin.name}-{quote}"
    listing = Listing(symbol, symbol, coin.name, quote, None, Kind.SPOT, listed_ns, None, tick, lot, None)
    return Rules(listing, coin, lots_mean(worth, lot))


def origins(scenes: Mapping[MarketId, Scene]) -> Iterator[tuple[Dialect[Any], Rest]]:
    """Return the one origin that there is."""
    sockets = dialect.Dialect(scenes)
    yield sockets, dialect_rest.Rest(sockets)


LAYOUT: Final = Layout({SPOT: spot}, origins, lossy="level2")
