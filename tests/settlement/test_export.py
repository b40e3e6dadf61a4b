import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.errors import DecodeError
from heliograph.settlement.audit import End, Item, Seen, Unreadable, Unseen, audit
from heliograph.settlement.chain import Entry
from heliograph.settlement.export import line, opening, read, read_opening
from tests.settlement.custody import LINK, day

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
ITEMS: st.SearchStrategy[Item] = st.one_of(
    st.builds(Entry, st.integers(0, 2**62), st.integers(0, 2**62), TEXTS, TEXTS, TEXTS),
    st.builds(Seen, st.integers(0, 2**62), TEXTS, st.dictionaries(TEXTS, TEXTS)),
    st.builds(Unreadable, TEXTS, TEXTS),
    st.builds(Unseen, TEXTS, TEXTS),
)
DAY = day().items()
LINES = [line(item) for item in DAY]


@given(st.lists(ITEMS))
def test_what_is_written_is_read(items: list[Item]) -> None:
    lines = [line(item) for item in items]
    assert list(read(lines)) == items
    assert all(one.endswith(b"\n") and one.count(b"\n") == 1 for one in lines)


def test_a_ledger_in_a_file_is_judged_as_it_is() -> None:
    assert read_opening(opening(LINK)) == LINK
    assert list(read(LINES)) == DAY
    assert audit(LINK, read(LINES)).clean


def test_a_file_that_was_cut_off_is_told() -> None:
    for cut in range(len(LINES)):
        assert "truncated" in {finding.kind for finding in audit(LINK, read(LINES[:cut])).findings}
    half = [*LINES[:-1], LINES[-1][: len(LINES[-1]) // 2]]
    assert [finding.kind for finding in audit(LINK, read(half)).findings] == ["corrupt", "truncated"]


def test_a_line_that_is_touched_is_told_with_its_number() -> None:
    [item] = list(read([b"{"]))
    assert isinstance(item, Unreadable)
    assert item.place == "line 2"
    for at, one in enumerate(LINES):
        for broken in (b"", b"\xff\n", one.replace(b'"item"', b'"itme"')):
            found = audit(LINK, read([*LINES[:at], broken, *LINES[at + 1 :]]))
            assert f"line {at + 2}" in {finding.account for finding in found.findings}


def test_nothing_follows_the_end() -> None:
    found = audit(LINK, read([*LINES, LINES[0], LINES[1]]))
    assert [(finding.kind, finding.account) for finding in found.findings] == [("corrupt", f"line {len(LINES) + 2}")]
    assert list(read([line(End(1, "a")), b"\n"]))[1] == Unreadable(
        "line 3", "something follows the end, which is line 2"
    )


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"{}",
        b"\xff",
        b'{"format":"heliograph-ledger","version":2,"link":"a"}',
        b'{"format":"other","version":1,"link":"a"}',
        LINES[0],
    ],
)
def test_a_file_that_is_no_ledger_is_refused(first: bytes) -> None:
    with pytest.raises(DecodeError):
        read_opening(first)
