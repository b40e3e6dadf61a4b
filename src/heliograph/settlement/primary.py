"""The custodian's books as they stand on its primary, for whoever may read them and writes nothing.

They are read key by key while the custodian may be at work, so they are of an instant only when nothing moves.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.errors import BusError, SettlementError
from heliograph.settlement.audit import Auditor
from heliograph.settlement.census import walk
from heliograph.settlement.credit import OPEN, Request
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.freeze import Freezes
from heliograph.settlement.ledger import Position
from heliograph.settlement.link.custodian import Cursor
from heliograph.settlement.reconcile import CustodianBooks, Holding
from heliograph.settlement.records import record_of

T = TypeVar("T", bound=msgspec.Struct)

PAGE: Final = 1_000
"""Keys that are listed, or read, at once."""


class Primary:
    """One link's books on a primary, to be read.

    Args:
        asker: to it, as the custodian or as its auditor.
        link: which link.

    """

    def __init__(self, asker: Asker, link: str) -> None:
        self._asker = asker
        self._link = link

    async def cursor(self) -> Cursor:
        """Return how far the custodian is.

        Raises:
            SettlementError: `unknown_link`: the primary knows nothing of it; `corrupt`.
            BusError: the primary is away or refuses.

        """
        found = await self._records([link_keys.cursor(self._link)], Cursor)
        if not found:
            raise SettlementError("unknown_link", f"the primary knows no link {self._link!r}")
        return next(iter(found.values()))

    async def positions(self) -> Mapping[tuple[str, str], Position]:
        """Return every user's accounts, by (user, asset); raises as `cursor`, without `unknown_link`."""
        prefix = link_keys.position(self._link, "", "")[:-1]
        found = await self._records(await self._keys(prefix), Position)
        places = {key: key.removeprefix(prefix).partition(":") for key in found}
        return {
            (link_keys.unpart(user), link_keys.unpart(asset)): found[key] for key, (user, _, asset) in places.items()
        }

    async def requests(self) -> list[Request]:
        """Return all requests in their order; raises as `positions`."""
        found = await self._records(await self._keys(link_keys.request(self._link, "")), Request)
        return sorted(found.values(), key=lambda request: request.request_seq)

    async def cycles(self) -> list[Cycle]:
        """Return all settlement cycles by their id; raises as `positions`."""
        found = await self._records(await self._keys(link_keys.cycle(self._link, "")), Cycle)
        return sorted(found.values(), key=lambda cycle: cycle.id)

    async def freezes(self) -> Freezes:
        """Return all that is frozen; raises as `positions`."""
        found = await self._records([link_keys.freezes(self._link)], Freezes)
        return next(iter(found.values()), Freezes())

    async def books(self) -> CustodianBooks:
        """Return everything that the exchange's books are compared with; raises as `cursor`."""
        cursor = await self.cursor()
        holdings = tuple(Holding(*place, position) for place, position in (await self.positions()).items())
        requests = tuple(request for request in await self.requests() if request.state in OPEN)
        return CustodianBooks(holdings, requests, tuple(await self.cycles()), cursor)

    async def _records(self, keys: list[str], kind: type[T]) -> dict[str, T]:
        """Return what keys hold; those that hold nothing are left out."""
        found: dict[str, T] = {}
        for at in range(0, len(keys), PAGE):
            part = keys[at : at + PAGE]
            for key, reply in zip(part, await self._asker.ask_all([("HGETALL", key) for key in part]), strict=True):
                if isinstance(reply, BusError):
                    raise reply
                texts = [item.decode(errors="replace") for item in reply]
                if texts:
                    found[key] = record_of(kind, dict(zip(texts[::2], texts[1::2], strict=True)), key)
        return found

    async def _keys(self, prefix: str) -> list[str]:
        """Return the keys that begin so: the server's list, or the journal's for whoever may not list keys."""
        pattern = "".join(f"\\{character}" if character in "\\*?[]" else character for character in prefix)
        at, found = b"0", set[str]()
        try:
            while True:
                at, keys = await self._asker.ask("SCAN", at, "MATCH", f"{pattern}*", "COUNT", PAGE)
                found.update(key.decode(errors="replace") for key in keys)
                if at == b"0":
                    return sorted(found)
        except BusError as e:
            if e.code != "NOPERM":
                raise
        auditor = Auditor(self._link)
        async for _ in walk(self._asker, auditor):
            pass
        spoken_of = auditor.keys()
        return sorted(key for key in spoken_of if key.startswith(prefix))
