from hypothesis import given
from hypothesis import strategies as st

from heliograph.venues.heartbeat import Heartbeat


def test_nothing_is_due_before_the_socket_is_open() -> None:
    assert not Heartbeat(10).due(10**18)


def test_pings_keep_their_distance_from_the_opening_on() -> None:
    beat = Heartbeat(10)
    beat.since_ns = 100
    assert [now for now in range(100, 140) if beat.due(now)] == [110, 120, 130]


def test_a_sign_of_life_delays_the_next_ping() -> None:
    beat = Heartbeat(10)
    beat.since_ns = 100
    beat.since_ns = 109
    assert not beat.due(118)
    assert beat.due(119)


@given(st.lists(st.integers(0, 1000), min_size=2))
def test_t27_whatever_the_clock_does_two_ticks_that_far_apart_have_a_ping_between_them(times: list[int]) -> None:
    beat = Heartbeat(10)
    beat.since_ns = silent_since = times[0]
    for now in times[1:]:
        if beat.due(now):
            silent_since = now
        assert 0 <= now - silent_since < 10
