from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Source
from heliograph.venues.candle_pages import (
    LATE_NS,
    SETTLED_NS,
    ascending,
    newest_open,
    page_end,
    past_candle,
    read_page,
)
from heliograph.venues.contract import CandlePage

BTC = Instrument(VenueId("there"), SPOT, "BTC")
MINUTE_NS = 60 * NS_PER_S
ROWS_MAX = 5


def candle(number: int, *, closed: bool = False) -> Candle:
    return past_candle(
        BTC, Interval.M1, number * MINUTE_NS, ("2", "3", "1", "2"), (Decimal(5), None, None), 7, closed=closed
    )


def page(from_number: int, to_number: int | None) -> CandlePage:
    to_ns = None if to_number is None else to_number * MINUTE_NS
    return CandlePage(BTC, Interval.M1, from_number * MINUTE_NS, to_ns)


def test_a_row_is_a_candle_of_rest() -> None:
    assert candle(3) == Candle(
        BTC, Interval.M1, 3 * MINUTE_NS, 4 * MINUTE_NS, Decimal(2), Decimal(3), Decimal(1), Decimal(2),
        Decimal(5), None, None, None, False, None, 7, Source.REST,
    )  # fmt: skip


@pytest.mark.parametrize(
    "prices", [("2", "1", "1", "2"), ("2", "3", "2.5", "3"), ("4", "3", "1", "2"), ("-1", "3", "-2", "2"), ("x",) * 4]
)
def test_t14_prices_out_of_order_are_refused(prices: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"order|number"):
        past_candle(BTC, Interval.M1, 0, prices, (None, None, None), 7)


@pytest.mark.parametrize("volume", ["-1", "NaN", "Infinity", "9" * 39])
def test_a_volume_that_is_none_is_refused(volume: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        past_candle(BTC, Interval.M1, 0, ("1",) * 4, (Decimal(volume), None, None), 7)


def test_t31_a_candle_off_the_grid_is_refused_unless_the_venue_tells_its_end() -> None:
    with pytest.raises(ValueError, match="opens at"):
        past_candle(BTC, Interval.M1, 1, ("1",) * 4, (None, None, None), 7)
    told = past_candle(BTC, Interval.W1, NS_PER_S, ("1",) * 4, (None, None, None), 7, close_ns=99 * NS_PER_S)
    assert told.close_ns == 99 * NS_PER_S


def test_t13_either_order_comes_out_ascending_and_a_mixed_one_is_refused() -> None:
    rows = [candle(1), candle(2), candle(3)]
    assert ascending(rows, newest_first=False) == rows
    assert ascending(rows[::-1], newest_first=True) == rows
    for mixed in ([rows[0], rows[0]], [rows[1], rows[0], rows[2]]):
        for newest_first in (True, False):
            with pytest.raises(ValueError, match="order"):
                ascending(mixed, newest_first=newest_first)


def test_t7_all_but_the_last_of_a_recording_are_closed() -> None:
    assert [c.closed for c in newest_open([candle(1), candle(2)])] == [True, False]
    assert newest_open([]) == []


@pytest.mark.parametrize(("past_ns", "closed"), [(-1, False), (SETTLED_NS - 1, False), (SETTLED_NS, True)])
def test_t7_a_last_row_is_closed_well_after_its_end_only(past_ns: int, closed: bool) -> None:
    answer = read_page(page(1, None), [candle(1)], 9 * MINUTE_NS, 2 * MINUTE_NS + past_ns)
    assert [c.closed for c in answer.candles] == [closed]


@pytest.mark.parametrize(("past_ns", "told"), [(LATE_NS - 1, [(2, False)]), (LATE_NS, [(1, True), (2, False)])])
def test_t8_a_row_that_is_followed_is_told_once_revisions_cannot_come(
    past_ns: int, told: list[tuple[int, bool]]
) -> None:
    answer = read_page(page(1, None), [candle(1), candle(2)], 9 * MINUTE_NS, 2 * MINUTE_NS + past_ns)
    assert [(c.open_ns // MINUTE_NS, c.closed) for c in answer.candles] == told


def test_t7_a_row_that_says_so_itself_is_closed() -> None:
    (told,) = read_page(page(1, None), [candle(1, closed=True)], 9 * MINUTE_NS, 0).candles
    assert told.closed


def test_a_range_that_ends_needs_only_the_row_after_it() -> None:
    answer = read_page(page(1, 2), [candle(1), candle(2), candle(3)], 3 * MINUTE_NS, 0)
    assert [(c.open_ns // MINUTE_NS, c.closed) for c in answer.candles] == [(1, True), (2, True)]
    assert answer.following is None


def test_a_window_that_is_bounded_by_time_is_no_longer() -> None:
    assert page_end(page(0, None), 1000, 10 * MINUTE_NS) == 10 * MINUTE_NS
    assert page_end(page(0, None), 5) == 4 * MINUTE_NS
    assert page_end(page(0, 2), 5) == 3 * MINUTE_NS


@given(
    from_number=st.integers(0, 20),
    length=st.none() | st.integers(0, 20),
    newest=st.integers(0, 40),
    missing=st.sets(st.integers(0, 40), max_size=10),
    past_s=st.integers(0, 59),
)
def test_t10_paging_a_venue_tells_each_of_its_closed_candles_once_and_ends(
    from_number: int, length: int | None, newest: int, missing: set[int], past_s: int
) -> None:
    """The venue has candles up to `newest`, which is live, some minutes without any, and answers a window at a time."""
    there = [n for n in range(newest + 1) if n not in missing]
    venue_ns = newest * MINUTE_NS + past_s * NS_PER_S
    to_number = None if length is None else min(from_number + length, newest - 1)
    if to_number is not None and to_number < from_number:
        return
    wanted: CandlePage | None = page(from_number, to_number)
    told: list[Candle] = []
    pages = 0
    while wanted is not None:
        end_ns = page_end(wanted, ROWS_MAX)
        rows = [candle(n) for n in there if wanted.from_ns <= n * MINUTE_NS <= end_ns]
        answer = read_page(wanted, rows, end_ns, venue_ns)
        told += answer.candles
        wanted = answer.following
        pages += 1
        assert pages < 50
    numbers = [c.open_ns // MINUTE_NS for c in told]
    assert numbers == sorted(set(numbers))
    last = newest if to_number is None else to_number
    sure = last if to_number is not None or past_s * NS_PER_S >= SETTLED_NS else last - 2
    certain = [n for n in there if from_number <= n <= sure and n < newest]
    assert [n for n in numbers if n <= sure and n < newest] == certain
    closed = {c.open_ns // MINUTE_NS for c in told if c.closed}
    assert newest not in closed, "the live bar"
    if to_number is None:
        assert set(certain) <= closed


def test_what_proves_a_candle_closed_changes_nothing_else() -> None:
    (told, _) = read_page(page(1, None), [candle(1), candle(2)], 9 * MINUTE_NS, 9 * MINUTE_NS).candles
    assert told == msgspec.structs.replace(candle(1), closed=True)
