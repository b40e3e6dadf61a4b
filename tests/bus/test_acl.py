"""Roles put on real servers: a custodian's primary with a sibling, and the exchange's replica."""

from pathlib import Path

import msgspec
import pytest

from heliograph.bus.acl import apply
from heliograph.bus.acl_admin import open_admin, open_as
from heliograph.bus.acl_roles import Place, Role, Secret
from heliograph.bus.acl_scheme import Account, Finding, Level, Scheme
from heliograph.bus.acl_verify import verify
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.bus.link import open_link
from heliograph.errors import BusError, ConfigError
from tests.bus.acl_scheme import NAMES, node_of, nodes_of, password, scheme_of


def _failed(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is Level.FAIL]


def _changed(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.node.split()[0], finding.user) for finding in findings if finding.changed}


async def test_d11_all_roles_on_all_nodes_once_and_twice_and_for_good(server_binary: Path) -> None:
    async with Pair(binary=server_binary, siblings=1) as pair:
        nodes = nodes_of(pair)
        first = await apply(nodes, scheme_of())
        assert not _failed(first)
        made = _changed(first)
        assert {("primary+bus", "custodian"), ("sibling", "custodian"), ("replica", "custodian")} <= made
        assert {node for node, user in made if user.startswith("exchange")} == {"replica"}

        assert [f.user for f in first if "a replica is connected as" in f.found] == ["default", "default"]

        second = await apply(nodes, scheme_of(), default_off=True)
        assert not _failed(second)
        assert {user for _, user in _changed(second)} == {"default"}

        third = await apply(nodes, scheme_of(), default_off=True)
        assert not _failed(third)
        assert not _changed(third)
        assert not _failed(await verify(nodes, scheme_of()))

        # The replicas are somebody now, and still told of everything.
        async with open_admin(nodes[0].endpoint, "admin", Secret(password(Role.ADMIN))) as admin:
            replicas = (await admin.ask("CLIENT", "LIST", "TYPE", "replica")).decode()
            assert replicas.count(" user=replication ") == replicas.count("\n") == 2
        custodian = await open_as(nodes[0].endpoint, "custodian", password(Role.CUSTODIAN))
        await custodian.request("SET", "link:acme:acked", "7")
        assert await custodian.request("WAIT", 2, 5000) == 2
        custodian.abort("done")
        for node in nodes[1:]:
            auditor = await open_as(node.endpoint, "auditor", password(Role.AUDITOR))
            assert await auditor.request("GET", "link:acme:acked") == b"7"
            auditor.abort("done")


async def test_the_exchange_is_on_the_replica_alone_and_writes_its_own_names_alone(
    mirrored: tuple[Server, Server],
) -> None:
    primary, replica = mirrored
    nodes = [node_of(primary, Place.PRIMARY), node_of(replica, Place.REPLICA)]
    assert not _failed(await apply(nodes, scheme_of()))
    with pytest.raises(BusError, match="WRONGPASS"):
        await open_as(nodes[0].endpoint, "exchange", password(Role.EXCHANGE))
    exchange = await open_as(nodes[1].endpoint, "exchange", password(Role.EXCHANGE))
    assert await exchange.request("XADD", "exchange:stream:acme:answer:3", "*", "answer", "yes")
    for request in (("XADD", "CI:alice:BTC", "*", "amount", "9"), ("GET", "secret"), ("SCAN", "0"), ("FLUSHALL",)):
        with pytest.raises(BusError, match="NOPERM"):
            await exchange.request(*request)
    exchange.abort("done")


async def test_users_outlive_a_kill_where_there_is_an_acl_file() -> None:
    with Server(acl=["user default on nopass ~* &* +@all"]) as server:
        nodes = [node_of(server, Place.PRIMARY)]
        findings = await apply(nodes, scheme_of())
        assert [finding.level for finding in findings if finding.check == "persistence"] == [Level.OK]
        await server.restart()
        assert not _failed(await verify(nodes, scheme_of()))


