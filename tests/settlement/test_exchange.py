"""Custodian and exchange, both real, over a real primary and the exchange's replica of it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.errors import SettlementError
from heliograph.model.settlement import CreditOrder
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.envelope import seal
from heliograph.settlement.exchange import Decider, Exchange, ExchangeSettings, accept
from heliograph.settlement.exchange_journal import Choice, Policy
from heliograph.settlement.ledger import Position
from heliograph.settlement.link.exchange import Row
from heliograph.settlement.netting import Change
from heliograph.settlement.reconcile import reconciled
from tests.settlement.byhand import CUSTODIAN_KEY, EXCHANGE_KEY, FIVE, TEN, eventually, settings

_numbers = itertools.count()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture
def link(pair: Pair) -> str:
    """A link of the test's own, on servers that hold nothing else: a credit inventory does not say whose link it is."""
    pair.primary.ask("FLUSHALL")
    return f"both-{next(_numbers)}"


@pytest.fixture
async def replica(pair: Pair) -> AsyncIterator[Asker]:
    async with Asker(parse_url(pair.replica.url)) as asker:
        yield asker


def exchange_settings(pair: Pair, link: str, directory: Path) -> ExchangeSettings:
    return ExchangeSettings(
        link=link,
        replica=parse_url(pair.replica.url),
        journal=directory / f"{link}.sqlite",
        signer=EXCHANGE_KEY,
        keys=(CUSTODIAN_KEY.public(),),
        policy=Policy("house"),
    )


@asynccontextmanager
async def both(
    pair: Pair, link: str, directory: Path, decider: Decider | None = accept, **changes: object
) -> AsyncIterator[tuple[Custodian, Exchange]]:
    """A custodian and an exchange, the user alice with ten BTC in custody."""
    async with (
        Custodian(settings(pair, link, **changes)) as custodian,
        Exchange(exchange_settings(pair, link, directory), decider) as exchange,
    ):
        await custodian.deposit("alice", "BTC", TEN, "wire-1")
        yield custodian, exchange


async def _agreed(custodian: Custodian, exchange: Exchange) -> bool:
    """Whether both sides' books are the same, to the last digit and the last message."""
    return reconciled(await custodian.books(), await exchange.books()).agreed


async def test_credit_is_granted_and_given_back(pair: Pair, link: str, tmp_path: Path, replica: Asker) -> None:
    async with both(pair, link, tmp_path) as (custodian, exchange):
        await custodian.request("r1", FIVE)
        assert (await custodian.final("r1", 5)).state == "posted"
        assert (await exchange.account("alice", "BTC")).limit == 5
        await custodian.request("r2", CreditOrder("decrease", "alice", "BTC", "2"))
        assert (await custodian.final("r2", 5)).state == "posted"
        assert await custodian.position("alice", "BTC") == Position(available=Decimal(7), granted=Decimal(3))
        assert (await exchange.account("alice", "BTC")).limit == 3

        async def mirrored() -> bool:
            return bool(await exchange.credit("alice", "BTC") == 3)

        await eventually(mirrored)

        async def forgotten() -> bool:
            cursor = await exchange._call(exchange._journal.cursor)
            return cursor.pruned == 2

        await eventually(forgotten)

        async def shown() -> bool:
            answers, events = link_keys.CREDIT_RESPONSES, link_keys.notifications(link)
            return await replica.ask("XLEN", answers) >= 2 and await replica.ask("XLEN", events) >= 2

        await eventually(shown)


async def test_a_decision_by_hand_comes_when_it_comes(pair: Pair, link: str, tmp_path: Path) -> None:
    async with both(pair, link, tmp_path, decider=None) as (custodian, exchange):
        await custodian.request("r1", FIVE)
        with pytest.raises(SettlementError) as waited:
            await custodian.final("r1", 0.05)
        assert waited.value.code == "timeout"

        async def arrived() -> bool:
            return bool(await exchange.requests("pending"))

        await eventually(arrived)
        await exchange.decide(Choice("r1", "rejected", "policy", "not today"))
        request = await custodian.final("r1", 5)
        assert (request.state, request.code, request.reason) == ("void", "policy", "not today")
        with pytest.raises(SettlementError) as refused:
            await exchange.decide(Choice("r1", "accepted"))
        assert refused.value.code == "decided"


async def test_a_cancel_in_time_is_a_rejection_and_frees_the_coins(pair: Pair, link: str, tmp_path: Path) -> None:
    async with both(pair, link, tmp_path, decider=None) as (custodian, _):
        await custodian.request("r1", FIVE)
        assert (await custodian.cancel("r1", "changed my mind")).state in ("asked", "void")
        request = await custodian.final("r1", 5)
        assert (request.state, request.code) == ("void", "cancelled")
        assert (await custodian.position("alice", "BTC")).available == TEN


