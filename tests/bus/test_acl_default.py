"""The default user is switched off by another administrator, and by nobody else."""

import pytest

from heliograph.bus.acl_admin import open_admin, open_as
from heliograph.bus.acl_default import switch_default_off
from heliograph.bus.acl_roles import Place, Role, Secret, users_of
from heliograph.bus.acl_scheme import Account, Scheme
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url
from heliograph.bus.link import open_link
from heliograph.errors import BusError
from tests.bus.acl_scheme import NAMES, node_of, password, scheme_of

ADMIN = password(Role.ADMIN)


async def _make_admin(server: Server) -> None:
    async with open_admin(parse_url(server.url)) as admin:
        (user,) = users_of(Role.ADMIN, "admin", [Place.PRIMARY], NAMES, selectors=True)
        await admin.put(user, Secret(ADMIN))


async def _is_open(server: Server) -> bool:
    try:
        (await open_link(parse_url(server.url), name="test", timeout_s=5)).abort("done")
    except BusError as e:
        if e.code != "NOAUTH":
            raise
        return False
    return True


@pytest.mark.parametrize(
    "rules",
    [
        None,
        ("on", ">another password", "~*", "&*", "+@all"),
        ("off", f">{ADMIN}", "~*", "&*", "+@all"),
        ("on", f">{ADMIN}", "~*", "&*", "+@all", "-flushall"),
        ("on", f">{ADMIN}", "~*", "&*", "+acl", "+hello", "+command"),
        ("on", f">{ADMIN}", "+ping"),
    ],
    ids=["absent", "wrong-password", "off", "not-all", "acl-alone", "ping-alone"],
)
async def test_without_another_administrator_it_stays_on(shared_valkey: Server, rules: tuple[str, ...] | None) -> None:
    async with open_admin(parse_url(shared_valkey.url)) as admin:
        await admin.ask("ACL", "DELUSER", "admin")
        if rules is not None:
            await admin.ask("ACL", "SETUSER", "admin", "reset", *rules)
    with pytest.raises(BusError) as refused:
        await switch_default_off(node_of(shared_valkey, Place.BUS), scheme_of())
    assert refused.value.code == "no_other_admin"
    assert await _is_open(shared_valkey)


@pytest.mark.parametrize("account", [(), (Account(Role.ADMIN),), (Account(Role.ADMIN, Secret(Secret(ADMIN).hash)),)])
async def test_without_its_password_nothing_is_proved(shared_valkey: Server, account: tuple[Account, ...]) -> None:
    with pytest.raises(BusError) as refused:
        await switch_default_off(node_of(shared_valkey, Place.BUS), Scheme(NAMES, account))
    assert refused.value.code == "no_other_admin"
    assert await _is_open(shared_valkey)


async def test_d09_switched_off_nobody_comes_in_and_who_is_in_is_put_out(any_server: Server) -> None:
    inside = await open_link(parse_url(any_server.url), name="test", timeout_s=5)
    await _make_admin(any_server)
    node = node_of(any_server, Place.BUS)
    assert await switch_default_off(node, scheme_of())
    assert not await _is_open(any_server)
    with pytest.raises(BusError):
        await inside.request("GET", "secret")
    as_admin = await open_as(node.endpoint, "admin", ADMIN)
    assert await as_admin.request("ACL", "WHOAMI") == b"admin"
    as_admin.abort("done")
    assert not await switch_default_off(node, scheme_of())


async def test_a_replica_that_knows_nobody_else_keeps_it_on() -> None:
    async with Pair() as pair:
        await _make_admin(pair.primary)
        with pytest.raises(BusError) as refused:
            await switch_default_off(node_of(pair.primary, Place.PRIMARY), scheme_of())
        assert refused.value.code == "replica_uses_default"
        assert await _is_open(pair.primary)
        await pair.linked()
