from decimal import Decimal

import pytest

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.venues.gateio.dialect_words import (
    DAY_NS,
    FUTURES_GRIDS,
    SOCKET_GRIDS,
    SPOT_GRIDS,
    frame,
    plain,
    seconds,
    shuffled,
    sized,
)

NOW_NS = 1_795_000_000 * NS_PER_S  # A Wednesday.


@pytest.mark.parametrize(
    ("amount", "text"), [("5.10", "5.1"), ("100", "100"), ("0.000", "0"), ("1E+2", "100"), ("0.00000010", "0.0000001")]
)
def test_numbers_have_no_exponent_and_no_zeros_at_their_end(amount: str, text: str) -> None:
    assert plain(Decimal(amount)) == text


@pytest.mark.parametrize(("size", "cut"), [("1.7", 1), ("-1.7", -1), ("0.3", 0), ("-0.3", 0), ("12", 12)])
def test_sizes_are_cut_towards_zero_unless_decimals_are_asked_for(size: str, cut: int) -> None:
    assert sized(Decimal(size), exact=False) == cut
    assert sized(Decimal(size), exact=True) == size


def test_seven_days_count_from_the_epoch_a_week_opens_on_monday_and_thirty_days_are_a_month() -> None:
    assert FUTURES_GRIDS["7d"].open_of(NOW_NS) % (7 * DAY_NS) == 0
    assert (FUTURES_GRIDS["1w"].open_of(NOW_NS) - 4 * DAY_NS) % (7 * DAY_NS) == 0
    month = SPOT_GRIDS["30d"]
    opens = [month.open_of(NOW_NS)]
    opens.append(month.next_open(opens[0]))
    assert opens == [1_793_491_200 * NS_PER_S, 1_796_083_200 * NS_PER_S]  # November 2026, which has thirty days.
    assert "30d" not in SOCKET_GRIDS
    assert "1w" not in SPOT_GRIDS


@pytest.mark.parametrize("name", FUTURES_GRIDS)
def test_an_instant_is_in_the_bar_that_opens_before_it(name: str) -> None:
    grid = FUTURES_GRIDS[name]
    open_ns = grid.open_of(NOW_NS)
    assert open_ns <= NOW_NS < grid.next_open(open_ns)
    assert grid.open_of(grid.next_open(open_ns) - 1) == open_ns
    assert grid.open_of(grid.next_open(open_ns)) == grid.next_open(open_ns)


def test_seconds_are_a_number_with_milliseconds_behind_the_point() -> None:
    assert bytes(seconds(NOW_NS + 258 * NS_PER_MS)) == b"1795000000.258"
    assert bytes(seconds(NOW_NS)) == b"1795000000"


def test_changed_levels_are_told_in_no_order_of_price() -> None:
    levels = [(Decimal(price), Decimal(1)) for price in ("100.1", "100.2", "99.9", "101.0", "100.15")]
    told = shuffled(levels)
    assert told == shuffled(levels[::-1])
    assert sorted(told) == sorted(levels)
    assert list(told) not in (sorted(levels), sorted(levels, reverse=True))


def test_a_frame_has_its_time_in_seconds_and_in_milliseconds() -> None:
    told = frame("spot.x", "update", [], NOW_NS + NS_PER_MS)
    assert told == (b'{"time":1795000000,"time_ms":1795000000001,"channel":"spot.x","event":"update","result":[]}')