async def test_credit_in_use_is_not_given_back(pair: Pair, link: str, tmp_path: Path) -> None:
    async with both(pair, link, tmp_path) as (custodian, exchange):
        await custodian.request("r1", FIVE)
        await custodian.final("r1", 5)
        await custodian.deposit("house", "BTC", TEN, "wire-2")
        await exchange.trade(
            [Change("t1/a", "alice", "BTC", Decimal(-4), 1), Change("t1/h", "house", "BTC", Decimal(4), 1)]
        )
        await custodian.request("r2", CreditOrder("decrease", "alice", "BTC", "2"))
        request = await custodian.final("r2", 5)
        assert (request.state, request.code) == ("void", "insufficient_limit")


async def test_a_decider_that_fails_leaves_the_request_for_a_person(pair: Pair, link: str, tmp_path: Path) -> None:
    async def broken(row: Row, order: CreditOrder) -> Choice | None:
        raise ZeroDivisionError(f"{row.id} {order.amount}")

    async with both(pair, link, tmp_path, decider=broken) as (custodian, exchange):
        await custodian.request("r1", FIVE)

        async def arrived() -> bool:
            return bool(await exchange.requests("pending"))

        await eventually(arrived)
        await exchange.decide(Choice("r1", "accepted"))
        assert (await custodian.final("r1", 5)).state == "posted"


async def test_each_side_tells_how_its_end_of_the_link_is(pair: Pair, link: str, tmp_path: Path) -> None:
    async with both(pair, link, tmp_path) as (custodian, exchange):
        await custodian.request("r1", FIVE)
        await custodian.final("r1", 5)

        async def quiet() -> bool:
            ours, theirs = custodian.metrics(), exchange.metrics()
            return (ours.unacknowledged, ours.unpublished, ours.waiting, theirs.unacknowledged) == (0, 0, 0, 0)

        await eventually(quiet)
        assert not custodian.metrics().halted
        assert not exchange.metrics().halted
        assert custodian.metrics().refused == {}


async def test_a_slow_decision_holds_up_no_other(pair: Pair, link: str, tmp_path: Path) -> None:
    enough = asyncio.Event()

    async def slowly(row: Row, order: CreditOrder) -> Choice | None:
        if row.id == "slow":
            await enough.wait()
        return await accept(row, order)

    async with both(pair, link, tmp_path, decider=slowly) as (custodian, exchange):
        order = msgspec.structs.replace(FIVE, amount="1")
        for request in ("slow", "r1", "r2"):
            await custodian.request(request, order)
        assert (await custodian.final("r1", 5)).state == "posted"
        assert (await custodian.final("r2", 5)).state == "posted"
        enough.set()
        assert (await custodian.final("slow", 5)).state == "posted"
        await eventually(lambda: _agreed(custodian, exchange))


async def test_what_cannot_be_accepted_by_hand_waits_on(pair: Pair, link: str, tmp_path: Path) -> None:
    async def later(row: Row, order: CreditOrder) -> Choice | None:
        return None if order.kind == "decrease" else await accept(row, order)

    async with both(pair, link, tmp_path, decider=later) as (custodian, exchange):
        await custodian.request("r1", FIVE)
        await custodian.final("r1", 5)
        await custodian.deposit("house", "BTC", TEN, "wire-2")
        sold = [Change("t1/a", "alice", "BTC", Decimal(-4), 1), Change("t1/h", "house", "BTC", Decimal(4), 1)]
        await exchange.trade(sold)
        await custodian.request("r2", CreditOrder("decrease", "alice", "BTC", "2"))

        async def arrived() -> bool:
            return bool(await exchange.requests("pending"))

        await eventually(arrived)
        with pytest.raises(SettlementError) as refused:
            await exchange.decide(Choice("r2", "accepted"))
        assert refused.value.code == "insufficient_limit"
        (waiting,) = await exchange.requests("pending")
        assert waiting.id == "r2"


async def test_two_exchanges_on_one_journal_decide_each_request_once(pair: Pair, link: str, tmp_path: Path) -> None:
    async with (
        both(pair, link, tmp_path) as (custodian, exchange),
        Exchange(exchange_settings(pair, link, tmp_path), accept) as other,
    ):
        order = msgspec.structs.replace(FIVE, amount="0.01")
        names = [f"r{n}" for n in range(200)]
        await asyncio.gather(*(custodian.request(request, order) for request in names))
        final = await asyncio.gather(*(custodian.final(request, 20) for request in names))
        assert {request.state for request in final} == {"posted"}
        assert (await other.account("alice", "BTC")).limit == 2
        assert not exchange.halted
        assert not other.halted
        await eventually(lambda: _agreed(custodian, other))
        assert (await custodian.audit()).clean


