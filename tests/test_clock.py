"""Time as a value."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, ManualClock, ScaledClock, SystemClock, from_iso, iso_ms

instants_ms = st.integers(0, 4_102_444_800_000)


def test_an_instant_is_rendered_with_milliseconds() -> None:
    assert iso_ms(1_653_818_762_502_999_999) == "2022-05-29T10:06:02.502Z"
    assert iso_ms(0) == "1970-01-01T00:00:00.000Z"
    assert iso_ms(from_iso("0999-12-31T23:59:59.999Z")) == "0999-12-31T23:59:59.999Z"


@given(instants_ms)
def test_iso_text_round_trips_at_a_millisecond(instant_ms: int) -> None:
    assert from_iso(iso_ms(instant_ms * NS_PER_MS)) == instant_ms * NS_PER_MS


@given(instants_ms)
def test_iso_text_is_what_datetime_says(instant_ms: int) -> None:
    expected = datetime.fromtimestamp(instant_ms // 1000, UTC).replace(microsecond=instant_ms % 1000 * 1000)
    assert datetime.fromisoformat(iso_ms(instant_ms * NS_PER_MS)) == expected


@pytest.mark.parametrize("text", ["2026-11-21T09:42:40", "yesterday", ""])
def test_a_text_without_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_iso(text)


def test_a_manual_clock_moves_only_forward() -> None:
    clock = ManualClock(5)
    clock.advance(7)
    assert clock.now_ns() == 12
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)


def test_a_scaled_clock_starts_where_it_is_told_and_runs_faster_than_the_wall() -> None:
    wall = SystemClock()
    scaled = ScaledClock(1_000, 1_000.0)
    before_ns = wall.now_ns()
    while wall.now_ns() - before_ns < NS_PER_MS:
        pass
    assert scaled.now_ns() - 1_000 >= 900 * NS_PER_MS
