"""Withdrawals on their way out: paid one after the other, once every sibling of the primary knows, until each is done.

Whoever moves the coins is called again after anything that leaves open whether it did, under the same reference.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from heliograph.bus import link_keys
from heliograph.errors import SettlementError
from heliograph.settlement.batch import Batch
from heliograph.settlement.desk import Desk, Needs
from heliograph.settlement.freeze import Freezes
from heliograph.settlement.passage import Docket, Passage, ended, left
from heliograph.settlement.records import Cause
from heliograph.settlement.rounds import Rounds
from heliograph.settlement.siblings import Siblings
from heliograph.settlement.store import Store

Payer = Callable[[Passage], Awaitable[None]]
"""Moves the coins of a withdrawal outside; called again, with the same reference, until it returns."""
PAUSE_S: Final = 0.25

_log = structlog.get_logger(__name__)


class Payouts:
    """What pays; `run` it in a task group.

    Args:
        desk: takes the steps.
        store: whose writer is ours.
        rounds: knows what leaves.
        siblings: what they have.
        payer: None where nothing is to be done outside.
        at: called at `paying` and `paid`, for tests that kill the process there.

    """

    def __init__(
        self,
        desk: Desk,
        store: Store,
        rounds: Rounds,
        siblings: Siblings,
        payer: Payer | None,
        at: Callable[[str], None],
    ) -> None:
        self._desk = desk
        self._store = store
        self._rounds = rounds
        self._siblings = siblings
        self._payer = payer
        self._at = at

    async def run(self) -> None:
        """Pay out what leaves, for ever."""
        while True:
            paid = False
            try:
                for reference in self._rounds.docket.leaving:
                    paid |= await self._pay_out(reference)
            except SettlementError as e:
                if e.code != "busy":
                    raise
            await asyncio.sleep(0 if paid else PAUSE_S)

    async def _pay_out(self, reference: str) -> bool:
        key = link_keys.passage(self._store.link, reference)
        passage = await self._desk.do(lambda batch: batch.record_at(Passage, key), Needs(records={key: Passage}))
        if passage is None or passage.state != "leaving":
            return False
        heads = await self._siblings.heads(self._store.writer)
        if any(head is None or head < passage.journal for head in heads):
            return False
        self._at("paying")
        try:
            if self._payer is not None:
                await self._payer(passage)
        except Exception as e:  # Whatever the outside world answers, the coins stay where they are until it is done.
            _log.warning("withdrawal not paid", link=self._store.link, reference=reference, error=str(e))
            return False

        def step(batch: Batch) -> None:
            found = batch.record_at(Passage, key)
            if found is None or found.state != "leaving":
                return
            docket_key = link_keys.docket(self._store.link)
            docket = ended(batch.record_at(Docket, docket_key) or Docket(), withdrawal=reference)
            done = msgspec.structs.replace(found, state="paid")
            batch.post(Cause("paid", reference), [left(found)], {key: done, docket_key: docket})

        self._at("paid")
        await self._desk.do(step, passing(self._store.link, passage))
        return True


def passing(link: str, passage: Passage) -> Needs:
    """Return what the steps of a passage look at."""
    return Needs(
        positions=((passage.user, passage.asset),),
        assets=(passage.asset,),
        records={
            link_keys.passage(link, passage.reference): Passage,
            link_keys.docket(link): Docket,
            link_keys.freezes(link): Freezes,
        },
    )
