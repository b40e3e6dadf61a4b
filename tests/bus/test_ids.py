import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.bus import resp
from heliograph.bus.ids import NUMBER_MAX, IdSource, after, bulk_ids, format_id, parse_id
from heliograph.errors import BusError

PARTS = st.integers(0, 2**64 - 1)


@given(st.integers(0, 2**63), st.integers(0, NUMBER_MAX - 1), st.data())
def test_ids_in_a_row_are_rendered_one_by_one(millisecond: int, start: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, NUMBER_MAX - start))
    expected = [resp.bulk(b"%d-%d" % (millisecond, start + n)) for n in range(count)]
    assert bulk_ids((millisecond, start), count) == expected
    assert bulk_ids((millisecond, start), 1) == [resp.bulk(b"%d-%d" % (millisecond, start))]


@given(st.tuples(PARTS, PARTS))
def test_an_id_reads_back(entry_id: tuple[int, int]) -> None:
    assert parse_id(format_id(entry_id)) == entry_id
    assert after(entry_id) > entry_id


@pytest.mark.parametrize("text", ["", "yesterday", "1-x", b"\xff-1"])
def test_what_is_no_id_is_refused(text: str | bytes) -> None:
    with pytest.raises(BusError, match="is not a stream entry's id"):
        parse_id(text)


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(0, 50)), max_size=200))
def test_ids_ascend_whatever_the_clock_does(steps: list[tuple[int, int]]) -> None:
    source = IdSource()
    last = (0, -1)
    for count, now_ms in steps:
        first = source.take(count, now_ms)
        assert first > last
        assert first[0] >= now_ms
        assert first[1] + count <= NUMBER_MAX
        last = source.last
        assert last == (first[0], first[1] + count - 1)
