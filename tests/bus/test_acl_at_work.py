"""Each role's own programs, run as the role's user on every server: what they need is there."""

import asyncio
from pathlib import Path

import pytest

from heliograph.bus import keys, link_keys
from heliograph.bus.acl_admin import open_admin
from heliograph.bus.acl_roles import Place, Role, Secret, users_of
from heliograph.bus.commit import Append, Commit, FieldsAre, PutFields, PutText
from heliograph.bus.committer import Committer
from heliograph.bus.connection import connect
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.bus.leases import Identity, Leases
from heliograph.bus.link import open_link
from heliograph.bus.publisher import Publisher
from heliograph.bus.reader import Reader
from heliograph.cli.server_checks import server
from heliograph.clock import SystemClock
from heliograph.errors import BusError
from tests.bus.acl_scheme import NAMES, password
from tests.bus.test_reader import take

LINK = NAMES.link
TRADES = "binance:BTCUSDT:trades"
FEED = keys.merged_feed("binance", "spot", 3)
MARKET = keys.shard_leases("binance", "spot")


async def _url(server: Server, role: Role, place: Place, *, part: str = "") -> str:
    """Make a role's users, and return the server's URL for one of them."""
    async with open_admin(parse_url(server.url)) as admin:
        users = users_of(role, role, [place], NAMES, selectors=admin.selectors)
        for user in users:
            await admin.put(user, Secret(password(role)))
        name = users[0].name if len(users) == 1 else f"{role}-{part}"
        await admin.ask("ACL", "LOG", "RESET")
    secret = password(role).replace(" ", "%20")
    return f"redis://{name}:{secret}@127.0.0.1:{server.port}/0"


async def _denied(server: Server) -> list[tuple[bytes, bytes]]:
    """Return whom the server has refused what.

    Redis-py asks every server for CLIENT MAINT_NOTIFICATIONS, which 6.2 does not know, and notes as refused.
    """
    async with open_admin(parse_url(server.url)) as admin:
        log = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in await admin.ask("ACL", "LOG")]
        asked_in_vain = b"client" if not admin.selectors else None
        return [(entry[b"username"], entry[b"object"]) for entry in log if entry[b"object"] != asked_in_vain]


async def _said(url: str, *words: str | int) -> str:
    """Return what a server says to a request that it does not carry out."""
    link = await open_link(parse_url(url), name="test", timeout_s=5)
    with pytest.raises(BusError) as refused:
        await link.request(*words)
    link.abort("done")
    return str(refused.value)


async def test_a_feed_shares_shards_fences_streams_and_appends(matrix_server: Server) -> None:
    url = await _url(matrix_server, Role.FEED, Place.BUS)
    async with (
        Leases(url, Identity("host", "", 1, "n"), lease_s=60, clock=SystemClock()) as leases,
        Publisher(url, leased=True) as publisher,
    ):
        assert leases.worker in await leases.beat()
        assert await leases.hold(MARKET, [3])
        stream = await publisher.open_stream(TRADES, maxlen=100, merged=await publisher.open_stream(FEED))
        now_s = asyncio.get_running_loop().time()
        publisher.hold.until(now_s + 60, now_s)
        publisher.append(stream, b"1")
        await publisher.flush()
        await leases.release(MARKET, [3])
        assert (publisher.failed, publisher.acknowledged) == (0, 1)
    assert await _denied(matrix_server) == []


async def test_a_gateway_reads_the_market_and_writes_down_what_it_wants(matrix_server: Server) -> None:
    async with connect(matrix_server.url) as client:
        await client.xadd(FEED, {"key": TRADES, "data": "1"})
    reading = await _url(matrix_server, Role.GATEWAY, Place.BUS, part="read")
    async with Reader(reading, {FEED: "0"}) as reader:
        assert [entry.key for entry in await take(reader, 1)] == [TRADES]
        assert await reader.entries(FEED)
        assert await reader.last_entries(FEED, 1)
    writing = await _url(matrix_server, Role.GATEWAY, Place.BUS, part="write")
    async with connect(writing) as client:
        await client.xadd(keys.FEED_DEMAND, {"data": "{}"}, maxlen=1000)
    assert "NOPERM" in await _said(writing, "XADD", TRADES, "*", "data", "2")


