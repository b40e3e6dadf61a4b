"""Coins that a custodian's own word brings into the books."""

import asyncio
import itertools
from decimal import Decimal

import msgspec
import pytest

from heliograph.bus.embedded_pair import Pair
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.declared import acquainted, declared
from heliograph.settlement.ledger import Position
from tests.settlement.byhand import FIVE, settings

_numbers = itertools.count()


@pytest.fixture
def link() -> str:
    return f"declared-{next(_numbers)}"


async def test_what_the_vault_lacks_arrives_once_for_a_request(shared_pair: Pair, link: str) -> None:
    async with Custodian(settings(shared_pair, link)) as custodian:
        await custodian.deposit("alice", "BTC", Decimal(2), "wire-1")
        await asyncio.gather(*(declared(custodian, "r1", FIVE) for _ in range(3)))
        assert await custodian.position("alice", "BTC") == Position(available=Decimal(5))
        await custodian.request("r1", FIVE)
        await declared(custodian, "r1", FIVE)
        assert await custodian.position("alice", "BTC") == Position(held=Decimal(5))
        await declared(custodian, "r2", msgspec.structs.replace(FIVE, amount="1"))
        assert await custodian.position("alice", "BTC") == Position(available=Decimal(1), held=Decimal(5))
        assert (await custodian.audit()).clean


async def test_a_request_without_lack_brings_nothing(shared_pair: Pair, link: str) -> None:
    async with Custodian(settings(shared_pair, link)) as custodian:
        await custodian.deposit("alice", "BTC", Decimal(7), "wire-1")
        await declared(custodian, "r1", FIVE)
        assert (await custodian.position("alice", "BTC")).available == 7


async def test_an_account_can_be_opened_empty(shared_pair: Pair, link: str) -> None:
    async with Custodian(settings(shared_pair, link)) as custodian:
        assert ("house", "BTC") not in await custodian.positions()
        await acquainted(custodian, "house", "BTC")
        await acquainted(custodian, "house", "BTC")
        assert (await custodian.positions())["house", "BTC"] == Position()
        assert (await custodian.audit()).clean
