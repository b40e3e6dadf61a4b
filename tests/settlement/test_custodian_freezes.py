"""What a freeze does at the custodian: it refuses with its own code, and what is in flight lands."""

import itertools
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import pytest

from heliograph.bus.asker import Asker
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.errors import SettlementError
from heliograph.model.settlement import CreditOrder, Decision, Leg, Report
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.cycle import ANSWERED
from heliograph.settlement.freeze import Freeze
from tests.settlement.byhand import FIVE, TEN, ByHand, eventually, settings

ALICE = Freeze("party", "all", "court_order", "officer", "file 7", 1, user="alice")
OUTBOUND = Freeze("asset", "outbound", "incident", "officer", "the chain forks", 1, asset="BTC")
_numbers = itertools.count()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture
async def custodian(pair: Pair) -> AsyncIterator[Custodian]:
    async with Custodian(settings(pair, f"frozen-{next(_numbers)}")) as custodian:
        await custodian.deposit("alice", "BTC", TEN, "wire-1")
        yield custodian


@pytest.fixture
async def exchange(pair: Pair, custodian: Custodian) -> AsyncIterator[ByHand]:
    async with Asker(parse_url(pair.replica.url)) as asker:
        yield ByHand(asker, custodian.link)


async def _refused(custodian: Custodian, code: str) -> None:
    for asked in (
        lambda: custodian.request("r9", FIVE),
        lambda: custodian.withdraw("alice", "BTC", Decimal(1), "out-9"),
        lambda: custodian.deposit("alice", "BTC", Decimal(1), "wire-9"),
    ):
        with pytest.raises(SettlementError) as refused:
            await asked()
        assert refused.value.code == code


async def test_whoever_is_frozen_is_told_the_code_and_the_answer_in_flight_lands(
    custodian: Custodian, exchange: ByHand
) -> None:
    await custodian.request("r1", FIVE)
    assert (await custodian.freeze(ALICE)).orders == (ALICE,)
    await _refused(custodian, "court_order")
    # What was asked before is known still, and its answer is taken.
    assert (await custodian.request("r1", FIVE)).state == "held"
    await exchange.read_until(1)
    await exchange.say("r1", Decision("accepted"))
    assert (await custodian.final("r1", 5)).state == "posted"
    await custodian.deposit("bob", "BTC", Decimal(1), "wire-2")

    assert not (await custodian.unfreeze(ALICE.place)).orders
    assert (await custodian.request("r9", CreditOrder("increase", "alice", "BTC", "1"))).state == "held"
    with pytest.raises(SettlementError) as refused:
        await custodian.unfreeze(ALICE.place)
    assert refused.value.code == "not_frozen"
    assert (await custodian.audit()).clean


async def test_another_custodian_finds_what_is_frozen(pair: Pair, custodian: Custodian) -> None:
    await custodian.freeze(ALICE)
    async with Custodian(settings(pair, custodian.link)) as next_one:
        await _refused(next_one, "court_order")
        assert (await next_one.freeze(OUTBOUND)).orders == (ALICE, OUTBOUND)


async def test_a_frozen_leg_is_left_out_of_a_settlement_and_its_coins_stay_credit(
    custodian: Custodian, exchange: ByHand
) -> None:
    await custodian.deposit("house", "BTC", TEN, "wire-2")
    await custodian.request("r1", FIVE)
    await exchange.read_until(1)
    await exchange.say("r1", Decision("accepted"))
    await custodian.final("r1", 5)
    await custodian.freeze(OUTBOUND)
    legs = (Leg("l1", "alice", "BTC", "-2"), Leg("l2", "house", "BTC", "2"))
    await exchange.say("c1", Report(1, legs))

    async def answered() -> bool:
        cycle = await custodian.cycle("c1")
        return cycle is not None and cycle.state in ANSWERED

    await eventually(answered)
    cycle = await custodian.cycle("c1")
    assert cycle is not None
    assert cycle.state == "refused"
    assert [(leg.state, leg.code) for leg in cycle.legs if leg.user == "alice"] == [("excluded", "incident")]
    assert (await custodian.position("alice", "BTC")).granted == 5
