"""What a simulated Binance lists, and where its markets are."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from heliograph.model.instrument import Kind, MarketId
from heliograph.venues.binance import dialect, dialect_rest
from heliograph.venues.dialect import Dialect, Layout, Rest
from heliograph.venues.scene import Listing, Scene
from heliograph.venues.universe import Rules, coin_of, last_friday_ns, lots_mean, yymmdd


def spot(coins: int, listed_ns: int) -> list[Rules]:
    """Return the spot market's listings: the first `coins` of the universe against USDT."""
    rules = []
    for rank in range(coins):
        coin, (tick, lot, *_) = coin_of(rank)
        symbol = f"{coin.name}USDT"
        listing = Listing(symbol, symbol, coin.name, "USDT", None, Kind.SPOT, listed_ns, None, tick, lot, None)
        rules.append(Rules(listing, coin, lots_mean(coin, lot)))
    return rules


def usdm(coins: int, listed_ns: int) -> list[Rules]:
    """Return linear perpetuals of the first `coins`, and one quarterly contract of the first."""
    rules = []
    for rank in range(coins):
        coin, (_, _, tick, lot, _) = coin_of(rank)
        pair = f"{coin.name}USDT"
        kinds: list[tuple[str, Kind, int | None]] = [(pair, Kind.PERPETUAL, None)]
        if rank == 0:
            expiry_ns = last_friday_ns(listed_ns)
            kinds.append((f"{pair}_{yymmdd(expiry_ns)}", Kind.FUTURE, expiry_ns))
        for symbol, kind, expires_ns in kinds:
            listing = Listing(symbol, pair, coin.name, "USDT", "USDT", kind, listed_ns, expires_ns, tick, lot, None)
            rules.append(Rules(listing, coin, lots_mean(coin, lot)))
    return rules


def coinm(coins: int, listed_ns: int) -> list[Rules]:
    """Return inverse perpetuals of the first `coins`, and one quarterly contract of the first."""
    rules = []
    for rank in range(coins):
        coin, (*_, tick) = coin_of(rank)
        pair = f"{coin.name}USD"
        size = Decimal(100 if coin.name == "BTC" else 10)
        kinds: list[tuple[str, Kind, int | None]] = [(f"{pair}_PERP", Kind.PERPETUAL, None)]
        if rank == 0:
            expiry_ns = last_friday_ns(listed_ns)
            kinds.append((f"{pair}_{yymmdd(expiry_ns)}", Kind.FUTURE, expiry_ns))
        for symbol, kind, expires_ns in kinds:
            listing = Listing(
                symbol, pair, coin.name, "USD", coin.name, kind, listed_ns, expires_ns, tick, Decimal(1), size
            )
            rules.append(Rules(listing, coin, max(2, int(2_000 / size))))
    return rules


def origins(scenes: Mapping[MarketId, Scene]) -> Iterator[tuple[Dialect[Any], Rest]]:
    """Return an origin for each market."""
    for market, scene in scenes.items():
        sockets = dialect.Dialect(market, scene)
        yield sockets, dialect_rest.Rest(sockets)


LAYOUT: Final = Layout(
    {MarketId("spot"): spot, MarketId("usdm"): usdm, MarketId("coinm"): coinm}, origins, lossy="depth"
)
