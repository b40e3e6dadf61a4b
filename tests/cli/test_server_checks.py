"""What the doctor says of a server."""

from collections.abc import AsyncIterator

import pytest

from heliograph.bus import keys
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_cluster import cluster
from heliograph.bus.endpoint import parse_url
from heliograph.bus.link import open_link
from heliograph.cli.finding import Finding, Verdict
from heliograph.cli.server_checks import (
    judge_clock,
    judge_cluster,
    judge_memory,
    judge_persistence,
    judge_rights,
    judge_role,
    judge_version,
    server,
)

LEASE_S = 6.0


@pytest.fixture
async def running() -> AsyncIterator[Server]:
    async with Server() as started:
        yield started


async def looked(url: str) -> dict[str, Finding]:
    return {finding.check: finding for finding in await server(url, LEASE_S)}


async def asked(running: Server, *command: str) -> object:
    link = await open_link(parse_url(running.url), name="test", timeout_s=5)
    try:
        return await link.request(*command)
    finally:
        link.abort("asked")


async def test_a_server_of_ours_is_well_and_holds_nothing_of_the_look(running: Server) -> None:
    findings = await looked(running.url)
    assert {check: finding.verdict for check, finding in findings.items()} == dict.fromkeys(
        ("server", "clock", "server version", "server role", "server persistence", "server memory", "server rights"),
        Verdict.OK,
    )
    assert await asked(running, "DBSIZE") == 0


async def test_a_server_that_is_away_is_told_without_its_password() -> None:
    (finding,) = await server("redis://trader:hunter2@127.0.0.1:1/0", LEASE_S)
    assert finding.verdict is Verdict.FAIL
    assert "hunter2" not in repr(finding)


async def test_a_wrong_password_is_told(running: Server) -> None:
    (finding,) = await server(running.url.replace("://", "://nobody:hunter2@"), LEASE_S)
    assert finding.verdict is Verdict.FAIL
    assert "user or password" in finding.found
    assert "hunter2" not in repr(finding)


@pytest.mark.parametrize(
    ("rights", "verdict", "said"),
    [
        ("~* +@all", "ok", "all that feeds and gateways do"),
        ("~* +@all -xsetid", "warn", "for a gateway alone: not XSETID binance:DOCTOR:trades"),
        ("%R~* %RW~feed:demand +@all", "warn", "for a gateway alone"),
        ("%R~* +@all", "FAIL", f"XADD {keys.FEED_DEMAND}"),
        ("~* +@all -multi", "FAIL", "MULTI"),
        ("~* +@all -info -config -time", "warn", "for a gateway alone: not TIME"),
    ],
)
async def test_rights_are_tried_and_nothing_is_written(running: Server, rights: str, verdict: str, said: str) -> None:
    await asked(running, "ACL", "SETUSER", "clerk", "on", ">secret", *rights.split())
    findings = await looked(running.url.replace("://", "://clerk:secret@"))
    assert findings["server rights"].verdict == verdict
    assert said in findings["server rights"].found
    assert await asked(running, "DBSIZE") == 0
    if "-info" in rights:
        assert findings["server INFO"].verdict is Verdict.WARN
        assert findings["clock"].verdict is Verdict.WARN


async def test_a_server_that_forgets_is_told() -> None:
    options = [("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lru"), ("appendonly", "no")]
    async with Server(options=options) as forgetful:
        findings = await looked(forgetful.url)
    assert findings["server memory"].verdict is Verdict.FAIL
    assert findings["server persistence"].verdict is Verdict.WARN


async def test_a_replica_is_not_written_to(running: Server) -> None:
    async with Server(replica_of=running.port) as replica:
        findings = await looked(replica.url)
    assert findings["server role"].verdict is Verdict.FAIL
    assert str(running.port) in findings["server role"].found


async def test_each_node_that_is_named_is_looked_at(running: Server) -> None:
    findings = await looked(f"redis+cluster://127.0.0.1:1,127.0.0.1:{running.port}")
    assert findings["server 127.0.0.1:1"].verdict is Verdict.FAIL
    assert findings[f"server 127.0.0.1:{running.port}"].verdict is Verdict.OK
    assert findings["server rights"].verdict is Verdict.OK


async def test_a_clusters_rights_are_tried_on_whichever_node() -> None:
    async with cluster(3, 0) as nodes:
        findings = await looked(nodes.url)
    assert {finding.verdict for finding in findings.values()} == {Verdict.OK}, findings
    assert "16384 of 16384" in findings["cluster"].found


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ({"valkey_version": "8.0.1", "redis_version": "7.2.4"}, "ok"),
        ({"valkey_version": "7.2.5", "redis_version": "7.2.4"}, "warn"),
        ({"redis_version": "6.2.0"}, "ok"),
        ({"redis_version": "6.0.16"}, "FAIL"),
        ({}, "FAIL"),
    ],
)
def test_versions(told: dict[str, str], verdict: str) -> None:
    assert judge_version(told).verdict == verdict


@pytest.mark.parametrize(("skew_s", "verdict"), [(0.05, "ok"), (-0.5, "warn"), (1.5, "FAIL"), (-1.5, "FAIL")])
def test_clocks(skew_s: float, verdict: str) -> None:
    assert judge_clock(skew_s, 1.0).verdict == verdict


@pytest.mark.parametrize(
    ("told", "fsync", "verdict"),
    [
        ({"aof_enabled": "1"}, "always", "ok"),
        ({"aof_enabled": "1"}, "everysec", "ok"),
        ({"aof_enabled": "1"}, None, "ok"),
        ({"aof_enabled": "1"}, "no", "warn"),
        ({"aof_enabled": "0"}, "everysec", "warn"),
        ({"aof_enabled": "1", "aof_last_write_status": "err"}, "always", "FAIL"),
    ],
)
def test_persistence(told: dict[str, str], fsync: str | None, verdict: str) -> None:
    assert [finding.verdict for finding in judge_persistence(told, fsync)] == [verdict]


@pytest.mark.parametrize(
    ("used", "limit", "policy", "verdict"),
    [
        (10, 100, "noeviction", "ok"),
        (90, 100, "noeviction", "warn"),
        (99, 100, "noeviction", "FAIL"),
        (10, 100, "volatile-lru", "warn"),
        (10, 100, "allkeys-lru", "FAIL"),
        (10, 0, "allkeys-lru", "warn"),
        (10, 0, "noeviction", "ok"),
    ],
)
def test_memory(used: int, limit: int, policy: str, verdict: str) -> None:
    told = {
        "used_memory": str(used),
        "maxmemory": str(limit),
        "maxmemory_policy": policy,
        "total_system_memory": "1000",
    }
    assert judge_memory(told).verdict == verdict


def test_roles_clusters_and_rights() -> None:
    assert judge_role({}, "sentinel").verdict is Verdict.FAIL
    assert judge_role({"role": "slave"}, "cluster").verdict is Verdict.OK
    assert judge_cluster({"cluster_state": "ok"}).verdict is Verdict.OK
    assert judge_cluster({"cluster_state": "fail"}).verdict is Verdict.FAIL
    assert judge_rights(["XADD feed:demand"], []).verdict is Verdict.WARN
