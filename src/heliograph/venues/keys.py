"""Markets that tell nothing to somebody without a key, and how a key is given."""

from collections.abc import Callable, Mapping

import msgspec

from heliograph.errors import ConfigError
from heliograph.model.instrument import VenueId
from heliograph.venues.contract import Credentials, Market, Venue


def require_key(market: Market) -> None:
    """Refuse a market that needs a key and was given none.

    Raises:
        ConfigError: it is such a market; the error says which settings to set.

    """
    if market.needs_credentials:
        name = market.venue.upper()
        raise ConfigError(
            f"{market.venue} tells market data only to who has an API key",
            (f"one in HELIOGRAPH_{name}_KEY and HELIOGRAPH_{name}_SECRET",),
        )


def with_keys(
    venues: Mapping[VenueId, Venue], key_of: Callable[[VenueId], Credentials | None]
) -> Mapping[VenueId, Venue]:
    """Return the venues as somebody with keys has them, at the addresses that they have here.

    Args:
        venues: the venues.
        key_of: returns the key to a venue, if there is one; asked only of venues where it makes a difference.

    """
    return {name: _with_key(venue, key_of) for name, venue in venues.items()}


def _with_key(venue: Venue, key_of: Callable[[VenueId], Credentials | None]) -> Venue:
    makers = {name: market.with_credentials for name, market in venue.markets.items() if market.with_credentials}
    key = key_of(venue.name) if makers else None
    if key is None:
        return venue
    markets = dict(venue.markets)
    for name, make in makers.items():
        here = venue.markets[name]
        markets[name] = msgspec.structs.replace(make(key), socket_url=here.socket_url, rest_url=here.rest_url)
    return msgspec.structs.replace(venue, markets=markets)
