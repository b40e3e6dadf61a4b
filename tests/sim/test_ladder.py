from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.sim.ladder import STEP_NS, Ladder
from heliograph.sim.tape import MINUTE_NS, Tape

LISTED_NS = 29_900_000 * MINUTE_NS
TAPE = Tape(11, 12, 6_400_000, 600, 3_000, LISTED_NS, None)


@given(st.integers(0, 10**6), st.booleans())
def test_update_ids_rise_with_every_step(step: int, sparse: bool) -> None:
    ladder = Ladder(11, TAPE, 3_000, sparse_ids=sparse)
    step += LISTED_NS // STEP_NS
    assert ladder.update_id(step) < ladder.update_id(step + 1)


@given(st.integers(0, 36_000), st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_a_change_leads_on_from_every_book_in_between(start: int, steps: int) -> None:
    ladder = Ladder(11, TAPE, 3_000, sparse_ids=False)
    from_ns = LISTED_NS + start * STEP_NS
    to_ns = from_ns + steps * STEP_NS
    change = ladder.change(from_ns, to_ns)
    assert change is not None
    _, _, last_id, _, bids, asks = change
    end_id, _, true_bids, true_asks = ladder.snapshot(100, to_ns)
    assert last_id == end_id
    for step in {0, 1, steps // 2, steps}:
        _, _, held_bids, held_asks = ladder.snapshot(100, from_ns + step * STEP_NS)
        for held, changed, true in ((held_bids, bids, true_bids), (held_asks, asks, true_asks)):
            levels = dict(held) | dict(changed)
            assert {price: lots for price, lots in levels.items() if lots} == dict(true)


def test_within_a_step_nothing_changes() -> None:
    ladder = Ladder(11, TAPE, 3_000, sparse_ids=False)
    assert ladder.change(LISTED_NS, LISTED_NS + STEP_NS - 1) is None


def test_ids_of_futures_have_holes_and_those_of_spot_have_none() -> None:
    sparse, dense = (Ladder(11, TAPE, 3_000, sparse_ids=sparse_ids) for sparse_ids in (True, False))
    from_ns = LISTED_NS + 1000 * STEP_NS
    for ladder, holes in ((sparse, True), (dense, False)):
        found = set()
        for step in range(20):
            change = ladder.change(from_ns + step * STEP_NS, from_ns + (step + 1) * STEP_NS)
            assert change is not None
            found.add(change[1] - change[0] > 1)
        assert (True in found) is holes
