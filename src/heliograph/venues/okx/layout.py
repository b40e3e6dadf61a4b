"""What a simulated OKX lists, and where its markets are."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from heliograph.model.instrument import Kind, MarketId
from heliograph.venues.dialect import Dialect, Layout, Rest
from heliograph.venues.okx import dialect, dialect_rest
from heliograph.venues.scene import Listing, Scene
from heliograph.venues.universe import Coin, Rules, coin_of, last_friday_ns, lots_mean, yymmdd

_OKX_SIZES: Final = {
    coin: Decimal(size)
    for coin, size in {
        "BTC": "0.01", "ETH": "0.1", "BNB": "0.01", "XRP": "100", "DOGE": "1000", "ADA": "100", "TRX": "1000"
    }.items()
}  # fmt: skip
"""What OKX's linear contracts are worth, in the coin; 1 where it is not said."""


_PREMIUM: Final = Decimal("0.0525")
"""What an option at the money costs, in the coin."""


def spot(coins: int, listed_ns: int) -> list[Rules]:
    """Return OKX's spot market: the first `coins` against USDT."""
    rules = []
    for rank in range(coins):
        coin, (*_, tick) = coin_of(rank)
        lot = Decimal("0.00000001") if coin.name == "BTC" else Decimal("0.000001")
        pair = f"{coin.name}-USDT"
        listing = Listing(pair, pair, coin.name, "USDT", None, Kind.SPOT, listed_ns, None, tick, lot, None)
        rules.append(Rules(listing, coin, lots_mean(coin, lot)))
    return rules


def swap(coins: int, listed_ns: int) -> list[Rules]:
    """Return OKX's perpetual contracts: linear ones of the first `coins`, and inverse ones."""
    coined = [coin_of(rank) for rank in range(coins)]
    return [
        _okx_contract(coin, steps[-1], quote, Kind.PERPETUAL, listed_ns, None)
        for quote in ("USDT", "USD")
        for coin, steps in coined
    ]


def futures(_coins: int, listed_ns: int) -> list[Rules]:
    """Return OKX's expiring contracts: a linear and an inverse quarterly one of the first coin."""
    coin, steps = coin_of(0)
    expiry_ns = last_friday_ns(listed_ns)
    return [_okx_contract(coin, steps[-1], quote, Kind.FUTURE, listed_ns, expiry_ns) for quote in ("USDT", "USD")]


def option(_coins: int, listed_ns: int) -> list[Rules]:
    """Return a call and a put of the first coin, of one expiry, priced and settled in the coin."""
    coin, _ = coin_of(0)
    expiry_ns = last_friday_ns(listed_ns)
    premium = msgspec.structs.replace(coin, price=_PREMIUM, tenths_per_minute=60)
    rules = []
    for right in "CP":
        symbol = f"{coin.name}-USD-{yymmdd(expiry_ns)}-{coin.price:f}-{right}"
        tick, lot, size = Decimal("0.0001"), Decimal(1), Decimal("0.01")
        pair = f"{coin.name}-USD"
        listing = Listing(symbol, pair, coin.name, "USD", coin.name, Kind.OPTION, listed_ns, expiry_ns, tick, lot, size)
        rules.append(Rules(listing, premium, 40))
    return rules


def _okx_contract(coin: Coin, tick: Decimal, quote: str, kind: Kind, listed_ns: int, expiry_ns: int | None) -> Rules:
    pair = f"{coin.name}-{quote}"
    symbol = f"{pair}-SWAP" if expiry_ns is None else f"{pair}-{yymmdd(expiry_ns)}"
    if quote == "USD":
        size, lot, settle = Decimal(100 if coin.name == "BTC" else 10), Decimal(1), coin.name
        mean = max(2, int(2_000 / size))
    else:
        size, lot, settle = _OKX_SIZES.get(coin.name, Decimal(1)), Decimal("0.01"), quote
        mean = lots_mean(coin, lot * size)
    listing = Listing(symbol, pair, coin.name, quote, settle, kind, listed_ns, expiry_ns, tick, lot, size)
    return Rules(listing, coin, mean)


def origins(scenes: Mapping[MarketId, Scene]) -> Iterator[tuple[Dialect[Any], Rest]]:
    """Return the one origin that all markets share."""
    sockets = dialect.Dialect(scenes)
    yield sockets, dialect_rest.Rest(sockets)


LAYOUT: Final = Layout(
    {MarketId("spot"): spot, MarketId("swap"): swap, MarketId("futures"): futures, MarketId("option"): option},
    origins,
    lossy="books",
)
