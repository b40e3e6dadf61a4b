from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S, from_iso
from heliograph.errors import ConfigError
from heliograph.marketdata import history
from heliograph.marketdata.history import Hole, Span, Verdict
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval

BTC = Instrument(VenueId("binance"), SPOT, "BTCUSDT")
M = 60 * NS_PER_S
NOW_NS = from_iso("2026-11-21T12:00:30Z")

intervals = st.sampled_from(list(Interval))
instants = st.integers(from_iso("2009-01-03T00:00:00Z"), NOW_NS)


@st.composite
def stretches(draw: st.DrawFn) -> tuple[Interval, list[int], int]:
    """An interval, some open times that follow one another on its grid, and the one after them."""
    interval = draw(intervals)
    found = [interval.open_of(draw(instants))]
    for _ in range(draw(st.integers(0, 60))):
        found.append(interval.next_open(found[-1]))
    return interval, found, interval.next_open(found[-1])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31T09:30", "2026-01-31T09:30:00Z"),
        ("2026-01-31 09:30:15", "2026-01-31T09:30:15Z"),
        ("2026-01-31T09:30+02:00", "2026-01-31T07:30:00Z"),
        ("2026-01-31T09:30:00.5Z", "2026-01-31T09:30:00.5Z"),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text: str, told: str) -> None:
    assert history.instant(text) == from_iso(told)


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "1969-12-31", "0001-01-01T00:00+14:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        history.instant(text)


def test_a_range_is_half_open_on_the_grid_and_ends_with_what_has_settled() -> None:
    midnight = from_iso("2026-11-21T00:00:00Z")
    wanted = history.series(BTC, Interval.M1, midnight + 1, midnight + 3 * M, NOW_NS)
    assert (wanted.from_ns, wanted.to_ns, wanted.candles) == (midnight + M, midnight + 3 * M, 2)
    within = history.series(BTC, Interval.M1, midnight, midnight + M + 1, NOW_NS)
    assert within.candles == 2, "the candle that opens before the end is wanted although it ends after it"
    to_present = history.series(BTC, Interval.M1, midnight, None, NOW_NS)
    assert to_present.to_ns == from_iso("2026-11-21T12:00:00Z"), "the live candle is not"
    assert history.series(BTC, Interval.M1, midnight, NOW_NS + 10**15, NOW_NS).to_ns == to_present.to_ns


def test_a_candle_that_has_only_just_ended_is_left_for_the_next_time() -> None:
    ended = from_iso("2026-11-21T12:00:00Z")
    for age_s, last in ((9, ended - M), (10, ended)):
        wanted = history.series(BTC, Interval.M1, ended - 5 * M, None, ended + age_s * NS_PER_S)
        assert wanted.to_ns == last


def test_a_range_without_a_closed_candle_is_refused() -> None:
    with pytest.raises(ConfigError, match="no 1d candle"):
        history.series(BTC, Interval.D1, NOW_NS - 3600 * NS_PER_S, None, NOW_NS)
    with pytest.raises(ConfigError):
        history.series(BTC, Interval.M1, NOW_NS + M, None, NOW_NS)


@given(stretches(), st.integers(1, 70))
def test_parts_are_the_whole_range_once_and_none_is_too_long(
    stretch: tuple[Interval, list[int], int], size: int
) -> None:
    interval, expected, end_ns = stretch
    cut = list(history.parts(interval, expected[0], end_ns, size))
    assert [o for part in cut for o in history.opens(interval, part.from_ns, part.to_ns)] == expected
    assert all(history.count(interval, part.from_ns, part.to_ns) == size for part in cut[:-1])
    assert 1 <= history.count(interval, cut[-1].from_ns, cut[-1].to_ns) <= size
    assert all(a.to_ns == b.from_ns for a, b in pairwise(cut))
    assert cut[-1].to_ns == end_ns
    assert history.count(interval, expected[0], end_ns) == len(expected)
    assert history.last_open(interval, end_ns) == expected[-1]


