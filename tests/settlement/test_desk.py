"""The one writer, when the primary is not what it was a moment ago."""

import asyncio
from decimal import Decimal

import pytest

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.errors import HeliographError, SettlementError
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.desk import Needs
from tests.settlement.byhand import TEN, settings


async def test_what_was_asked_while_the_primary_was_killed_happens_once() -> None:
    with Pair() as pair:
        async with Custodian(settings(pair, "killed")) as custodian:
            await custodian.deposit("alice", "BTC", TEN, "wire")
            asked = [
                asyncio.create_task(custodian.deposit("alice", "BTC", Decimal(1), f"wire-{n}")) for n in range(300)
            ]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            pair.primary.kill()
            late = asyncio.create_task(custodian.deposit("alice", "BTC", Decimal(1), "late"))
            await asyncio.to_thread(pair.primary.start)
            await asyncio.wait_for(asyncio.gather(late, *asked), 20)
            assert (await custodian.position("alice", "BTC")).available == 311
            assert custodian._desk.reloads >= 1


async def test_what_was_written_behind_its_back_is_found_and_read_again(shared_pair: Pair) -> None:
    async with (
        Custodian(settings(shared_pair, "behind")) as custodian,
        Asker(parse_url(shared_pair.primary.url)) as primary,
    ):
        await custodian.deposit("alice", "BTC", TEN, "wire-1")
        await primary.ask("HINCRBY", link_keys.position("behind", "alice", "BTC"), "version", 1)
        assert (await custodian.deposit("alice", "BTC", TEN, "wire-2")).available == 20
        assert custodian._desk.reloads == 1


async def test_a_refused_step_costs_no_other(shared_pair: Pair) -> None:
    async with Custodian(settings(shared_pair, "steps")) as custodian:
        await custodian.deposit("alice", "BTC", TEN, "wire")
        withdrawals = [custodian.withdraw("alice", "BTC", Decimal(6), f"out-{n}") for n in range(3)]
        results = await asyncio.gather(*withdrawals, return_exceptions=True)
        refused = [result for result in results if isinstance(result, SettlementError)]
        assert [error.code for error in refused] == ["insufficient_available"] * 2


async def test_a_step_that_was_not_prepared_for_is_refused_and_not_guessed(shared_pair: Pair) -> None:
    async with Custodian(settings(shared_pair, "unread")) as custodian:
        with pytest.raises(SettlementError) as refused:
            await custodian.do(lambda batch: batch.request("r1"), Needs())
        assert refused.value.code == "not_read"


async def test_nobody_waits_for_a_custodian_that_has_ended(shared_pair: Pair) -> None:
    async with Custodian(settings(shared_pair, "ended")) as custodian:
        await custodian.deposit("alice", "BTC", TEN, "wire")
    with pytest.raises(HeliographError, match="ended"):
        await custodian.deposit("alice", "BTC", TEN, "wire")
