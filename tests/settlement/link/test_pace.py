from hypothesis import given
from hypothesis import strategies as st

from heliograph.settlement.link.exchange import Cursor
from heliograph.settlement.link.pace import AGAIN_NS, AGAIN_NS_MAX, MAILBOX_LENGTH, WINDOW, Pace, renewed, to_send


def test_what_is_new_goes_at_once() -> None:
    pace, ranges = to_send(Pace(), Cursor(last=3), now_ns=10)
    assert ranges == (range(1, 4),)
    pace, ranges = to_send(pace, Cursor(last=5), now_ns=11)
    assert ranges == (range(4, 6),)
    assert to_send(pace, Cursor(last=5), now_ns=12) == (pace, ())


def test_without_progress_everything_goes_again_and_the_wait_doubles_up_to_its_bound() -> None:
    cursor = Cursor(last=3, pruned=1)
    pace, _ = to_send(Pace(), cursor, now_ns=0)
    waits = []
    for _ in range(10):
        now_ns = pace.due_ns
        assert to_send(pace, cursor, now_ns - 1) == (pace, ())
        pace, ranges = to_send(pace, cursor, now_ns)
        assert ranges == (range(2, 4),)
        waits.append(pace.due_ns - now_ns)
    assert waits[:3] == [2 * AGAIN_NS, 4 * AGAIN_NS, 8 * AGAIN_NS]
    assert waits[-1] == AGAIN_NS_MAX


def test_with_progress_only_the_lowest_goes_again_and_the_wait_is_short() -> None:
    pace, _ = to_send(Pace(), Cursor(last=9), now_ns=0)
    pace, _ = to_send(pace, Cursor(last=9), now_ns=pace.due_ns)
    due_ns = pace.due_ns
    pace, ranges = to_send(pace, Cursor(last=9, pruned=4), now_ns=due_ns)
    assert ranges == (range(5, 6),)
    assert pace.due_ns == due_ns + AGAIN_NS


def test_after_a_nil_or_a_reconnect_everything_goes_again_at_once() -> None:
    cursor = Cursor(last=9, pruned=4)
    pace, _ = to_send(Pace(), cursor, now_ns=0)
    _, ranges = to_send(renewed(pace), cursor, now_ns=1)
    assert ranges == (range(5, 10),)


def test_no_more_than_the_window_waits_on_the_replica() -> None:
    assert WINDOW < MAILBOX_LENGTH
    pace, ranges = to_send(Pace(), Cursor(last=3 * WINDOW, pruned=10), now_ns=0)
    assert ranges == (range(11, 11 + WINDOW),)
    pace, ranges = to_send(pace, Cursor(last=3 * WINDOW, pruned=12), now_ns=1)
    assert ranges == (range(11 + WINDOW, 13 + WINDOW),)


def test_when_all_is_acknowledged_no_timer_runs() -> None:
    pace, _ = to_send(Pace(), Cursor(last=3), now_ns=0)
    pace, ranges = to_send(pace, Cursor(last=3, pruned=3), now_ns=pace.due_ns)
    assert (pace.due_ns, ranges) == (0, ())


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans(), st.integers(0, 2 * AGAIN_NS)), max_size=30)
)
def test_whatever_happens_an_answer_that_is_not_acknowledged_is_sent_within_the_longest_wait(
    events: list[tuple[int, int, bool, int]],
) -> None:
    """Whatever is made, acknowledged and lost, the lowest that is not acknowledged goes out in time."""
    pace, cursor, now_ns = Pace(), Cursor(), 0
    for made, acked, lost, passed_ns in events:
        now_ns += passed_ns
        cursor = Cursor(last=cursor.last + made, pruned=min(cursor.last + made, cursor.pruned + acked))
        pace, ranges = to_send(renewed(pace) if lost else pace, cursor, now_ns)
        assert all(cursor.pruned < r.start < r.stop <= cursor.last + 1 for r in ranges)
        assert pace.sent == cursor.last
    if cursor.pruned < cursor.last:
        assert now_ns < pace.due_ns <= now_ns + AGAIN_NS_MAX
        _, ranges = to_send(pace, cursor, pace.due_ns)
        assert ranges[0].start == cursor.pruned + 1