@given(stretches(), st.data())
def test_what_is_missing_and_what_is_there_are_the_range(
    stretch: tuple[Interval, list[int], int], data: st.DataObject
) -> None:
    interval, expected, end_ns = stretch
    present = data.draw(st.sets(st.sampled_from(expected)))
    lacking = history.missing(interval, Span(expected[0], end_ns), present)
    absent = [o for span in lacking for o in history.opens(interval, span.from_ns, span.to_ns)]
    assert sorted([*present, *absent]) == expected
    assert all(a.to_ns < b.from_ns for a, b in pairwise(lacking)), "stretches that touch are one"
    asked = history.questions(lacking)
    assert len(asked) <= history.QUESTIONS_MAX
    assert all(any(q.from_ns <= s.from_ns and s.to_ns <= q.to_ns for q in asked) for s in lacking)


@given(stretches(), st.data())
def test_a_record_with_its_holes_told_is_whole_and_without_is_not(
    stretch: tuple[Interval, list[int], int], data: st.DataObject
) -> None:
    interval, expected, end_ns = stretch
    present = data.draw(st.sets(st.sampled_from(expected)))
    lacking = history.missing(interval, Span(expected[0], end_ns), present)
    holes = [Hole(span.from_ns, span.to_ns, "none") for span in lacking]
    told = history.verify(interval, expected[0], end_ns, sorted(present), holes)
    assert told == Verdict(len(present))
    assert told.whole
    untold = history.verify(interval, expected[0], end_ns, sorted(present), [])
    assert untold.missing == tuple(lacking)
    if holes:
        dropped = data.draw(st.integers(0, len(holes) - 1))
        some = [hole for at, hole in enumerate(holes) if at != dropped]
        verdict = history.verify(interval, expected[0], end_ns, sorted(present), some)
        assert verdict.missing == (lacking[dropped],)


@given(stretches(), st.data())
def test_a_record_that_is_not_the_grid_in_order_is_not_whole(
    stretch: tuple[Interval, list[int], int], data: st.DataObject
) -> None:
    interval, expected, end_ns = stretch
    at = data.draw(st.integers(0, len(expected) - 1))
    doubled = [*expected[: at + 1], *expected[at:]]
    assert history.verify(interval, expected[0], end_ns, doubled, []).doubled == 1
    strange = [*expected, end_ns]
    assert history.verify(interval, expected[0], end_ns, strange, []).strange == 1
    off_grid = [*expected[:at], expected[at] + 1, *expected[at:]]
    assert not history.verify(interval, expected[0], end_ns, off_grid, []).whole
    in_a_hole = [Hole(expected[at], interval.next_open(expected[at]), "none")]
    assert history.verify(interval, expected[0], end_ns, expected, in_a_hole).strange == 1
    if len(expected) > 1:
        swapped = [*expected[1:], expected[0]]
        assert history.verify(interval, expected[0], end_ns, swapped, []).disordered == 1


def test_holes_that_touch_are_one_where_their_reason_is() -> None:
    first = history.with_holes((), [Hole(0, M, "none"), Hole(M, 2 * M, "none")])
    assert first == (Hole(0, 2 * M, "none"),)
    assert history.with_holes(first, [Hole(2 * M, 3 * M, "other")]) == (*first, Hole(2 * M, 3 * M, "other"))
    assert history.with_holes(first, [Hole(3 * M, 4 * M, "none")]) == (*first, Hole(3 * M, 4 * M, "none"))


def test_what_is_missing_at_the_end_is_a_hole_only_once_it_is_old() -> None:
    now = 100 * M + 20 * NS_PER_S
    span = Span(0, 100 * M)
    young_ns = Interval.M1.open_of(now - history.YOUNG_NS)

    def end(*lacking: Span) -> int:
        return history.end_of_known(lacking, span, Interval.M1, now)

    assert end() == span.to_ns
    assert end(Span(50 * M, 60 * M)) == span.to_ns
    assert end(Span(98 * M, 100 * M)) == 98 * M
    assert end(Span(10 * M, 100 * M)) == young_ns
