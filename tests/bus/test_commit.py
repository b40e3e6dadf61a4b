"""The script, on every server at hand: whatever it refuses, it has written nothing."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.bus.commit import (
    ARGUMENTS_MAX,
    SCRIPT,
    SHA,
    WRITE_ARGUMENTS_MAX,
    Absent,
    Append,
    Commit,
    DropFields,
    Expectation,
    FieldsAre,
    PutFields,
    PutText,
    Rank,
    Reason,
    Refusal,
    TextIs,
    TrimBelow,
    Unrank,
    Write,
    arguments,
    refused,
)
from heliograph.bus.embedded import Server
from heliograph.bus.link import Link, open_link

MOST = 2**64 - 1


@pytest.fixture
async def link(matrix_server: Server) -> AsyncIterator[Link]:
    link = await open_link(matrix_server.endpoint, name="test", timeout_s=5)
    await link.request("FLUSHALL")
    await link.request("SCRIPT", "LOAD", SCRIPT)
    await _fill(link)
    yield link
    link.abort("done")


async def _fill(link: Link) -> None:
    await link.request("HSET", "hash", "a", "1", "b", "2")
    await link.request("SET", "string", "text")
    await link.request("XADD", "stream", "9-3", "f", "v")
    await link.request("XADD", "bricked", f"{MOST}-{MOST - 1}", "f", "v")
    await link.request("ZADD", "zset", "7", "m")
    await link.request("XADD", "emptied", "99-0", "f", "v")
    await link.request("XDEL", "emptied", "99-0")


async def dump(link: Link) -> dict[bytes, Any]:
    """Everything that the server holds, the last ids of streams among it."""
    held: dict[bytes, Any] = {}
    for key in sorted(await link.request("KEYS", "*")):
        stored = await link.request("DUMP", key)
        last = await link.request("XINFO", "STREAM", key) if await link.request("TYPE", key) == b"stream" else None
        held[key] = (stored, last)
    return held


async def run(link: Link, commit: Commit) -> Refusal | None:
    reply = await link.request(*arguments(commit))
    return None if reply == 1 else refused(commit, reply)


def holding(*expectations: Expectation, writes: tuple[Write, ...] = (PutFields("new", {"f": "v"}),)) -> Commit:
    return Commit(expectations, writes)


EVERYTHING = Commit(
    [
        FieldsAre("hash", {"a": "1", "none": None, "b": "2"}),
        FieldsAre("none", {"a": None}),
        TextIs("string", "text"),
        Absent("new"),
    ],
    [
        PutFields("hash", {"a": "3", "ü": "\n:"}),
        DropFields("hash", ["b", "none"]),
        PutFields("new", {"raw": b"\xff\x00"}),
        PutText("string", "other"),
        PutText("second", ""),
        Append("stream", {"f": "w"}, "9-4"),
        Append("stream", {"f": "x", "g": "y"}, "10-0"),
        TrimBelow("stream", "9-4"),
        Append("log", {"f": "v"}),
        Append("log", {"f": "w"}),
        Append("emptied", {"f": "v"}, "99-1"),
        Rank("zset", {"n": 2**53}),
        Unrank("zset", ["m", "none"]),
    ],
)


async def test_all_that_is_expected_is_so_and_all_is_written(link: Link) -> None:
    assert await run(link, EVERYTHING) is None
    assert await link.request("HGETALL", "hash") == [b"a", b"3", "ü".encode(), b"\n:"]
    assert await link.request("HGET", "new", "raw") == b"\xff\x00"
    assert [await link.request("GET", key) for key in ("string", "second")] == [b"other", b""]
    assert await link.request("XRANGE", "stream", "-", "+") == [
        [b"9-4", [b"f", b"w"]],
        [b"10-0", [b"f", b"x", b"g", b"y"]],
    ]
    assert await link.request("XLEN", "log") == 2
    assert [entry[0] for entry in await link.request("XRANGE", "emptied", "-", "+")] == [b"99-1"]
    assert await link.request("ZRANGE", "zset", 0, -1, "WITHSCORES") == [b"n", b"9007199254740992"]


@pytest.mark.parametrize(
    ("broken", "reason", "key", "what", "found"),
    [
        (FieldsAre("hash", {"a": "1", "b": "3"}), "field", "hash", "b", "2"),
        (FieldsAre("hash", {"a": "01"}), "field", "hash", "a", "1"),
        (FieldsAre("hash", {"c": "1"}), "field", "hash", "c", None),
        (FieldsAre("hash", {"c": None, "b": None}), "field", "hash", "b", "2"),
        (FieldsAre("none", {"a": "1"}), "field", "none", "a", None),
        (FieldsAre("string", {"a": "1"}), "type", "string", "hash", None),
        (FieldsAre("stream", {"a": None}), "type", "stream", "hash", None),
        (TextIs("string", "Text"), "text", "string", "", "text"),
        (TextIs("none", "text"), "text", "none", "", None),
        (TextIs("zset", "text"), "type", "zset", "string", None),
        (Absent("hash"), "present", "hash", "", "hash"),
        (Absent("emptied"), "present", "emptied", "", "stream"),
    ],
    ids=repr,
)
async def test_one_expectation_that_is_not_so_and_nothing_is_written(
    link: Link, broken: Expectation, reason: Reason, key: str, what: str, found: str | None
) -> None:
    before = await dump(link)
    others = [expectation for expectation in EVERYTHING.expectations if expectation.key != broken.key]
    for expectations in ([broken, *others], [*others, broken]):
        refusal = await run(link, Commit(expectations, [PutFields("new", {"f": "v"}), PutText("second", "v")]))
        assert refusal is not None
        assert (refusal.reason, refusal.key, refusal.what) == (reason, key, what)
        assert refusal.found == found or reason == "type"
        assert await dump(link) == before


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        *(
            (write, "type")
            for key in ("hash", "string", "stream", "zset")
            for kind, write in (
                ("hash", PutFields(key, {"f": "v"})),
                ("hash", DropFields(key, ["f"])),
                ("string", PutText(key, "v")),
                ("stream", Append(key, {"f": "v"}, "99-99")),
                ("stream", TrimBelow(key, "0-0")),
                ("zset", Rank(key, {"m": 1})),
                ("zset", Unrank(key, ["m"])),
            )
            if kind != key
        ),
        (Append("stream", {"f": "v"}, "9-3"), "id"),
        (Append("stream", {"f": "v"}, "9-2"), "id"),
        (Append("stream", {"f": "v"}, "8-4"), "id"),
        (Append("stream", {"f": "v"}, "0-0"), "id"),
        (Append("none", {"f": "v"}, "0-0"), "id"),
        (Append("emptied", {"f": "v"}, "99-0"), "id"),
        (Append("stream", {"f": "v"}, f"{MOST + 1}-0"), "id"),
        (Append("stream", {"f": "v"}, f"10-{MOST + 1}"), "id"),
        (Append("bricked", {"f": "v"}), "id"),
    ],
    ids=repr,
)
async def test_a_write_that_could_not_be_done_is_refused_before_the_first(
    link: Link, write: Write, reason: Reason
) -> None:
    before = await dump(link)
    refusal = await run(link, Commit((), [PutFields("first", {"f": "v"}), write, PutText("last", "v")]))
    assert refusal is not None
    assert (refusal.reason, refusal.key) == (reason, write.key)
    assert await dump(link) == before


async def test_ids_rise_within_a_commit_too(link: Link) -> None:
    before = await dump(link)
    for first, second in (("10-0", "10-0"), ("10-0", "9-9"), ("*", "10-0"), (f"{MOST}-{MOST}", "*")):
        refusal = await run(
            link, Commit((), [Append("stream", {"f": "v"}, first), Append("stream", {"f": "v"}, second)])
        )
        assert refusal is not None
        assert (refusal.reason, refusal.key, refusal.what) == ("id", "stream", second)
        assert await dump(link) == before
    large = [Append("stream", {"f": "v"}, entry_id) for entry_id in ("99-99", "100-5", f"100-{MOST}", f"{MOST}-{MOST}")]
    assert await run(link, Commit((), large)) is None


def plan(*parts: tuple[str, int, int]) -> bytes:
    return b"".join(
        letter.encode() + place.to_bytes(3, "big") + count.to_bytes(2, "big") for letter, place, count in parts
    )


EXPECTED = (("f", 1, 2), ("a", 2, 0), ("X", 3, 0))
WRITTEN = (("h", 1, 2), ("s", 2, 1), ("x", 3, 3), ("m", 3, 3), ("z", 4, 2))
HELD = ("a", "1", "f", "v", "text", "10-0", "f", "v", "MINID", "=", "9-0", "1", "m")
KEYS = ("hash", "new", "stream", "zset")


def request(
    expected: tuple[tuple[str, int, int], ...] = EXPECTED,
    written: tuple[tuple[str, int, int], ...] = WRITTEN,
    held: tuple[str, ...] = HELD,
) -> list[Any]:
    return ["EVALSHA", SHA, len(KEYS), *KEYS, plan(*expected), plan(*written), *held]


def _swapped(parts: tuple[Any, ...], at: int, *value: Any) -> tuple[Any, ...]:
    return (*parts[:at], *value, *parts[at + 1 :])


def _shapes() -> dict[str, list[Any]]:
    """Requests that `arguments` never makes."""
    shapes: dict[str, list[Any]] = {
        "an unknown expectation": request(_swapped(EXPECTED, 1, ("q", 2, 0))),
        "a write expected": request(_swapped(EXPECTED, 1, ("h", 2, 2))),
        "an expectation written": request(written=_swapped(WRITTEN, 1, ("v", 2, 1))),
        "an expectation of no key": request(_swapped(EXPECTED, 1, ("a", 5, 0))),
        "an expectation of key 0": request(_swapped(EXPECTED, 1, ("a", 0, 0))),
        "half a pair expected": request(_swapped(EXPECTED, 0, ("f", 1, 1))),
        "nothing expected": request(_swapped(EXPECTED, 0, ("f", 1, 0))),
        "no field expected": request(_swapped(EXPECTED, 0, ("n", 1, 0))),
        "more expected than there is": request(_swapped(EXPECTED, 0, ("n", 1, 99))),
        "a text of two expected": request(_swapped(EXPECTED, 0, ("v", 1, 2))),
        "an absence with arguments": request(_swapped(EXPECTED, 1, ("a", 2, 1))),
        "an unknown write": request(written=_swapped(WRITTEN, 1, ("q", 2, 1))),
        "a write of no key": request(written=_swapped(WRITTEN, 1, ("s", 5, 1))),
        "half a pair written": request(written=_swapped(WRITTEN, 0, ("h", 1, 1))),
        "a pair and a half written": request(written=_swapped(WRITTEN, 0, ("h", 1, 3))),
        "nothing written": request(written=_swapped(WRITTEN, 0, ("h", 1, 0))),
        "a text of nothing": request(written=_swapped(WRITTEN, 1, ("s", 2, 0))),
        "a text of two": request(written=_swapped(WRITTEN, 1, ("s", 2, 2))),
        "an entry without fields": request(written=_swapped(WRITTEN, 2, ("x", 3, 1))),
        "an entry without value": request(written=_swapped(WRITTEN, 2, ("x", 3, 2))),
        "a trim of two words": request(written=_swapped(WRITTEN, 3, ("m", 3, 2))),
        "a trim of four words": request(written=_swapped(WRITTEN, 3, ("m", 3, 4))),
        "a score without member": request(written=_swapped(WRITTEN, 4, ("z", 4, 1))),
        "a delete of nothing": request(written=_swapped(WRITTEN, 4, ("d", 1, 0))),
        "an unranking of nobody": request(written=_swapped(WRITTEN, 4, ("r", 4, 0))),
        "an argument too many": request(held=(*HELD, "x")),
        "an argument too few": request(held=HELD[:-1]),
        "a write too few": request(written=WRITTEN[:-1]),
        "a trim by length": request(held=_swapped(HELD, 8, "MAXLEN")),
        "a trim of about": request(held=_swapped(HELD, 9, "~")),
        "a trim below nothing": request(held=_swapped(HELD, 10, "x")),
        "a score that is none": request(held=_swapped(HELD, 11, "x")),
        "a score that is not a number": request(held=_swapped(HELD, 11, "nan")),
    }
    for letter, place, held in (
        *((letter, 1, ()) for letter in "fnvhdsxmzr"),
        *((letter, 2, ("f",)) for letter in "ahz"),
        *((letter, 2, ("f", "v")) for letter in "vsxm"),
        *((letter, 1, ("f", "v", "g")) for letter in "fhz"),
        ("x", 3, ("10-0", "f")),
        ("x", 3, ("10-0", "f", "v", "g")),
        ("m", 3, ("MINID", "=", "0-0", "x")),
        ("X", 3, ("f",)),
    ):
        part = ((letter, place, len(held)),)
        shapes[f"{len(held)} arguments for {letter}"] = (
            request(part, (), held) if letter in "fnvaX" else request((), part, held)
        )
    whole = request()
    for at, name in ((7, "what is expected"), (8, "what is written")):
        shapes[f"half a part of {name}"] = _swapped(tuple(whole), at, whole[at][:-1])  # type: ignore[assignment]
    wide = ("x",) * (WRITE_ARGUMENTS_MAX + 2)
    shapes["more than one command takes"] = request((), (("h", 1, len(wide)),), wide)
    for bad in ("", "1", "1-", "-1", "01-0", "11-00", "1-1-1", "a-0", "11-*", "-", "+", "**", "10-0\n"):
        shapes[f"the id {bad!r}"] = request(held=_swapped(HELD, 5, bad))
    return shapes


async def test_the_request_that_is_spoilt_below_is_right(link: Link) -> None:
    assert await link.request(*request()) == 1


@pytest.mark.parametrize("request_", _shapes().values(), ids=_shapes().keys())
async def test_a_request_that_is_wrong_in_itself_writes_nothing(link: Link, request_: list[Any]) -> None:
    before = await dump(link)
    reply = await link.request(*request_)
    assert isinstance(reply, list)
    assert reply[0] in (b"shape", b"id")
    assert await dump(link) == before


async def test_a_full_memory_refuses_at_the_first_write_and_loses_nothing(link: Link) -> None:
    await link.request("CONFIG", "SET", "maxmemory", "1")
    try:
        before = await dump(link)
        for writes in itertools.permutations(
            [PutFields("one", {"f": "v"}), DropFields("hash", ["a"]), Append("stream", {"f": "v"}, "11-0")]
        ):
            refusal = await run(link, Commit((), writes))
            if refusal is None:  # A deletion came first, which is always taken, and then so is all else.
                assert writes[0] == DropFields("hash", ["a"])
                await link.request("CONFIG", "SET", "maxmemory", "0")
                await link.request("FLUSHALL")
                await _fill(link)
                await link.request("CONFIG", "SET", "maxmemory", "1")
            else:
                assert refusal.reason == "server"
                assert refusal.found is not None
                assert "OOM" in refusal.found
            assert await dump(link) == before
    finally:
        await link.request("CONFIG", "SET", "maxmemory", "0")


async def test_a_thousand_keys_are_one_commit(link: Link) -> None:
    keys = [f"k{n}" for n in range(1000)]
    made = Commit([Absent(key) for key in keys], [PutFields(key, {"f": key}) for key in keys])
    assert await run(link, made) is None
    assert await run(link, made) == Refusal("present", "k0", "", "hash")
    wide = {str(n): str(n) for n in range(WRITE_ARGUMENTS_MAX // 2)}
    assert await run(link, Commit((), [PutFields("wide", wide)])) is None
    assert await run(link, Commit([FieldsAre("wide", wide)], [PutText("seen", "yes")])) is None


@pytest.mark.parametrize(
    ("commit", "match"),
    [
        (Commit((), [PutFields("k", {"f": "v"}), PutText("k", "v")]), "two types"),
        (Commit([TextIs("k", "v")], [PutFields("k", {"f": "v"})]), "two types"),
        (Commit([FieldsAre("k", {})], ()), "without fields"),
        (Commit((), [PutFields("k", {})]), "0 arguments"),
        (Commit((), [DropFields("k", ())]), "0 arguments"),
        (Commit((), [Append("k", {})]), "not an entry"),
        (Commit((), [Append("k", {"f": "v"}, "1")]), "not an entry"),
        (Commit((), [TrimBelow("k", "*")]), "not an id"),
        (Commit((), [DropFields("k", ["f"] * (WRITE_ARGUMENTS_MAX + 1))]), "4001 arguments"),
        (Commit([FieldsAre("k", {str(n): None for n in range(WRITE_ARGUMENTS_MAX + 1)})], ()), "4001 arguments"),
        (Commit((), [PutText(f"k{n}", "v") for n in range(ARGUMENTS_MAX // 2 + 1)]), "split it"),
    ],
)
def test_what_is_no_commit_is_never_sent(commit: Commit, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        arguments(commit)


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=5), st.text(min_size=1))
@settings(max_examples=30)
def test_every_argument_is_counted(fields: dict[str, str], key: str) -> None:
    made = arguments(Commit([Absent(key)], [PutFields(key, {**fields, "f": "v"})]))
    held = [part for item in {**fields, "f": "v"}.items() for part in item]
    assert made == ("EVALSHA", SHA, 1, key, plan(("a", 1, 0)), plan(("h", 1, len(held))), *held)
