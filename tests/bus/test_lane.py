import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.bus.entries import Stream
from heliograph.bus.ids import EntryId
from heliograph.bus.lane import Lane, Piece
from tests.bus.requests import parsed

IDS = st.tuples(st.integers(0, 5), st.integers(0, 5))


def pieces(stream: Stream, ids: list[EntryId]) -> list[Piece]:
    return [Piece(number, stream, b"%d" % number, on_feed=False, id=each) for number, each in enumerate(ids)]


@given(IDS, st.lists(IDS, max_size=12), st.lists(st.sampled_from(["take", "lose", "keep", "move"]), max_size=20))
def test_entries_go_out_in_order_with_rising_ids_and_again_under_the_same(
    newest: EntryId, ids: list[EntryId], steps: list[str]
) -> None:
    stream = Stream("s", None, None)
    lane = Lane(stream, newest, None)
    lane.waiting.extend(pieces(stream, ids))
    given_ids: dict[int, EntryId] = {}
    for step in steps:
        if step == "take" and not lane.flight and lane.waiting:
            requests = parsed(lane.take(3))
            assert len(requests) == lane.replies == len(lane.flight) + 2
            for piece in lane.flight:
                assert given_ids.setdefault(piece.entry, piece.id) == piece.id
                assert piece.id > newest
        elif step == "lose":
            lane.give_back(lane.flight)
            lane.flight = []
        elif step == "keep":
            lane.retained.extend((0.0, piece) for piece in lane.flight)
            lane.flight = []
        elif step == "move" and not lane.flight:
            lane.write_again()
        order = [piece.entry for _, piece in lane.retained] + [p.entry for p in (*lane.flight, *lane.waiting)]
        assert order == list(range(len(ids)))
    assert sorted(given_ids.values()) == [given_ids[entry] for entry in sorted(given_ids)]


def test_an_entry_is_written_as_the_reader_wants_it() -> None:
    feed = Stream("feed", 100, None)
    lane = Lane(feed, (0, 0), None)
    lane.waiting.append(Piece(0, Stream("s", None, feed), b"{}", on_feed=True, id=(7, 0)))
    add = [b"XADD", b"feed", b"MAXLEN", b"~", b"100", b"7-0", b"key", b"s", b"data", b"{}"]
    assert parsed(lane.take(1)) == [[b"MULTI"], add, [b"EXEC"]]


@pytest.mark.parametrize("until_s", [0.0, 1.5, 9.0])
def test_what_is_old_is_forgotten(until_s: float) -> None:
    lane = Lane(Stream("s", None, None), (0, 0), None)
    some = pieces(lane.stream, [(1, 0), (2, 0), (3, 0)])
    lane.retained.extend(zip((1.0, 1.5, 2.0), some, strict=True))
    gone = sum(moment <= until_s for moment in (1.0, 1.5, 2.0))
    assert lane.forget(until_s) == sum(piece.weight for piece in some[:gone])
    assert len(lane.retained) == 3 - gone


def test_what_was_kept_late_is_written_again_in_its_place() -> None:
    lane = Lane(Stream("s", None, None), (0, 0), None)
    first, second = pieces(lane.stream, [(1, 0), (2, 0)])
    lane.retained.extend([(1.0, second), (1.0, first)])
    lane.write_again()
    assert list(lane.waiting) == [first, second]
