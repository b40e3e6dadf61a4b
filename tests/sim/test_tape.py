import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.sim.tape import MINUTE_NS, Tape

LISTED_NS = 29_900_000 * MINUTE_NS


def tape(tenths_per_minute: int, inverse_scale: int | None = None) -> Tape:
    return Tape(11, 12, 6_400_000, tenths_per_minute, 3_000, LISTED_NS, inverse_scale)


@pytest.mark.parametrize("rate", [4, 10, 60, 600])
def test_ids_run_on_from_minute_to_minute(rate: int) -> None:
    made = tape(rate)
    order, fill = 1, 1
    for minute in range(LISTED_NS // MINUTE_NS, LISTED_NS // MINUTE_NS + 300):
        block = made.block(minute)
        assert (block.first_id, block.first_fill) == (order, fill)
        assert len(block.fill_lots) == block.fill_starts[-1] - block.fill_starts[0]
        assert block.times_ns == sorted(block.times_ns)
        assert all(minute * MINUTE_NS <= time_ns < (minute + 1) * MINUTE_NS for time_ns in block.times_ns)
        assert min(block.fill_lots, default=1) > 0
        order += len(block.times_ns)
        fill = block.fill_starts[-1]
    assert order == pytest.approx(30 * rate, rel=0.1, abs=2)


@given(st.integers(1, 100_000), st.sampled_from([4, 10, 60, 600]))
@settings(max_examples=100, deadline=None)
def test_an_id_is_found_without_those_before_it(order_id: int, rate: int) -> None:
    made = tape(rate)
    block = made.block(made.order_minute(order_id))
    assert 0 <= order_id - block.first_id < len(block.times_ns)
    assert made.order_of_fill(made.first_fill(order_id)) == order_id
    assert made.order_of_fill(made.first_fill(order_id + 1) - 1) == order_id
    assert 1 <= made.first_fill(order_id + 1) - made.first_fill(order_id) <= 3


@given(st.integers(0, 300), st.integers(0, 300 * 60_000), st.integers(1, 180 * 60_000))
@settings(max_examples=50, deadline=None)
def test_a_fold_is_the_same_however_it_is_cut(minutes: int, from_ms: int, length_ms: int) -> None:
    """Whole hours and minutes are remembered as one number each; that must not show."""
    made = tape(60)
    from_ns = LISTED_NS + minutes * MINUTE_NS + from_ms * 1_000_000
    end_ns = from_ns + length_ms * 1_000_000
    middle_ns = (from_ns + end_ns) // 2
    whole, left, right = made.fold(from_ns, end_ns), made.fold(from_ns, middle_ns), made.fold(middle_ns, end_ns)
    if whole is None or left is None or right is None:
        assert whole in (left, right)
        return
    assert whole.volume == left.volume + right.volume
    assert whole.counter == left.counter + right.counter
    assert (whole.high, whole.low) == (max(left.high, right.high), min(left.low, right.low))
    assert (whole.open, whole.close) == (left.open, right.close)
    assert (whole.first_fill, whole.last_fill) == (left.first_fill, right.last_fill)
    assert left.last_fill + 1 == right.first_fill


def test_prices_rise_with_the_grid() -> None:
    made = tape(60)
    prices = [made.price_of(grid) for grid in range(39_000, 41_000)]
    assert prices == sorted(set(prices))


def test_a_taker_who_buys_trades_at_the_ask() -> None:
    made = tape(600)
    block = made.block(LISTED_NS // MINUTE_NS)
    for index, time_ns in enumerate(block.times_ns[:-1]):
        if block.times_ns[index + 1] == time_ns:
            continue
        ask = made.touch(time_ns)
        assert block.grids[index] == (ask if block.buys[index] else ask - 1)
