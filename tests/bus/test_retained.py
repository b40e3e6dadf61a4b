import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.bus.entries import Batch, Half, Stream
from heliograph.bus.ids import EntryId
from heliograph.bus.retained import CHAPTER_ENTRIES, CHAPTER_S, KEPT_OVERHEAD_BYTES, Retained

STREAM = Stream("s", None, None)


def batch(*datas: bytes, first_id: EntryId = (1, 0), stream: Stream = STREAM) -> Batch:
    made = Batch([stream] * len(datas), list(datas))
    made.first_id = first_id
    made.sends = 1
    return made


def entries(batches: list[Batch]) -> list[list[Half]]:
    return [list(batch.commands()) for batch in batches]


@given(
    st.lists(
        st.tuples(
            st.lists(st.binary(max_size=50), min_size=1, max_size=5),
            st.integers(0, 2**64 - 1),
            st.integers(0, 2**63),
            st.floats(0, 2 * CHAPTER_S),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_what_is_kept_comes_back_in_order_with_its_ids_and_once(
    made: list[tuple[list[bytes], int, int, float, bool]],
) -> None:
    retained = Retained(1 << 30)
    streams = [Stream("a", None, None), Stream("b", 10, Stream("feed", None, None))]
    now_s, kept = 0.0, []
    for index, (datas, millisecond, number, pause_s, whole) in enumerate(made):
        now_s += pause_s
        kept.append(batch(*datas, first_id=(millisecond, number), stream=streams[index % 2]))
        kept[-1].acknowledged = True
        retained.keep(kept[-1], now_s, whole=whole)
    assert bool(retained) is bool(made)
    found = retained.take_all()
    assert entries(found) == entries(kept)
    assert all(each.acknowledged and each.sends for each in found)
    assert (bool(retained), retained.bytes, retained.dropped, retained.take_all()) == (False, 0, 0, [])


def test_a_batch_of_which_something_was_refused_stays_the_same_object() -> None:
    """What is found out about its entries afterwards changes what of it is written again."""
    retained = Retained(10_000)
    refused = batch(b"one", b"two")
    retained.keep(batch(b"before"), 0.0)
    retained.keep(refused, 0.0, whole=True)
    retained.keep(batch(b"after"), 0.0)
    refused.leave_out([half for half in refused.commands() if half.data == b"one"])
    assert [[half.data for half in each] for each in entries(retained.take_all())] == [
        [b"before"],
        [b"two"],
        [b"after"],
    ]


def test_it_is_bounded_and_counts_what_it_lets_go() -> None:
    retained = Retained(1000)
    batches = [batch(bytes(352), bytes(352 - 2 * KEPT_OVERHEAD_BYTES), first_id=(n, 0)) for n in range(5)]
    for moment, each in enumerate(batches):
        retained.keep(each, moment)
        assert retained.bytes <= 1000
    assert retained.dropped == 2 * 4
    assert entries(retained.take_all()) == entries(batches[4:])


def test_even_what_is_too_big_on_its_own_is_let_go() -> None:
    retained = Retained(1000)
    retained.keep(batch(bytes(2000)), 0.0)
    assert (bool(retained), retained.bytes, retained.dropped) == (False, 0, 1)
    retained.keep(batch(b"next"), 0.0)
    assert entries(retained.take_all()) == entries([batch(b"next")])


def test_what_is_on_the_disk_goes() -> None:
    retained = Retained(1000)
    batches = [batch(bytes(200), first_id=(n, 0)) for n in range(3)]
    for moment, each in enumerate(batches):
        retained.keep(each, moment)
    retained.forget(1)
    assert (retained.bytes, retained.dropped) == (200 + KEPT_OVERHEAD_BYTES, 0)
    assert entries(retained.take_all()) == entries(batches[2:])


@pytest.mark.parametrize("pause_s", [0.0, 0.01, 0.3])
def test_nothing_goes_before_its_time_and_nothing_stays_much_longer(pause_s: float) -> None:
    """Three seconds' entries at some pace, of which those of the last second and a half must be there."""
    retained = Retained(1 << 30)
    times = [n * pause_s for n in range(10)] if not pause_s else [n * pause_s for n in range(int(3 / pause_s))]
    for n, moment in enumerate(times):
        retained.keep(batch(b"%d" % n, first_id=(n + 1, 0)), moment)
        retained.forget(moment - 1.5)
    kept = [int(each.datas[0]) for each in retained.take_all()]
    must = [n for n, moment in enumerate(times) if moment > times[-1] - 1.5]
    may = [n for n, moment in enumerate(times) if moment > times[-1] - 1.5 - CHAPTER_S - pause_s]
    assert set(must) <= set(kept) <= set(may)


def test_the_garbage_collector_has_little_to_look_at() -> None:
    """Or it stops the process: of ten thousand batches, 55 ms were measured."""
    retained = Retained(1 << 30)
    gc.collect()
    before = len(gc.get_objects())
    for n in range(20 * CHAPTER_ENTRIES):
        retained.keep(batch(b"%d" % n), 0.0)
    assert len(gc.get_objects()) - before < 20 * 10
