"""What a simulated Hyperliquid lists, and where its markets are."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from heliograph.model.instrument import Kind, MarketId
from heliograph.venues.dialect import Dialect, Layout, Rest
from heliograph.venues.hyperliquid import dialect, dialect_rest
from heliograph.venues.scene import Listing, Scene
from heliograph.venues.universe import Coin, Rules, coin_of, lots_mean

_SIZES: Final = {
    "BTC": 5, "ETH": 4, "BNB": 3, "SOL": 2, "XRP": 0, "DOGE": 0, "ADA": 0, "LTC": 2, "LINK": 1, "AVAX": 2, "DOT": 1,
    "TRX": 0,
}  # fmt: skip
"""How many decimals a size has; one where it is not said."""

_PAIRS: Final = {"BTC": 142, "ETH": 151, "SOL": 156}
"""The indices of some pairs; those of other coins start at 200."""

_DECIMALS_MAX: Final = {Kind.PERPETUAL: 6, Kind.SPOT: 8}
"""How many decimals price and size may have together."""


def perpetuals(coins: int, listed_ns: int) -> list[Rules]:
    """Return the perpetual contracts: the first `coins`, one whose name is in both cases, and one of another exchange.

    Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/asset-ids
    """
    listed = [(coin.name, coin.name, coin, _SIZES.get(coin.name, 1)) for coin, _ in map(coin_of, range(coins))]
    listed.append(("kPEPE", "kPEPE", Coin("kPEPE", Decimal("0.0123"), 60), 0))
    # Two exchanges may list the same coin, so that their names are part of what is traded.
    listed.append(("xyz:XYZ100", "xyz:XYZ100", Coin("XYZ100", Decimal(25_000), 60), 4))
    return [_listed(symbol, base, "USDC", coin, sizes, listed_ns) for symbol, base, coin, sizes in listed]


def spot(coins: int, listed_ns: int) -> list[Rules]:
    """Return the spot pairs: the first `coins`, as tokens of their own name, and three that every such list has.

    CATNIP is so cheap that its volumes show the noise of binary floats within a minute.
    """
    listed = []
    for rank in range(coins):
        coin, _ = coin_of(rank)
        index = _PAIRS.get(coin.name, 200 + rank)
        listed.append((f"@{index}", f"U{coin.name}", coin, _SIZES.get(coin.name, 1)))
    listed.append(("PURR/USDC", "PURR", Coin("PURR", Decimal("0.19"), 4), 0))
    listed.append(("@107", "HYPE", Coin("HYPE", Decimal("34.5"), 200), 2))
    listed.append(("@26", "CATNIP", Coin("CATNIP", Decimal("0.025"), 200), 2))
    return [_listed(symbol, base, None, coin, sizes, listed_ns) for symbol, base, coin, sizes in listed]


def _listed(symbol: str, base: str, settle: str | None, coin: Coin, sizes: int, listed_ns: int) -> Rules:
    kind = Kind.SPOT if settle is None else Kind.PERPETUAL
    # Five figures of the price, and of twice the price: a step that stays legal while the price wanders.
    # Source: https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/tick-and-lot-size
    decimals = min(max(0, 4 - (coin.price * 2).adjusted()), _DECIMALS_MAX[kind] - sizes)
    tick, lot = Decimal(1).scaleb(-decimals), Decimal(1).scaleb(-sizes)
    pair = f"{base}/USDC"
    listing = Listing(symbol, pair, base, "USDC", settle, kind, listed_ns, None, tick, lot, None)
    return Rules(listing, coin, lots_mean(coin, lot))


def origins(scenes: Mapping[MarketId, Scene]) -> Iterator[tuple[Dialect[Any], Rest]]:
    """Return the one origin that both markets share."""
    sockets = dialect.Dialect(scenes)
    yield sockets, dialect_rest.Rest(sockets)


LAYOUT: Final = Layout({MarketId("usdm"): perpetuals, MarketId("spot"): spot}, origins, lossy="l2Book")
