"""Whatever is done to a journal is found, and where it was done."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.settlement.chain import GENESIS, Entry, Fault, Head, Verifier, digest, faults, follow

BODIES = st.lists(st.text(max_size=20), min_size=1, max_size=12)


def journal(bodies: list[str]) -> list[Entry]:
    head, entries = GENESIS, []
    for at_ns, body in enumerate(bodies):
        entry = follow(head, at_ns, body)
        entries.append(entry)
        head = entry.head
    return entries


ENTRIES = journal([f"body {n}" for n in range(1, 9)])
HEAD = ENTRIES[-1].head


def found(entries: list[Entry], head: Head = HEAD) -> list[tuple[str, int]]:
    return [(fault.kind, fault.n) for fault in faults(entries, head)]


def test_the_hash_is_the_documented_one() -> None:
    body = '{"a":"ü"}'
    entry = follow(Head(6, "ab"), 5, body)
    assert entry == Entry(7, 5, "ab", hashlib.sha256(b"ab\n7\n5\n" + body.encode()).hexdigest(), body)
    assert entry.head == Head(7, entry.hash)


@given(BODIES)
def test_a_journal_as_it_was_written_has_no_fault(bodies: list[str]) -> None:
    entries = journal(bodies)
    assert list(faults(entries, entries[-1].head)) == []
    assert list(faults(entries[3:], entries[-1].head, entries[:3][-1].head)) == []
    assert list(faults([], GENESIS)) == []


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([*ENTRIES[:3], *ENTRIES[4:]], [("dropped", 4)]),
        ([*ENTRIES[:2], *ENTRIES[5:]], [("dropped", 3)]),
        (ENTRIES[2:], [("dropped", 1)]),
        (ENTRIES[:6], [("truncated", 7)]),
        ([], [("truncated", 1)]),
        ([*ENTRIES[:3], ENTRIES[1], *ENTRIES[3:]], [("inserted", 2)]),
        ([*ENTRIES[:4], ENTRIES[3], *ENTRIES[4:]], [("inserted", 4)]),
        ([*ENTRIES[:2], ENTRIES[3], ENTRIES[2], *ENTRIES[4:]], [("dropped", 3), ("reordered", 3)]),
        ([ENTRIES[4], *ENTRIES[:4], *ENTRIES[5:]], [("dropped", 1), *(("reordered", n) for n in range(1, 5))]),
        ([*ENTRIES, follow(HEAD, 9, "more")], [("beyond_head", 9)]),
        ([*ENTRIES[:-1], follow(ENTRIES[-2].head, 7, "other")], [("other_head", 8)]),
    ],
)
def test_what_was_done_is_found_with_its_place(entries: list[Entry], expected: list[tuple[str, int]]) -> None:
    assert found(entries) == expected


def test_what_was_put_between_is_found() -> None:
    forged = follow(ENTRIES[3].head, 4, "forged")
    assert found([*ENTRIES[:4], forged, *ENTRIES[4:]]) == [("inserted", 5), ("unlinked", 6)]


def test_an_entry_that_was_written_anew_with_its_hash_does_not_fit_the_next() -> None:
    anew = follow(ENTRIES[3].head, 4, "anew")
    assert found([*ENTRIES[:4], anew, *ENTRIES[5:]]) == [("unlinked", 6)]
    moved = Entry(5, 4, "ab", digest("ab", 5, 4, "body 5"), "body 5")
    assert found([*ENTRIES[:4], moved, *ENTRIES[5:]]) == [("unlinked", 5), ("unlinked", 6)]


@given(BODIES, st.data())
def test_a_change_of_any_field_of_any_entry_is_found_there(bodies: list[str], data: st.DataObject) -> None:
    entries = journal(bodies)
    at = data.draw(st.integers(0, len(entries) - 1))
    old = entries[at]
    new = data.draw(
        st.sampled_from(["at_ns", "prev", "hash", "body"]).flatmap(
            lambda name: st.builds(
                lambda value: Entry(**{**{f: getattr(old, f) for f in old.__struct_fields__}, name: value}),
                st.integers(0, 99) if name == "at_ns" else st.text(max_size=20),
            )
        )
    )
    changed = [*entries[:at], new, *entries[at + 1 :]]
    places = {fault.n for fault in faults(changed, entries[-1].head)}
    assert places == set() if new == old else old.n in places


@given(BODIES, st.data())
def test_any_other_arrangement_of_the_entries_is_found(bodies: list[str], data: st.DataObject) -> None:
    entries = journal(bodies)
    arranged = data.draw(st.lists(st.sampled_from(entries), max_size=15))
    assert bool(list(faults(arranged, entries[-1].head))) == (arranged != entries)


def test_a_verifier_goes_on_where_it_was() -> None:
    verifier = Verifier()
    assert [fault for entry in ENTRIES[:4] for fault in verifier.take(entry)] == []
    assert verifier.end(ENTRIES[3].head) == []
    assert verifier.take(ENTRIES[5]) == [Fault("dropped", 5, "entries 5 to 5 do not stand before entry 6")]
