import asyncio
import random
from contextlib import aclosing

import pytest

from heliograph.bus.connection import connect
from heliograph.bus.embedded import Server
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Entry, Reader
from heliograph.errors import BusError, ConfigError
from tests.bus.proxy import Proxy

KEY = "test:A:trades"


async def take(reader: Reader, count: int) -> list[Entry]:
    """Read `count` entries."""
    taken: list[Entry] = []
    async with aclosing(reader.__aiter__()) as entries:
        async for entry in entries:
            taken.append(entry)
            if len(taken) == count:
                return taken
    raise AssertionError("a reader does not end")


async def test_it_starts_where_it_is_told(any_server: Server) -> None:
    async with connect(any_server.url) as client:
        ids = [(await client.xadd(KEY, {"data": str(n)})).decode() for n in range(5)]
        async with Reader(any_server.url, {KEY: "0"}) as reader:
            assert [entry.data for entry in await take(reader, 5)] == [b"0", b"1", b"2", b"3", b"4"]
            assert reader.positions == {KEY: ids[4]}
        async with Reader(any_server.url, {KEY: ids[2]}) as reader:
            assert [entry.id for entry in await take(reader, 2)] == ids[3:]
        async with Reader(any_server.url, {KEY: "$", "test:none:trades": "$"}) as reader:
            reading = asyncio.ensure_future(take(reader, 2))
            await client.xadd(KEY, {"data": "5"})
            await client.xadd("test:none:trades", {"data": "6", "key": "elsewhere", "more": "x"})
            last = await reading
            assert [(entry.stream, entry.key, entry.data) for entry in last] == [
                (KEY, KEY, b"5"),
                ("test:none:trades", "elsewhere", b"6"),
            ]
            assert not any(entry.after_gap for entry in last)


async def test_positions_are_those_of_what_was_handed_out(valkey: Server) -> None:
    async with connect(valkey.url) as client, Reader(valkey.url, {KEY: "0"}) as reader:
        ids = [(await client.xadd(KEY, {"data": str(n)})).decode() for n in range(5)]
        await take(reader, 2)
        assert reader.positions == {KEY: ids[1]}
        assert [entry.id for entry in await take(reader, 3)] == ids[2:]


async def test_the_tail_can_be_asked_for_while_a_read_blocks(any_server: Server) -> None:
    async with connect(any_server.url) as client, Reader(any_server.url, {KEY: "$"}, block_s=60) as reader:
        reading = asyncio.ensure_future(take(reader, 1))
        await asyncio.sleep(0)
        for n in range(5):
            await client.xadd("test:B:trades", {"data": str(n)})
        assert [entry.data for entry in await reader.last_entries("test:B:trades", 2)] == [b"3", b"4"]
        assert [entry.data for entry in await reader.entries("test:B:trades", count=2)] == [b"0", b"1"]
        assert await reader.last_entries("test:none:trades", 2) == []
        reading.cancel()


async def test_questions_asked_at_once_share_one_link(valkey: Server) -> None:
    async with connect(valkey.url) as client:
        await client.xadd(KEY, {"data": "1"})
        async with Reader(valkey.url, {}, name="asker") as reader:
            answers = await asyncio.gather(*(reader.last_entries(KEY, 1) for _ in range(20)))
            assert [[entry.data for entry in answer] for answer in answers] == [[b"1"]] * 20
            names = [link["name"] for link in await client.client_list()]
            assert names.count("asker") == 2, "one to read, one to ask"


async def test_silence_is_no_error(valkey: Server) -> None:
    """Blocked reads that end empty, many in a row, and a wait longer than the time for a reply."""
    async with connect(valkey.url) as client:
        async with Reader(valkey.url, {KEY: "$"}, block_s=0.01, reply_timeout_s=0.5) as reader:
            reading = asyncio.ensure_future(take(reader, 1))
            while (await client.info("commandstats")).get("cmdstat_xread", {}).get("calls", 0) < 200:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await client.xadd(KEY, {"data": "1"})
            assert (await reading)[0].data == b"1"
            assert (reader.reconnects, reader.last_error) == (0, None)
        async with Reader(valkey.url, {KEY: "$"}, block_s=1.0, reply_timeout_s=0.2) as reader:
            reading = asyncio.ensure_future(take(reader, 1))
            await asyncio.wait([reading], timeout=1.3)
            await client.xadd(KEY, {"data": "2"})
            assert (await reading)[0].data == b"2"
            assert (reader.reconnects, reader.last_error) == (0, None)


