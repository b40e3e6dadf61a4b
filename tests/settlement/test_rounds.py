"""The custodian's turns where siblings may be promoted: nothing leaves before every one of them knows."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import msgspec
import pytest

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.model.settlement import Confirmation, CreditOrder, Decision, Leg, Report
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.envelope import seal
from heliograph.settlement.passage import Passage
from heliograph.settlement.rounds import ANSWERS_MAX
from tests.bus.proxy import Proxy
from tests.settlement.byhand import EXCHANGE_KEY, FIVE, TEN, ByHand, eventually, settings


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


async def test_a_report_of_thousands_of_strangers_is_answered_in_one_message(pair: Pair, replica: Asker) -> None:
    legs = tuple(Leg(str(n), f"u{n}", "BTC", "-1" if n % 2 else "1") for n in range(2_400))
    async with Custodian(settings(pair, "strangers")) as custodian:
        exchange = ByHand(replica, "strangers")
        await exchange.say("c1", Report(7, legs))
        word = (await exchange.read_until(1))[-1].body
        assert isinstance(word, Confirmation)
        assert [outcome.leg_id for outcome in word.outcomes] == [leg.leg_id for leg in legs]
        assert {(outcome.outcome, outcome.code, outcome.reason) for outcome in word.outcomes} == {
            ("excluded", "unknown_user", "")
        }
        # Nor does it keep anybody else from anything.
        await exchange.say("c2", Report(7, legs))
        assert (await exchange.read_until(2))[-1].envelope.id == "c2"
        assert (await custodian.deposit("alice", "BTC", TEN, "wire-1")).available == TEN


async def test_all_that_is_overdue_is_asked_back_though_the_exchange_is_silent(pair: Pair, replica: Asker) -> None:
    async with Custodian(settings(pair, "silent")) as custodian:
        await custodian.deposit("alice", "BTC", TEN, "wire-1")
        order = CreditOrder("increase", "alice", "BTC", "0.001", expires_ns=1)
        names = [f"r{n}" for n in range(3 * ANSWERS_MAX)]
        await asyncio.gather(*(custodian.request(request, order) for request in names))

        async def asked() -> bool:
            found = await asyncio.gather(*(custodian.find(request) for request in names))
            return all(request is not None and request.state == "asked" for request in found)

        await eventually(asked)


async def test_a_flood_of_junk_stops_nobody(pair: Pair, replica: Asker) -> None:
    async with Custodian(settings(pair, "flood")) as custodian, Asker(parse_url(pair.primary.url)) as primary:
        exchange = ByHand(replica, "flood")
        await custodian.deposit("alice", "BTC", TEN, "wire-1")
        await custodian.request("r1", FIVE)
        junk = b"x" * 1_000
        for first in range(0, 30_000, 1_000):
            lines = [("XADD", exchange.outgoing.key, "*", "data", b"%d %b" % (first + n, junk)) for n in range(1_000)]
            await replica.ask_all(lines)
            if first == 15_000:
                await exchange.say("r1", Decision("accepted"))
        assert (await custodian.final("r1", 10)).state == "posted"

        async def told() -> bool:
            return custodian.refused >= 30_000

        await eventually(told, 20)
        assert await primary.ask("XLEN", link_keys.quarantine("flood")) <= 2_000


async def test_two_answers_of_one_number_halt_the_link(pair: Pair, replica: Asker) -> None:
    async with Custodian(settings(pair, "forked")) as custodian:
        exchange = ByHand(replica, "forked")
        await custodian.deposit("alice", "BTC", TEN, "wire-1")
        await custodian.request("r1", FIVE)
        await custodian.request("r2", FIVE)
        exchange.sealed("r1", Decision("accepted"))
        one = exchange.sealed("r2", Decision("accepted"))
        other = seal(EXCHANGE_KEY, "forked", "answer", 2, "r2", Decision("rejected", "policy"), 0, "")
        await exchange.outgoing.append([one.raw, other.raw])

        async def halted() -> str:
            return custodian.halted

        await eventually(halted)
        assert custodian.halted == "forked"


async def test_a_primary_that_is_replaced_under_a_running_custodian_is_taken_over_and_told_all_again() -> None:
    with Pair(siblings=1) as pair:
        sibling = pair.siblings[0]
        async with Proxy(pair.primary.port) as proxy, Asker(parse_url(pair.replica.url)) as replica:
            changed = settings(pair, "moved", primary=parse_url(proxy.url))
            async with Custodian(changed) as custodian, Asker(parse_url(sibling.url)) as asker:
                exchange = ByHand(replica, "moved")
                await custodian.deposit("alice", "BTC", TEN, "wire-1")
                await custodian.request("r1", FIVE)
                await exchange.read_until(1)
                before = await asker.ask("HGETALL", link_keys.writer("moved"))

                # The sibling falls behind: it never hears of the answer, which is not acknowledged for that reason.
                sibling.follow(None)
                answer = await exchange.say("r1", Decision("accepted"))
                assert (await custodian.final("r1", 5)).state == "posted"

                await pair.promote(sibling)
                proxy._target = sibling.port
                proxy.cut()
                assert (await custodian.find("r1")) is not None
                await exchange.outgoing.append([answer.raw])

                async def posted() -> bool:
                    return (await custodian.position("alice", "BTC")).granted == 5

                await eventually(posted)
                assert await asker.ask("HGETALL", link_keys.writer("moved")) != before
                await custodian.request("r2", msgspec.structs.replace(FIVE, amount="1"))
                assert (await exchange.read_until(2))[-1].envelope.id == "r2"
                assert (await custodian.audit()).clean
