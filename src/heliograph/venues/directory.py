"""The instruments of a market, by every name that a user may write."""

from collections.abc import Iterable, Sequence

from heliograph.errors import ConfigError
from heliograph.model.instrument import Instrument, InstrumentId, Kind
from heliograph.model.symbol import Symbol
from heliograph.venues.contract import Market
from heliograph.venues.naming import markets_for, spellings

ECHO_MAX = 64
"""How much of a stranger's text is repeated to them, in characters."""
_SUGGESTIONS_MAX = 5
_SEPARATORS = str.maketrans("", "", "-_/")

_Names = dict[str, list[Instrument]]


class Directory:
    """The instruments of one market, by every name that a user may write.

    The venue's own name, to the letter, comes before everything. Then, in any case: the venue's own name, and the
    looser `BTC/USDT`, `BTC/USDT:USDT` for contracts, and the venue's own name without separators. A name that two
    instruments share is refused with both.

    Args:
        market: the market.
        instruments: what the venue lists there; empty where that is not known, and then every well-formed symbol is
            taken at its word.

    """

    def __init__(self, market: Market, instruments: Iterable[Instrument] = ()) -> None:
        self._market = market
        self._exact = {i.venue_symbol: i for i in instruments}
        self._own: _Names = {}
        self._loose: _Names = {}
        self._pairs: _Names = {}
        for instrument in self._exact.values():
            self._own.setdefault(instrument.venue_symbol.upper(), []).append(instrument)
            self._pairs.setdefault(instrument.pair, []).append(instrument)
            for name in _loose_names(instrument):
                self._loose.setdefault(name, []).append(instrument)

    @property
    def known(self) -> bool:
        """Whether the venue's list was read."""
        return bool(self._exact)

    def find(self, symbols: Sequence[str]) -> list[Instrument]:
        """Return the instruments of the symbols, in order.

        Raises:
            ConfigError: a symbol that is not there, or means two instruments, or two that are the same instrument.

        """
        found: dict[InstrumentId, Instrument] = {}
        for symbol in symbols:
            instrument = self._listed(symbol) if self._exact else self._at_its_word(symbol)
            if instrument.id in found:
                raise ConfigError(f"Duplicate symbol: {symbol[:ECHO_MAX]}", ("each symbol once",))
            found[instrument.id] = instrument
        return list(found.values())

    def _listed(self, symbol: str) -> Instrument:
        exact, name = self._exact.get(symbol), symbol.upper()
        found = [exact] if exact else self._own.get(name) or self._loose.get(name) or self._spelled(symbol)
        if not found:
            raise ConfigError(self._about("Unknown", symbol), self._suggestions(name))
        if len(found) > 1:
            raise ConfigError(self._about("Ambiguous", symbol), tuple(sorted(i.venue_symbol for i in found)))
        (instrument,) = found
        sharing = sorted(i.venue_symbol for i in self._pairs[instrument.pair])
        if len(sharing) > 1:
            what = f"{' and '.join(sharing)} of {self._place} would share the streams of {instrument.pair}"
            raise ConfigError(what, ("symbols whose streams are their own",))
        return instrument

    def _spelled(self, text: str) -> list[Instrument]:
        """Return the instruments that are listed by their own name only, as options are, and that a symbol spells."""
        symbol = Symbol.parse(text)
        if symbol is None or not self._may_have(symbol):
            return []
        names = spellings(symbol, self._market.market)
        return [i for name in names for i in self._own.get(name, ()) if i.base is None]

    def _at_its_word(self, text: str) -> Instrument:
        try:
            return self._market.instrument(text)
        except ConfigError:
            symbol = Symbol.parse(text)
            if symbol is None:
                raise
        if not self._may_have(symbol):
            raise ConfigError(self._about("Unknown", text), markets_for(symbol))
        own = None if self._market.spell is None else self._market.spell(symbol)
        names = spellings(symbol, self._market.market) if own is None else [own]
        found = {i.id: i for name in names if (i := self._well_formed(name)) is not None}
        if len(found) != 1:
            # Of several names that the market could have, taking one would be a guess.
            raise ConfigError(self._about("Unknown", text) + ", whose list was not read", ("the venue's own name",))
        (instrument,) = found.values()
        return instrument

    def _may_have(self, symbol: Symbol) -> bool:
        # A pair alone may also mean a contract on it, since the user has named this market.
        return symbol.settle is None or self._market.market in markets_for(symbol)

    def _well_formed(self, name: str) -> Instrument | None:
        try:
            return self._market.instrument(name)
        except ConfigError:
            return None

    @property
    def _place(self) -> str:
        return f"{self._market.venue} {self._market.market}"

    def _about(self, fault: str, symbol: str) -> str:
        return f"{fault} symbol at {self._place}: {symbol[:ECHO_MAX]}"

    def _suggestions(self, name: str) -> tuple[str, ...]:
        """Return symbols that begin alike, the longest likeness first, so that a slip of the finger shows."""
        listed = sorted(self._exact)
        for length in range(len(name), 0, -1):
            alike = [s for s in listed if s.upper().startswith(name[:length])]
            if alike:
                return (*alike[:_SUGGESTIONS_MAX], *(["…"] if len(alike) > _SUGGESTIONS_MAX else []))
        return (*listed[:_SUGGESTIONS_MAX], *(["…"] if len(listed) > _SUGGESTIONS_MAX else []))


def _loose_names(instrument: Instrument) -> set[str]:
    names = {instrument.symbol.upper(), instrument.venue_symbol.translate(_SEPARATORS).upper()}
    if instrument.base is not None and instrument.kind in (Kind.SPOT, Kind.PERPETUAL):
        names.add(f"{instrument.base}/{instrument.quote}".upper())
    return names
