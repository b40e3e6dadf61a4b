"""The names that users write, and what they mean: venues, markets, symbols."""

from collections.abc import Iterable, Mapping, Sequence

from heliograph.errors import ConfigError
from heliograph.model.instrument import Instrument, InstrumentId, Kind, VenueId
from heliograph.venues.contract import Market, Venue

ECHO_MAX = 64
"""How much of a stranger's text is repeated to them, in characters."""
_SUGGESTIONS_MAX = 5


def find_market(exchange: str, contract_type: str | None, venues: Mapping[VenueId, Venue]) -> Market:
    """Return the market that a user means.

    Args:
        exchange: the venue's name, in any case.
        contract_type: a market's name or alias, in any case; None: the venue's default market, where it has one.
        venues: the venues that there are.

    Raises:
        ConfigError: no such venue or market, or none named where one must be; it says what is accepted.

    """
    venue = venues.get(VenueId(exchange.lower()))
    if venue is None:
        raise ConfigError(f"Unsupported exchange: {exchange[:ECHO_MAX]}", tuple(sorted(venues)))
    if contract_type is None:
        if venue.default_market is None:
            raise ConfigError(f"Exchange {venue.name} needs a contract_type (market)", _markets(venue))
        return venue.markets[venue.default_market]
    wanted = contract_type.lower()
    for name, market in venue.markets.items():
        if wanted == name or wanted in market.aliases:
            return market
    raise ConfigError(f"Unsupported contract_type for {venue.name}: {contract_type[:ECHO_MAX]}", _markets(venue))


def _markets(venue: Venue) -> tuple[str, ...]:
    return tuple(f"{n} ({', '.join(m.aliases)})" if m.aliases else str(n) for n, m in venue.markets.items())


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
