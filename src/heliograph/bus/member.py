"""What one member of a consumer group says to the server, and how it reads the answers.

Nobody's entries are taken while their consumer lives. A member that is alive says so in beats; whose last one is too
old is dead, and what it had is claimed by whoever asks first. `XAUTOCLAIM` cannot be asked for one consumer's entries:
it would take from the living, whose handlers are merely slow.

Source: https://valkey.io/topics/streams-intro/ ("Consumer groups", "Recovering from permanent failures")
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec

from heliograph.bus import resp
from heliograph.bus.ids import EntryId, format_id, parse_id
from heliograph.bus.link import Link, Reply
from heliograph.bus.redeliveries import Waiting
from heliograph.errors import BusError

PAGE: Final = 1000

_BEYOND_ALL: Final = "18446744073709551615-18446744073709551614"
"""The last id but one. The very last one means `>` to every server, undocumented: it would bring new entries."""
GROUP_GONE: Final = frozenset({"NOGROUP", "UNBLOCKED"})


class Delivered(msgspec.Struct, frozen=True):
    """An entry as it was delivered."""

    id: bytes
    raw: tuple[bytes, ...] | None
    """Names and values in turn; None where the entry was trimmed or deleted."""


def delivered(reply: Reply, stream: str) -> list[Delivered]:
    """Return the entries of one stream in an XREADGROUP's reply, of RESP2 or RESP3, which are of different shapes."""
    pairs: Iterable[Any] = reply.items() if isinstance(reply, Mapping) else reply or ()
    return [
        Delivered(entry_id, None if raw is None else tuple(raw))
        for name, items in pairs
        if name == stream.encode()
        for entry_id, raw in items
    ]


class Member:
    """One consumer of one group of one stream.

    Args:
        stream: what is read.
        group: who shares the entries.
        name: which of them this is. Nobody else may have this name at the same time.

    """

    def __init__(self, stream: str, group: str, name: str) -> None:
        self.stream = stream
        self.group = group
        self.name = name

    async def make_group(self, link: Link) -> bool:
        """Make the group, from the stream's first entry on, and the stream if need be; tell whether it was missing.

        Raises:
            BusError: the server refused, or the connection ended.

        """
        try:
            await link.request("XGROUP", "CREATE", self.stream, self.group, "0", "MKSTREAM")
        except BusError as e:
            if e.code != "BUSYGROUP":
                raise
            return False
        return True

    def reading(self, count: int, block_ms: int) -> bytes:
        """Return the request for what nobody was given yet, which waits at the server if there is nothing."""
        return resp.command(*self._read("COUNT", count, "BLOCK", max(block_ms, 1)), ">")

    async def again(self, link: Link, entry_id: EntryId) -> Delivered | None:
        """Have an entry delivered once more; None where it is not ours any more.

        Only our own entries can be asked for so: one that was claimed meanwhile is never taken back.

        Raises:
            BusError: the server refused, or the connection ended.

        """
        before = format_id(_before(entry_id))
        found = delivered(await link.request(*self._read("COUNT", 1), before), self.stream)
        return found[0] if found and parse_id(found[0].id) == entry_id else None

    async def beat(self, link: Link) -> None:
        """Say that we are alive: any reading counts as that, also one of what cannot be there.

        Raises:
            BusError: the server refused, or the connection ended.

        """
        await link.request(*self._read("COUNT", 1), _BEYOND_ALL)

    async def pending(self, link: Link, count_max: int, consumer: str | None = None, idle_ms: int = 0) -> list[Waiting]:
        """Return what was delivered to a consumer and not acknowledged, in the stream's order.

        Args:
            link: to the server.
            count_max: how much of it.
            consumer: whose; None: ours.
            idle_ms: only what was delivered at least so long ago, in milliseconds.

        Raises:
            BusError: the server refused, or the connection ended.

        """
        found: list[Waiting] = []
        start = "-"
        while len(found) < count_max:
            count = min(PAGE, count_max - len(found))
            page = await link.request(
                "XPENDING", self.stream, self.group, "IDLE", idle_ms, start, "+", count, consumer or self.name
            )
            found += [Waiting(parse_id(entry_id), deliveries) for entry_id, _, _, deliveries in page]
            if len(page) < count:
                break
            start = f"({page[-1][0].decode()}"
        return found

    async def claim(self, link: Link, count_max: int, dead_after_ms: int) -> list[Waiting]:
        """Take up to `count_max` of what dead consumers had; of several members that ask, each entry goes to one.

        Raises:
            BusError: the server refused, or the connection ended.

        """
        taken: list[Waiting] = []
        for row in await link.request("XINFO", "CONSUMERS", self.stream, self.group):
            seen = dict(zip(row[::2], row[1::2], strict=True))
            name = seen[b"name"].decode()
            if name == self.name or not seen[b"pending"] or seen[b"idle"] < dead_after_ms:
                continue
            found = await self.pending(link, count_max - len(taken), name, dead_after_ms)
            had = {waiting.id: waiting for waiting in found}
            taken += [had[entry_id] for entry_id in await self._claim(link, had, dead_after_ms)]
        return taken

    async def _claim(self, link: Link, ids: Collection[EntryId], idle_ms: int) -> list[EntryId]:
        ordered = sorted(ids)
        claimed: list[EntryId] = []
        for start in range(0, len(ordered), PAGE):
            part = map(format_id, ordered[start : start + PAGE])
            # A claim makes an entry's idle time zero: of two claimants the second is refused.
            reply = await link.request("XCLAIM", self.stream, self.group, self.name, idle_ms, *part, "JUSTID")
            claimed += map(parse_id, reply)
        return claimed

    def acknowledgement(self, ids: Iterable[bytes]) -> bytes:
        """Return the request that says that entries are done with."""
        return resp.command("XACK", self.stream, self.group, *ids)

    def _read(self, *options: str | int) -> list[str | int]:
        return ["XREADGROUP", "GROUP", self.group, self.name, *options, "STREAMS", self.stream]


def _before(entry_id: EntryId) -> EntryId:
    milliseconds, number = entry_id
    return (milliseconds, number - 1) if number else (milliseconds - 1, (1 << 64) - 1)
