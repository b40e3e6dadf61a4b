"""The instruments of a market, by every name that a user may write."""

from collections.abc import Iterable, Sequence

from heliograph.errors import ConfigError
from heliograph.model.instrument import Instrument, InstrumentId, Kind
from heliograph.venues.contract import Market

ECHO_MAX = 64
"""How much of a stranger's text is repeated to them, in characters."""
_SUGGESTIONS_MAX = 5


class Directory:
    """The instruments of one market, by every name that a user may write.

    `BTCUSDT`, `btcusdt`, `BTC/USDT` and, for contracts, `BTC/USDT:USDT` are one instrument.

    Args:
        market: the market.
        instruments: what the venue lists there; empty where that is not known, and then every well-formed symbol is
            taken at its word.

    """

    def __init__(self, market: Market, instruments: Iterable[Instrument] = ()) -> None:
        self._market = market
        self._by_name: dict[str, Instrument] = {}
        listed = list(instruments)
        for instrument in listed:
            self._by_name[instrument.venue_symbol.upper()] = instrument
        for instrument in listed:  # The looser names must not take another instrument's own.
            for name in _loose_names(instrument):
                self._by_name.setdefault(name, instrument)

    @property
    def known(self) -> bool:
        """Whether the venue's list was read."""
        return bool(self._by_name)

    def find(self, symbols: Sequence[str]) -> list[Instrument]:
        """Return the instruments of the symbols, in order.

        Raises:
            ConfigError: a symbol that is not there, or two that are the same instrument.

        """
        found: dict[InstrumentId, Instrument] = {}
        for symbol in symbols:
            instrument = self._one(symbol)
            if instrument.id in found:
                raise ConfigError(f"Duplicate symbol: {symbol[:ECHO_MAX]}", ("each symbol once",))
            found[instrument.id] = instrument
        return list(found.values())

    def _one(self, symbol: str) -> Instrument:
        name = symbol.upper()
        if not self._by_name:
            return self._market.instrument("".join(c for c in name if c != "/").partition(":")[0])
        instrument = self._by_name.get(name)
        if instrument is None:
            accepted = self._suggestions(name)
            what = f"Unknown symbol at {self._market.venue} {self._market.market}: {symbol[:ECHO_MAX]}"
            raise ConfigError(what, accepted)
        return instrument

    def _suggestions(self, name: str) -> tuple[str, ...]:
        """Return symbols that begin alike, the longest likeness first, so that a slip of the finger shows."""
        listed = sorted({i.venue_symbol for i in self._by_name.values()})
        for length in range(len(name), 0, -1):
            alike = [s for s in listed if s.upper().startswith(name[:length])]
            if alike:
                return (*alike[:_SUGGESTIONS_MAX], *(["…"] if len(alike) > _SUGGESTIONS_MAX else []))
        return (*listed[:_SUGGESTIONS_MAX], *(["…"] if len(listed) > _SUGGESTIONS_MAX else []))


def _loose_names(instrument: Instrument) -> list[str]:
    names = [instrument.symbol.upper(), instrument.pair]
    if instrument.base is not None and instrument.kind in (Kind.SPOT, Kind.PERPETUAL):
        names.append(f"{instrument.base}/{instrument.quote}".upper())
    return names
