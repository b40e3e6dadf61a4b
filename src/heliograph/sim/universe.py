"""Which instruments a simulated world lists, and how lively each is."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import Kind, MarketId
from heliograph.sim.noise import mix, name_key
from heliograph.venues.scene import Listing

COINS_MAX: Final = 1000

_KNOWN: Final = (
    # coin, price in USD, spot tick and lot, USD-M tick and lot, COIN-M tick
    ("BTC", "64000", "0.01", "0.00001", "0.10", "0.001", "0.1"),
    ("ETH", "3200", "0.01", "0.0001", "0.01", "0.001", "0.01"),
    ("BNB", "610", "0.01", "0.001", "0.010", "0.01", "0.01"),
    ("SOL", "150", "0.01", "0.001", "0.0010", "1", "0.001"),
    ("XRP", "2.4", "0.0001", "0.1", "0.0001", "0.1", "0.0001"),
    ("DOGE", "0.21", "0.00001", "1", "0.000010", "1", "0.00001"),
    ("ADA", "0.82", "0.0001", "0.1", "0.00010", "1", "0.0001"),
    ("LTC", "95", "0.01", "0.001", "0.01", "0.001", "0.01"),
    ("LINK", "18", "0.001", "0.01", "0.001", "0.01", "0.001"),
    ("AVAX", "31", "0.001", "0.01", "0.0010", "1", "0.001"),
    ("DOT", "6.1", "0.001", "0.01", "0.001", "0.1", "0.001"),
    ("TRX", "0.24", "0.0001", "0.1", "0.00001", "1", "0.00001"),
)

_STEPS: Final = tuple(Decimal(step) for step in ("0.0001", "0.1", "0.0001", "1", "0.0001"))

_OKX_SIZES: Final = {
    coin: Decimal(size)
    for coin, size in {
        "BTC": "0.01", "ETH": "0.1", "BNB": "0.01", "XRP": "100", "DOGE": "1000", "ADA": "100", "TRX": "1000"
    }.items()
}  # fmt: skip
"""What OKX's linear contracts are worth, in the coin; 1 where it is not said."""

_DAY_NS = 86_400 * NS_PER_S


class Coin(msgspec.Struct, frozen=True):
    """What all markets of one coin share."""

    name: str
    price: Decimal
    tenths_per_minute: int
    """Taker orders a minute, in tenths."""


class Rules(msgspec.Struct, frozen=True):
    """One listing, the coin behind it, and what a taker order trades on average, in lots."""

    listing: Listing
    coin: Coin
    lots_mean: int


Lister = Callable[[int, int], list[Rules]]
"""Makes a market's listings of how many coins it lists, and since when they trade."""


def _coin(rank: int) -> tuple[Coin, tuple[Decimal, ...]]:
    if rank < len(_KNOWN):
        name, price, *steps = _KNOWN[rank]
        # The last one known is quiet: it has minutes without a trade, as every venue's long tail has.
        rate = {0: 600, 1: 400, len(_KNOWN) - 1: 4}.get(rank, 200)
        return Coin(name, Decimal(price), rate), tuple(Decimal(step) for step in steps)
    name = f"C{rank:04d}"
    dollars = Decimal(mix(name_key(name), 1) % 9_000 + 1_000).scaleb(-2)
    return Coin(name, dollars, 4 if rank % 12 == 11 else 60), _STEPS


def _last_friday_ns(after_ns: int) -> int:
    """Return 08:00 UTC on the last Friday of a quarter, at least a week after the given instant."""
    day = after_ns // _DAY_NS + 7
    while True:
        # 1970-01-02 was a Friday; thirteen weeks from a fixed Friday come near enough to a quarter for a simulation.
        friday = day + (1 - day) % 7
        if (friday - 1) // 7 % 13 == 0:
            return friday * _DAY_NS + 8 * 3600 * NS_PER_S
        day = friday + 1


def _lots_mean(coin: Coin, lot: Decimal) -> int:
    return max(2, int(Decimal(2_000) / coin.price / lot))


def spot(coins: int, listed_ns: int) -> list[Rules]:
    """Return the spot market's listings: the first `coins` of the universe against USDT."""
    rules = []
    for rank in range(coins):
        coin, (tick, lot, *_) = _coin(rank)
        symbol = f"{coin.name}USDT"
        listing = Listing(symbol, symbol, coin.name, "USDT", None, Kind.SPOT, listed_ns, None, tick, lot, None)
        rules.append(Rules(listing, coin, _lots_mean(coin, lot)))
    return rules


