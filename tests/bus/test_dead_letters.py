import asyncio
from collections.abc import AsyncIterator

import pytest

from heliograph.bus.dead_letters import DeadLetter, DeadLetters, burial, dead_key
from heliograph.bus.embedded import Server
from heliograph.bus.link import Link, open_link
from heliograph.errors import BusError

RAW = (b"data", b"\r\n\x00", b"data", b"again", b"dead_reason", b"an entry's own")


@pytest.fixture
async def link(matrix_server: Server) -> AsyncIterator[Link]:
    opened = await open_link(matrix_server.endpoint, name="test", timeout_s=5)
    await opened.request("DEL", "s", dead_key("s"))
    yield opened
    opened.abort("done")


async def _bury(link: Link, raw: tuple[bytes, ...] = RAW) -> bytes:
    entry_id: bytes = await link.request("XADD", "s", "*", *(raw or (b"data", b"")))
    payload, replies = burial("s", "g", entry_id, raw, deliveries=3, reason="was bad")
    await link.exchange(payload, replies)
    return entry_id


async def test_a_letter_has_the_entry_to_the_letter_and_the_entry_is_done_with(
    matrix_server: Server, link: Link
) -> None:
    await link.request("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM")
    entry_id: bytes = await link.request("XADD", "s", "*", *RAW)
    await link.request("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">")
    payload, replies = burial("s", "g", entry_id, RAW, deliveries=3, reason="was bad")
    assert await link.exchange(payload, replies) == [await _only(link), 1]
    async with DeadLetters(matrix_server.url, "s") as dead:
        (letter,) = await dead.page()
    assert letter == DeadLetter(letter.id, entry_id.decode(), "g", 3, "was bad", RAW)
    assert letter.fields[b"dead_reason"] == b"an entry's own"


async def _only(link: Link) -> bytes:
    ((letter_id, _),) = await link.request("XRANGE", dead_key("s"), "-", "+")
    return bytes(letter_id)


async def test_letters_are_read_by_pages(matrix_server: Server, link: Link) -> None:
    sources = [(await _bury(link)).decode() for _ in range(5)]
    async with DeadLetters(matrix_server.url, "s") as dead:
        assert await dead.count() == 5
        first = await dead.page(count=3)
        rest = await dead.page(first[-1].id, count=3)
    assert [letter.source_id for letter in (*first, *rest)] == sources


async def test_a_letter_is_sent_again_once_however_many_ask(matrix_server: Server, link: Link) -> None:
    for _ in range(20):
        await _bury(link)
    async with DeadLetters(matrix_server.url, "s") as one, DeadLetters(matrix_server.url, "s") as other:
        ids = [letter.id for letter in await one.page()]
        sent = await asyncio.gather(one.replay(ids), other.replay(ids))
        assert await one.count() == 0
    assert sorted(letter_id for part in sent for letter_id in part) == sorted(ids)
    assert await link.request("XLEN", "s") == 40
    newest = await link.request("XREVRANGE", "s", "+", "-", "COUNT", 20)
    assert all(tuple(raw) == RAW for _, raw in newest)
    assert {entry_id.decode() for entry_id, _ in newest} == {new for part in sent for new in part.values()}


async def test_what_is_not_there_or_empty_is_passed_over(matrix_server: Server, link: Link) -> None:
    await _bury(link, ())
    async with DeadLetters(matrix_server.url, "s") as dead:
        (letter,) = await dead.page()
        assert letter.raw == ()
        assert await dead.replay([letter.id, "1-1"]) == {}
        assert await dead.count() == 1
    with pytest.raises(BusError, match="not been opened"):
        await DeadLetters(matrix_server.url, "s").count()
