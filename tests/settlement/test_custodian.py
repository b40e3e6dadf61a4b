"""The custodian on a real primary and replica, against an exchange by hand."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import msgspec
import pytest

from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.errors import OutcomeUnknown, SettlementError
from heliograph.model.settlement import BadValue, Cancel, Confirmation, CreditOrder, Decision, Leg, Report
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.envelope import seal
from heliograph.settlement.keyring import Signer
from heliograph.settlement.ledger import Position
from tests.settlement.byhand import EXCHANGE_KEY, FIVE, TEN, ByHand, eventually, settings

LAST_ID = "18446744073709551615-18446744073709551615"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture
def link() -> str:
    return f"acme-{next(_numbers)}"


@pytest.fixture
async def replica(pair: Pair) -> AsyncIterator[Asker]:
    async with Asker(parse_url(pair.replica.url)) as asker:
        yield asker


@pytest.fixture
async def custodian(pair: Pair, link: str) -> AsyncIterator[Custodian]:
    async with Custodian(settings(pair, link)) as custodian:
        yield custodian


@pytest.fixture
def exchange(replica: Asker, link: str) -> ByHand:
    return ByHand(replica, link)


async def _credit(asker: Asker, user: str, asset: str, amount: str) -> None:
    """Wait until the replica shows a credit inventory."""

    async def shown() -> bool:
        return bool(await asker.ask("HGET", link_keys.credit(user, asset), "amount") == amount.encode())

    await eventually(shown)


async def test_a_pledge_becomes_credit_on_the_replica(custodian: Custodian, exchange: ByHand) -> None:
    await custodian.deposit("ann", "BTC", TEN, "wire-1")
    order = msgspec.structs.replace(FIVE, user="ann")
    held = await custodian.request("r1", order)
    assert (held.state, held.request_seq) == ("held", 1)
    (message,) = await exchange.read_until(1)
    assert (message.envelope.id, message.body) == ("r1", order)
    await exchange.say("r1", Decision("accepted"), ack=1)
    posted = await custodian.final("r1", 5)
    assert posted.state == "posted"
    assert await custodian.position("ann", "BTC") == Position(available=Decimal(5), granted=Decimal(5))
    await _credit(exchange.asker, "ann", "BTC", "5")
    assert await exchange.asker.ask("GET", link_keys.acked(exchange.link)) == b"1"


async def test_a_rejection_frees_the_coins(custodian: Custodian, exchange: ByHand) -> None:
    await custodian.deposit("bob", "BTC", TEN, "wire-1")
    await custodian.request("r1", msgspec.structs.replace(FIVE, user="bob"))
    await exchange.say("r1", Decision("rejected", "policy", "not today"))
    void = await custodian.final("r1", 5)
    assert (void.state, void.code, void.reason) == ("void", "policy", "not today")
    assert await custodian.position("bob", "BTC") == Position(available=TEN)


async def test_asking_again_by_the_same_id_changes_nothing(custodian: Custodian, exchange: ByHand) -> None:
    for _ in range(2):
        assert (await custodian.deposit("alice", "BTC", TEN, "wire-1")).available == TEN
    first = await custodian.request("r1", FIVE)
    assert await custodian.request("r1", FIVE) == first
    assert await custodian.request("r1", msgspec.structs.replace(FIVE, amount="5.000")) == first
    for order in (msgspec.structs.replace(FIVE, amount="6"), msgspec.structs.replace(FIVE, user="bob")):
        with pytest.raises(SettlementError) as refused:
            await custodian.request("r1", order)
        assert refused.value.code == "conflict"
    with pytest.raises(SettlementError) as refused:
        await custodian.deposit("alice", "BTC", Decimal(11), "wire-1")
    assert refused.value.code == "conflict"
    assert len(await exchange.read_until(1)) == 1


@pytest.mark.parametrize("amount", ["NaN", "-5", "0", "1e3", "Infinity", "5.0000000000000000001"])
async def test_no_request_is_recorded_about_no_amount(custodian: Custodian, amount: str) -> None:
    with pytest.raises(BadValue):
        await custodian.request("r1", msgspec.structs.replace(FIVE, amount=amount))
    with pytest.raises(BadValue):
        await custodian.deposit("alice", "BTC", Decimal(amount.replace("1e3", "0")), "wire-1")
    assert await custodian.find("r1") is None


async def test_more_than_there_is_cannot_be_pledged(custodian: Custodian) -> None:
    await custodian.deposit("alice", "BTC", Decimal(9), "wire-1")
    await custodian.request("r1", FIVE)
    with pytest.raises(SettlementError) as refused:
        await custodian.request("r2", FIVE)
    assert refused.value.code == "insufficient_available"
    with pytest.raises(SettlementError) as refused:
        await custodian.request("r3", CreditOrder("decrease", "alice", "BTC", "1"))
    assert refused.value.code == "insufficient_granted"


async def test_a_deadline_asks_and_releases_nothing(custodian: Custodian, exchange: ByHand) -> None:
    await custodian.deposit("alice", "BTC", TEN, "wire-1")
    await custodian.request("r1", msgspec.structs.replace(FIVE, expires_ns=1))
    _, asked = await exchange.read_until(2)
    assert isinstance(asked.body, Cancel)
    with pytest.raises(SettlementError) as waited:
        await custodian.final("r1", 0.01)
    assert waited.value.code == "timeout"
    assert (await custodian.position("alice", "BTC")).held == 5
    await exchange.say("r1", Decision("accepted"))  # It was decided before the cancel arrived.
    assert (await custodian.final("r1", 5)).state == "posted"


async def test_an_answer_before_its_turn_waits(custodian: Custodian, exchange: ByHand) -> None:
    await custodian.deposit("alice", "BTC", TEN, "wire-1")
    for request in ("r1", "r2"):
        await custodian.request(request, FIVE)
    first, second = (exchange.sealed(request, Decision("accepted")) for request in ("r1", "r2"))
    await exchange.outgoing.append([second.raw, second.raw])
    with pytest.raises(SettlementError):
        await custodian.final("r2", 0.1)
    await exchange.outgoing.append([first.raw, second.raw])
    assert (await custodian.final("r2", 5)).state == "posted"
    assert (await custodian.position("alice", "BTC")).granted == 10


async def test_what_cannot_be_accepted_goes_to_quarantine_and_costs_nothing_else(
    pair: Pair, custodian: Custodian, exchange: ByHand, link: str
) -> None:
    await custodian.deposit("alice", "BTC", TEN, "wire-1")
    await custodian.request("r1", FIVE)
    stranger = Signer.generate("exchange-1")
    yes = Decision("accepted")
    forged = [
        seal(stranger, link, "answer", 1, "r1", yes, 0, "").raw,
        seal(EXCHANGE_KEY, "other", "answer", 1, "r1", yes, 0, "").raw,
        seal(EXCHANGE_KEY, link, "answer", 99_999, "r1", yes, 0, "").raw,
        b"junk",
        b"x" * 300_000,
    ]
    await exchange.outgoing.append(forged)
    await exchange.outgoing.append(forged)
    await exchange.say("nobody", yes)  # Signed, in its turn, and about nothing.
    await exchange.say("r1", yes)
    assert (await custodian.final("r1", 5)).state == "posted"
    async with Asker(parse_url(pair.primary.url)) as primary:

        async def told() -> bool:
            return bool(await primary.ask("XLEN", link_keys.quarantine(link)) == 5)

        await eventually(told)
        kept = await primary.ask("XRANGE", link_keys.quarantine(link), "-", "+")
    codes = [dict(zip(fields[::2], fields[1::2], strict=True))[b"code"].decode() for _, fields in kept]
    assert sorted(codes) == sorted(["bad_signature", "wrong_link", "malformed", "oversized", "unknown_request"])
    assert custodian.refused >= len(forged)


async def test_a_broken_chain_halts_the_link(custodian: Custodian, exchange: ByHand) -> None:
    await custodian.deposit("alice", "BTC", TEN, "wire-1")
    await custodian.request("r1", FIVE)
    exchange.prev = "ab" * 32
    await exchange.say("r1", Decision("accepted"))

    async def halted() -> str:
        return custodian.halted

    await eventually(halted)
    assert custodian.halted == "broken_chain"
    assert (await custodian.position("alice", "BTC")).held == 5


async def test_a_mailbox_that_was_wiped_emptied_or_bricked_is_read_again(
    custodian: Custodian, exchange: ByHand
) -> None:
    await custodian.deposit("alice", "BTC", TEN, "wire-1")
    orders = [f"r{n}" for n in range(4)]
    for request in orders:
        await custodian.request(request, msgspec.structs.replace(FIVE, amount="1"))
    keys = link_keys.ring(exchange.link)
    await exchange.say("r0", Decision("accepted"))
    await custodian.final("r0", 5)
    await exchange.asker.ask("XADD", keys[0], LAST_ID, "x", "junk")
    await exchange.say("r1", Decision("accepted"))
    assert exchange.outgoing.key == keys[1]
    await custodian.final("r1", 5)
    await exchange.asker.ask("DEL", *keys)
    anew = ByHand(exchange.asker, exchange.link)
    anew.seq, anew.prev = exchange.seq, exchange.prev
    await anew.say("r2", Decision("accepted"))  # The first key starts anew, below the id that was read last.
    await custodian.final("r2", 5)
    await anew.asker.ask("XTRIM", keys[0], "MAXLEN", 0)
    await anew.say("r3", Decision("accepted"))
    await custodian.final("r3", 5)
    assert (await custodian.position("alice", "BTC")).granted == 4


async def test_a_second_custodian_ends_the_first(pair: Pair, link: str) -> None:
    async with Custodian(settings(pair, link)) as first:
        await first.deposit("alice", "BTC", TEN, "wire-1")
        async with Custodian(settings(pair, link)) as second:
            with pytest.raises(Exception, match=r"ended|fenced"):
                await first.deposit("alice", "BTC", TEN, "wire-2")
            assert first.ended is not None
            with pytest.raises(SettlementError) as ended:
                await first.ended
            assert ended.value.code == "fenced"
            assert (await second.deposit("alice", "BTC", TEN, "wire-2")).available == 20


async def test_a_custodian_with_nothing_to_do_hears_that_it_was_replaced(pair: Pair, link: str) -> None:
    async with Custodian(settings(pair, link)) as first, Custodian(settings(pair, link)):
        assert first.ended is not None
        with pytest.raises(SettlementError) as ended:
            await asyncio.wait_for(first.ended, 5)
        assert ended.value.code == "fenced"


async def test_a_settlement_moves_coins_between_users_once(custodian: Custodian, exchange: ByHand) -> None:
    await custodian.deposit("ann", "BTC", TEN, "wire-1")
    await custodian.deposit("house", "USDT", Decimal(90_000), "wire-2")
    await custodian.request("r1", CreditOrder("increase", "ann", "BTC", "5"))
    await custodian.request("r2", CreditOrder("increase", "house", "USDT", "60000"))
    for request in ("r1", "r2"):
        await exchange.say(request, Decision("accepted"))
    await custodian.final("r2", 5)
    report = Report(
        7,
        (
            Leg("1", "ann", "BTC", "-1.5"),
            Leg("2", "house", "BTC", "1.5"),
            Leg("3", "ann", "USDT", "45000"),
            Leg("4", "house", "USDT", "-45000"),
        ),
    )
    await exchange.say("c1", report, ack=2)
    word = (await exchange.read_until(3))[-1].body
    assert isinstance(word, Confirmation)
    assert {outcome.outcome for outcome in word.outcomes} == {"settled"}
    assert await custodian.position("ann", "BTC") == Position(available=Decimal(5), granted=Decimal("3.5"))
    assert await custodian.position("ann", "USDT") == Position(available=Decimal(45_000))
    assert await custodian.position("house", "BTC") == Position(available=Decimal("1.5"))
    assert await custodian.position("house", "USDT") == Position(available=Decimal(30_000), granted=Decimal(15_000))
    cycle = await custodian.cycle("c1")
    assert cycle is not None
    assert cycle.state == "confirmed"
    await exchange.say("c1", report)
    assert (await custodian.position("ann", "BTC")).granted == Decimal("3.5")


async def test_a_report_that_cannot_be_taken_is_refused_and_not_left_hanging(
    custodian: Custodian, exchange: ByHand
) -> None:
    report = Report(7, (Leg("1", "ann", "BTC", "-1"), Leg("2", "house", "BTC", "1")), attempt=3)
    await exchange.say("c1", report)
    word = (await exchange.read_until(1))[-1].body
    assert isinstance(word, Confirmation)
    assert word.attempt == 3
    assert {(outcome.outcome, outcome.code) for outcome in word.outcomes} == {("disputed", "wrong_attempt")}
    assert await custodian.cycle("c1") is None


async def test_figures_can_be_listed(custodian: Custodian, exchange: ByHand) -> None:
    await custodian.deposit("a:1", "BTC", TEN, "wire-1")
    await custodian.request("r:1", CreditOrder("increase", "a:1", "BTC", "5"))
    assert await custodian.positions() == {("a:1", "BTC"): Position(available=Decimal(5), held=Decimal(5))}
    assert [request.id for request in await custodian.requests(states=("held",))] == ["r:1"]
    assert await custodian.requests(user="nobody") == []


async def test_a_dispute_may_be_repeated(pair: Pair, link: str, replica: Asker) -> None:
    async with Custodian(settings(pair, link, window_ns=10**15)) as custodian:
        exchange = ByHand(replica, link)
        for user in ("ann", "house"):
            await custodian.deposit(user, "BTC", TEN, f"wire-{user}")
        await custodian.request("r1", msgspec.structs.replace(FIVE, user="ann"))
        await exchange.say("r1", Decision("accepted"))
        await exchange.say("c1", Report(7, (Leg("1", "ann", "BTC", "-1"), Leg("2", "house", "BTC", "1"))))

        async def there() -> bool:
            return await custodian.cycle("c1") is not None

        await eventually(there)
        first = await custodian.dispute("c1", "2", "not_mine", "never bought")
        assert await custodian.dispute("c1", "2", "not_mine", "never bought") == first
        with pytest.raises(SettlementError) as refused:
            await custodian.dispute("c1", "2", "not_mine", "sold it")
        assert refused.value.code == "disputed"


async def test_a_wait_ends_in_time_though_the_primary_is_away(link: str) -> None:
    with Pair() as pair:
        async with Custodian(settings(pair, link)) as custodian:
            await custodian.deposit("alice", "BTC", TEN, "wire-1")
            await custodian.request("r1", FIVE)
            pair.primary.kill()
            with pytest.raises(SettlementError) as waited:
                await custodian.final("r1", 0.1)
            assert waited.value.code == "timeout"
            # Nobody asks for anything, and the answer counts as soon as there is a primary again.
            await asyncio.to_thread(pair.primary.start)
            async with Asker(parse_url(pair.replica.url)) as replica:
                await pair.linked()
                await ByHand(replica, link).say("r1", Decision("accepted"))
                assert (await custodian.final("r1", 10)).state == "posted"


async def test_whoever_waits_for_an_answer_is_told_of_the_end(pair: Pair, link: str) -> None:
    async with Custodian(settings(pair, link)) as custodian:
        await custodian.deposit("alice", "BTC", TEN, "wire-1")
        await custodian.request("r1", FIVE)
        waiting = asyncio.create_task(custodian.final("r1", 60))
        await asyncio.sleep(0)
        async with Custodian(settings(pair, link)):
            with pytest.raises((OutcomeUnknown, SettlementError)):
                await custodian.deposit("alice", "BTC", TEN, "wire-2")
            with pytest.raises(OutcomeUnknown, match="ended"):
                await waiting
