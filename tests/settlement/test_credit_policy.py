"""An exchange that decides by limits, over a real link."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.clock import NS_PER_S, ManualClock
from heliograph.errors import SettlementError
from heliograph.model.settlement import CreditOrder, OrderKind
from heliograph.settlement.credit import Request
from heliograph.settlement.credit_policy import CreditPolicy
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.exchange import Exchange, ExchangeSettings
from heliograph.settlement.exchange_journal import Policy
from heliograph.settlement.limits import AssetLimits, Limits
from tests.settlement.byhand import CUSTODIAN_KEY, EXCHANGE_KEY, settings

_numbers = itertools.count()
DAY_NS = 86_400 * NS_PER_S


@pytest.fixture
def link(shared_pair: Pair) -> str:
    shared_pair.primary.ask("FLUSHALL")
    return f"limits-{next(_numbers)}"


@asynccontextmanager
async def deciding(
    pair: Pair, link: str, directory: Path, limits: AssetLimits, clock: ManualClock
) -> AsyncIterator[None]:
    policy = CreditPolicy(Limits({"BTC": limits}), clock)
    replica = parse_url(pair.replica.url)
    made = ExchangeSettings(
        link=link,
        replica=replica,
        journal=directory / f"{link}.sqlite",
        signer=EXCHANGE_KEY,
        keys=(CUSTODIAN_KEY.public(),),
        policy=Policy("house"),
    )
    exchange = Exchange(made, policy.decide, clock=clock)
    policy.begin(exchange)
    async with exchange:
        yield


async def _asked(custodian: Custodian, name: str, kind: OrderKind, amount: str, asset: str = "BTC") -> Request:
    await custodian.request(name, CreditOrder(kind, name.partition("-")[0], asset, amount))
    return await custodian.final(name, 5)


async def _rich(custodian: Custodian, *users: str) -> None:
    for user in users:
        await custodian.deposit(user, "BTC", Decimal(100), f"wire-{user}")
        await custodian.deposit(user, "ETH", Decimal(100), f"wire-{user}-eth")


async def test_limits_hold_for_requests_that_come_together_and_apart(
    shared_pair: Pair, link: str, tmp_path: Path
) -> None:
    limits = AssetLimits(user_max=Decimal(5), link_max=Decimal(8))
    async with Custodian(settings(shared_pair, link)) as custodian:
        await _rich(custodian, "alice", "bob")
        orders = [f"alice-{n}" for n in range(10)]
        for name in orders:  # All of them are there before the exchange begins, which asks about them at once.
            await custodian.request(name, CreditOrder("increase", "alice", "BTC", "1"))
        async with deciding(shared_pair, link, tmp_path, limits, ManualClock(DAY_NS)):
            done = await asyncio.gather(*(custodian.final(name, 5) for name in orders))
            assert [r.state for r in done] == ["posted"] * 5 + ["void"] * 5
            assert {r.code for r in done[5:]} == {"over_user_limit"}
            assert (await _asked(custodian, "bob-1", "increase", "4")).code == "over_link_limit"
            assert (await _asked(custodian, "bob-2", "increase", "3")).state == "posted"
            assert (await _asked(custodian, "alice-a", "decrease", "2")).state == "posted"
            assert (await _asked(custodian, "alice-b", "increase", "2")).state == "posted"
            assert (await _asked(custodian, "alice-c", "increase", "1", "ETH")).code == "unknown_asset"


async def test_a_day_is_counted_over_restarts_and_ends(shared_pair: Pair, link: str, tmp_path: Path) -> None:
    limits, clock = AssetLimits(day_max=Decimal(5)), ManualClock(10 * DAY_NS)
    async with Custodian(settings(shared_pair, link)) as custodian:
        await _rich(custodian, "alice")
        async with deciding(shared_pair, link, tmp_path, limits, clock):
            assert (await _asked(custodian, "alice-1", "increase", "3")).state == "posted"
            assert (await _asked(custodian, "alice-2", "increase", "3")).code == "over_day_limit"
            assert (await _asked(custodian, "alice-3", "decrease", "1")).state == "posted"
        async with deciding(shared_pair, link, tmp_path, limits, clock):
            assert (await _asked(custodian, "alice-4", "increase", "2")).code == "over_day_limit"
            assert (await _asked(custodian, "alice-5", "decrease", "2")).state == "posted"
            clock.advance(2 * DAY_NS)
            assert (await _asked(custodian, "alice-6", "increase", "5")).state == "posted"


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SettlementError) as refused:
        CreditPolicy(Limits({"BTC": AssetLimits(user_max=Decimal(-1))}), ManualClock())
    assert refused.value.code == "bad_limits"
