"""Instruments by the symbols that frames name."""

from collections.abc import Callable, Iterable
from typing import Final

from heliograph.errors import ConfigError
from heliograph.model.instrument import Instrument

INSTRUMENTS_MAX: Final = 20_000
"""Instruments made of frames' symbols alone, before they are made afresh."""


class Known(dict[str, Instrument]):
    """Instruments by the venue's symbol; where every symbol is welcome, made as they turn up.

    A look-up of a symbol that is known costs what one of a dictionary costs.

    Args:
        make: makes an instrument of its symbol, where every symbol is welcome; else None. May raise `ConfigError` for
            what is no symbol, `KeyError` for one that is another market's.

    """

    def __init__(self, make: Callable[[str], Instrument] | None) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, symbol: str) -> Instrument:
        """Make the instrument, or raise `KeyError` (not carried) or `ValueError` (no symbol of this market)."""
        if self._make is None:
            raise KeyError(symbol)
        try:
            instrument = self._make(symbol)
        except ConfigError as e:
            raise ValueError(str(e)) from None
        if len(self) >= INSTRUMENTS_MAX:
            self.clear()
        self[symbol] = instrument
        return instrument

    def carry(self, instruments: Iterable[Instrument]) -> None:
        """Know these and no others; does nothing where every symbol is welcome."""
        if self._make is None:
            self.clear()
            self.update({instrument.venue_symbol: instrument for instrument in instruments})
