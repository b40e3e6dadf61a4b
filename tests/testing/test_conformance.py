import msgspec
import pytest

from heliograph.errors import ConfigError, HeliographError
from heliograph.model.instrument import VenueId
from heliograph.testing import Nonconforming, check_venue
from heliograph.venues import VENUES
from tests.testing.breaking import BINANCE, altered


@pytest.mark.parametrize("venue", sorted(VENUES))
def test_every_venue_conforms(venue: str) -> None:
    check_venue(VENUES[VenueId(venue)])


def test_what_is_wrong_is_a_failed_assertion_that_says_where_and_what() -> None:
    with pytest.raises(
        AssertionError, match=r"^binance spot: its URL is wss://host, .*; found: http://here$"
    ) as raised:
        check_venue(altered(socket_url="http://here"))
    error = raised.value
    assert isinstance(error, Nonconforming)
    assert isinstance(error, HeliographError)
    assert (error.place, error.found) == ("binance spot", "http://here")


def test_a_venue_that_nobody_plays_is_told_so() -> None:
    with pytest.raises(ConfigError, match="cannot simulate 'nowhere'"):
        check_venue(msgspec.structs.replace(BINANCE, name="nowhere"))
