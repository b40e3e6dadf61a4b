"""The ids of streams' entries. Pure.

An id is chosen here, never by the server: an entry written again under its id is refused instead of doubled.
Source: https://valkey.io/topics/streams-intro/ ("Entry IDs")
"""

from typing import Final

from heliograph.errors import BusError

EntryId = tuple[int, int]
"""Milliseconds since the epoch, and a number within the millisecond."""

NUMBER_MAX: Final = 10_000
"""Entries within one millisecond; beyond it the next millisecond is used ahead of its time."""

_TAILS: Final = tuple(b"%d\r\n" % number for number in range(NUMBER_MAX))


class IdSource:
    """Ids that ascend, whatever the clock does."""

    def __init__(self) -> None:
        self.last: EntryId = (0, -1)
        """The last id that was given out."""

    def take(self, count: int, now_ms: int) -> EntryId:
        """Return the first of `count` ids in a row within one millisecond.

        Args:
            count: at most `NUMBER_MAX`.
            now_ms: the time, in milliseconds since the epoch.

        """
        millisecond, last_number = self.last
        number = 0
        if now_ms > millisecond:
            millisecond = now_ms
        elif last_number + count < NUMBER_MAX:
            number = last_number + 1
        else:
            millisecond += 1
        self.last = (millisecond, number + count - 1)
        return millisecond, number


def bulk_ids(first_id: EntryId, count: int) -> list[bytes]:
    """Return `count` ids in a row as bulk strings.

    Args:
        first_id: the first; its number and the last one's are below `NUMBER_MAX`.
        count: how many.

    """
    if count == 1:  # Most of a quiet feed's batches, and a quarter of their cost.
        text = b"%d-%d" % first_id
        return [b"$%d\r\n%b\r\n" % (len(text), text)]
    millisecond, start = first_id
    stop = start + count
    prefix_digits = len(str(millisecond)) + 1
    rendered: list[bytes] = []
    digits = len(str(start))
    while start < stop:
        block_stop = min(stop, 10**digits)
        head = b"$%d\r\n%d-" % (prefix_digits + digits, millisecond)
        rendered += [head + tail for tail in _TAILS[start:block_stop]]
        start = block_stop
        digits += 1
    return rendered


def format_id(entry_id: EntryId) -> bytes:
    """Return the id as the server writes it, such as `1732182160123-0`."""
    return b"%d-%d" % entry_id


def parse_id(text: bytes | str) -> EntryId:
    """Read an id; a missing second part is 0, as the server reads it.

    Raises:
        BusError: the text is not an id.

    """
    plain = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    millisecond, _, number = plain.partition("-")
    try:
        return int(millisecond), int(number or "0")
    except ValueError:
        raise BusError(f"{plain!r} is not a stream entry's id, such as 1732182160123-0") from None


def after(entry_id: EntryId) -> EntryId:
    """Return the next id."""
    millisecond, number = entry_id
    return (millisecond, number + 1) if number < 2**64 - 1 else (millisecond + 1, 0)
