from collections.abc import Sequence

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from heliograph.bus.entries import (
    ENTRY_OVERHEAD_BYTES,
    OWN_PAGES_BYTES,
    TRIM_EVERY,
    Batch,
    Half,
    Packed,
    Stream,
    refusals,
)
from heliograph.bus.ids import NUMBER_MAX
from tests.bus.requests import parsed

KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


def streams_of(keys: Sequence[str], *, feed: Stream | None, maxlen: int | None) -> list[Stream]:
    return [Stream(key, maxlen, feed if index % 2 else None) for index, key in enumerate(keys)]


@given(
    st.lists(KEYS, min_size=1, max_size=5, unique=True),
    st.lists(st.tuples(st.integers(0, 4), st.binary(max_size=5000)), min_size=1, max_size=40),
    st.none() | st.integers(1, 10**6),
    st.integers(0, NUMBER_MAX - 50),
)
def test_a_batch_reads_back_as_one_transaction_of_its_entries(
    keys: list[str], appends: list[tuple[int, bytes]], maxlen: int | None, number: int
) -> None:
    feed = Stream("feed", maxlen, None)
    streams = streams_of(keys, feed=feed, maxlen=maxlen)
    chosen = [streams[index % len(streams)] for index, _ in appends]
    batch = Batch(chosen, [data for _, data in appends])
    batch.number((1732182160123, number), streams_ahead=set())
    payload, replies = batch.encode([feed] if maxlen else [])
    first, *adds, last = parsed(payload)
    assert (first, last, replies) == ([b"MULTI"], [b"EXEC"], len(adds) + 2)
    if maxlen:
        assert adds.pop() == [b"XTRIM", b"feed", b"MAXLEN", b"~", b"%d" % maxlen]
    bare = [[word for word in add if word not in (b"MAXLEN", b"~", b"%d" % (maxlen or -1))] for add in adds]
    expected: list[list[bytes]] = []
    for index, (stream, (_, data)) in enumerate(zip(chosen, appends, strict=True)):
        entry_id = b"1732182160123-%d" % (number + index)
        expected.append([b"XADD", stream.key.encode(), entry_id, b"data", data])
        if stream.merged is not None:
            expected.append([b"XADD", b"feed", entry_id, b"key", stream.key.encode(), b"data", data])
    drop = {b"MAXLEN", b"~", b"%d" % (maxlen or -1)}
    assert bare == [[word for word in add if word not in drop] for add in expected]


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=20)), min_size=1, max_size=30))
def test_the_careful_form_of_a_batch_is_the_same_transaction(appends: list[tuple[int, bytes]]) -> None:
    feed = Stream("feed", None, None)
    streams = streams_of(["a", "b", "c", "d"], feed=feed, maxlen=None)
    batch = Batch([streams[index] for index, _ in appends], [data for _, data in appends])
    batch.number((1732182160123, 7), streams_ahead=set())
    quick = batch.encode()
    halves = list(batch.commands())
    careful = Batch.of_halves(halves)
    assert (careful.entries, careful.size) == (batch.entries, batch.size)
    assert careful.encode() == quick


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.integers(0, 60))
def test_a_stream_ahead_goes_on_after_its_last_id_until_we_are_past_it(picks: list[int], lead: int) -> None:
    feed = Stream("feed", None, None)
    streams = [Stream(key, None, feed) for key in "abc"]
    ahead = {streams[0], feed}
    streams[0].ahead = feed.ahead = (1000, lead)
    batch = Batch([streams[pick] for pick in picks], [b""] * len(picks))
    batch.number((1000, 20), streams_ahead=ahead)
    last: dict[str, tuple[int, int]] = {"a": (1000, lead), "feed": (1000, lead)}
    for half in batch.commands():
        assert half.id > last.get(half.target.key, (0, 0))
        last[half.target.key] = half.id
    assert (streams[0] in ahead) == (streams[0].ahead is not None)


