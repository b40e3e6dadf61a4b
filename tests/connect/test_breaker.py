from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.connect.breaker import TRANSITIONS, Breaker, Signal, State


def opened(breaker: Breaker, now_ns: int) -> None:
    for _ in range(5):
        assert breaker.begin(now_ns)
        breaker.failed(now_ns)
    assert breaker.state is State.OPEN


def test_the_fifth_failure_in_a_row_opens_and_a_success_between_starts_over() -> None:
    breaker = Breaker()
    for _ in range(3):
        for _ in range(4):
            assert breaker.begin(0)
            breaker.failed(0)
        assert breaker.begin(0)
        breaker.succeeded(0)
        assert breaker.state is State.CLOSED
    opened(breaker, 0)


def test_each_opening_in_a_row_waits_twice_as_long_up_to_the_cap() -> None:
    breaker = Breaker()
    now_ns = 0
    opened(breaker, now_ns)
    for wait_s in (30, 60, 120, 240, 300, 300):
        assert breaker.wait_ns(now_ns) == wait_s * NS_PER_S
        assert not breaker.begin(now_ns + wait_s * NS_PER_S - 1)
        now_ns += wait_s * NS_PER_S
        assert breaker.begin(now_ns)
        assert breaker.state is State.HALF_OPEN
        breaker.failed(now_ns)
        assert breaker.state is State.OPEN


def test_a_trial_that_succeeds_closes_and_the_next_opening_is_a_first_one() -> None:
    breaker = Breaker()
    opened(breaker, 0)
    assert breaker.begin(30 * NS_PER_S)
    breaker.succeeded(31 * NS_PER_S)
    assert (breaker.state, breaker.failures) == (State.CLOSED, 0)
    opened(breaker, 32 * NS_PER_S)
    assert breaker.wait_ns(32 * NS_PER_S) == 30 * NS_PER_S


def test_half_open_lets_in_as_many_as_it_says_and_an_abandoned_trial_makes_room() -> None:
    breaker = Breaker(trials_max=2)
    opened(breaker, 0)
    now_ns = 30 * NS_PER_S
    assert [breaker.begin(now_ns) for _ in range(3)] == [True, True, False]
    assert breaker.wait_ns(now_ns) > 0
    breaker.abandoned()
    assert breaker.wait_ns(now_ns) == 0
    assert breaker.begin(now_ns)
    breaker.failed(now_ns)
    now_ns += 60 * NS_PER_S
    assert [breaker.begin(now_ns) for _ in range(3)] == [True, True, False], "trials of an earlier time are forgotten"


def test_an_attempt_under_way_that_comes_through_closes_an_open_breaker() -> None:
    breaker = Breaker()
    assert breaker.begin(0)
    opened(breaker, 0)
    breaker.succeeded(1)
    assert breaker.state is State.CLOSED


def test_the_numbers_are_those_of_the_documented_gauge() -> None:
    assert [int(state) for state in (State.CLOSED, State.OPEN, State.HALF_OPEN)] == [0, 1, 2]


STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "succeeded", "failed", "abandoned"]), st.integers(0, 400 * NS_PER_S)),
    max_size=200,
)


@given(STEPS, st.integers(1, 3))
def test_it_never_spins_never_locks_up_and_moves_only_along_the_table(
    steps: list[tuple[str, int]], trials_max: int
) -> None:
    breaker = Breaker(trials_max=trials_max)
    now_ns = 0
    under_way = 0
    for step, pause_ns in steps:
        now_ns += pause_ns
        before = breaker.state
        wait_ns = breaker.wait_ns(now_ns)
        if step == "begin":
            let_in = breaker.begin(now_ns)
            assert let_in is (wait_ns == 0)
            if let_in and breaker.state is State.HALF_OPEN:
                under_way += 1
                assert under_way <= trials_max
        elif step == "abandoned":
            breaker.abandoned()
            under_way = max(0, under_way - 1)
        else:
            getattr(breaker, step)(now_ns)
        if breaker.state is not before:
            assert any(TRANSITIONS.get((before, signal)) is breaker.state for signal in Signal)
        if breaker.state is not State.HALF_OPEN:
            under_way = 0
        assert breaker.wait_ns(now_ns) <= 300 * NS_PER_S
        if breaker.state is State.HALF_OPEN:
            assert (breaker.wait_ns(now_ns) == 0) is (under_way < trials_max)
        if breaker.state is State.OPEN:
            assert breaker.wait_ns(now_ns + 300 * NS_PER_S) == 0
