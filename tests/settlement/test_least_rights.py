"""Settlement by users that may do what their role needs, on every server at hand; nobody else is let in."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from heliograph.bus import link_keys
from heliograph.bus.acl_roles import Role
from heliograph.bus.asker import Asker
from heliograph.errors import BusError, SettlementError
from heliograph.model.settlement import CreditOrder, Decision
from heliograph.settlement.census import audit_primary
from heliograph.settlement.custodian import Custodian
from heliograph.settlement.envelope import seal
from heliograph.settlement.exchange import Exchange, accept
from heliograph.settlement.passage import Passage
from tests.settlement.byhand import EXCHANGE_KEY, eventually
from tests.settlement.rights import LINK, World, secured
from tests.settlement.whole_day import agreed, ask, live_a_day


@pytest.fixture(scope="module")
def world(server_binary: Path) -> Iterator[World]:
    with secured(server_binary) as world:
        yield world


async def test_a_whole_day_with_least_rights_while_both_servers_start_again(world: World, tmp_path: Path) -> None:
    await world.empty()
    pair, paid = world.pair, list[Passage]()

    async def pay(passage: Passage) -> None:
        paid.append(passage)

    async with (
        Custodian(world.custodian(), payer=pay) as custodian,
        Exchange(world.exchange(tmp_path), accept) as exchange,
    ):

        async def both_start_again() -> None:
            async with Asker(world.as_role(pair.replica, Role.EXCHANGE, "write")) as hostile:
                await hostile.ask("XADD", link_keys.ring(LINK)[-1], "*", "data", "no answer")

            async def told() -> bool:
                async with Asker(world.as_role(pair.primary, Role.AUDITOR)) as auditor:
                    return bool(await auditor.ask("XLEN", link_keys.quarantine(LINK)))

            await eventually(told)
            assert await world.denied() == set(), "which a restart forgets"
            await pair.primary.restart()
            await pair.linked()
            async with Asker(world.as_role(pair.replica, Role.AUDITOR)) as auditor:
                assert not await auditor.ask("EXISTS", link_keys.ring(LINK)[-1]), "a full resync wiped the replica"
            assert await world.drifted() == [], "and took no user away"
            await pair.replica.restart()
            await pair.linked()
            assert await world.drifted() == []

        await live_a_day(custodian, exchange, paid, both_start_again)
        assert (await custodian.audit()).unseen == ()
    assert await world.denied() == set()

    async with Asker(world.as_role(pair.primary, Role.AUDITOR)) as auditor:
        found = await audit_primary(auditor, LINK)
    assert found.clean, found.findings
    assert found.entries == found.head.n > 9
    assert [unseen.place for unseen in found.unseen] == [f"ledger:{LINK}:*", f"link:{LINK}:request:*", "CI:*"]
    assert await world.denied() == {("auditor", "scan")}


FORBIDDEN = (
    ("GET", f"link:{LINK}:outbox"),
    ("HGETALL", f"link:{LINK}:outbox"),
    ("HGETALL", f"ledger:{LINK}:position:alice:BTC"),
    ("XRANGE", f"ledger:{LINK}:journal", "-", "+"),
    ("HGETALL", f"link:{LINK}:writer"),
    ("XRANGE", f"link:{LINK}:quarantine", "-", "+"),
    ("XRANGE", "link:other:out", "-", "+"),
    ("HSET", "CI:alice:BTC", "amount", "1000000"),
    ("DEL", "CI:alice:BTC"),
    ("XADD", "CI:alice:BTC", "*", "amount", "1000000"),
    ("XADD", link_keys.CREDIT_REQUESTS, "*", "request_id", "forged"),
    ("XADD", link_keys.SETTLEMENT_CONFIRMATIONS, "*", "type", "confirmation"),
    ("XADD", f"link:{LINK}:out", "*", "data", "forged"),
    ("SET", f"link:{LINK}:acked", "1000"),
    ("XADD", "exchange:stream:other:answer:0", "*", "data", "forged"),
    ("XADD", f"exchange:stream:{LINK}:answer:8", "*", "data", "forged"),
    ("XTRIM", f"exchange:stream:{LINK}:answer:0", "MAXLEN", "0"),
    ("DEL", f"exchange:stream:{LINK}:answer:0"),
    ("EVAL", "return redis.call('SET', KEYS[1], '9')", "1", "CI:alice:BTC"),
    ("EVAL", "return 1", "0"),
    ("SCRIPT", "FLUSH"),
    ("CONFIG", "GET", "masterauth"),
    ("CONFIG", "SET", "replica-read-only", "yes"),
    ("SCAN", "0"),
    ("KEYS", "*"),
    ("INFO",),
    ("MULTI",),
    ("FLUSHALL",),
    ("REPLICAOF", "NO", "ONE"),
    ("CLIENT", "LIST"),
    ("ACL", "LIST"),
    ("MONITOR",),
    ("SHUTDOWN", "NOSAVE"),
    ("SELECT", "1"),
)


async def test_who_has_the_exchanges_password_can_do_no_more_than_the_exchange(world: World) -> None:
    await world.empty()
    async with Asker(world.as_role(world.pair.primary, Role.ADMIN)) as admin:
        await admin.ask("HSET", "CI:alice:BTC", "amount", "5")
    await world.pair.linked()
    for part in ("read", "write"):
        async with Asker(world.as_role(world.pair.replica, Role.EXCHANGE, part)) as hostile:
            for command in FORBIDDEN:
                with pytest.raises(BusError) as refused:
                    await hostile.ask(*command)
                assert refused.value.code == "NOPERM", command
    for server in (world.pair.primary, *world.pair.siblings):
        async with Asker(world.as_role(server, Role.EXCHANGE, "read")) as hostile:
            with pytest.raises(BusError) as refused:
                await hostile.ask("PING")
            assert refused.value.code == "WRONGPASS"
    for server in world.servers:
        async with Asker(world.at(server)) as nobody:
            with pytest.raises(BusError) as refused:
                await nobody.ask("PING")
            assert refused.value.code == "NOAUTH"
    async with Asker(world.as_role(world.pair.replica, Role.EXCHANGE, "read")) as reading:
        assert await reading.ask("HGETALL", "CI:alice:BTC") == [b"amount", b"5"]


JUNK = 20_000
LAST_ID = "18446744073709551615-18446744073709551615"


async def _append(hostile: Asker, key: str, messages: Sequence[str | bytes], *options: str | int) -> None:
    for start in range(0, len(messages), 1_000):
        part = messages[start : start + 1_000]
        for reply in await hostile.ask_all([("XADD", key, *options, "*", "data", message) for message in part]):
            assert not isinstance(reply, BusError), reply


async def test_what_an_exchange_can_do_with_its_rights_stops_nobody_for_good(world: World, tmp_path: Path) -> None:
    """It empties its mailbox, floods it with junk, and makes every key of it take no more."""
    await world.empty()
    ring, pair = link_keys.ring(LINK), world.pair
    async with (
        Custodian(world.custodian()) as custodian,
        Exchange(world.exchange(tmp_path), accept) as exchange,
        Asker(world.as_role(pair.replica, Role.EXCHANGE, "write")) as hostile,
        Asker(world.as_role(pair.replica, Role.ADMIN)) as operator,
        Asker(world.as_role(pair.primary, Role.AUDITOR)) as auditor,
    ):
        await custodian.deposit("alice", "BTC", Decimal(100), "wire-1")
        await ask(custodian, "r1", "increase", "alice", "BTC", "1")
        for key in ring:
            await _append(hostile, key, ["gone at once"], "MAXLEN", 0)
        await ask(custodian, "r2", "increase", "alice", "BTC", "1")

        await _append(hostile, ring[0], [f"junk {n}" for n in range(JUNK)])
        strangers = [
            seal(EXCHANGE_KEY, "other", "answer", n, f"r{n}", Decision("accepted"), 0, "") for n in range(3, 9)
        ]
        await _append(hostile, ring[1], [sealed.raw for sealed in strangers])
        for key in ring:
            await _append(hostile, key, [key[-1] * 2**20])
        await ask(custodian, "r3", "increase", "alice", "BTC", "1")

        for key in ring[:-1]:
            await hostile.ask("XADD", key, LAST_ID, "data", "the last")
        await ask(custodian, "r4", "increase", "alice", "BTC", "1")
        await hostile.ask("XADD", ring[-1], LAST_ID, "data", "the last")
        await custodian.request("r5", CreditOrder("increase", "alice", "BTC", "1"))
        with pytest.raises(SettlementError, match="has no answer"):
            await custodian.final("r5", 0.2)
        await operator.ask("DEL", *ring)
        assert (await custodian.final("r5", 10)).state == "posted"

        async def quiet() -> bool:
            return bool(await auditor.ask("XLEN", link_keys.quarantine(LINK)) > 100)

        await eventually(quiet)
        assert await auditor.ask("XLEN", link_keys.quarantine(LINK)) < JUNK // 4, "most of it is only counted"
        await agreed(custodian, exchange)
        assert (await custodian.audit()).clean
