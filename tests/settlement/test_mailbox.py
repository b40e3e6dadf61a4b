"""The mailbox on the exchange's replica."""

from collections.abc import AsyncIterator, Sequence

import pytest

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.embedded import Server
from heliograph.bus.endpoint import parse_url
from heliograph.errors import BusError, SettlementError
from heliograph.settlement.mailbox import Outgoing, last_ids, payload
from heliograph.settlement.mailbox import scan as pages

LAST_ID = "18446744073709551615-18446744073709551615"
KEYS = link_keys.ring("acme")


async def scan(asker: Asker, keys: Sequence[str], **how: int) -> list[bytes]:
    """Return what a scan finds, each key's oldest first."""
    found: list[bytes] = []
    for key in keys:
        found += [raw async for page in pages(asker, [key], **how) for raw in page][::-1]
    return found


@pytest.fixture
async def asker(shared_valkey: Server) -> AsyncIterator[Asker]:
    async with Asker(parse_url(shared_valkey.url)) as asker:
        await asker.ask("FLUSHALL")
        yield asker


async def test_what_is_appended_is_read_in_its_order(asker: Asker) -> None:
    outgoing = Outgoing(asker, KEYS)
    assert (await outgoing.append([b"1", b"2", b"3"])).wiped
    assert not (await outgoing.append([b"4"])).wiped
    assert await scan(asker, KEYS, page=2) == [b"1", b"2", b"3", b"4"]


async def test_an_emptied_stream_takes_more_without_a_word_and_a_deleted_one_is_told(asker: Asker) -> None:
    outgoing = Outgoing(asker, KEYS)
    await outgoing.append([b"1"])
    await asker.ask("XTRIM", KEYS[0], "MAXLEN", 0)
    assert not (await outgoing.append([b"2"])).wiped
    await asker.ask("FLUSHALL")
    assert (await outgoing.append([b"3"])).wiped
    assert await scan(asker, KEYS) == [b"3"]


async def test_an_exhausted_key_is_left_for_the_next(asker: Asker) -> None:
    outgoing = Outgoing(asker, KEYS)
    await outgoing.append([b"1"])
    await asker.ask("XADD", KEYS[0], LAST_ID, "x", "junk")
    await outgoing.append([b"2", b"3"])
    assert outgoing.key == KEYS[1]
    assert [raw for raw in await scan(asker, KEYS) if raw] == [b"1", b"2", b"3"]


async def test_when_every_key_is_exhausted_it_says_so(asker: Asker) -> None:
    for key in KEYS:
        await asker.ask("XADD", key, LAST_ID, "x", "junk")
    with pytest.raises(SettlementError) as refused:
        await Outgoing(asker, KEYS).append([b"1"])
    assert refused.value.code == "ring_exhausted"
    await asker.ask("DEL", KEYS[3])
    await Outgoing(asker, KEYS).append([b"1"])
    assert [raw for raw in await scan(asker, KEYS) if raw] == [b"1"]


async def test_a_key_that_is_no_stream_is_an_error_and_not_a_reason_to_go_on(asker: Asker) -> None:
    await asker.ask("SET", KEYS[0], "text")
    with pytest.raises(BusError, match="WRONGTYPE"):
        await Outgoing(asker, KEYS).append([b"1"])


def test_an_entry_without_a_message_has_none() -> None:
    assert payload([b"x", b"1"]) == b""
    assert payload([b"x", b"1", b"data", b"2"]) == b"2"


async def test_the_newest_id_of_each_stream_is_told(asker: Asker) -> None:
    await Outgoing(asker, KEYS).append([b"1", b"2"])
    (key,) = newest = await last_ids(asker, KEYS)
    assert key == KEYS[0]
    assert newest[key] == (await asker.ask("XREVRANGE", key, "+", "-", "COUNT", 1))[0][0].decode()


async def test_of_a_mailbox_that_somebody_floods_the_newest_is_read(asker: Asker) -> None:
    await Outgoing(asker, KEYS).append([b"%d" % n for n in range(20)])
    assert await scan(asker, KEYS, page=3, count_max=7) == [b"%d" % n for n in range(13, 20)]
