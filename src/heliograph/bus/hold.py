"""How long a publisher may write, where several processes may come to write the same streams one after the other."""

import math
from collections.abc import Callable

from heliograph.bus.ids import EntryId
from heliograph.bus.link import Link, last_id, raise_floor


class Hold:
    """A publisher's leave to write, and its fence against whoever wrote before.

    Who is leased writes only for as long as `until` says, on its own clock, and raises the floor of every stream that
    it opens. Both together are the fence: a writer that was paused for longer than its lease lasts numbers nothing
    more, and what it had numbered before is too old to be taken.

    Args:
        leased: whether there is a limit at all.
        resumed: called when writing makes sense again.

    """

    def __init__(self, *, leased: bool, resumed: Callable[[], None]) -> None:
        self._leased = leased
        self._resumed = resumed
        self._until_s = 0.0 if leased else math.inf
        self._linked_s = 0.0
        self._when_linked: list[Callable[[], None]] = []

    def until(self, until_s: float, asked_s: float) -> None:
        """Write until then; later on keep what comes until told again.

        Args:
            until_s: on the loop's clock.
            asked_s: when the lease was asked for. A connection that was made later asks for it anew: the server may
                have been restarted, and may not remember whom it gave the lease to.

        """
        if asked_s >= self._linked_s:
            self._until_s = until_s
            self._resumed()

    def when_linked(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each connect, from when on a leased publisher waits for `until`."""
        self._when_linked.append(callback)

    def linked(self, now_s: float) -> None:
        """Take note of a connect."""
        self._linked_s = now_s
        if self._leased:
            self._until_s = 0.0
        for callback in self._when_linked:
            callback()

    def lapsed(self, now_s: float) -> bool:
        """Tell whether nothing may be written."""
        return now_s >= self._until_s

    async def open(self, link: Link, key: str, now_ms: int) -> EntryId:
        """Return the last id that a stream has given out, after which ours begin.

        Raises:
            BusError: the server refused, or the connection ended.

        """
        if not self._leased:
            return await last_id(link, key)
        # One millisecond more, for ids of the very same one that are still on their way.
        return await raise_floor(link, key, (now_ms + 1, 0))
