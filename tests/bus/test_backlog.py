import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from heliograph.bus.backlog import BATCH_ENTRIES, Backlog
from heliograph.bus.entries import ENTRY_OVERHEAD_BYTES, Stream

STREAM = Stream("s", None, None)


def append(backlog: Backlog, datas: list[bytes]) -> None:
    backlog.streams += [STREAM] * len(datas)
    backlog.datas += datas


@given(st.lists(st.sampled_from(["append", "close", "take", "give back", "weigh"]), max_size=60), st.data())
def test_entries_leave_in_the_order_they_came_and_are_weighed_once(steps: list[str], data: st.DataObject) -> None:
    backlog = Backlog()
    came: list[bytes] = []
    left: list[bytes] = []
    for step in steps:
        if step == "append":
            count = data.draw(st.integers(1, 2 * BATCH_ENTRIES))
            fresh = [b"%d" % n for n in range(len(came), len(came) + count)]
            append(backlog, fresh)
            came += fresh
        elif step == "close":
            backlog.close_full()
            assert len(backlog.datas) < BATCH_ENTRIES
        elif step == "weigh":
            weight = sum(len(each) + ENTRY_OVERHEAD_BYTES for each in came)
            assert backlog.pending_bytes == backlog.pending_bytes == weight
        else:
            batch = backlog.take()
            if batch is None:
                assert not backlog
            elif step == "give back":
                backlog.put_first([batch])
            else:
                assert 0 < batch.entries <= BATCH_ENTRIES
                left += batch.datas
    assert backlog.appended == len(came)
    while (batch := backlog.take()) is not None:
        left += batch.datas
    assert left == came


@given(st.lists(st.sampled_from(["open", "closed"]), max_size=30), st.integers(0, 30))
def test_what_goes_to_closed_streams_is_dropped_and_the_rest_stays_in_order(kinds: list[str], cut_at: int) -> None:
    backlog = Backlog()
    kept = Stream("kept", None, None)
    gone = Stream("gone", None, None)
    for number, kind in enumerate(kinds):
        if number == cut_at:
            backlog.close_open()
        backlog.streams.append(kept if kind == "open" else gone)
        backlog.datas.append(b"%d" % number)
    gone.closed = True
    assert backlog.drop_closed() == kinds.count("closed")
    left = []
    while (batch := backlog.take()) is not None:
        left += [half.data for half in batch.commands()]
        backlog.cut_bytes -= batch.size
    assert left == [b"%d" % number for number, kind in enumerate(kinds) if kind == "open"]
    assert backlog.pending_bytes == 0


def test_what_waits_leaves_the_heap_alone() -> None:
    """Millions of bytes of small pieces, once they went, left holes that the process kept."""
    backlog = Backlog()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(20 * BATCH_ENTRIES):
            append(backlog, [b"%0200d" % number])
            if len(backlog.datas) >= BATCH_ENTRIES:
                backlog.close_full()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert backlog.pending_bytes >= 20 * BATCH_ENTRIES * 200
    assert after - before < 20 * BATCH_ENTRIES * 20  # The stream and the size of each entry.
    assert backlog.take().datas[1] == b"%0200d" % 1  # type: ignore[union-attr]


def test_what_waits_packed_is_unpacked_for_its_own_closed_streams_alone() -> None:
    """Every connection asks what was closed, and a server that stands still gets one after another."""
    backlog = Backlog()
    gone = Stream("gone", None, None)
    append(backlog, [b"%0200d" % number for number in range(20 * BATCH_ENTRIES)])
    backlog.streams[7] = gone
    backlog.close_full()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        assert backlog.drop_closed() == 0
        assert tracemalloc.get_traced_memory()[0] - before < BATCH_ENTRIES * 200
        gone.closed = True
        assert backlog.drop_closed() == 1
        assert tracemalloc.get_traced_memory()[0] - before < 4 * BATCH_ENTRIES * 200
    finally:
        tracemalloc.stop()
    left = []
    while (batch := backlog.take()) is not None:
        left += [int(half.data) for half in batch.commands()]
        backlog.cut_bytes -= batch.size
    assert left == [number for number in range(20 * BATCH_ENTRIES) if number != 7]
    assert backlog.pending_bytes == 0
