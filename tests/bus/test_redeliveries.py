from hypothesis import given
from hypothesis import strategies as st

from heliograph.bus.ids import EntryId
from heliograph.bus.redeliveries import Redeliveries, Waiting


def test_a_pause_doubles_and_is_bounded() -> None:
    waits = Redeliveries(deliveries_max=99, retry_ns=10, retry_ns_max=70)
    for deliveries, due_ns in ((1, 10), (2, 20), (3, 40), (4, 70), (90, 70)):
        failed = Waiting((1, 0), deliveries, "why")
        waits.failed(failed, 1000)
        assert waits.next_ns == 1000 + due_ns
        assert waits.take(1000 + due_ns - 1) is None
        assert waits.take(1000 + due_ns) is failed
        assert (len(waits), waits.next_ns) == (0, None)


def test_so_many_deliveries_and_no_more() -> None:
    waits = Redeliveries(deliveries_max=3, retry_ns=1, retry_ns_max=1)
    assert [waits.exhausted(n) for n in (1, 2, 3, 4)] == [False, False, True, True]


def test_what_the_server_says_is_believed_and_a_pause_is_kept() -> None:
    waits = Redeliveries(deliveries_max=9, retry_ns=100, retry_ns_max=100)
    waits.failed(Waiting((1, 0), 1, "why"), 0)
    waits.failed(Waiting((2, 0), 1), 0)
    waits.pending([Waiting((3, 0), 4), Waiting((1, 0), 1)], 5)
    assert len(waits) == 2
    assert waits.take(5) == Waiting((3, 0), 4)
    assert waits.take(99) is None
    assert waits.take(100) == Waiting((1, 0), 1, "why")
    assert waits.take(1000) is None


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("failed"), st.integers(0, 8), st.integers(1, 6)),
            st.tuples(st.just("found"), st.integers(0, 8), st.just(1)),
            st.tuples(st.just("pending"), st.integers(0, 255), st.just(1)),
            st.tuples(st.just("take"), st.integers(0, 50), st.just(1)),
        ),
        max_size=40,
    )
)
def test_each_waits_once_and_none_is_lost_or_early(steps: list[tuple[str, int, int]]) -> None:
    waits, now, model = Redeliveries(99, 3, 20), 0, dict[EntryId, int]()
    for step, number, deliveries in steps:
        waiting = Waiting((number, 0), deliveries)
        if step == "failed" and waiting.id not in model:
            waits.failed(waiting, now)
            model[waiting.id] = now + min(20, 3 << (deliveries - 1))
        elif step == "found":
            waits.found(waiting, now)
            model.setdefault(waiting.id, now)
        elif step == "pending":
            ids = [(n, 0) for n in range(8) if number >> n & 1]
            waits.pending([Waiting(entry_id, 1) for entry_id in ids], now)
            model = {entry_id: model.get(entry_id, now) for entry_id in ids}
        elif step == "take":
            now += number
            taken = waits.take(now)
            due = [entry_id for entry_id, due_ns in model.items() if due_ns <= now]
            assert (taken is None) == (not due)
            if taken is not None:
                earliest = min(model.values())
                assert model.pop(taken.id) == earliest
        assert len(waits) == len(model)
        assert waits.next_ns == min(model.values(), default=None)
