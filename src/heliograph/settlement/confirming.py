"""The custodian's word on one user's part of a settlement, before the window ends.

A cycle is decided as a whole. So each user's part is confirmed or refused for itself, and the last ends the window.
"""

from collections.abc import Collection

import msgspec

from heliograph.bus import link_keys
from heliograph.errors import SettlementError
from heliograph.settlement import cycle as cycles
from heliograph.settlement.batch import Batch
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.cycle import Cycle
from heliograph.settlement.desk import Needs
from heliograph.settlement.records import Cause


class Words(msgspec.Struct, frozen=True):
    """Who has been confirmed or refused in a cycle.

    Args:
        completed: users whose legs may settle.
        failed: users whose legs are disputed.

    """

    completed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


async def say(
    custodian: Custodian, cycle_id: str, user: str, *, completed: bool, reason: str, without: Collection[str]
) -> Cycle:
    """Confirm or refuse a user's part; the same word again changes nothing.

    Args:
        custodian: whose word it is.
        cycle_id: the cycle.
        user: whose part.
        completed: whether it settles.
        reason: why not.
        without: who needs no word, such as the exchange's own account.

    Raises:
        SettlementError: `unknown_cycle`, `unknown_user`; `final`: the other word was said, or the cycle is decided.

    """
    key = link_keys.cycle(custodian.link, cycle_id)
    words_key = link_keys.words(custodian.link, cycle_id)

    def step(batch: Batch) -> Cycle:
        cycle = batch.record_at(Cycle, key)
        if cycle is None:
            raise SettlementError("unknown_cycle", f"there is no cycle {cycle_id}")
        if user not in {leg.user for leg in cycle.legs}:
            raise SettlementError("unknown_user", f"{user} has no part in {cycle_id}")
        words = batch.record_at(Words, words_key) or Words()
        if user in (words.completed if completed else words.failed):
            return cycle
        if user in words.completed + words.failed or cycle.state not in cycles.UNDECIDED:
            raise SettlementError("final", f"{user}'s part in {cycle_id} is decided")
        if completed:
            words = msgspec.structs.replace(words, completed=(*words.completed, user))
        else:
            words = msgspec.structs.replace(words, failed=(*words.failed, user))
            for leg in cycle.legs:
                if leg.user == user and leg.state in ("ready", "waiting"):
                    cycle = cycles.disputed(cycle, leg.leg_id, "refused", reason, batch.now_ns)
        said = {*words.completed, *words.failed, *without}
        if all(leg.user in said for leg in cycle.legs):
            cycle = msgspec.structs.replace(cycle, until_ns=batch.now_ns, version=cycle.version + 1)
        batch.post(Cause("word", f"{cycle_id}/{user}"[:128]), (), {key: cycle, words_key: words})
        return cycle

    return await custodian.do(step, Needs(records={key: Cycle, words_key: Words}))
