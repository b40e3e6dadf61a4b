"""What a unified symbol means at a venue: which markets can have it, and how its name may be spelled there."""

from collections.abc import Iterable
from datetime import date
from typing import Final

from heliograph.model.instrument import SPOT, MarketId
from heliograph.model.symbol import Symbol

# Venues name their markets in one of three ways: by margin as Binance and Gate, by direction as Bybit, by sort as OKX.
_LINEAR: Final = (MarketId("usdm"), MarketId("linear"))
_INVERSE: Final = (MarketId("coinm"), MarketId("inverse"))
_PERPETUAL: Final = MarketId("swap")
_FUTURE: Final = MarketId("futures")
_OPTION: Final = MarketId("option")

MARKET_WORDS: Final = frozenset(
    {
        SPOT,
        *_LINEAR,
        *_INVERSE,
        _PERPETUAL,
        _FUTURE,
        _OPTION,
        "um",
        "cm",
        "usd-m",
        "coin-m",
        "perp",
        "future",
        "options",
    }
)
"""What users call markets, at whatever venue."""

_PAIR_JOINTS: Final = ("", "-", "_")
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def markets_for(symbol: Symbol) -> tuple[MarketId, ...]:
    """Return the names of the markets that can have what a symbol says; the first that a venue has is meant."""
    if symbol.settle is None:
        return (SPOT,)
    if symbol.strike is not None:
        return (_OPTION,)
    # Where there are no swaps, what never ends is among the futures.
    by_sort = (_PERPETUAL, _FUTURE) if symbol.expiry is None else (_FUTURE,)
    return (*(_LINEAR if symbol.linear else _INVERSE), *by_sort)


def spellings(symbol: Symbol, market: MarketId) -> list[str]:
    """Return the names that venues give to what a symbol says, in a market so named; in upper case, each way once."""
    endings = [""] if market == SPOT else ["", "-SWAP", "_PERP"]
    if symbol.expiry is not None:
        endings = list(_days(symbol.expiry))
    if symbol.strike is not None:
        endings = [f"{ending}-{symbol.strike}-{symbol.right}" for ending in endings]
    pairs = [f"{symbol.base}{joint}{symbol.quote}" for joint in _PAIR_JOINTS]
    return [f"{pair}{ending}".upper() for pair in pairs for ending in endings]


def _days(expiry: str) -> Iterable[str]:
    yield from (f"_{expiry}", f"-{expiry}", f"_20{expiry}")
    try:
        day = date.fromisoformat(f"20{expiry}")
    except ValueError:
        return
    name = f"{_MONTHS[day.month - 1]}{expiry[:2]}"
    yield from dict.fromkeys((f"-{day.day}{name}", f"-{day.day:02}{name}"))