async def test_cuts_neither_lose_nor_double(any_server: Server) -> None:
    dice = random.Random(7)
    async with Proxy(any_server.port) as proxy, Publisher(any_server.url) as publisher:
        streams = [await publisher.open_stream(f"test:{n}:trades") for n in range(3)]
        async with Reader(proxy.url, {s.key: "0" for s in streams}, count_max=50, backoff_max_s=0.02) as reader:
            reading = asyncio.ensure_future(take(reader, 6000))
            for start in range(0, 6000, 100):
                numbers = [b"%d" % n for n in range(start, start + 100)]
                publisher.append_many(dice.choices(streams, k=100), numbers)
                await publisher.flush()
                if start % 500 == 0:
                    proxy.swallow = start % 1000 == 0
                    if proxy.swallow:
                        await asyncio.wait([reading], timeout=0.01)
                    proxy.cut()
            found = await reading
            assert reader.reconnects > 0
    assert sorted(int(entry.data) for entry in found) == list(range(6000))
    for stream in streams:
        own = [int(entry.data) for entry in found if entry.stream == stream.key]
        assert own == sorted(own)


async def test_a_restarted_server_is_read_on(any_server: Server) -> None:
    async with Reader(any_server.url, {KEY: "0"}, backoff_max_s=0.05) as reader:
        async with connect(any_server.url) as client:
            await client.xadd(KEY, {"data": "1"})
        await take(reader, 1)
        reading = asyncio.ensure_future(take(reader, 1))
        await any_server.restart()
        async with connect(any_server.url) as client:
            await client.xadd(KEY, {"data": "2"})
        assert (await reading)[0].data == b"2"


async def test_being_overtaken_by_trimming_is_said(any_server: Server) -> None:
    async with connect(any_server.url) as client, Reader(any_server.url, {KEY: "0"}) as reader:
        for n in range(3):
            await client.xadd(KEY, {"data": str(n)})
        assert [entry.after_gap for entry in await take(reader, 3)] == [False] * 3
        for n in range(3, 10):
            await client.xadd(KEY, {"data": str(n)}, maxlen=2, approximate=False)
        first, second = await take(reader, 2)
        assert (first.data, first.after_gap, second.data, second.after_gap) == (b"8", True, b"9", False)
        assert reader.gaps == 1


async def test_a_key_that_is_no_stream_is_an_error(any_server: Server) -> None:
    async with connect(any_server.url) as client:
        await client.set("plain", "x")
    with pytest.raises(BusError, match="something else than a stream"):
        async with Reader(any_server.url, {"plain": "0"}) as reader:
            await take(reader, 1)
    with pytest.raises(BusError, match="is not a stream entry's id"):
        async with Reader(any_server.url, {KEY: "yesterday"}):
            pass
    async with Reader(any_server.url, {}) as reader:
        with pytest.raises(ConfigError):
            await take(reader, 1)


async def test_a_user_without_transactions_reads_where_gaps_need_not_be_told(any_server: Server) -> None:
    rules = ("reset", "on", ">word", "~test:*", "+xread", "+hello", "+client|setname")
    any_server.ask("ACL", "SETUSER", "narrow", *rules)
    async with connect(any_server.url) as client:
        for n in range(3):
            await client.xadd(KEY, {"data": str(n)})
        who = {"username": "narrow", "password": "word"}
        async with Reader(any_server.url, {KEY: "0"}, tells_gaps=False, **who) as reader:
            assert [entry.data for entry in await take(reader, 3)] == [b"0", b"1", b"2"]
            reading = asyncio.ensure_future(take(reader, 1))
            await client.xadd(KEY, {"data": "3"})
            assert [entry.data for entry in await reading] == [b"3"]
        async with Reader(any_server.url, {KEY: "0"}, **who) as reader:
            with pytest.raises(BusError, match="NOPERM"):
                await take(reader, 1)


async def test_an_entry_that_is_gone_at_once_ends_no_reader(any_server: Server) -> None:
    """Redis 6.2 and 7.0 wake whoever waits, and have nothing to say."""
    async with connect(any_server.url) as client, Reader(any_server.url, {KEY: "$"}, tells_gaps=False) as reader:
        reading = asyncio.ensure_future(take(reader, 1))
        async with asyncio.timeout(5):
            while not (await client.info("clients"))["blocked_clients"]:
                pass
        await client.execute_command("XADD", KEY, "MAXLEN", 0, "*", "data", "gone")
        await client.xadd(KEY, {"data": "here"})
        assert [entry.data for entry in await reading] == [b"here"]
