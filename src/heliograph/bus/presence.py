"""What a stream already holds, asked after a reply was lost."""

import asyncio

from heliograph.bus.entries import Half, Stream
from heliograph.bus.ids import EntryId, format_id, parse_id
from heliograph.bus.link import Link, last_id


async def sort_out(
    link: Link, halves: list[Half], *, written_before: bool
) -> tuple[list[Half], list[tuple[Stream, EntryId]]]:
    """Return those halves of one transaction that need new ids, and the last ids of their streams.

    A refusal on the first write means another writer or a clock behind. After a lost reply it usually means that the
    write had arrived; the server is asked, since it may have been refused before the reply was lost.

    Raises:
        BusError: the server refused, or the connection ended.

    """
    absent: list[Half] = []
    ahead: list[tuple[Stream, EntryId]] = []
    for target in {half.target.key: half.target for half in halves}.values():
        own = [half for half in halves if half.target is target]
        if written_before:
            own = await missing(link, target, own)
        if own:
            ahead.append((target, await last_id(link, target.key)))
            absent += own
    return sorted(absent, key=lambda half: (half.entry, half.on_feed)), ahead


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
