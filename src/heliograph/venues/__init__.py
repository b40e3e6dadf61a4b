"""The venues: pure codecs, one folder each, and the one table that lists them."""

from collections.abc import Mapping, Sequence
from typing import Final

from heliograph.errors import ConfigError
from heliograph.model.instrument import VenueId
from heliograph.model.symbol import Symbol
from heliograph.venues import binance, bybit, coinbase, gateio, hyperliquid, kraken, luno, okx
from heliograph.venues.contract import Market, Venue
from heliograph.venues.directory import ECHO_MAX
from heliograph.venues.naming import MARKET_WORDS, markets_for

VENUES: Final[Mapping[VenueId, Venue]] = {
    venue.name: venue
    for venue in (
        binance.VENUE,
        okx.VENUE,
        bybit.VENUE,
        gateio.VENUE,
        hyperliquid.VENUE,
        kraken.VENUE,
        coinbase.VENUE,
        luno.VENUE,
    )
}


def find_venue(name: str, venues: Mapping[VenueId, Venue] = VENUES) -> Venue:
    """Return the venue of this name, in whatever case it is written.

    Args:
        name: what a user wrote.
        venues: the venues that there are, which may be elsewhere than at their real addresses, and fewer.

    Raises:
        ConfigError: there is none; the error says which there are.

    """
    wanted = VenueId(name.lower())
    venue = venues.get(wanted)
    if venue is None:
        fault = (
            f"Exchange {wanted} is not simulated" if wanted in VENUES else f"Unsupported exchange: {name[:ECHO_MAX]}"
        )
        raise ConfigError(fault, tuple(sorted(venues)))
    return venue


def find_market(venue: Venue, name: str | None) -> Market:
    """Return a venue's market by its name or one of its other names, in whatever case; None is the venue's default.

    Raises:
        ConfigError: there is none, or the venue has no default; the error says what there is.

    """
    if name is None:
        if venue.default_market is None:
            raise _needs_a_market(venue)
        name = venue.default_market
    wanted = name.lower()
    market = _named(venue, wanted)
    if market is None:
        known = VENUES.get(venue.name)
        elsewhere = None if known is None else _named(known, wanted)
        if elsewhere is not None:
            raise ConfigError(f"{venue.name} {elsewhere.market} is not simulated", _accepted(venue))
        raise ConfigError(f"Unsupported contract_type for {venue.name}: {name[:ECHO_MAX]}", _accepted(venue))
    return market


def markets_of(venue: Venue, name: str | None, symbols: Sequence[str]) -> list[tuple[Market, tuple[str, ...]]]:
    """Sort symbols by the markets that they are to be looked for in, in the order in which each is first needed.

    Where a market is named, it is the one for all of them. Where none is, each symbol tells its own, by the venue's way
    of naming (`Venue.market_of_symbol`) or by the unified form (`BTC/USDT` is spot, `BTC/USDT:USDT` a linear contract,
    `BTC/USD:BTC` an inverse one); a symbol that does not is of the venue's default market.

    A venue whose symbols tell their market and that has no default needs no name: there a name matters only to symbols
    that do not tell. It must still be what somebody calls a market.

    Args:
        venue: the venue.
        name: the market's name or alias, if the user gave one.
        symbols: what the user wrote.

    Raises:
        ConfigError: there is no such market, or a symbol does not tell its own where it must.

    """
    told_by_symbol = symbols_tell(venue)
    named: Market | None = None
    if name is not None and not (told_by_symbol and _is_a_word_elsewhere(venue, name.lower())):
        named = find_market(venue, name)
    sorted_by: dict[str, tuple[Market, list[str]]] = {}
    for symbol in symbols:
        market = named
        if market is None or told_by_symbol:
            market = _told(venue, symbol, named)
        sorted_by.setdefault(market.market, (market, []))[1].append(symbol)
    return [(market, tuple(some)) for market, some in sorted_by.values()]


def symbols_tell(venue: Venue) -> bool:
    """Whether every symbol of a venue says which market it is of, so that nobody needs to name one."""
    return venue.market_of_symbol is not None and venue.default_market is None


def tells_market(venue: Venue, symbol: str) -> bool:
    """Whether a symbol says which of the venue's markets it is of, by the venue's way of naming or in unified form."""
    by_name = None if venue.market_of_symbol is None else venue.market_of_symbol(symbol)
    return by_name is not None or Symbol.parse(symbol) is not None


def _told(venue: Venue, symbol: str, named: Market | None) -> Market:
    """Return the market that a symbol tells; the named one, or the venue's default, if it tells none."""
    by_name = None if venue.market_of_symbol is None else venue.market_of_symbol(symbol)
    if by_name is not None:
        return find_market(venue, by_name)
    if named is not None:
        return named
    unified = Symbol.parse(symbol)
    if unified is not None:
        known = VENUES.get(venue.name, venue).markets
        market = next((market for market in markets_for(unified) if market in known or market in venue.markets), None)
        if market is None:
            raise ConfigError(f"{venue.name} has no market for {symbol[:ECHO_MAX]}", _accepted(venue))
        return find_market(venue, market)
    if symbols_tell(venue):
        what = f"{symbol[:ECHO_MAX]} does not tell its market at {venue.name}"
        raise ConfigError(what, ("the venue's own name", "BTC/USDT", "BTC/USDT:USDT", *_accepted(venue)))
    return find_market(venue, None)


def _named(venue: Venue, wanted: str) -> Market | None:
    return next((m for m in venue.markets.values() if wanted in (m.market, *m.aliases)), None)


def _is_a_word_elsewhere(venue: Venue, wanted: str) -> bool:
    if _named(VENUES.get(venue.name, venue), wanted) is not None:
        return False
    return wanted in MARKET_WORDS or any(_named(other, wanted) is not None for other in VENUES.values())


def _needs_a_market(venue: Venue) -> ConfigError:
    return ConfigError(f"Exchange {venue.name} needs a market (contract_type)", _accepted(venue))


def _accepted(venue: Venue) -> tuple[str, ...]:
    return tuple(f"{n} ({', '.join(m.aliases)})" if m.aliases else str(n) for n, m in venue.markets.items())
