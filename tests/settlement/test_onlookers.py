"""What the readers of the seeds' streams are shown."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from heliograph.bus.asker import Asker
from heliograph.bus.embedded import Server
from heliograph.settlement.faces import Face
from heliograph.settlement.link.exchange import Row
from heliograph.settlement.onlookers import WAITING_MAX, Onlookers
from tests.settlement.byhand import eventually


@pytest.fixture
async def asker(shared_valkey: Server) -> AsyncIterator[Asker]:
    async with Asker(shared_valkey.endpoint) as asker:
        await asker.ask("FLUSHALL")
        yield asker


async def _none(rows: Sequence[Row]) -> list[Face]:
    assert not rows
    return []


async def test_what_is_shown_comes_in_its_order_and_a_refusal_stops_nothing(asker: Asker) -> None:
    await asker.ask("SET", "no-stream", "")
    onlookers = Onlookers(asker, "acme", _none)
    running = asyncio.create_task(onlookers.run())
    onlookers.show([Face("shown", {"n": str(n)}) for n in range(3)])

    async def shown(count: int) -> bool:
        return bool(await asker.ask("XLEN", "shown") == count)

    await eventually(lambda: shown(3))
    onlookers.show([Face("no-stream", {"n": "3"})])
    await asyncio.sleep(0)
    onlookers.show([Face("shown", {"n": "4"})])
    await eventually(lambda: shown(4))
    entries = await asker.ask("XRANGE", "shown", "-", "+")
    assert [fields[1] for _, fields in entries] == [b"0", b"1", b"2", b"4"]
    running.cancel()
    await asyncio.wait({running})


async def test_of_too_much_the_newest_is_shown(asker: Asker) -> None:
    onlookers = Onlookers(asker, "acme", _none)
    onlookers.show(Face("shown", {"n": str(n)}) for n in range(WAITING_MAX + 5))
    running = asyncio.create_task(onlookers.run())

    async def last() -> bool:
        entries = await asker.ask("XREVRANGE", "shown", "+", "-", "COUNT", 1)
        return bool(entries and entries[0][1][1] == str(WAITING_MAX + 4).encode())

    await eventually(last)
    entries = await asker.ask("XRANGE", "shown", "-", "+", "COUNT", 1)
    assert int(entries[0][1][1]) >= 5
    running.cancel()
    await asyncio.wait({running})
