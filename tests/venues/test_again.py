from hypothesis import given
from hypothesis import strategies as st

from heliograph.venues.again import Again


def test_what_was_never_asked_is_due_and_then_waits() -> None:
    again = Again(5, 60)
    assert again.due(0)
    again.asked(100)
    assert not again.due(104)
    assert again.due(105)


def test_waits_double_up_to_the_longest_until_it_works() -> None:
    again = Again(5, 60)
    waits = []
    for _ in range(6):
        again.asked(0)
        waits.append(next(now for now in range(100) if again.due(now)))
        again.in_vain()
    assert waits == [5, 10, 20, 40, 60, 60]
    again.worked()
    again.asked(0)
    assert again.due(5)
    assert not again.due(4)


def test_a_wait_can_be_ended() -> None:
    again = Again(5, 60)
    again.asked(0)
    again.at_once()
    assert again.due(1)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_clock_set_back_holds_nobody_for_longer_than_the_longest_wait(asked_ns: int, now_ns: int) -> None:
    again = Again(5, 60)
    again.asked(asked_ns)
    assert again.due(now_ns) or again.due(now_ns + 60)
