"""What verify tells of users that are not as they should be, and that it names role, command and key."""

from heliograph.bus.acl_admin import open_admin
from heliograph.bus.acl_probes import Probe
from heliograph.bus.acl_roles import Place, Role
from heliograph.bus.acl_scheme import Account, Level, Node, Scheme
from heliograph.bus.acl_verify import FAILED_SHOWN_MAX, judged, verify
from heliograph.bus.embedded import Server
from heliograph.bus.endpoint import parse_url
from tests.bus.acl_scheme import NAMES, node_of, scheme_of

ALLOWED = Probe("xadd", "a", ("XADD",), allowed=True)
REFUSED = Probe("config|get", "", ("CONFIG",), allowed=False)


def test_each_probe_that_went_wrong_is_told_with_its_command_and_key() -> None:
    (all_well,) = judged("n", "u", "dry run", [ALLOWED, REFUSED], [True, False])
    assert (all_well.level, all_well.found) == (Level.OK, "1 things allowed, 1 refused")
    wrong = judged("n", "u", "dry run", [ALLOWED, REFUSED], [False, True])
    assert [finding.found for finding in wrong] == [
        "XADD a is refused, and needed",
        "CONFIG GET is allowed, and must not be",
    ]
    assert {finding.level for finding in wrong} == {Level.FAIL}


def test_a_command_that_the_server_does_not_know_is_refused() -> None:
    assert judged("n", "u", "c", [REFUSED], [None])[0].level is Level.OK
    assert judged("n", "u", "c", [ALLOWED], [None])[0].level is Level.FAIL
    optional = Probe("client|setinfo", "", ("CLIENT",), allowed=True)
    assert judged("n", "u", "c", [optional], [None])[0].level is Level.OK


def test_many_failures_are_a_few_and_a_number() -> None:
    told = judged("n", "u", "c", [REFUSED] * 30, [True] * 30)
    assert len(told) == FAILED_SHOWN_MAX + 1
    assert told[-1].found == "and 20 more"


async def test_a_user_that_is_not_there_or_has_another_password_is_told(matrix_server: Server) -> None:
    node = node_of(matrix_server, Place.BUS)
    (missing,) = (f for f in await verify([node], scheme_of(Role.FEED)) if f.level is Level.FAIL)
    assert (missing.user, missing.found) == ("feed", "there is no such user: apply makes it")
    async with open_admin(node.endpoint) as admin:
        await admin.ask("ACL", "SETUSER", "feed", "reset", "on", ">another", "~feed:*", "+xadd")
        told = {f.check: f.found for f in await verify([node], scheme_of(Role.FEED)) if f.level is Level.FAIL}
        assert "has another password" in told["user"]
        assert "WRONGPASS" in told["connection"]
        await admin.remove("feed")


async def test_the_default_user_and_strangers_are_pointed_at(matrix_server: Server) -> None:
    node = node_of(matrix_server, Place.BUS)
    async with open_admin(node.endpoint) as admin:
        await admin.ask("ACL", "SETUSER", "stranger", "on", "nopass", "+@all")
        told = {f.user: (f.level, f.found) for f in await verify([node], Scheme(NAMES, ()))}
        await admin.remove("stranger")
    assert told["default"] == (Level.WARN, "is on: whoever connects without a password is this user")
    assert told["stranger"] == (Level.WARN, "is on, and none of these roles'")


async def test_without_its_secret_a_user_is_looked_at_all_the_same(matrix_server: Server) -> None:
    node = node_of(matrix_server, Place.BUS)
    async with open_admin(node.endpoint) as admin:
        scheme = scheme_of(Role.FEED)
        (user,) = scheme.users(scheme.accounts[0], node, selectors=admin.selectors)
        assert scheme.accounts[0].secret is not None
        await admin.put(user, scheme.accounts[0].secret)
        found = await verify([node], Scheme(NAMES, (Account(Role.FEED),)))
        await admin.remove("feed")
    assert not [f for f in found if f.level is Level.FAIL]
    assert [f.level for f in found if f.check == "connection"] == [Level.WARN]


async def test_a_node_that_is_away_is_a_finding_and_the_others_are_looked_at(shared_valkey: Server) -> None:
    away = Node(parse_url("redis://127.0.0.1:1"), (Place.REPLICA,))
    found = await verify([away, node_of(shared_valkey, Place.BUS)], Scheme(NAMES, ()))
    assert [f.level for f in found] == [Level.FAIL, Level.WARN]
