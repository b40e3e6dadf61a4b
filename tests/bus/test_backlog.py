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
