import pytest

from heliograph.errors import ConfigError
from heliograph.model.instrument import SPOT, VenueId
from heliograph.venues import binance, luno
from heliograph.venues.contract import Credentials
from heliograph.venues.keys import require_key, with_keys

LUNO = VenueId("luno")
BOTH = {venue.name: venue for venue in (binance.VENUE, luno.VENUE)}


def test_a_market_that_needs_a_key_says_where_to_put_it() -> None:
    require_key(binance.VENUE.markets[SPOT])
    with pytest.raises(ConfigError, match="HELIOGRAPH_LUNO_KEY and HELIOGRAPH_LUNO_SECRET"):
        require_key(luno.VENUE.markets[SPOT])


def test_a_key_is_asked_for_where_it_matters_and_leaves_addresses_alone() -> None:
    asked = []

    def key_of(name: VenueId) -> Credentials | None:
        asked.append(name)
        return Credentials("id", "secret")

    keyed = with_keys(BOTH, key_of)
    assert asked == [LUNO]
    assert keyed[VenueId("binance")] is binance.VENUE
    market = keyed[LUNO].markets[SPOT]
    require_key(market)
    assert (market.socket_url, market.headers.keys()) == ("wss://ws.luno.com", {"Authorization"})


def test_without_a_key_nothing_changes() -> None:
    assert with_keys(BOTH, lambda _name: None) == BOTH
