import random

from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.connect.backoff import RETRY_AFTER_S_MAX, Backoff, retry_after_s


@given(st.integers(), st.integers(1, 2000))
def test_a_wait_is_within_the_doubling_bound_and_the_cap(seed: int, failures: int) -> None:
    backoff = Backoff(random.Random(seed), base_s=0.5, cap_s=30.0)
    for failure in range(failures):
        assert 0 <= backoff.failed(failure) <= min(30.0, 0.5 * 2.0 ** min(failure, 60)) * NS_PER_S


def test_a_seed_repeats_the_waits_and_the_jitter_is_full() -> None:
    def waits(seed: int) -> list[int]:
        backoff = Backoff(random.Random(seed), base_s=1.0, cap_s=1.0)
        return [backoff.failed(0) for _ in range(1000)]

    assert waits(7) == waits(7) != waits(8)
    assert min(waits(7)) < 0.05 * NS_PER_S
    assert max(waits(7)) > 0.95 * NS_PER_S


@given(st.integers(), st.floats(0, 1000))
def test_what_the_venue_asks_for_is_never_undercut(seed: int, asked_s: float) -> None:
    backoff = Backoff(random.Random(seed), base_s=0.5, cap_s=1.0)
    assert int(asked_s * NS_PER_S) <= backoff.failed(0, asked_s) <= (asked_s + 0.5) * NS_PER_S + 1


def test_only_what_held_long_enough_is_forgotten() -> None:
    backoff = Backoff(random.Random(1), stable_s=60.0)
    for _ in range(5):
        backoff.failed(0)
    backoff.succeeded(0)
    backoff.failed(59 * NS_PER_S)
    assert backoff.failures == 6
    backoff.succeeded(100 * NS_PER_S)
    backoff.failed(160 * NS_PER_S)
    assert backoff.failures == 1
    backoff.failed(1000 * NS_PER_S)
    assert backoff.failures == 2, "time alone, without a success, forgets nothing"


def test_retry_after_is_read_in_seconds_or_not_at_all() -> None:
    assert retry_after_s("30") == 30.0
    assert retry_after_s(" 30 ") == 30.0
    assert retry_after_s("9" * 400) == RETRY_AFTER_S_MAX


@given(st.none() | st.text())
def test_no_retry_after_header_raises(header: str | None) -> None:
    wait_s = retry_after_s(header)
    assert wait_s is None or 0 <= wait_s <= RETRY_AFTER_S_MAX