def test_a_stream_that_gets_no_entry_does_not_stay_ahead() -> None:
    written, silent, beyond = (Stream(key, None, None) for key in ("written", "silent", "beyond"))
    silent.ahead, beyond.ahead = (0, 0), (2000, 0)
    ahead = {silent, beyond}
    batch = Batch([written], [b"{}"])
    batch.number((1000, 0), streams_ahead=ahead)
    assert ahead == {beyond}
    assert silent.ahead is None
    batch = Batch([written], [b"{}"])
    batch.number((2000, 1), streams_ahead=ahead)
    assert not ahead
    assert batch.halves is None


def test_a_half_knows_where_it_goes() -> None:
    feed = Stream("feed", None, None)
    stream = Stream("own", None, feed)
    assert Half(0, stream, b"x", on_feed=False, id=(1, 2)).target is stream
    on_feed = Half(0, stream, b"x", on_feed=True, id=(1, 2))
    assert on_feed.target is feed
    assert parsed(on_feed.encode()[2:] + b"\r\n") == [[b"XADD", b"feed", b"1-2", b"key", b"own", b"data", b"x"]]


def test_refusals_are_sorted_by_what_they_mean() -> None:
    feed = Stream("feed", 10, None)
    batch = Batch([Stream("a", None, feed), Stream("b", None, None)], [b"1", b"2"])
    batch.number((5, 0), streams_ahead=set())
    small = hiredis.ReplyError("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    wrong = hiredis.ReplyError("WRONGTYPE Operation against a key holding the wrong kind of value")
    too_small, others = refusals(batch, [small, b"5-0", wrong, 3])
    assert [(half.target.key, half.id) for half in too_small] == [("a", (5, 0))]
    assert [(half.target.key, text[:9]) for half, text in others] == [("b", "WRONGTYPE")]
    assert refusals(batch, [b"5-0", b"5-0", b"5-1", 3]) == ([], [])


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(0, 40))
def test_packed_data_reads_back(datas: list[bytes], longer: int) -> None:
    datas = [*datas, *(bytes([number]) * OWN_PAGES_BYTES for number in range(longer // 10))]
    assert Packed(datas).datas() == datas


def test_a_packed_batch_is_as_it_was_once_it_is_unpacked() -> None:
    batch = Batch([Stream("a", None, None)] * 2, [b"one", b""])
    batch.number((5, 6), streams_ahead=set())
    before = list(batch.commands())
    batch.pack()
    assert (batch.entries, batch.size, batch.datas) == (2, 3 + 2 * ENTRY_OVERHEAD_BYTES, [])
    batch.unpack()
    batch.unpack()
    assert list(batch.commands()) == before


def test_streams_share_the_start_of_their_feeds_command() -> None:
    """Three thousand streams are not much, and were a megabyte and a half."""
    feed = Stream("feed", 10, None)
    assert Stream("a", 10, feed).feed_head is Stream("b", 10, feed).feed_head


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_every_32nd_entry_of_a_stream_carries_its_bound_in_whatever_form_it_is_written(
    batches: list[tuple[int, bool, bool]],
) -> None:
    """Also of batches that are written again, and as long as some stream is ahead of us."""
    feed = Stream("feed", 10, None)
    stream, beyond = Stream("a", 5, feed), Stream("b", None, None)
    beyond.ahead = (10**15, 0)
    bounded = []
    for count, careful, again in batches:
        batch = Batch([stream] * count, [b""] * count)
        batch.number((1732182160123, 0), streams_ahead={beyond} if careful else set())
        assert (batch.halves is not None) is careful
        for _ in range(1 + again):
            own = [add for add in parsed(batch.encode()[0]) if add[:2] == [b"XADD", b"a"]]
            assert len(own) == count
            bounded += [add[2:5] == [b"MAXLEN", b"~", b"5"] for add in own]
    assert bounded == [index % TRIM_EVERY == 0 for index in range(len(bounded))]
