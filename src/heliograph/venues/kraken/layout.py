"""What a simulated Kraken lists, and where its market is."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from heliograph.model.instrument import Kind, MarketId
from heliograph.venues.dialect import Dialect, Layout, Rest
from heliograph.venues.kraken import dialect, dialect_rest
from heliograph.venues.scene import Listing, Scene
from heliograph.venues.universe import Coin, Rules, coin_of, lots_mean

_LOT: Final = Decimal("0.00000001")
_TICKS: Final = {"BTC": Decimal("0.1")}
"""Prices of bitcoin have one decimal; those of other coins are as fine as anywhere."""


def spot(coins: int, listed_ns: int) -> list[Rules]:
    """Return the first `coins` against the dollar, bitcoin in tether and in euros, and ether in bitcoin."""
    rules = []
    for rank in range(coins):
        coin, steps = coin_of(rank)
        rules.append(_listed(coin, coin, "USD", _TICKS.get(coin.name, steps.spot_tick), listed_ns))
    bitcoin, ether = coin_of(0)[0], coin_of(1)[0]
    rules.append(_listed(Coin("BTC", bitcoin.price, 60), bitcoin, "USDT", Decimal("0.1"), listed_ns))
    rules.append(_listed(Coin("BTC", Decimal(59_000), 60), bitcoin, "EUR", Decimal("0.1"), listed_ns))
    rules.append(_listed(Coin("ETH", Decimal("0.05"), 20), ether, "BTC", Decimal("0.00001"), listed_ns))
    return rules


def _listed(coin: Coin, worth: Coin, quote: str, tick: Decimal, listed_ns: int) -> Rules:
    symbol = f"{coin.name}/{quote}"
    listing = Listing(symbol, symbol, coin.name, quote, None, Kind.SPOT, listed_ns, None, tick, _LOT, None)
    return Rules(listing, coin, lots_mean(worth, _LOT))


def origins(scenes: Mapping[MarketId, Scene]) -> Iterator[tuple[Dialect[Any], Rest]]:
    """Return the one origin that there is."""
    sockets = dialect.Dialect(scenes)
    yield sockets, dialect_rest.Rest(sockets)


LAYOUT: Final = Layout({MarketId("spot"): spot}, origins, lossy="book")
