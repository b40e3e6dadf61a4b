import msgspec

from heliograph.model.instrument import SPOT
from heliograph.model.interval import Interval
from heliograph.venues import binance
from heliograph.venues.contract import Credentials


def test_a_secret_is_not_told_by_printing_it() -> None:
    credentials = Credentials("the key", "the secret")
    for told in (repr(credentials), str(credentials), f"{credentials}", repr([credentials])):
        assert "the key" not in told
        assert "the secret" not in told


def test_what_only_the_past_has_is_not_streamed() -> None:
    market = next(iter(binance.VENUE.markets.values()))
    assert market.streamed == market.intervals
    fewer = msgspec.structs.replace(market, past_only=(Interval.M1,))
    assert set(market.intervals) - set(fewer.streamed) == {Interval.M1}


def test_candles_are_of_a_minute_where_nobody_says_or_else_the_shortest_that_are_streamed() -> None:
    market = binance.VENUE.markets[SPOT]
    assert market.streamed[:2] == (Interval.S1, Interval.M1)
    without = tuple(interval for interval in market.intervals if interval not in (Interval.M15, Interval.H1))
    found = [
        msgspec.structs.replace(market, past_only=past).default_interval
        for past in ((), (Interval.S1,), without, market.intervals)
    ]
    assert found == [Interval.M1, Interval.M1, Interval.M15, None]
