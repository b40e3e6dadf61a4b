"""The exchange's mailbox on its replica: eight streams, all of which may be wiped, emptied or exhausted at any moment.

The mailbox carries and never keeps. The exchange appends with the server's own ids and appends again what is not
acknowledged; the custodian reads all eight keys whole whenever nothing came for a while, since a reading position means
nothing after a wipe.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from heliograph.bus.asker import Asker
from heliograph.errors import BusError, SettlementError
from heliograph.settlement.link.pace import MAILBOX_LENGTH

FIELD: Final = "data"
PAGE: Final = 128
"""Entries of one reading: a report may have a quarter of a megabyte."""
SCANNED_MAX: Final = MAILBOX_LENGTH + 512
"""How much of each stream, newest first, is read. No honest exchange has more in it: the bound that it trims to is
approximate, by less than this."""
_EXHAUSTED: Final = ("exhausted", "equal or smaller")


class Appended(msgspec.Struct, frozen=True):
    """What became of an appending.

    Args:
        wiped: whether the stream was gone: all that was appended before may be gone too.

    """

    wiped: bool


class Outgoing:
    """The exchange's end.

    Args:
        asker: to the replica, as the user that may append.
        keys: the ring.

    """

    def __init__(self, asker: Asker, keys: Sequence[str]) -> None:
        self._asker = asker
        self._keys = tuple(keys)
        self._at = 0

    @property
    def key(self) -> str:
        """The stream of the ring that is in use."""
        return self._keys[self._at]

    async def append(self, messages: Sequence[bytes]) -> Appended:
        """Append messages in one write, to the first key of the ring that takes them.

        Raises:
            BusError: the server is away or refuses; messages may have been appended.
            SettlementError: `ring_exhausted`: no key takes an entry any more; the operator deletes them on the replica.

        """
        wiped = False
        left = list(messages)
        for _ in range(2 * len(self._keys)):
            replies = await self._asker.ask_all([self._command(message, "NOMKSTREAM") for message in left])
            if any(reply is None for reply in replies):
                wiped = True
                replies[replies.index(None)] = await self._created(left[replies.index(None)])
            left = [
                message
                for message, reply in zip(left, replies, strict=True)
                if reply is None or isinstance(reply, BusError)
            ]
            if not left:
                return Appended(wiped)
            error = next((reply for reply in replies if isinstance(reply, BusError)), None)
            if error is not None:
                self._turn(error)
        raise SettlementError("ring_exhausted", f"none of {self._keys} takes an entry")

    async def _created(self, message: bytes) -> object:
        """Make the stream by its first message; or the error as a reply, as in a batch."""
        (reply,) = await self._asker.ask_all([self._command(message)])
        return reply

    def _command(self, message: bytes, *options: str) -> tuple[bytes | str | int, ...]:
        return ("XADD", self.key, *options, "MAXLEN", "~", MAILBOX_LENGTH, "*", FIELD, message)

    def _turn(self, error: BusError) -> None:
        """Go on with the next key if this one is exhausted, else raise."""
        if not any(word in str(error) for word in _EXHAUSTED):
            raise error
        self._at = (self._at + 1) % len(self._keys)


async def scan(
    asker: Asker, keys: Sequence[str], page: int = PAGE, count_max: int = SCANNED_MAX
) -> AsyncIterator[list[bytes]]:
    """Yield the messages that the mailbox holds in pages, key by key, the newest first, `count_max` of each key.

    Raises:
        BusError: the server is away or refuses.

    """
    for key in keys:
        end, left = "+", count_max
        while left > 0:
            count = min(page, left)
            entries = await asker.ask("XREVRANGE", key, end, "-", "COUNT", count)
            if entries:
                yield [payload(entry[1]) for entry in entries]
            if len(entries) < count:
                break
            end, left = "(" + entries[-1][0].decode(), left - count


async def last_ids(asker: Asker, keys: Sequence[str]) -> dict[str, str]:
    """Return the id of each stream's newest entry, of those that have one.

    Raises:
        BusError: the server is away or refuses.

    """
    replies = await asker.ask_all([("XREVRANGE", key, "+", "-", "COUNT", 1) for key in keys])
    for reply in replies:
        if isinstance(reply, BusError):
            raise reply
    return {key: entries[0][0].decode() for key, entries in zip(keys, replies, strict=True) if entries}


def payload(fields: Sequence[bytes]) -> bytes:
    """Return the message of an entry's flat fields, empty where it has none: junk."""
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        if name == FIELD.encode():
            return value
    return b""
