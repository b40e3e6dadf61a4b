"""What a candle's name means: whose it is, how long, and in which units its volumes are.

Sources: "Candlesticks Channel" of https://www.gate.com/docs/developers/apiv4/ws/en/ and of
https://www.gate.com/docs/developers/futures/ws/en/ ; for the lengths "Market candlesticks" and "Get futures
candlesticks" of https://www.gate.com/docs/developers/apiv4/en/ .
"""

import enum
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Final

import msgspec

from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.numbers import amount

BARS_MAX: Final = 100_000
"""Names of candles that are remembered before starting afresh."""

SPOT_INTERVALS: Final[Mapping[str, Interval]] = {
    "10s": Interval.S10,
    "1m": Interval.M1,
    "5m": Interval.M5,
    "15m": Interval.M15,
    "30m": Interval.M30,
    "1h": Interval.H1,
    "4h": Interval.H4,
    "8h": Interval.H8,
    "1d": Interval.D1,
    "30d": Interval.MO1,
}
"""Gate's names. `30d` is a calendar month. `7d` counts from the epoch, a Thursday: a grid that `Interval` has not."""
FUTURES_INTERVALS: Final[Mapping[str, Interval]] = {**SPOT_INTERVALS, "1w": Interval.W1}
"""`1w` is the natural week, Monday to Sunday, and not `7d`."""

_PRODUCTS = Context(prec=76, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero])
Volumes = tuple[Decimal | None, Decimal | None, Decimal | None]
"""Base volume, quote volume, contracts."""


class Units(enum.Enum):
    """What a market counts in."""

    SPOT = "base and quote"
    LINEAR = "contracts of some base, and quote"
    INVERSE = "contracts of some quote, and base"


def names_of(intervals: Mapping[str, Interval]) -> Mapping[Interval, str]:
    """Return Gate's name of each length."""
    return {interval: name for name, interval in intervals.items()}


def volumes_of(units: Units, instrument: Instrument, v: Decimal, settled: Decimal | None) -> Volumes:
    """Return the volumes of a futures candle.

    Args:
        units: the market's.
        instrument: whose contract size turns contracts into base (linear) or quote (inverse), where it is known.
        v: contracts.
        settled: the volume in the asset of settlement, where the venue says it.

    """
    contracts = amount(v)
    told = None if settled is None else amount(settled)
    size = instrument.contract_size
    product = None if size is None else amount(_PRODUCTS.multiply(contracts, size))
    return (product, told, contracts) if units is Units.LINEAR else (told, product, contracts)


class Series(msgspec.Struct, frozen=True):
    """The candles of one instrument and one length."""

    instrument: Instrument
    interval: Interval
    step_ns: int | None
    """Nanoseconds from one to the next; None where the calendar decides, months and weeks."""

    def close_ns(self, open_ns: int) -> int:
        """Return the first instant after the candle; raise `ValueError` if none opens then, by the calendar."""
        if self.step_ns is not None:
            return open_ns + self.step_ns
        if self.interval.open_of(open_ns) != open_ns:
            raise ValueError(f"a candle of {self.interval.value} that opens at {open_ns}")
        return self.interval.next_open(open_ns)


class Bars(dict[str, Series]):
    """Series by Gate's name for them, such as `1m_BTC_USDT`: made as they turn up.

    Args:
        instruments: finds an instrument by the venue's symbol; raises `KeyError` for those that are not carried.
        intervals: the market's lengths, by Gate's names.

    """

    def __init__(self, instruments: Callable[[str], Instrument], intervals: Mapping[str, Interval]) -> None:
        super().__init__()
        self._instruments = instruments
        self._intervals = intervals

    def __missing__(self, name: str) -> Series:
        """Make the series, or raise `KeyError` (not carried) or `ValueError` (no such length)."""
        length, _, symbol = name.partition("_")  # The symbol has underscores of its own.
        instrument = self._instruments(symbol)
        interval = self._intervals.get(length)
        if interval is None:
            raise ValueError(f"a candle of a length that is not known: {name[:50]!r}")
        calendar = interval in (Interval.W1, Interval.MO1)
        if len(self) >= BARS_MAX:
            self.clear()
        series = self[name] = Series(instrument, interval, None if calendar else interval.length_ns)
        return series