async def test_trades_settle_and_both_sides_agree(pair: Pair, link: str, tmp_path: Path) -> None:
    async with both(pair, link, tmp_path) as (custodian, exchange):
        await custodian.deposit("house", "USDT", Decimal(90_000), "wire-2")
        for request, order in (
            ("r1", FIVE),
            ("r2", CreditOrder("increase", "house", "USDT", "60000")),
        ):
            await custodian.request(request, order)
            assert (await custodian.final(request, 5)).state == "posted"
        await exchange.trade(
            [
                Change("t1/1", "alice", "BTC", Decimal("-1.5"), 1),
                Change("t1/2", "house", "BTC", Decimal("1.5"), 1),
                Change("t1/3", "alice", "USDT", Decimal(45_000), 1),
                Change("t1/4", "house", "USDT", Decimal(-45_000), 1),
            ]
        )
        await exchange.report("c1")

        async def confirmed() -> bool:
            cycle = await exchange.cycle("c1")
            return cycle is not None and cycle.state == "confirmed"

        await eventually(confirmed)
        assert await custodian.position("alice", "BTC") == Position(available=Decimal(5), granted=Decimal("3.5"))
        assert await custodian.position("alice", "USDT") == Position(available=Decimal(45_000))
        assert await custodian.position("house", "BTC") == Position(available=Decimal("1.5"))
        for place, position in (await custodian.positions()).items():
            account = await exchange.account(*place)
            assert (account.limit, account.settling, account.unreported) == (position.credit, 0, 0)
        await eventually(lambda: _agreed(custodian, exchange))
        assert (await custodian.audit()).clean
        with pytest.raises(SettlementError) as refused:
            await exchange.report("c2")
        assert refused.value.code == "nothing_to_settle"


async def test_a_thousand_requests_in_flight_are_answered_once_each(pair: Pair, link: str, tmp_path: Path) -> None:
    async with both(pair, link, tmp_path) as (custodian, exchange):
        await custodian.deposit("alice", "BTC", Decimal(1000), "wire-2")
        order = msgspec.structs.replace(FIVE, amount="0.001")
        names = [f"r{n}" for n in range(1000)]
        await asyncio.gather(*(custodian.request(request, order) for request in names))
        final = await asyncio.gather(*(custodian.final(request, 30) for request in names))
        assert {request.state for request in final} == {"posted"}
        assert sorted(request.answer_seq for request in final) == list(range(1, 1001))
        assert (await custodian.position("alice", "BTC")).granted == 1
        assert (await exchange.account("alice", "BTC")).limit == 1
        await eventually(lambda: _agreed(custodian, exchange))
        assert (await custodian.audit()).clean


async def test_what_the_replica_forgets_is_sent_again(pair: Pair, link: str, tmp_path: Path, replica: Asker) -> None:
    async with both(pair, link, tmp_path, decider=None) as (custodian, exchange):
        await custodian.request("r1", FIVE)

        async def arrived() -> bool:
            return bool(await exchange.requests("pending"))

        await eventually(arrived)
        await exchange.decide(Choice("r1", "accepted"))
        await replica.ask("DEL", *link_keys.ring(link))
        assert (await custodian.final("r1", 10)).state == "posted"


async def test_either_side_may_start_again_in_the_middle(pair: Pair, link: str, tmp_path: Path) -> None:
    async with Custodian(settings(pair, link)) as custodian:
        await custodian.deposit("alice", "BTC", TEN, "wire-1")
        await custodian.request("r1", FIVE)
    async with Exchange(exchange_settings(pair, link, tmp_path), accept) as exchange:

        async def decided() -> bool:
            return bool(await exchange.requests("accepted"))

        await eventually(decided)
    async with Custodian(settings(pair, link)) as custodian, Exchange(exchange_settings(pair, link, tmp_path)):
        assert (await custodian.final("r1", 5)).state == "posted"


async def test_a_foreign_journal_halts_the_exchange(pair: Pair, link: str, tmp_path: Path) -> None:
    async with both(pair, link, tmp_path) as (custodian, _):
        await custodian.request("r1", FIVE)
        await custodian.final("r1", 5)
        other = tmp_path / "other"
        other.mkdir()
        async with Exchange(exchange_settings(pair, link, other), accept) as stranger:

            async def halted() -> str:
                return stranger.halted

            await eventually(halted)
            assert stranger.halted == "foreign_journal"
            with pytest.raises(SettlementError) as refused:
                await stranger.decide(Choice("r1", "accepted"))
            assert refused.value.code == "foreign_journal"


async def test_a_broken_chain_halts_the_exchange_at_every_start(pair: Pair, link: str, tmp_path: Path) -> None:
    stray = seal(CUSTODIAN_KEY, link, "request", 1, "r1", FIVE, 0, "ab" * 32)
    pair.primary.ask("XADD", link_keys.out(link), "1-0", "data", stray.raw)
    await pair.linked()
    for _ in range(2):
        async with Exchange(exchange_settings(pair, link, tmp_path), accept) as exchange:

            async def halted(exchange: Exchange = exchange) -> str:
                return exchange.halted

            await eventually(halted)
            assert exchange.halted == "broken_chain"
