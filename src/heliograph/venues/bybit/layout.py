"""What a simulated Bybit lists, and where its markets are."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Kind, MarketId
from heliograph.venues.bybit import dialect, dialect_rest
from heliograph.venues.dialect import Dialect, Layout, Rest
from heliograph.venues.scene import Listing, Scene
from heliograph.venues.universe import Rules, coin_of, last_friday_ns, lots_mean

_MONTH_CODES: Final = "FGHJKMNQUVXZ"
_CONTRACT: Final = Decimal(1)
"""An inverse contract is worth a dollar."""


def spot(coins: int, listed_ns: int) -> list[Rules]:
    """Return the spot market's listings: the first `coins` of the universe against USDT."""
    rules = []
    for rank in range(coins):
        coin, (tick, lot, *_) = coin_of(rank)
        symbol = f"{coin.name}USDT"
        listing = Listing(symbol, symbol, coin.name, "USDT", None, Kind.SPOT, listed_ns, None, tick, lot, None)
        rules.append(Rules(listing, coin, lots_mean(coin, lot)))
    return rules


def linear(coins: int, listed_ns: int) -> list[Rules]:
    """Return perpetuals of the first `coins` that are paid in USDT; of the first also one in USDC, and a future."""
    expiry_ns = last_friday_ns(listed_ns)
    rules = []
    for rank in range(coins):
        coin, (_, _, tick, lot, _) = coin_of(rank)
        listed: list[tuple[str, str, Kind, int | None]] = [(f"{coin.name}USDT", "USDT", Kind.PERPETUAL, None)]
        if rank == 0:
            date = datetime.fromtimestamp(expiry_ns // NS_PER_S, UTC)
            listed.append((f"{coin.name}PERP", "USDC", Kind.PERPETUAL, None))
            listed.append((f"{coin.name}USDT-{date:%d%b%y}".upper(), "USDT", Kind.FUTURE, expiry_ns))
        for symbol, quote, kind, expires_ns in listed:
            pair = f"{coin.name}{quote}"
            listing = Listing(symbol, pair, coin.name, quote, quote, kind, listed_ns, expires_ns, tick, lot, None)
            rules.append(Rules(listing, coin, lots_mean(coin, lot)))
    return rules


def inverse(coins: int, listed_ns: int) -> list[Rules]:
    """Return inverse perpetuals of the first `coins`, and a future of the first."""
    expiry_ns = last_friday_ns(listed_ns)
    date = datetime.fromtimestamp(expiry_ns // NS_PER_S, UTC)
    rules = []
    for rank in range(coins):
        coin, (_, _, tick, _, _) = coin_of(rank)
        pair = f"{coin.name}USD"
        kinds: list[tuple[str, Kind, int | None]] = [(pair, Kind.PERPETUAL, None)]
        if rank == 0:
            kinds.append((f"{pair}{_MONTH_CODES[date.month - 1]}{date:%y}", Kind.FUTURE, expiry_ns))
        for symbol, kind, expires_ns in kinds:
            listing = Listing(
                symbol, pair, coin.name, "USD", coin.name, kind, listed_ns, expires_ns, tick, Decimal(1), _CONTRACT
            )
            rules.append(Rules(listing, coin, 2_000))
    return rules


def origins(scenes: Mapping[MarketId, Scene]) -> Iterator[tuple[Dialect[Any], Rest]]:
    """Return the one origin that all markets share."""
    sockets = dialect.Dialect(scenes)
    yield sockets, dialect_rest.Rest(sockets)


LAYOUT: Final = Layout(
    {MarketId("spot"): spot, MarketId("linear"): linear, MarketId("inverse"): inverse}, origins, lossy="orderbook"
)
