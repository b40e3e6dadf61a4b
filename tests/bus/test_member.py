import asyncio
from collections.abc import AsyncIterator

import hiredis
import pytest

from heliograph.bus import member as module
from heliograph.bus.embedded import Server
from heliograph.bus.link import Link, open_link
from heliograph.bus.member import Delivered, Member, delivered
from heliograph.bus.redeliveries import Waiting
from heliograph.errors import BusError

BLOCK_MS = 1


@pytest.fixture
async def link(matrix_server: Server) -> AsyncIterator[Link]:
    opened = await open_link(matrix_server.endpoint, name="test", timeout_s=5)
    yield opened
    await opened.request("DEL", "s")
    opened.abort("done")


async def _filled(link: Link, count: int, *names: str) -> list[Member]:
    members = [Member("s", "g", name) for name in names]
    assert await members[0].make_group(link)
    for number in range(1, count + 1):
        await link.request("XADD", "s", f"{number}-0", "data", number)
    return members


async def _read(link: Link, member: Member, count: int = 100) -> list[Delivered]:
    return delivered(await link.exchange(member.reading(count, BLOCK_MS), 1), "s")


async def _consumers(link: Link) -> dict[bytes, int]:
    rows = await link.request("XINFO", "CONSUMERS", "s", "g")
    return {row[1]: row[5] for row in rows}


async def test_a_group_is_made_once_and_begins_at_the_first_entry(link: Link) -> None:
    await link.request("XADD", "s", "1-0", "data", "x")
    member = Member("s", "g", "a")
    assert await member.make_group(link)
    assert not await member.make_group(link)
    assert await _read(link, member) == [Delivered(b"1-0", (b"data", b"x"))]
    await link.request("XGROUP", "DESTROY", "s", "g")
    with pytest.raises(BusError) as caught:
        await _read(link, member)
    assert caught.value.code in module.GROUP_GONE


async def test_a_beat_is_a_sign_of_life_and_brings_and_counts_nothing(link: Link) -> None:
    (member,) = await _filled(link, 3, "a")
    await _read(link, member, 2)
    async with asyncio.timeout(5):
        while (await _consumers(link))[b"a"] < 30:
            pass
    await member.beat(link)
    assert (await _consumers(link))[b"a"] < 20
    assert await member.pending(link, 99) == [Waiting((1, 0), 1), Waiting((2, 0), 1)]
    assert [entry.id for entry in await _read(link, member)] == [b"3-0"]


async def test_only_ones_own_is_delivered_again_and_that_is_counted(link: Link) -> None:
    one, other = await _filled(link, 3, "a", "b")
    await _read(link, one, 2)
    await _read(link, other, 1)
    await link.request("XDEL", "s", "2-0")
    assert await one.again(link, (1, 0)) == Delivered(b"1-0", (b"data", b"1"))
    assert await one.again(link, (2, 0)) == Delivered(b"2-0", None)
    assert await one.again(link, (3, 0)) is None
    assert await one.again(link, (1, 5)) is None
    assert await one.pending(link, 99) == [Waiting((1, 0), 2), Waiting((2, 0), 1)]
    assert await other.pending(link, 99) == [Waiting((3, 0), 1)]
    assert await link.exchange(one.acknowledgement([b"1-0", b"2-0", b"9-0"]), 1) == 2


async def test_the_dead_are_robbed_once_and_the_living_never(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    dead, alive, one, other = await _filled(link, 12, "dead", "alive", "one", "other")
    await _read(link, dead, 7)
    await _read(link, alive, 3)
    await _read(link, one, 1)
    async with asyncio.timeout(5):
        while (await _consumers(link))[b"dead"] < 120:
            await alive.beat(link)
            await one.beat(link)
    assert len(await dead.pending(link, 99)) == 7, "in three pages"
    assert len(await dead.pending(link, 5)) == 5
    assert await dead.pending(link, 99, "dead", 60_000) == []
    second = await open_link(link.endpoint, name="test", timeout_s=5)
    shares = await asyncio.gather(one.claim(link, 99, 100), other.claim(second, 99, 100))
    second.abort("done")
    claimed = sorted(waiting.id for share in shares for waiting in share)
    assert claimed == [(number, 0) for number in range(1, 8)], "each by one of the two"
    assert {waiting.deliveries for share in shares for waiting in share} == {1}, "a claim is no delivery"
    assert len(await alive.pending(link, 99)) == 3
    assert await other.claim(link, 99, 100) == []


@pytest.mark.parametrize("protocol", [2, 3])
async def test_both_shapes_of_a_reply_are_read(matrix_server: Server, link: Link, protocol: int) -> None:
    (member,) = await _filled(link, 2, "a")
    reader, writer = await asyncio.open_connection("127.0.0.1", matrix_server.port)
    parser, replies = hiredis.Reader(), []
    writer.write(b"HELLO %d\r\n" % protocol + member.reading(9, BLOCK_MS) + member.reading(9, BLOCK_MS))
    while len(replies) < 3:
        parser.feed(await reader.read(65536))
        while (reply := parser.gets()) is not False:
            replies.append(reply)
    writer.close()
    await writer.wait_closed()
    assert isinstance(replies[1], dict if protocol == 3 else list)
    assert delivered(replies[1], "s") == [Delivered(b"%d-0" % n, (b"data", b"%d" % n)) for n in (1, 2)]
    assert replies[2] is None
    assert delivered(replies[2], "s") == []