async def test_a_password_is_changed_without_a_pause_for_who_is_in(shared_valkey: Server) -> None:
    nodes = [node_of(shared_valkey, Place.BUS)]
    await apply(nodes, scheme_of(Role.FEED))
    inside = await open_as(nodes[0].endpoint, "feed", password(Role.FEED))
    changed = await apply(nodes, Scheme(NAMES, (Account(Role.FEED, Secret("another")),)))
    assert _changed(changed) == {("bus", "feed")}
    assert await inside.request("PING") == b"PONG"
    inside.abort("done")
    with pytest.raises(BusError, match="WRONGPASS"):
        await open_as(nodes[0].endpoint, "feed", password(Role.FEED))


async def test_what_was_put_by_hand_is_found_and_mended(shared_valkey: Server) -> None:
    nodes = [node_of(shared_valkey, Place.BUS)]
    await apply(nodes, scheme_of(Role.GATEWAY))
    async with open_admin(nodes[0].endpoint) as admin:
        await admin.ask("ACL", "SETUSER", "gateway", "+set", "~*")
        await admin.ask("ACL", "SETUSER", "gateway-write", "on", "nopass", "+@all", "~*")
    told = [f"{finding.user}: {finding.found}" for finding in _failed(await verify(nodes, scheme_of(Role.GATEWAY)))]
    assert any("SET secret is allowed" in line or "SET acl-probe is allowed" in line for line in told), told
    assert any("gateway-write: gateway has no business here" in line for line in told), told
    mended = await apply(nodes, scheme_of(Role.GATEWAY))
    assert _changed(mended) == {("bus", "gateway"), ("bus", "gateway-write")}
    assert not _failed(mended)


async def test_the_other_form_takes_the_place_of_the_first(shared_valkey: Server) -> None:
    nodes = [node_of(shared_valkey, Place.BUS)]
    await apply(nodes, scheme_of(Role.GATEWAY))
    two = msgspec.structs.replace(scheme_of(Role.GATEWAY), portable=True)
    assert _changed(await apply(nodes, two)) == {("bus", name) for name in ("gateway", "gateway-read", "gateway-write")}
    async with open_admin(nodes[0].endpoint) as admin:
        assert await admin.state("gateway") is None


async def test_nothing_is_changed_where_not_all_can_be(shared_valkey: Server) -> None:
    here = node_of(shared_valkey, Place.PRIMARY)
    away = msgspec.structs.replace(here, endpoint=parse_url("redis://127.0.0.1:1"))
    async with open_admin(here.endpoint) as admin:
        before = await admin.ask("ACL", "LIST")
        with pytest.raises(BusError):
            await apply([here, away], scheme_of())
        with pytest.raises(ConfigError):
            await apply([here], Scheme(msgspec.structs.replace(NAMES, link=""), scheme_of().accounts))
        assert await admin.ask("ACL", "LIST") == before


async def test_a_replica_is_not_told_of_a_user_that_its_primary_may_not_know(mirrored: tuple[Server, Server]) -> None:
    primary, replica = mirrored
    alone = await apply([node_of(replica, Place.REPLICA)], scheme_of())
    assert "primary_not_named" in {finding.code for finding in alone}
    async with open_admin(parse_url(replica.url), "admin", Secret(password(Role.ADMIN))) as admin:
        assert (await admin.ask("CONFIG", "GET", "masteruser"))[1] == b""
    both = await apply([node_of(replica, Place.REPLICA), node_of(primary, Place.PRIMARY)], scheme_of())
    assert not _failed(both)


async def test_the_default_user_stays_on_where_something_failed(shared_valkey: Server) -> None:
    node = node_of(shared_valkey, Place.PRIMARY, Place.REPLICA)  # It replicates nothing, so one thing fails.
    findings = await apply([node], scheme_of(), default_off=True)
    assert [finding.code for finding in findings if finding.check == "default user"] == ["not_verified"]
    (await open_link(node.endpoint, name="test", timeout_s=5)).abort("still open")


async def test_the_hash_of_a_password_makes_a_user_that_cannot_be_tried(shared_valkey: Server) -> None:
    nodes = [node_of(shared_valkey, Place.BUS)]
    hashed = Scheme(NAMES, (Account(Role.FEED, Secret(Secret(password(Role.FEED)).hash)),))
    findings = await apply(nodes, hashed)
    assert ["not tried" in finding.found for finding in findings if finding.check == "connection"] == [True]
    (await open_as(nodes[0].endpoint, "feed", password(Role.FEED))).abort("known")
