from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues.contract import Subscription
from heliograph.venues.luno.instruments import instrument_of_symbol
from heliograph.venues.luno.streams import DURATIONS_S, plan

RAND, ETHER = instrument_of_symbol("XBTZAR"), instrument_of_symbol("ETHXBT")


def test_each_pair_has_a_socket_of_its_own_for_all_that_is_wanted_of_it() -> None:
    wanted = [
        Subscription(Channel.BOOK, RAND),
        Subscription(Channel.TRADES, ETHER),
        Subscription(Channel.CANDLES, RAND, Interval.M1),
        Subscription(Channel.BOOK, RAND),
    ]
    first, second = plan(wanted, 50)
    assert (first.path, first.subscriptions) == ("/api/1/stream/XBTZAR", (wanted[0], wanted[2]))
    assert (second.path, second.subscriptions) == ("/api/1/stream/ETHXBT", (wanted[1],))
    assert plan([], 50) == []


def test_intervals_are_as_long_as_they_say() -> None:
    assert all(interval.length_ns == seconds * 10**9 for interval, seconds in DURATIONS_S.items())
    # The venue has those of 3 h and 7 d too: see `streams`.
    assert Interval.W1 not in DURATIONS_S
