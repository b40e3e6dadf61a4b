"""The venues: pure codecs, one folder each, and the one table that lists them."""

from collections.abc import Mapping
from typing import Final

from heliograph.errors import ConfigError
from heliograph.model.instrument import VenueId
from heliograph.venues import binance
from heliograph.venues.contract import Market, Venue
from heliograph.venues.directory import ECHO_MAX

VENUES: Final[Mapping[VenueId, Venue]] = {venue.name: venue for venue in (binance.VENUE,)}


def find_venue(name: str, venues: Mapping[VenueId, Venue] = VENUES) -> Venue:
    """Return the venue of this name, in whatever case it is written.

    Args:
        name: what a user wrote.
        venues: the venues that there are, which may be elsewhere than at their real addresses.

    Raises:
        ConfigError: there is none; the error says which there are.

    """
    venue = venues.get(VenueId(name.lower()))
    if venue is None:
        raise ConfigError(f"Unsupported exchange: {name[:ECHO_MAX]}", tuple(sorted(venues)))
    return venue


def find_market(venue: Venue, name: str | None) -> Market:
    """Return a venue's market by its name or one of its other names, in whatever case; None is the venue's default.

    Raises:
        ConfigError: there is none, or the venue has no default; the error says what there is.

    """
    if name is None:
        if venue.default_market is None:
            raise ConfigError(f"Exchange {venue.name} needs a market (contract_type)", _accepted(venue))
        return venue.markets[venue.default_market]
    wanted = name.lower()
    for market in venue.markets.values():
        if wanted in (market.market, *market.aliases):
            return market
    raise ConfigError(f"Unsupported contract_type for {venue.name}: {name[:ECHO_MAX]}", _accepted(venue))


def _accepted(venue: Venue) -> tuple[str, ...]:
    return tuple(f"{n} ({', '.join(m.aliases)})" if m.aliases else str(n) for n, m in venue.markets.items())