def usdm(coins: int, listed_ns: int) -> list[Rules]:
    """Return linear perpetuals of the first `coins`, and one quarterly contract of the first."""
    rules = []
    for rank in range(coins):
        coin, (_, _, tick, lot, _) = _coin(rank)
        pair = f"{coin.name}USDT"
        kinds: list[tuple[str, Kind, int | None]] = [(pair, Kind.PERPETUAL, None)]
        if rank == 0:
            expiry_ns = _last_friday_ns(listed_ns)
            kinds.append((f"{pair}_{_yymmdd(expiry_ns)}", Kind.FUTURE, expiry_ns))
        for symbol, kind, expires_ns in kinds:
            listing = Listing(symbol, pair, coin.name, "USDT", "USDT", kind, listed_ns, expires_ns, tick, lot, None)
            rules.append(Rules(listing, coin, _lots_mean(coin, lot)))
    return rules


def coinm(coins: int, listed_ns: int) -> list[Rules]:
    """Return inverse perpetuals of the first `coins`, and one quarterly contract of the first."""
    rules = []
    for rank in range(coins):
        coin, (*_, tick) = _coin(rank)
        pair = f"{coin.name}USD"
        size = Decimal(100 if coin.name == "BTC" else 10)
        kinds: list[tuple[str, Kind, int | None]] = [(f"{pair}_PERP", Kind.PERPETUAL, None)]
        if rank == 0:
            expiry_ns = _last_friday_ns(listed_ns)
            kinds.append((f"{pair}_{_yymmdd(expiry_ns)}", Kind.FUTURE, expiry_ns))
        for symbol, kind, expires_ns in kinds:
            listing = Listing(
                symbol, pair, coin.name, "USD", coin.name, kind, listed_ns, expires_ns, tick, Decimal(1), size
            )
            rules.append(Rules(listing, coin, max(2, int(2_000 / size))))
    return rules


def _yymmdd(instant_ns: int) -> str:
    return datetime.fromtimestamp(instant_ns // NS_PER_S, UTC).strftime("%y%m%d")


def okx_spot(coins: int, listed_ns: int) -> list[Rules]:
    """Return OKX's spot market: the first `coins` against USDT."""
    rules = []
    for rank in range(coins):
        coin, (*_, tick) = _coin(rank)
        lot = Decimal("0.00000001") if coin.name == "BTC" else Decimal("0.000001")
        pair = f"{coin.name}-USDT"
        listing = Listing(pair, pair, coin.name, "USDT", None, Kind.SPOT, listed_ns, None, tick, lot, None)
        rules.append(Rules(listing, coin, _lots_mean(coin, lot)))
    return rules


def okx_swap(coins: int, listed_ns: int) -> list[Rules]:
    """Return OKX's perpetual contracts: linear ones of the first `coins`, and inverse ones."""
    coined = [_coin(rank) for rank in range(coins)]
    return [
        _okx_contract(coin, steps[-1], quote, Kind.PERPETUAL, listed_ns, None)
        for quote in ("USDT", "USD")
        for coin, steps in coined
    ]


def okx_futures(_coins: int, listed_ns: int) -> list[Rules]:
    """Return OKX's expiring contracts: a linear and an inverse quarterly one of the first coin."""
    coin, steps = _coin(0)
    expiry_ns = _last_friday_ns(listed_ns)
    return [_okx_contract(coin, steps[-1], quote, Kind.FUTURE, listed_ns, expiry_ns) for quote in ("USDT", "USD")]


def _okx_contract(coin: Coin, tick: Decimal, quote: str, kind: Kind, listed_ns: int, expiry_ns: int | None) -> Rules:
    pair = f"{coin.name}-{quote}"
    symbol = f"{pair}-SWAP" if expiry_ns is None else f"{pair}-{_yymmdd(expiry_ns)}"
    if quote == "USD":
        size, lot, settle = Decimal(100 if coin.name == "BTC" else 10), Decimal(1), coin.name
        lots_mean = max(2, int(2_000 / size))
    else:
        size, lot, settle = _OKX_SIZES.get(coin.name, Decimal(1)), Decimal("0.01"), quote
        lots_mean = _lots_mean(coin, lot * size)
    listing = Listing(symbol, pair, coin.name, quote, settle, kind, listed_ns, expiry_ns, tick, lot, size)
    return Rules(listing, coin, lots_mean)


BINANCE: Final[Mapping[MarketId, Lister]] = {
    MarketId("spot"): spot,
    MarketId("usdm"): usdm,
    MarketId("coinm"): coinm,
}
OKX: Final[Mapping[MarketId, Lister]] = {
    MarketId("spot"): okx_spot,
    MarketId("swap"): okx_swap,
    MarketId("futures"): okx_futures,
}
