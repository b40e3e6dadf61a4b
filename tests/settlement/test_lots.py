"""The lots of a vault on the primary."""

import itertools
from decimal import Decimal

import pytest

from heliograph.bus.embedded_pair import Pair
from heliograph.errors import SettlementError
from heliograph.settlement import lots
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.ledger import Position
from heliograph.settlement.vault import Lot, Status, held
from tests.settlement.byhand import settings

D = Decimal
_numbers = itertools.count()


def _lot(amount: str, lot_id: str = "", status: Status = "locked", at_ns: int = 1) -> Lot:
    return Lot(lot_id, "alice", "BTC", D(amount), "Bitcoin", "bc1q", status, at_ns)


@pytest.fixture
def link() -> str:
    return f"lots-{next(_numbers)}"


async def test_d27_a_split_lot_is_kept_in_both_parts_also_by_the_next_custodian(shared_pair: Pair, link: str) -> None:
    async with Custodian(settings(shared_pair, link)) as custodian:
        await lots.add(custodian, _lot("3", "first", at_ns=1))
        await lots.add(custodian, _lot("4", "second", at_ns=2))
        moved = await lots.unlock(custodian, "alice", "BTC", D(5))
        assert [(part.amount, part.status) for part in moved] == [(3, "unlocked"), (2, "unlocked")]
    async with Custodian(settings(shared_pair, link)) as custodian:
        found = await lots.look(custodian, "alice", "BTC")
        assert (held(found, "locked"), held(found, "unlocked")) == (2, 5)
        assert await custodian.position("alice", "BTC") == Position(available=D(7))
        assert (await custodian.audit()).clean


async def test_coins_are_booked_once_whichever_is_told_first(shared_pair: Pair, link: str) -> None:
    async with Custodian(settings(shared_pair, link)) as custodian:
        await custodian.deposit("alice", "BTC", D(2), "wire-1")
        await lots.add(custodian, _lot("5", "a"))
        assert (await custodian.position("alice", "BTC")).available == 5
        assert await lots.add(custodian, _lot("5", "a")) == (await lots.look(custodian, "alice", "BTC"))[0]
        assert (await custodian.position("alice", "BTC")).available == 5
        with pytest.raises(SettlementError) as refused:
            await lots.add(custodian, _lot("6", "a"))
        assert refused.value.code == "exists"


async def test_a_pending_lot_is_booked_when_it_arrives(shared_pair: Pair, link: str) -> None:
    async with Custodian(settings(shared_pair, link)) as custodian:
        pending = await lots.add(custodian, _lot("5", status="pending"))
        assert await custodian.position("alice", "BTC") == Position()
        assert (await lots.turn(custodian, pending, "locked")).status == "locked"
        assert (await custodian.position("alice", "BTC")).available == 5
        assert await lots.turn(custodian, pending, "locked") == (await lots.look(custodian, "alice", "BTC"))[0]
        with pytest.raises(SettlementError):
            await lots.turn(custodian, pending, "pending")
        with pytest.raises(SettlementError) as refused:
            await lots.turn(custodian, _lot("1", "nowhere"), "locked")
        assert refused.value.code == "unknown_lot"


async def test_d27_the_policy_refuses_and_changes_nothing(shared_pair: Pair, link: str) -> None:
    async with Custodian(settings(shared_pair, link)) as custodian:
        for amount, credit, code in (("1", None, "nothing_locked"), ("6", None, "insufficient_locked")):
            with pytest.raises(SettlementError) as refused:
                await lots.unlock(custodian, "alice", "BTC", D(amount), credit)
            assert refused.value.code == code
            await lots.add(custodian, _lot("5", "a"))
        with pytest.raises(SettlementError) as refused:
            await lots.unlock(custodian, "alice", "BTC", D(5), D("4.9"))
        assert refused.value.code == "insufficient_credit"
        assert held(await lots.look(custodian, "alice", "BTC"), "locked") == 5
