from hypothesis import given
from hypothesis import strategies as st

from heliograph.sim.noise import Wander, mix, name_key


@given(st.integers(0, 2**64 - 1), st.integers(-(2**40), 2**40))
def test_mix_is_64_bits_and_neighbours_differ(key: int, index: int) -> None:
    assert 0 <= mix(key, index) < 2**64
    assert mix(key, index) != mix(key, index + 1)


def test_mix_fills_its_range_evenly() -> None:
    counts = [0] * 16
    for index in range(16_000):
        counts[mix(7, index) >> 60] += 1
    assert 800 < min(counts) <= max(counts) < 1200


def test_a_name_has_the_same_key_in_every_process() -> None:
    assert name_key("BTC") == 10594702777822819470


@given(st.integers(0, 2**32), st.integers(-(10**6), 10**8))
def test_a_path_stays_within_its_reach_and_moves_little_in_a_step(key: int, step: int) -> None:
    path = Wander(key, 10.0)
    assert abs(path.at(step)) <= 616 * 10
    assert abs(path.at(step + 1) - path.at(step)) < 10 * 8
