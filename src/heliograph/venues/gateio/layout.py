"""What a simulated Gate.io lists, and where its markets are."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from heliograph.model.instrument import SPOT, Kind, MarketId
from heliograph.venues.dialect import Dialect, Layout, Rest
from heliograph.venues.gateio import dialect, dialect_rest
from heliograph.venues.scene import Listing, Scene
from heliograph.venues.universe import Rules, coin_of, lots_mean

_SPOT_STEPS: Final = {"BTC": ("0.1", "0.000001"), "ETH": ("0.01", "0.0001")}
"""Ticks and lots, where they are known; as at other venues where they are not."""

_SIZES: Final = {
    coin: Decimal(size)
    for coin, size in {
        "BTC": "0.0001", "ETH": "0.01", "BNB": "0.001", "XRP": "10", "DOGE": "10", "ADA": "10", "LTC": "0.1",
        "TRX": "100"
    }.items()
}  # fmt: skip
"""What linear contracts are worth, in the coin; 1 where it is not said."""

_DECIMAL: Final = ("ETH", "SOL", "XRP", "TRX")
"""Coins of which a tenth of a contract can be traded."""


def spot(coins: int, listed_ns: int) -> list[Rules]:
    """Return the spot market: the first `coins` against USDT."""
    rules = []
    for rank in range(coins):
        coin, steps = coin_of(rank)
        tick, lot = map(Decimal, _SPOT_STEPS.get(coin.name, (steps.spot_tick, steps.spot_lot)))
        symbol = f"{coin.name}_USDT"
        listing = Listing(symbol, symbol, coin.name, "USDT", None, Kind.SPOT, listed_ns, None, tick, lot, None)
        rules.append(Rules(listing, coin, lots_mean(coin, lot)))
    return rules


def usdm(coins: int, listed_ns: int) -> list[Rules]:
    """Return the perpetual contracts that are settled in USDT: of the first `coins`."""
    rules = []
    for rank in range(coins):
        coin, steps = coin_of(rank)
        symbol, tick = f"{coin.name}_USDT", steps.linear_tick.normalize()
        lot, size = Decimal("0.1" if coin.name in _DECIMAL else "1"), _SIZES.get(coin.name, Decimal(1))
        listing = Listing(symbol, symbol, coin.name, "USDT", "USDT", Kind.PERPETUAL, listed_ns, None, tick, lot, size)
        rules.append(Rules(listing, coin, lots_mean(coin, lot * size)))
    return rules


def coinm(_coins: int, listed_ns: int) -> list[Rules]:
    """Return the one contract that is settled in bitcoin, which is worth a dollar."""
    coin, steps = coin_of(0)
    symbol = f"{coin.name}_USD"
    listing = Listing(
        symbol, symbol, coin.name, "USD", coin.name, Kind.PERPETUAL, listed_ns, None, steps.inverse_tick, Decimal(1),
        Decimal(1),
    )  # fmt: skip
    return [Rules(listing, coin, 2_000)]


def origins(scenes: Mapping[MarketId, Scene]) -> Iterator[tuple[Dialect[Any], Rest]]:
    """Return two origins, since both spot and futures have a BTC_USDT.

    The first one is `api.gateio.ws`: spot's socket, and all of REST. The other is `fx-ws.gateio.ws` and
    `fx-api.gateio.ws`: the sockets and the REST of futures, which does not know spot.
    """
    futures = {market: scene for market, scene in scenes.items() if market != SPOT}
    if SPOT in scenes:
        yield dialect.Dialect({SPOT: scenes[SPOT]}), dialect_rest.Rest(scenes)
    if futures:
        yield dialect.Dialect(futures), dialect_rest.Rest(futures)


LAYOUT: Final = Layout({SPOT: spot, MarketId("usdm"): usdm, MarketId("coinm"): coinm}, origins, lossy="book")
