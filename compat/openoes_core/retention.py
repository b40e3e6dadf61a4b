"""Streams are bounded, but never by what somebody still has to read.

The server's own MAXLEN counts entries and knows nothing of readers: of 3,001 published it keeps 1,001, read or not.
Here a stream is cut below what each of its groups has acknowledged. One that carries money and has no group yet is not
cut: nobody has read it.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

import redis
from redis.exceptions import NoPermissionError

from openoes_core.keys import KeyManager
from openoes_core.replies import plain, range_of

_log: Final = logging.getLogger(__name__)
SLACK: Final = 64
"""How many entries more than its bound a stream may hold before it is cut, unless the bound is to be exact."""
CUT_MAX: Final = 1000
"""How many entries are cut at a time."""
_MONEY: Final = frozenset({"credit", "pledge", "settlement"})

_told: Final[WeakKeyDictionary[redis.Redis, dict[str, int]]] = WeakKeyDictionary()
"""How many unread entries were warned of: twice as many are worth another warning."""

Id = tuple[int, int]


def carries_money(stream: str, message: Mapping[str, Any]) -> bool:
    """Tell whether losing an entry could lose money: by the stream's name, or by the type of its message."""
    kind = str(message.get("event_type", ""))
    return KeyManager.parse_key(stream)["type"] != "unknown" or kind.partition(":")[0] in _MONEY


def to_id(value: str) -> Id:
    """Return an entry's id as a pair that compares as the server compares ids."""
    milliseconds, _, count = value.partition("-")
    return int(milliseconds), int(count or 0)


def unread_from(groups: Iterable[tuple[str, str | None]]) -> Id | None:
    """Return the first id that some group may still need, or None where there is no group.

    Args:
        groups: of each group the last id that was delivered, and the first that is delivered and not acknowledged.

    """
    needed: list[Id] = []
    for delivered, pending in groups:
        after = to_id(delivered)
        needed.append((after[0], after[1] + 1) if pending is None else min(to_id(pending), (after[0], after[1] + 1)))
    return min(needed, default=None)


def keep_bounded(client: redis.Redis, stream: str, length: int, length_max: int, *, exact: bool, money: bool) -> None:
    """Cut a stream to its bound, after an entry was appended, as far as that is safe; whoever may not look, leaves it.

    Args:
        client: a client of its server.
        stream: its key.
        length: how long it is now.
        length_max: how long it should be.
        exact: whether each entry too many counts.
        money: whether it is left alone while no group reads it.

    """
    over = length - length_max
    if over <= 0 or not (exact or over % SLACK == 0):
        return
    try:
        cut = _cut(client, stream, over, money=money)
    except NoPermissionError:
        _log.debug("no right to see who reads %s: it is not cut", stream)
        return
    told = _told.setdefault(client, {})
    if cut:
        told.pop(stream, None)
    elif over >= 2 * told.get(stream, 0):
        told[stream] = over
        _log.warning("%s holds %d entries, %d more than its bound, all of them unread", stream, length, over)


def _cut(client: redis.Redis, stream: str, over: int, *, money: bool) -> int:
    groups = []
    for group in plain(client.xinfo_groups(stream)):
        first = None
        if group["pending"]:
            oldest_pending: Any = client.xpending_range(stream, group["name"], "-", "+", 1)
            first = plain(oldest_pending[0])["message_id"] if oldest_pending else None
        groups.append((group["last-delivered-id"], first))
    unread = unread_from(groups)
    if unread is None and money:
        return 0
    oldest: Any = client.xrange(stream, count=min(over, CUT_MAX) + 1)
    kept = to_id(range_of(oldest)[-1][0])
    limit = kept if unread is None else min(kept, unread)
    return int(client.xtrim(stream, minid=f"{limit[0]}-{limit[1]}", approximate=False))
