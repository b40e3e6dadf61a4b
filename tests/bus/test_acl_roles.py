"""What roles may do, as rules: values in, words out."""

import hashlib

import pytest

from heliograph.bus import link_keys
from heliograph.bus.acl_roles import Access, Grant, Names, Place, Role, Secret, User, names_of, serves, users_of
from heliograph.errors import ConfigError

NAMES = Names(link="acme", exchanges=("binance",))


def _exchange(*, selectors: bool) -> tuple[User, ...]:
    return users_of(Role.EXCHANGE, "exchange", [Place.REPLICA], NAMES, selectors=selectors)


def test_where_a_server_has_selectors_the_exchange_is_one_user_that_reads_here_and_appends_there() -> None:
    (user,) = _exchange(selectors=True)
    rules = user.rules(selectors=True, unknown={"client|setinfo"})
    assert rules[:4] == ("reset", "on", "resetchannels", "-@all")
    assert [rule for rule in rules if rule.startswith("+")] == ["+ping", "+hello", "+client|setname"]
    append, read = (rule for rule in rules if rule.startswith("("))
    assert "%W~exchange:stream:acme:answer:7" in append
    assert "+xadd" in append
    assert "+get" not in append
    assert "%R~CI:*" in read
    assert "+xadd" not in read


def test_where_it_has_none_reading_and_appending_are_two_users() -> None:
    append, read = sorted(_exchange(selectors=False), key=lambda user: user.name, reverse=True)
    assert (append.name, read.name) == ("exchange-write", "exchange-read")
    assert "+xadd" not in read.rules(selectors=False)
    assert not any("CI" in rule for rule in append.rules(selectors=False))
    assert not any("%" in rule.partition("~")[0] or rule.startswith("(") for rule in read.rules(selectors=False))


def test_the_exchange_appends_to_whole_names_and_to_no_pattern() -> None:
    """A shared or open-ended name could be emptied (MAXLEN 0) or bricked (the last id) by somebody else."""
    (user,) = _exchange(selectors=True)
    (append,) = (grant for grant in user.grants if grant.access is Access.WRITE)
    assert append.commands == ("xadd",)
    assert not any("*" in key for key in append.keys)
    assert set(link_keys.ring("acme")) < set(append.keys)


def test_one_server_that_is_both_ends_has_the_rights_of_both() -> None:
    (user,) = users_of(Role.CUSTODIAN, "wsp", [Place.PRIMARY, Place.REPLICA], NAMES, selectors=True)
    assert user.allows("hset", "link:acme:cursor")
    assert user.allows("xrange", link_keys.ring("acme")[0])
    assert not user.allows("xadd", link_keys.ring("acme")[0])


def test_a_sibling_has_the_primarys_users_so_that_it_can_be_promoted() -> None:
    for role in Role:
        at_primary, at_sibling = (
            users_of(role, role, [place], NAMES, selectors=True) for place in (Place.PRIMARY, Place.SIBLING)
        )
        assert at_primary == at_sibling


@pytest.mark.parametrize(
    ("role", "places"),
    [
        (Role.EXCHANGE, {Place.REPLICA}),
        (Role.CUSTODIAN, {Place.PRIMARY, Place.SIBLING, Place.REPLICA}),
        (Role.GATEWAY, {Place.BUS}),
        (Role.REPLICATION, {Place.PRIMARY, Place.SIBLING, Place.BUS}),
        (Role.ADMIN, set(Place)),
    ],
)
def test_a_role_is_nobody_where_it_has_no_business(role: Role, places: set[Place]) -> None:
    for place in Place:
        assert serves(role, place) == (place in places)
        assert bool(users_of(role, role, [place], NAMES, selectors=True)) == (place in places)


@pytest.mark.parametrize("link", ["a b", "a*", "a?", "[a]", "a\\", 'a"', "a)", "(a", "a\n"])
def test_a_name_that_means_something_inside_a_rule_is_refused(link: str) -> None:
    with pytest.raises(ConfigError, match="cannot stand in a rule"):
        Names(link=link)
    with pytest.raises(ConfigError, match="cannot stand in a rule"):
        Names(exchanges=(link,))


def test_a_link_is_encoded_as_in_its_keys() -> None:
    (user,) = users_of(Role.CUSTODIAN, "c", [Place.PRIMARY], Names(link="a:b"), selectors=True)
    assert user.allows("hset", link_keys.cursor("a:b"))
    assert not user.allows("hset", link_keys.cursor("a"))


def test_without_a_link_settlements_roles_have_no_keys() -> None:
    with pytest.raises(ConfigError, match="--link"):
        users_of(Role.EXCHANGE, "exchange", [Place.REPLICA], Names(), selectors=True)
    assert users_of(Role.GATEWAY, "gateway", [Place.BUS], Names(), selectors=True)


def test_a_secret_is_sent_as_its_hash_and_never_shown() -> None:
    secret = Secret("correct horse")
    assert secret.hash == "#" + hashlib.sha256(b"correct horse").hexdigest()
    assert "horse" not in repr(secret)
    (given,) = [Secret(secret.hash)]
    assert (given.hash, given.text) == (secret.hash, None)
    assert Secret("#not a hash").text == "#not a hash"


def test_a_grant_knows_whole_names_and_beginnings() -> None:
    grant = Grant(Access.READ, ("get",), ("CI:*", "link:a:acked"))
    assert grant.allows("get", "CI:u:BTC")
    assert grant.allows("get", "link:a:acked")
    assert not grant.allows("get", "link:a:acked2")
    assert not grant.allows("set", "CI:u:BTC")
    assert not grant.allows("get", "C")


def test_a_roles_users_have_the_names_that_are_looked_for() -> None:
    for selectors in (True, False):
        for role in Role:
            for place in Place:
                for user in users_of(role, "x", [place], NAMES, selectors=selectors):
                    assert user.name in names_of("x")
