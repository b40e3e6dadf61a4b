import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.connect.limits import SLICES, Window, acquire, loop_clock_ns

CAPACITY = 20
WINDOW_S = 2.0
WINDOW_NS = int(WINDOW_S * NS_PER_S)
ASKS = st.lists(st.tuples(st.integers(0, WINDOW_NS), st.integers(1, CAPACITY)), max_size=100)


@given(ASKS)
def test_no_window_wherever_it_begins_holds_more_than_the_capacity(asks: list[tuple[int, int]]) -> None:
    window = Window(CAPACITY, WINDOW_S)
    now_ns = 0
    spent: list[tuple[int, int]] = []
    for pause_ns, cost in asks:
        now_ns += pause_ns
        delay_ns = window.delay_ns(now_ns, cost)
        assert window.book(now_ns, cost) == delay_ns
        spent.append((now_ns + delay_ns, cost))
    assert spent == sorted(spent, key=lambda at: at[0]), "served in the order of asking"
    for end_ns, _ in spent:
        assert sum(cost for at_ns, cost in spent if end_ns - WINDOW_NS < at_ns <= end_ns) <= CAPACITY


@given(ASKS)
def test_who_asks_alone_never_waits_longer_than_a_window_and_a_slice(asks: list[tuple[int, int]]) -> None:
    window = Window(CAPACITY, WINDOW_S)
    now_ns = 0
    for pause_ns, cost in asks:
        now_ns += pause_ns
        delay_ns = window.book(now_ns, cost)
        assert delay_ns <= WINDOW_NS + WINDOW_NS // SLICES
        now_ns += delay_ns


def test_a_full_window_opens_when_its_first_booking_is_a_window_old() -> None:
    window = Window(3, 1.0)
    assert [window.book(at) for at in (0, 100_000_000, 200_000_000)] == [0, 0, 0]
    assert window.delay_ns(300_000_000) == 700_000_000
    assert window.delay_ns(1_000_000_000) == 0
    assert window.used(1_000_000_000) == 2


def test_the_venue_is_believed_where_it_counted_more_and_not_where_it_counted_less() -> None:
    window = Window(100, 60.0)
    window.book(0, 10)
    window.observe(0, 95)
    assert window.used(0) == 95
    assert window.delay_ns(0, 5) == 0
    assert window.delay_ns(0, 6) > 0
    window.observe(1, 0)
    assert window.used(1) == 95
    window.observe(2, 100_000)
    assert window.delay_ns(2) == 60 * NS_PER_S, "more than the capacity is waited out, not refused"


def test_nothing_goes_through_while_the_venue_asks_for_silence() -> None:
    window = Window(100, 1.0)
    window.hold(0, 30.0)
    window.hold(0, 5.0)
    assert window.book(0) == 30 * NS_PER_S
    assert window.held_ns(10 * NS_PER_S) == 20 * NS_PER_S


def test_memory_is_bounded_by_slices_not_by_bookings() -> None:
    window = Window(1_000_000, 60.0)
    for millisecond in range(60_000):
        window.book(millisecond * 1_000_000)
    assert len(window._entries) <= SLICES + 1


def test_a_rate_below_one_a_second_is_one_in_as_many_seconds() -> None:
    window = Window.per_second(0.5)
    assert [window.book(0), window.book(0)] == [0, 2 * NS_PER_S]
    assert Window.per_second(5.9).capacity == 5


@pytest.mark.parametrize(("capacity", "window_s"), [(0, 1.0), (1, 0.0)])
def test_an_empty_budget_is_refused(capacity: int, window_s: float) -> None:
    with pytest.raises(ValueError, match="no budget"):
        Window(capacity, window_s)


@given(st.integers(-5, 0) | st.integers(CAPACITY + 1, CAPACITY * 2))
def test_a_cost_that_never_fits_is_refused_instead_of_waited_for(cost: int) -> None:
    with pytest.raises(ValueError, match="never fits"):
        Window(CAPACITY, WINDOW_S).book(0, cost)


async def test_tasks_that_share_a_budget_are_let_through_turn_by_turn_and_within_it() -> None:
    window = Window(3, 0.05)
    passed: list[tuple[int, int]] = []

    async def ask(number: int) -> None:
        await acquire(window)
        passed.append((loop_clock_ns(), number))

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(ask(number))
    assert [number // 3 for _, number in passed] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    times_ns = [at_ns for at_ns, _ in passed]
    assert all(times_ns[i + 3] - times_ns[i] >= 50_000_000 - 1_000_000 for i in range(7))


async def test_a_hold_stops_those_who_wait_already() -> None:
    window = Window(1, 0.02)
    await acquire(window)
    waiting = asyncio.create_task(acquire(window))
    await asyncio.sleep(0)
    start_ns = loop_clock_ns()
    window.hold(start_ns, 0.1)
    await waiting
    assert loop_clock_ns() - start_ns >= 100_000_000


def test_what_was_booked_and_not_used_is_given_back_where_it_was_booked() -> None:
    window = Window(10, 64.0)
    window.book(0, 6)
    window.book(5 * NS_PER_S, 4)
    assert window.delay_ns(6 * NS_PER_S, 4) == 58 * NS_PER_S
    window.give_back(5 * NS_PER_S, 4)
    assert window.used(6 * NS_PER_S) == 6
    assert window.book(6 * NS_PER_S, 4) == 0
    window.give_back(0, 6)
    assert window.used(6 * NS_PER_S) == 4, "the later one is still counted"
    assert window.delay_ns(6 * NS_PER_S, 7) == 64 * NS_PER_S
    for _ in range(3):
        window.give_back(0, 6)
        window.give_back(-1, 6)
    assert window.used(6 * NS_PER_S) == 4, "no more is given back than was booked"
