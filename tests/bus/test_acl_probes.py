"""Probes: what is asked, and that asking leaves nothing behind whatever the answer."""

from heliograph.bus import link_keys
from heliograph.bus.acl_admin import ask_all, tried
from heliograph.bus.acl_probes import (
    KEYED,
    KEYLESS,
    ONLY_DRY,
    ONLY_DRY_KEYED,
    TELLING,
    all_probes,
    dry_probes,
    few_probes,
    probe_keys,
)
from heliograph.bus.acl_roles import Names, Place, Role, users_of
from heliograph.bus.embedded import Server
from heliograph.bus.endpoint import parse_url
from heliograph.bus.link import Link, open_link

NAMES = Names(link="acme", exchanges=("binance",))
(ADMIN,) = users_of(Role.ADMIN, "admin", [Place.PRIMARY], NAMES, selectors=True)
(EXCHANGE,) = users_of(Role.EXCHANGE, "exchange", [Place.REPLICA], NAMES, selectors=True)


async def _everything(link: Link) -> dict[str, object]:
    """Return all that a server holds, as far as probes could touch it."""
    names = sorted(await link.request("KEYS", "*"))
    return {
        "values": [(name, await link.request("DUMP", name), await link.request("PTTL", name)) for name in names],
        "groups": [
            await link.request("XINFO", "GROUPS", name)
            for name in names
            if await link.request("TYPE", name) == "stream"
        ],
        "users": await link.request("ACL", "LIST"),
        "settings": sorted((await link.request("CONFIG", "GET", "*"))[1::2]),
        "script": await link.request("SCRIPT", "EXISTS", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"),
        "role": (await link.request("ROLE"))[0],
        "clients": (await link.request("CLIENT", "LIST")).count(b"\n"),
    }


async def _fill(link: Link) -> None:
    for key in probe_keys(NAMES):
        if key.startswith(("exchange:stream", "mirror:", "feed:")) or key.endswith((":out", ":journal", ":trades")):
            await link.request("XADD", key, "5-0", "data", "money")
        elif key.startswith(("CI:", "link:acme:cursor", "ledger:")):
            await link.request("HSET", key, "amount", "5")
        else:
            await link.request("SET", key, "5")


async def test_d12_probes_leave_no_trace_even_where_everything_is_allowed(matrix_server: Server) -> None:
    """Were a right there that must not be, the probe that finds it would be carried out."""
    link = await open_link(parse_url(matrix_server.url), name="test", timeout_s=5)
    try:
        for filled in (False, True):
            if filled:
                await _fill(link)
            before = await _everything(link)
            answers = await tried(link, all_probes(ADMIN, NAMES))
            assert False not in answers
            assert sum(answer is None for answer in answers) <= 1  # FUNCTION, on 6.2
            after = await _everything(link)
            assert after == before
    finally:
        link.abort("done")


async def test_a_key_that_a_probe_names_is_where_the_command_looks(matrix_server: Server) -> None:
    """Else a server would judge rights on another key than the one that is told."""
    link = await open_link(parse_url(matrix_server.url), name="test", timeout_s=5)
    try:
        probes = [probe for probe in all_probes(EXCHANGE, NAMES) if probe.key == link_keys.acked("acme")]
        asked = [("COMMAND", "GETKEYS", *probe.words) for probe in probes]
        for probe, (reply, error) in zip(probes, await ask_all(link, asked), strict=True):
            assert error is None, (probe, error)
            assert set(reply) == {probe.key.encode()}, probe
    finally:
        link.abort("done")


def test_every_command_is_asked_on_every_kind_of_key() -> None:
    probes = dry_probes(EXCHANGE, NAMES)
    assert {(probe.command, probe.key) for probe in probes if probe.key} == {
        (command, key) for command in (*KEYED, *ONLY_DRY_KEYED) for key in probe_keys(NAMES)
    }
    assert {probe.command for probe in probes if not probe.key} == {*KEYLESS, *ONLY_DRY}
    assert not {*KEYED, *KEYLESS} & {*ONLY_DRY, *ONLY_DRY_KEYED}


def test_a_link_of_another_name_is_asked_about_as_well() -> None:
    assert link_keys.out("acme") in probe_keys(NAMES)
    assert link_keys.out("acmeacl-probe") in probe_keys(NAMES)
    assert link_keys.mailbox("acme", "answer", 8) in probe_keys(NAMES)


def test_few_are_all_that_is_allowed_and_what_tells_most() -> None:
    """A server's ACL LOG holds 128 refusals, which are others' evidence."""
    few = few_probes(EXCHANGE, NAMES)
    assert {probe.command for probe in few if probe.allowed} == {
        *("ping", "client|setname", "xadd", "get", "hget", "hmget", "hgetall", "xrange", "xrevrange", "xread", "xlen")
    }
    assert {probe.command for probe in few if not probe.allowed} == {*TELLING}


def test_a_probe_says_what_it_asks() -> None:
    (probe,) = (p for p in all_probes(EXCHANGE, NAMES) if (p.command, p.key) == ("xinfo|stream", "acl-probe"))
    assert str(probe) == "XINFO STREAM acl-probe"
    assert probe.words == ("XINFO", "STREAM", "acl-probe")
