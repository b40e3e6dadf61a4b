"""What a stream already holds, asked after a reply was lost."""

import asyncio

from heliograph.bus.entries import Half, Stream
from heliograph.bus.ids import EntryId, format_id, parse_id
from heliograph.bus.link import Link


async def missing(link: Link, target: Stream, halves: list[Half]) -> list[Half]:
    """Return those halves, all of one stream and of one transaction, that the stream never took.

    Args:
        link: where to ask.
        target: their stream.
        halves: with ascending ids, as they were written.

    Raises:
        BusError: the server refused, or the connection ended.

    """
    if await _holds(link, target.key, halves[0].id):
        return []  # The ids ascend, so what followed the first one in its transaction was taken as well.
    if target.maxlen is not None and await link.request("XLEN", target.key) >= target.maxlen:
        # What is older than all that a full stream holds was taken and trimmed away again. A stream that is not full
        # has never been trimmed, and what it lacks it never took.
        oldest = await link.request("XRANGE", target.key, "-", "+", "COUNT", 1)
        halves = [half for half in halves if half.id >= parse_id(oldest[0][0])]
    held = await asyncio.gather(*(_holds(link, target.key, half.id) for half in halves))
    return [half for half, there in zip(halves, held, strict=True) if not there]


async def _holds(link: Link, key: str, entry_id: EntryId) -> bool:
    exact = format_id(entry_id)
    return bool(await link.request("XRANGE", key, exact, exact))
