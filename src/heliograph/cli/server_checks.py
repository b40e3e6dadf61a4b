"""What `heliograph doctor` asks of the server: that it is there, keeps what it is given, and lets us do our work."""

import time
from collections.abc import Mapping
from typing import Final

from heliograph.bus import keys
from heliograph.bus.endpoint import parse_url
from heliograph.bus.leases import SKEW
from heliograph.bus.link import Link, open_link
from heliograph.cli.finding import LOOK_S_MAX, Finding, fail, ok, warn
from heliograph.errors import BusError, ConfigError

NAME: Final = "heliograph-doctor"
VALKEY_MIN: Final = (8,)
REDIS_MIN: Final = (6, 2)
SKEW_S_GOOD: Final = 0.1
MEMORY_SHARE_MAX: Final = 0.95
MEMORY_SHARE_GOOD: Final = 0.8

_STREAM: Final = "binance:DOCTOR:trades"
_LEASES: Final = keys.shard_leases("binance", "spot")
_FEED: Final = keys.merged_feed("binance", "spot", 0)
_READS: Final = (
    ("XRANGE", _STREAM, "-", "+", "COUNT", 1),
    ("XREVRANGE", _FEED, "+", "-", "COUNT", 1),
    ("XREAD", "COUNT", 1, "STREAMS", _FEED, "$"),
)
_GATEWAY: Final = (*_READS, ("XADD", keys.FEED_DEMAND, "MAXLEN", "~", 1000, "*", "data", "{}"))
_WRITES: Final = (
    ("XADD", _STREAM, "MAXLEN", "~", 1000, "*", "data", "{}"),
    ("XADD", _FEED, "*", "key", _STREAM, "data", "{}"),
    ("XTRIM", _STREAM, "MAXLEN", "~", 1000),
    ("XLEN", _STREAM),
    ("XINFO", "STREAM", _STREAM),
    ("XSETID", _STREAM, "1-1"),
    ("XDEL", _STREAM, "1-1"),
    ("XREAD", "COUNT", 1, "STREAMS", keys.FEED_DEMAND, "$"),
    ("TIME",),
    ("EVAL", "return 1", 1, keys.FEED_WORKERS),
    ("ZADD", keys.FEED_WORKERS, 1, NAME),
    ("ZREM", keys.FEED_WORKERS, NAME),
    ("ZRANGE", keys.FEED_WORKERS, 0, 0),
    ("ZREMRANGEBYSCORE", keys.FEED_WORKERS, "-inf", 0),
    ("HGET", _LEASES, "0"),
    ("HSET", _LEASES, "0", ""),
)


async def server(url: str, lease_s: float) -> list[Finding]:
    """Look at a server.

    Args:
        url: the server, or a cluster.
        lease_s: how long feeds hold their shards, which says how well clocks must agree.

    Raises:
        ConfigError: the URL cannot be used.

    """
    endpoint = parse_url(url)
    findings: list[Finding] = []
    link: Link | None = None
    nodes = endpoint.all()
    for node in nodes:
        check = "server" if len(nodes) == 1 else f"server {node.host}:{node.port}"
        began_s = time.perf_counter()
        try:
            opened = await open_link(node, name=NAME, timeout_s=LOOK_S_MAX / 2)
        except (BusError, ConfigError) as e:
            findings.append(fail(check, str(e), "is the URL right, the server up, and no firewall between?"))
            continue
        findings.append(ok(check, f"{node} answers, {(time.perf_counter() - began_s) * 1000:.0f} ms to connect"))
        if link is None:
            link = opened
        else:
            opened.abort("looked at")
    if link is not None:
        try:
            findings += await _examine(link, lease_s)
        except BusError as e:  # It ended between two questions.
            findings.append(fail("server", str(e), "look at the server's own log"))
        finally:
            link.abort("looked at")
    return findings


