from functools import partial

from heliograph.model.instrument import SPOT
from heliograph.venues.contract import Connection, Credentials, Effect, Send
from heliograph.venues.luno import VENUE
from heliograph.venues.luno.market import Feed

MARKET = VENUE.markets[SPOT]


def test_a_key_makes_the_market_that_can_be_fed_from() -> None:
    assert MARKET.needs_credentials
    assert MARKET.headers == {}
    assert MARKET.with_credentials is not None
    made = MARKET.with_credentials(Credentials("keyid", "keysecret"))
    assert not made.needs_credentials
    assert made.headers == {"Authorization": "Basic a2V5aWQ6a2V5c2VjcmV0"}
    effects: list[Effect] = []
    made.feed(Connection("/api/1/stream/XBTZAR", ())).opened(0, effects)
    assert [type(effect) for effect in effects] == [Send]
    assert isinstance(MARKET.feed, partial)
    assert MARKET.feed.func is Feed


def test_its_limits_are_below_the_documented_ones() -> None:
    limits = MARKET.limits
    assert (limits.weight_max <= 300, limits.weight_window_s) == (True, 60)
    assert (limits.connections_max, limits.streams_per_connection_max) == (50, 1)
    assert {refusal.status or refusal.code for refusal in limits.refusals} == {429, "ErrTooManyRequests"}
