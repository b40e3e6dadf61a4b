"""Withdrawals on their way out. What siblings have to do with it: test_rounds.py."""

from decimal import Decimal

import pytest

from heliograph.bus.embedded_pair import Pair
from heliograph.errors import SettlementError
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.ledger import Position
from heliograph.settlement.passage import Passage
from tests.settlement.byhand import TEN, eventually, settings


async def test_a_withdrawal_is_paid_once_and_outside(shared_pair: Pair) -> None:
    paid: list[Passage] = []

    async def pay(passage: Passage) -> None:
        paid.append(passage)
        if len(paid) == 1:
            raise OSError("the chain is away")

    async with Custodian(settings(shared_pair, "payouts"), payer=pay) as custodian:
        await custodian.deposit("alice", "BTC", TEN, "wire-1")
        for _ in range(2):
            assert (await custodian.withdraw("alice", "BTC", Decimal(4), "out-1")).available == 6

        async def gone() -> bool:
            return not (await custodian.position("alice", "BTC")).leaving

        await eventually(gone)
        assert (await custodian.position("alice", "BTC")) == Position(available=Decimal(6))
        assert [passage.reference for passage in paid] == ["out-1", "out-1"]
        with pytest.raises(SettlementError) as refused:
            await custodian.withdraw("alice", "BTC", Decimal(7), "out-2")
        assert refused.value.code == "insufficient_available"
