"""The one writer, when the primary is not what it was a moment ago."""

import asyncio
import os
import signal
from decimal import Decimal

import msgspec
import pytest

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.errors import HeliographError, OutcomeUnknown, SettlementError
from heliograph.model.settlement import Decision
from heliograph.settlement import store
from heliograph.settlement.batch import Batch
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.desk import FLIGHTS_MAX, Needs
from heliograph.settlement.ledger import Position, Transfer
from heliograph.settlement.records import Cause
from tests.settlement.byhand import FIVE, TEN, ByHand, eventually, settings


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


async def test_a_step_that_fails_halfway_costs_no_other_and_leaves_nothing(shared_pair: Pair) -> None:
    async with Custodian(settings(shared_pair, "halfway")) as custodian:
        await custodian.deposit("alice", "BTC", TEN, "wire")

        def broken(batch: Batch) -> Position:
            batch.post(Cause("deposit", "broken"), [Transfer("BTC", TEN, "outside", "", "available", "alice")])
            raise ZeroDivisionError

        needs = Needs(positions=(("alice", "BTC"),), assets=("BTC",))
        results = await asyncio.gather(
            custodian.deposit("alice", "BTC", TEN, "wire-2"),
            custodian.do(broken, needs),
            custodian.deposit("alice", "BTC", TEN, "wire-3"),
            return_exceptions=True,
        )
        assert [getattr(result, "available", type(result)) for result in results] == [20, ZeroDivisionError, 30]
        assert (await custodian.audit()).clean


ALICE = Needs(positions=(("alice", "BTC"),), assets=("BTC",))


def _deposited(batch: Batch) -> None:
    """Take a step that needs nothing to be read."""
    batch.post(Cause("deposit", "x"), [Transfer("BTC", TEN, "outside", "", "available", "alice")])


async def test_whoever_waits_when_the_custodian_is_closed_is_told() -> None:
    with Pair() as pair:
        async with Custodian(settings(pair, "closed")) as custodian:
            await custodian.deposit("alice", "BTC", TEN, "wire")
            pid = pair.primary.pid
            assert pid is not None

            os.kill(pid, signal.SIGSTOP)
            asked = []
            for _ in range(3):  # Each goes out with a batch of its own, or waits for a turn; no answer comes to any.
                asked.append(asyncio.create_task(custodian.do(_deposited, ALICE)))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        results = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)
        os.kill(pid, signal.SIGCONT)
        assert {type(result) for result in results} == {OutcomeUnknown}


async def test_a_fence_ends_a_desk_that_waits_for_room() -> None:
    with Pair() as pair:
        async with Custodian(settings(pair, "room")) as custodian:
            await custodian.deposit("alice", "BTC", TEN, "wire-1")
            pid = pair.primary.pid
            assert pid is not None
            async with Custodian(settings(pair, "room")):
                os.kill(pid, signal.SIGSTOP)
                asked = []
                for _ in range(2 * FLIGHTS_MAX):
                    asked.append(asyncio.create_task(custodian.do(_deposited, ALICE)))
                    await asyncio.sleep(0.001)
                os.kill(pid, signal.SIGCONT)
                results = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)
                assert all(isinstance(result, HeliographError) for result in results)
                assert custodian.ended is not None
                with pytest.raises(SettlementError, match="fenced"):
                    await asyncio.wait_for(custodian.ended, 5)


async def test_the_order_of_what_was_asked_outlives_a_primary() -> None:
    with Pair() as pair:
        async with Custodian(settings(pair, "order")) as custodian:
            await custodian.deposit("alice", "BTC", TEN, "wire")
            # The withdrawals take all that the deposits brought; in any other order one of them is refused.
            moves = [custodian.deposit("bob", "BTC", TEN, f"in-{n}") for n in range(900)]
            moves += [custodian.withdraw("bob", "BTC", 2 * TEN, f"out-{n}") for n in range(450)]
            asked = [asyncio.create_task(move) for move in moves]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            pair.primary.kill()
            await asyncio.to_thread(pair.primary.start)
            await asyncio.wait_for(asyncio.gather(*asked), 20)


async def test_a_primary_that_refuses_everything_is_not_asked_without_a_pause(shared_pair: Pair) -> None:
    async with (
        Custodian(settings(shared_pair, "refuses")) as custodian,
        Asker(parse_url(shared_pair.primary.url)) as primary,
    ):
        await custodian.deposit("alice", "BTC", TEN, "wire-1")
        key = link_keys.position("refuses", "alice", "BTC")
        await primary.ask("HSET", key, "version", "01")  # Nothing that is decided upon this can be written.
        asked = asyncio.create_task(custodian.deposit("alice", "BTC", TEN, "wire-2"))

        async def refused() -> bool:
            return custodian._desk._misses >= 4

        await eventually(refused, 10)
        await primary.ask("HSET", key, "version", "1")
        assert (await asyncio.wait_for(asked, 5)).available == 20
        assert custodian._desk._misses == 0


async def test_memory_that_is_full_is_forgotten_and_no_answer_is_lost(
    shared_pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "RECORDS_MAX", 3)
    async with (
        Custodian(settings(shared_pair, "small")) as custodian,
        Asker(parse_url(shared_pair.replica.url)) as replica,
    ):
        exchange = ByHand(replica, "small")
        for n in range(10):
            await custodian.deposit(f"user{n}", "BTC", TEN, f"wire-{n}")
        orders = [(f"r{n}", msgspec.structs.replace(FIVE, user=f"user{n}")) for n in range(10)]
        await asyncio.gather(*(custodian.request(*order) for order in orders))
        for request, _ in orders:
            await exchange.say(request, Decision("accepted"))
        final = await asyncio.gather(*(custodian.final(request, 5) for request, _ in orders))
        assert {request.state for request in final} == {"posted"}
