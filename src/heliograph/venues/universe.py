"""The coins of a simulated world: what each costs and how lively it is, the same at every venue."""

import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from heliograph.clock import NS_PER_S
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

_DIGITS: Final = ("0.0001", "0.1", "0.0001", "1", "0.0001")

_DAY_NS = 86_400 * NS_PER_S


class Coin(msgspec.Struct, frozen=True):
    """What all markets of one coin share."""

    name: str
    price: Decimal
    tenths_per_minute: int
    """Taker orders a minute, in tenths."""


class Steps(NamedTuple):
    """What prices and quantities of a coin are multiples of, where a venue has no sizes of its own."""

    spot_tick: Decimal
    spot_lot: Decimal
    linear_tick: Decimal
    linear_lot: Decimal
    inverse_tick: Decimal


class Rules(msgspec.Struct, frozen=True):
    """One listing, the coin behind it, and what a taker order trades on average, in lots."""

    listing: Listing
    coin: Coin
    lots_mean: int


Lister = Callable[[int, int], list[Rules]]
"""Makes a market's listings of how many coins it lists, and since when they trade."""


def coin_of(rank: int) -> tuple[Coin, Steps]:
    """Return the coin of that rank, BTC and ETH first, and its steps."""
    if rank < len(_KNOWN):
        name, price, *steps = _KNOWN[rank]
        # The last one known is quiet: it has minutes without a trade, as every venue's long tail has.
        rate = {0: 600, 1: 400, len(_KNOWN) - 1: 4}.get(rank, 200)
        return Coin(name, Decimal(price), rate), Steps(*map(Decimal, steps))
    name = f"C{rank:04d}"
    dollars = Decimal(zlib.crc32(name.encode()) % 9_000 + 1_000).scaleb(-2)
    return Coin(name, dollars, 4 if rank % 12 == 11 else 60), Steps(*map(Decimal, _DIGITS))


def last_friday_ns(after_ns: int) -> int:
    """Return 08:00 UTC on the last Friday of a quarter, at least a week after the given instant."""
    day = after_ns // _DAY_NS + 7
    while True:
        # 1970-01-02 was a Friday; thirteen weeks from a fixed Friday come near enough to a quarter for a simulation.
        friday = day + (1 - day) % 7
        if (friday - 1) // 7 % 13 == 0:
            return friday * _DAY_NS + 8 * 3600 * NS_PER_S
        day = friday + 1


def lots_mean(coin: Coin, lot: Decimal) -> int:
    """Return how many lots of that size, in the coin, are worth some 2,000 dollars."""
    return max(2, int(Decimal(2_000) / coin.price / lot))


def yymmdd(instant_ns: int) -> str:
    """Return the date as the names of expiring contracts have it."""
    return datetime.fromtimestamp(instant_ns // NS_PER_S, UTC).strftime("%y%m%d")
