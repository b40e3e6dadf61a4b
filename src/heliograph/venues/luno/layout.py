"""What a simulated Luno lists, and where its market is."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from heliograph.model.instrument import Kind, MarketId
from heliograph.venues.dialect import Dialect, Layout, Rest
from heliograph.venues.luno import dialect, dialect_rest
from heliograph.venues.scene import Listing, Scene
from heliograph.venues.universe import Coin, Rules, coin_of, lots_mean


def spot(coins: int, listed_ns: int) -> list[Rules]:
    """Return the first `coins` against USDT, and bitcoin in rand, whose prices have no decimals, and ether in bitcoin.

    Source: https://www.luno.com/en/developers/api#tag/Currency
    """
    rules = []
    for rank in range(coins):
        coin, steps = coin_of(rank)
        rules.append(_listed(coin, coin, "USDT", steps.spot_tick, steps.spot_lot, listed_ns))
    rand = Coin("BTC", Decimal(1_152_000), 60)
    rules.append(_listed(rand, coin_of(0)[0], "ZAR", Decimal(1), Decimal("0.000001"), listed_ns))
    cross = Coin("ETH", Decimal("0.05"), 20)
    rules.append(_listed(cross, coin_of(1)[0], "BTC", Decimal("0.000001"), Decimal("0.01"), listed_ns))
    return rules


def _listed(coin: Coin, worth: Coin, quote: str, tick: Decimal, lot: Decimal, listed_ns: int) -> Rules:
    symbol = f"{dialect.code(coin.name)}{dialect.code(quote)}"
    listing = Listing(symbol, symbol, coin.name, quote, None, Kind.SPOT, listed_ns, None, tick, lot, None)
    return Rules(listing, coin, lots_mean(worth, lot))


def origins(scenes: Mapping[MarketId, Scene]) -> Iterator[tuple[Dialect[Any], Rest]]:
    """Return the one origin that there is."""
    sockets = dialect.Dialect(scenes)
    yield sockets, dialect_rest.Rest(sockets)


LAYOUT: Final = Layout({MarketId("spot"): spot}, origins, lossy="stream", book_step_ns=dialect.STEP_NS)
