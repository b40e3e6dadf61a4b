"""The grid that candles lie on."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S, from_iso
from heliograph.model.interval import Interval

instants_ns = st.integers(86_400 * 40, 4_000_000_000).map(lambda s: s * NS_PER_S)


@given(st.sampled_from(Interval), instants_ns)
def test_every_instant_falls_into_exactly_one_candle(interval: Interval, instant_ns: int) -> None:
    open_ns = interval.open_of(instant_ns)
    following_ns = interval.next_open(open_ns)
    assert open_ns <= instant_ns < following_ns
    assert interval.open_of(open_ns) == open_ns
    assert interval.open_of(following_ns) == following_ns


@given(st.sampled_from(Interval), instants_ns)
def test_a_fixed_length_is_the_step(interval: Interval, instant_ns: int) -> None:
    open_ns = interval.open_of(instant_ns)
    if interval.length_ns is not None:
        assert interval.next_open(open_ns) - open_ns == interval.length_ns


def test_months_have_their_own_lengths() -> None:
    """T31: a month is no number of days."""
    assert Interval.MO1.next_open(from_iso("2028-02-01T00:00Z")) == from_iso("2028-03-01T00:00Z")
    assert Interval.MO1.next_open(from_iso("2026-12-01T00:00Z")) == from_iso("2027-01-01T00:00Z")
    assert Interval.MO3.next_open(from_iso("2026-10-01T00:00Z")) == from_iso("2027-01-01T00:00Z")
    assert Interval.MO1.length_ns is None


@pytest.mark.parametrize("day", range(1, 29))
def test_weeks_open_on_mondays(day: int) -> None:
    opened = Interval.W1.open_of(int(datetime(2026, 11, day, 12, tzinfo=UTC).timestamp()) * NS_PER_S)
    assert datetime.fromtimestamp(opened // NS_PER_S, UTC).weekday() == 0


def test_minutes_and_months_are_not_confused() -> None:
    assert Interval("1m") is Interval.M1
    assert Interval("1M") is Interval.MO1