async def _examine(link: Link, lease_s: float) -> list[Finding]:
    findings = [await _clock(link, lease_s)]
    try:
        told = _fields(await link.request("INFO", "everything"))
    except BusError as e:
        if e.code != "NOPERM":
            raise
        findings.append(warn("server INFO", "the user may not ask", "allow +info for this look, if you can"))
    else:
        findings += judge_version(told), judge_role(told, link.mode), *judge_persistence(told, await _fsync(link))
        findings.append(judge_memory(told))
    if link.mode == "cluster":
        findings.append(judge_cluster(_fields(await link.request("CLUSTER", "INFO"))))
    findings.append(judge_rights(await _refused(link, _GATEWAY), await _refused(link, (*_READS, *_WRITES))))
    return findings


def _fields(reply: bytes) -> dict[str, str]:
    lines = reply.decode("utf-8", "replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


async def _clock(link: Link, lease_s: float) -> Finding:
    asked_ns = time.time_ns()
    try:
        seconds, micros = await link.request("TIME")
    except BusError as e:
        if e.code != "NOPERM":
            raise
        return warn("clock", "the user may not ask for the server's time", "allow +time: feeds ask for it")
    skew_s = (asked_ns + time.time_ns()) / 2e9 - (int(seconds) + int(micros) / 1e6)
    return judge_clock(skew_s, lease_s * SKEW)


def judge_clock(skew_s: float, skew_s_max: float) -> Finding:
    """Judge how far our clock is ahead of the server's, both in seconds."""
    told = f"{skew_s:+.3f} s off the server's"
    if abs(skew_s) <= SKEW_S_GOOD:
        return ok("clock", told)
    advice = "set both clocks by NTP (chrony, systemd-timesyncd)"
    if abs(skew_s) > skew_s_max:
        return fail("clock", f"{told}: `serve feed` refuses more than {skew_s_max:g} s", advice)
    return warn("clock", told, advice)


def judge_version(told: Mapping[str, str]) -> Finding:
    """Judge what INFO says of the program."""
    valkey = told.get("valkey_version")
    name, version, least = (
        ("Valkey", valkey, VALKEY_MIN) if valkey else ("Redis", told.get("redis_version", ""), REDIS_MIN)
    )
    parts = tuple(int(part) for part in version.split(".") if part.isdigit())
    what = f"{name} {version or 'of no known version'}"
    if parts >= least:
        return ok("server version", what)
    needed = "Valkey 8 or newer, or Redis 6.2 or newer"
    if valkey and parts >= (7, 2):
        return warn("server version", f"{what}, which Heliograph is not tried with", needed)
    return fail("server version", what, needed)


def judge_role(told: Mapping[str, str], mode: str) -> Finding:
    """Judge what sort of server it is."""
    if mode == "sentinel":
        return fail("server role", "a sentinel", "the URL of the primary that it watches")
    if told.get("role") == "slave" and mode != "cluster":
        primary = f"{told.get('master_host', '?')}:{told.get('master_port', '?')}"
        return fail(
            "server role", f"a replica of {primary}", "the URL of the primary: a replica loses what it is given"
        )
    return ok("server role", f"{mode}, {told.get('connected_slaves', '0')} replicas")


async def _fsync(link: Link) -> str | None:
    try:
        reply = await link.request("CONFIG", "GET", "appendfsync")
    except BusError as e:
        if link.lost is not None:
            raise
        del e  # Managed servers have no CONFIG, and many users may not ask.
        return None
    return reply[1].decode() if len(reply) == 2 else None


def judge_persistence(told: Mapping[str, str], fsync: str | None) -> list[Finding]:
    """Judge what a restart of the server would leave.

    Args:
        told: what INFO says.
        fsync: `always`, `everysec` or `no`; None where it may not be asked.

    """
    check = "server persistence"
    broken = [name for name in ("aof_last_write_status", "rdb_last_bgsave_status") if told.get(name, "ok") != "ok"]
    if broken:
        return [fail(check, f"{broken[0]} is {told[broken[0]]}", "free some disk; the server's log says more")]
    if told.get("aof_enabled") != "1":
        return [warn(check, "no append-only file: a restart loses what came since the last snapshot", "appendonly yes")]
    if fsync == "no":
        return [warn(check, "append-only file, written when the system likes", "appendfsync everysec")]
    how = {
        None: "fsync unknown: the user may not ask",
        "everysec": "fsync each second; feeds write the last ones again",
    }
    return [ok(check, f"append-only file, {how.get(fsync, f'fsync {fsync}')}")]


def judge_memory(told: Mapping[str, str]) -> Finding:
    """Judge whether what is written stays, and whether there is room for more."""
    check = "server memory"
    used, limit = int(told.get("used_memory", 0)), int(told.get("maxmemory", 0))
    policy = told.get("maxmemory_policy", "noeviction")
    machine = int(told.get("total_system_memory", 0))
    of = limit or machine
    share = used / of if of else 0.0
    words = f"{used / 1024**2:.0f} of {of / 1024**2:.0f} MiB {'(maxmemory)' if limit else '(the machine)'}, {policy}"
    if policy.startswith("allkeys") and limit:
        return fail(check, f"{words}: streams are thrown away when it is full", "maxmemory-policy noeviction")
    if share > MEMORY_SHARE_MAX:
        return fail(check, words, "raise maxmemory, or lower HELIOGRAPH_STREAM_MAXLEN and HELIOGRAPH_FEED_MAXLEN")
    if policy != "noeviction":
        return warn(check, words, "maxmemory-policy noeviction, so that a full server refuses instead of forgetting")
    if share > MEMORY_SHARE_GOOD:
        return warn(check, words, "raise maxmemory, or lower HELIOGRAPH_STREAM_MAXLEN and HELIOGRAPH_FEED_MAXLEN")
    return ok(check, words)


def judge_cluster(told: Mapping[str, str]) -> Finding:
    """Judge what CLUSTER INFO says."""
    state, slots = told.get("cluster_state", "?"), told.get("cluster_slots_ok", "?")
    words = f"{state}, {slots} of 16384 slots served, {told.get('cluster_size', '?')} primaries"
    if state == "ok":
        return ok("cluster", words)
    return fail("cluster", words, "CLUSTER NODES on any node says which are missing")


async def _refused(link: Link, commands: tuple[tuple[str | int, ...], ...]) -> list[str]:
    """Return those commands that the user may not give. None is carried out.

    A transaction's commands are checked as they are queued, and thrown away with DISCARD.
    Source: https://valkey.io/topics/transactions/, https://valkey.io/topics/acl/
    """
    if await _denies(link, ("MULTI",)):
        return ["MULTI"]
    refused = [f"{command[0]} {_key_of(command)}".rstrip() for command in commands if await _denies(link, command)]
    await _denies(link, ("DISCARD",))
    return refused


async def _denies(link: Link, command: tuple[str | int, ...]) -> bool:
    try:
        await link.request(*command)
    except BusError as e:
        if link.lost is not None:
            raise
        return e.code == "NOPERM"  # Anything else, such as another node's slot, comes after the user's rights.
    return False


def _key_of(command: tuple[str | int, ...]) -> str:
    return next((str(word) for word in command[1:] if ":" in str(word)), "")


def judge_rights(gateway: list[str], feed: list[str]) -> Finding:
    """Judge what the user may not do that a gateway does, and that a feed does."""
    check = "server rights"
    if not feed and not gateway:
        return ok(check, "all that feeds and gateways do")
    if not gateway:
        return warn(check, f"for a gateway alone: not {', '.join(feed)}", "a feed needs a user with these rights")
    if not feed:
        return warn(check, f"for a feed alone: not {', '.join(gateway)}", "a gateway needs a user with these rights")
    lacks = dict.fromkeys([*gateway, *feed])
    return fail(check, f"not {', '.join(lacks)}", "ACL SETUSER: these commands, and the keys feed:* and <exchange>:*")