async def test_a_custodian_commits_on_its_own_keys_and_not_on_the_exchanges(matrix_server: Server) -> None:
    url = await _url(matrix_server, Role.CUSTODIAN, Place.PRIMARY)
    cursor = link_keys.cursor(LINK)
    changes = [
        Append(link_keys.journal(LINK), {"n": "1"}, "1-0"),
        PutFields(cursor, {"recorded": "1"}),
        PutFields(link_keys.credit("alice", "BTC"), {"amount": "5"}),
        PutText(link_keys.acked(LINK), "1"),
        Append(link_keys.CREDIT_REQUESTS, {"request_id": "r-1"}, "1-0"),
    ]
    async with Committer(url, probe=link_keys.probe(LINK)) as committer:
        assert await committer.submit(Commit([FieldsAre(cursor, {"recorded": None})], changes)) is None
        assert await committer.ask(("GET", link_keys.acked(LINK))) == [b"1"]
    assert await _denied(matrix_server) == []
    async with Committer(url, probe=link_keys.probe(LINK)) as committer:
        with pytest.raises(BusError):
            await committer.submit(Commit([], [Append(link_keys.ring(LINK)[0], {"m": "forged"}, "1-0")]))
    async with connect(matrix_server.url) as client:
        assert not await client.exists(link_keys.ring(LINK)[0])


async def test_d10_an_exchange_reads_requests_and_appends_answers_by_either_client(matrix_server: Server) -> None:
    ring = link_keys.ring(LINK)
    async with connect(await _url(matrix_server, Role.EXCHANGE, Place.REPLICA, part="write")) as client:
        for key in ring:
            assert await client.xadd(key, {"m": "x"}, nomkstream=True) is None
            assert await client.xadd(key, {"m": "x"}, maxlen=1000)
    async with connect(await _url(matrix_server, Role.EXCHANGE, Place.REPLICA, part="read")) as client:
        await client.xread({link_keys.out(LINK): "0"}, block=1)
        await client.xrange(link_keys.out(LINK))
        await client.hgetall(link_keys.credit("alice", "BTC"))
        await client.get(link_keys.acked(LINK))
    assert await _denied(matrix_server) == []


async def test_d10_what_appending_alone_can_still_do_is_done_to_ones_own_keys(matrix_server: Server) -> None:
    """Emptying and bricking a stream need no more than XADD: why each exchange has keys of its own, and several."""
    url = await _url(matrix_server, Role.EXCHANGE, Place.REPLICA, part="write")
    own, next_one = link_keys.mailbox(LINK, "answer", 6), link_keys.mailbox(LINK, "answer", 7)
    async with connect(url) as client:
        await client.xadd(own, {"m": "x"})
        await client.execute_command("XADD", own, "MAXLEN", 0, "*", "m", "gone at once")
        await client.xadd(own, {"m": "last"}, id="18446744073709551615-18446744073709551615")
        assert await client.xadd(next_one, {"m": "the ring goes on"})
    assert "last possible ID" in await _said(url, "XADD", own, "*", "m", "never")
    for elsewhere in (link_keys.mailbox("other", "answer", 6), link_keys.out(LINK), link_keys.CREDIT_REQUESTS):
        assert "NOPERM" in await _said(url, "XADD", elsewhere, "MAXLEN", 0, "*", "m", "x")


async def test_replicas_follow_as_a_user_that_can_do_nothing_else(server_binary: Path) -> None:
    secret = Secret(password(Role.REPLICATION))
    (user,) = users_of(Role.REPLICATION, "replication", [Place.PRIMARY], NAMES, selectors=False)
    rules = [rule for rule in user.rules(selectors=False, unknown=["client|setinfo"]) if rule != "reset"]
    lines = ["user default on nopass ~* &* +@all", f"user replication {' '.join(rules)} {secret.hash}"]
    pair = Pair(
        binary=server_binary,
        siblings=1,
        acl={"primary": lines, "sibling": lines},
        replication_login=("replication", secret.text or ""),
    )
    async with pair:
        async with connect(pair.primary.url) as client:
            await client.set("k", "v")
            assert await client.wait(2, 5000) == 2
            replicas = await client.client_list(_type="replica")
            assert {replica["user"] for replica in replicas} == {"replication"}
        await pair.promote(pair.siblings[0])


async def test_the_doctor_takes_each_for_what_it_is(shared_valkey: Server) -> None:
    async def rights(role: Role) -> str:
        findings = await server(await _url(shared_valkey, role, Place.BUS), lease_s=6)
        return next(finding.found for finding in findings if finding.check == "server rights")

    assert (await rights(Role.GATEWAY)).startswith("for a gateway alone")
    assert await rights(Role.FEED) == "all that feeds and gateways do"
