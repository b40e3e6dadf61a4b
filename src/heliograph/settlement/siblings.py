"""What every replica that may be promoted has, asked of itself by name: what one of them lacks, a fail-over forgets.

One that gives no answer is None, and holds everything back. So does one that has another writer: it was promoted while
this primary runs on, and what it has under the same numbers is not ours. Who wrote there is asked after the figures,
since an owner who is gone never comes back. An empty list of siblings is for a primary that is never replaced. `WAIT`
would count the exchange's own replica, and proves nothing.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.endpoint import Endpoint
from heliograph.errors import BusError, SettlementError
from heliograph.settlement.credit import Request
from heliograph.settlement.link.custodian import Cursor, Writer, of_ours
from heliograph.settlement.records import record_of


class Siblings:
    """The configured list of replicas that may be promoted; an async context manager.

    Args:
        endpoints: each of them.
        link: which custodian and exchange.
        timeout_s: how long one may take for its answer, in seconds, before it counts as away.

    """

    def __init__(self, endpoints: Sequence[Endpoint], link: str, *, timeout_s: float = 2.0) -> None:
        self.link = link
        self._askers = [
            Asker(e, name=f"heliograph-siblings:{link}", connect_timeout_s=timeout_s, reply_timeout_s=timeout_s)
            for e in endpoints
        ]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for asker in self._askers:
            asker.drop("closed by us")

    async def cursors(self, mine: Writer | None) -> list[Cursor | None]:
        """Return how far the custodian is as each sibling has it, in the order of the list; None for one without.

        Args:
            mine: who asks; a sibling of another history has nothing.

        """
        key = link_keys.cursor(self.link)
        return [self._cursor(key, fields) for fields in await self._ask(key, mine)]

    async def requests(self, request_id: str, mine: Writer | None) -> list[Request | None]:
        """Return a request as each sibling has it, in the order of the list; None for one without."""
        key = link_keys.request(self.link, request_id)
        return [self._request(key, fields) for fields in await self._ask(key, mine)]

    async def heads(self, mine: Writer | None) -> list[int | None]:
        """Return the newest journal entry that each sibling has, in the order of the list; None for one without."""
        found = await self._ask(link_keys.head(self.link), mine)
        return [int(fields["n"]) if fields and fields.get("n", "").isdigit() else None for fields in found]

    async def _ask(self, key: str, mine: Writer | None) -> list[dict[str, str] | None]:
        return list(await asyncio.gather(*(self._fields(asker, key, mine) for asker in self._askers)))

    async def _fields(self, asker: Asker, key: str, mine: Writer | None) -> dict[str, str] | None:
        name = link_keys.writer(self.link)
        try:
            figures, writer = await asker.ask_all([("HGETALL", key), ("HGETALL", name)])
            fields, found = _texts(figures), record_of(Writer, _texts(writer), name)
        except (BusError, SettlementError):
            return None
        return fields if mine is not None and of_ours(mine, found) and fields else None

    def _cursor(self, key: str, fields: dict[str, str] | None) -> Cursor | None:
        try:
            return None if fields is None else record_of(Cursor, fields, key)
        except SettlementError:
            return None

    def _request(self, key: str, fields: dict[str, str] | None) -> Request | None:
        try:
            return None if fields is None else record_of(Request, fields, key)
        except SettlementError:
            return None


def _texts(flat: Any) -> dict[str, str]:
    if isinstance(flat, BusError):
        raise flat
    texts = [item.decode(errors="replace") for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
