"""The venues: pure codecs, one folder each, and the one table that lists them."""

from collections.abc import Mapping
from typing import Final

from heliograph.errors import ConfigError
from heliograph.model.instrument import VenueId
from heliograph.venues import binance
from heliograph.venues.contract import Market, Venue

VENUES: Final[Mapping[VenueId, Venue]] = {venue.name: venue for venue in (binance.VENUE,)}


def find_venue(name: str) -> Venue:
    """Return the venue of this name, in whatever case it is written.

    Raises:
        ConfigError: there is none; the error says which there are.

    """
    venue = VENUES.get(VenueId(name.lower()))
    if venue is None:
        raise ConfigError(f"unknown venue {name!r}", tuple(VENUES))
    return venue


def find_market(venue: Venue, name: str | None) -> Market:
    """Return a venue's market by its name or one of its other names, in whatever case; None is the venue's default.

    Raises:
        ConfigError: there is none, or the venue has no default; the error says what there is.

    """
    accepted = tuple(text for market in venue.markets.values() for text in (market.market, *market.aliases))
    wanted = venue.default_market if name is None else name.lower()
    if wanted is None:
        raise ConfigError(f"{venue.name} needs a market", accepted)
    for market in venue.markets.values():
        if wanted in (market.market, *market.aliases):
            return market
    raise ConfigError(f"unknown market {name!r} of {venue.name}", accepted)
