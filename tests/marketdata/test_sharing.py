import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from heliograph.bus import keys
from heliograph.errors import ConfigError
from heliograph.marketdata.sharing import Slice, owner, parse_slice, share

WORKERS = st.sets(st.text("abcdef0123456789-/", min_size=1, max_size=12), min_size=1, max_size=9)
EVERY = range(keys.SHARDS)


def shares(workers: set[str], market: str = "spot") -> dict[str, set[int]]:
    return {worker: share(workers, worker, "binance", market, EVERY) for worker in workers}


@given(WORKERS)
def test_every_shard_has_exactly_one_owner(workers: set[str]) -> None:
    owned = [shard for some in shares(workers).values() for shard in some]
    assert sorted(owned) == list(EVERY)


@given(WORKERS, st.data())
def test_when_a_worker_goes_only_its_own_shards_move(workers: set[str], data: st.DataObject) -> None:
    assume(len(workers) > 1)
    gone = data.draw(st.sampled_from(sorted(workers)))
    before, after = shares(workers), shares(workers - {gone})
    assert all(after[worker] >= before[worker] for worker in after)


@given(WORKERS, st.text("ghij", min_size=1))
def test_when_a_worker_comes_shards_move_to_it_alone(workers: set[str], fresh: str) -> None:
    before, after = shares(workers), shares(workers | {fresh})
    assert all(after[worker] <= before[worker] for worker in before)


@given(WORKERS, st.sets(st.integers(0, keys.SHARDS - 1)))
def test_what_is_wanted_does_not_change_whose_it_is(workers: set[str], wanted: set[int]) -> None:
    for worker, whole in shares(workers).items():
        assert share(workers, worker, "binance", "spot", wanted) == whole & wanted


def test_nobody_owns_anything_where_there_is_nobody() -> None:
    assert owner([], "binance", "spot", 0) is None


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_the_shards_of_many_markets_are_spread_evenly(count: int) -> None:
    """Over a hundred markets each worker's part is within a sixth of the mean."""
    workers = {f"host/{n}" for n in range(count)}
    sizes = dict.fromkeys(workers, 0)
    for market in range(100):
        for worker, some in shares(workers, f"market{market}").items():
            sizes[worker] += len(some)
    mean = 100 * keys.SHARDS / count
    assert all(abs(size - mean) < mean / 6 for size in sizes.values()), sizes


@given(st.integers(1, keys.SHARDS), st.sets(st.integers(0, keys.SHARDS - 1)))
def test_fixed_parts_are_a_partition(count: int, wanted: set[int]) -> None:
    parts = [parse_slice(f"{number}/{count}").shards(wanted) for number in range(1, count + 1)]
    assert sorted(shard for part in parts for shard in part) == sorted(wanted)


@given(st.integers(1, keys.SHARDS), st.integers(1, keys.SHARDS))
def test_a_fixed_part_is_read_as_it_is_written(number: int, count: int) -> None:
    assume(number <= count)
    assert parse_slice(str(Slice(number, count))) == Slice(number, count)


@pytest.mark.parametrize(
    "text", ["", "/", "1", "1/", "/2", "0/2", "3/2", "1/0", "-1/2", "a/b", "1/2/3", "1 / 2", "²/3"]
)
def test_anything_else_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ConfigError, match="I/N"):
        parse_slice(text)


def test_more_parts_than_shards_are_refused() -> None:
    with pytest.raises(ConfigError, match=f"{keys.SHARDS} shards"):
        parse_slice(f"1/{keys.SHARDS + 1}")
