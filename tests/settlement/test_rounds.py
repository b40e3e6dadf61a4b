"""The custodian's turns where siblings may be promoted: nothing leaves before every one of them knows."""

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import pytest

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.model.settlement import CreditOrder, Decision
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.passage import Passage
from tests.settlement.byhand import FIVE, TEN, ByHand, eventually, settings


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair(siblings=1) as pair:
        yield pair


@pytest.fixture
async def replica(pair: Pair) -> AsyncIterator[Asker]:
    async with Asker(parse_url(pair.replica.url)) as asker:
        yield asker


async def _forget(pair: Pair, *, until_linked: bool) -> None:
    """Cut the sibling from its primary, or let it follow again."""
    (sibling,) = pair.siblings
    if until_linked:
        sibling.follow(pair.primary)
        await pair.linked()
    else:
        sibling.ask("REPLICAOF", "NO", "ONE")


async def test_nothing_leaves_before_every_sibling_has_it(pair: Pair, replica: Asker) -> None:
    paid: list[Passage] = []

    async def pay(passage: Passage) -> None:
        paid.append(passage)

    async with Custodian(settings(pair, "held-back"), payer=pay) as custodian:
        exchange = ByHand(replica, "held-back")
        await custodian.deposit("alice", "BTC", TEN, "wire-1")
        await custodian.request("r1", FIVE)
        await exchange.read_until(1)
        await _forget(pair, until_linked=False)

        # Recorded and applied all the same, but neither shown, acknowledged nor paid.
        await custodian.request("r2", CreditOrder("increase", "alice", "BTC", "1"))
        await exchange.say("r1", Decision("accepted"))
        assert (await custodian.final("r1", 5)).state == "posted"
        await custodian.withdraw("alice", "BTC", Decimal(1), "out-1")
        assert [message.envelope.id for message in await exchange.read()] == ["r1"]
        assert await replica.ask("GET", link_keys.acked("held-back")) is None
        assert not paid

        await _forget(pair, until_linked=True)
        assert (await exchange.read_until(2))[-1].envelope.id == "r2"

        async def acknowledged() -> bool:
            return bool(await replica.ask("GET", link_keys.acked("held-back")) == b"1")

        await eventually(acknowledged)

        async def gone() -> bool:
            return bool(paid)

        await eventually(gone)


async def test_after_a_promotion_the_new_primary_goes_on_where_the_old_one_was(pair: Pair) -> None:
    async with Custodian(settings(pair, "promoted")) as custodian:
        await custodian.deposit("alice", "BTC", TEN, "wire-1")
        await custodian.request("r1", FIVE)
        async with Asker(parse_url(pair.replica.url)) as replica:
            await ByHand(replica, "promoted").read_until(1)
    await pair.promote(pair.siblings[0])
    async with (
        Custodian(settings(pair, "promoted")) as custodian,
        Asker(parse_url(pair.replica.url)) as replica,
    ):
        exchange = ByHand(replica, "promoted")
        (message,) = await exchange.read_until(1)
        assert message.envelope.id == "r1"
        await exchange.say("r1", Decision("accepted"))
        assert (await custodian.final("r1", 5)).state == "posted"
