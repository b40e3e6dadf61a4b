"""Schemes: who is to be where."""

import pytest

from heliograph.bus.acl_roles import Place, Role, Secret
from heliograph.bus.acl_scheme import Account, Node, Scheme
from heliograph.bus.endpoint import parse_url
from heliograph.errors import ConfigError
from tests.bus.acl_scheme import NAMES, scheme_of

NODE = Node(parse_url("redis://admin:hunter2@p:7000"), (Place.PRIMARY, Place.BUS))


def test_a_node_is_told_without_its_credentials() -> None:
    assert str(NODE) == "primary+bus redis://p:7000/0"
    assert "hunter2" not in repr(NODE)
    assert "hunter2" not in repr(Scheme(NAMES, (Account(Role.ADMIN, Secret("hunter2")),)))


def test_a_user_has_the_roles_name_or_its_own() -> None:
    assert Account(Role.CUSTODIAN).user == "custodian"
    assert Account(Role.CUSTODIAN, name="wsp").user == "wsp"


@pytest.mark.parametrize("name", ["exchange", "custodian-read", "default"])
def test_two_roles_cannot_be_one_user_nor_anybody_the_default(name: str) -> None:
    with pytest.raises(ConfigError, match="a name of its own"):
        Scheme(NAMES, (Account(Role.EXCHANGE), Account(Role.CUSTODIAN), Account(Role.AUDITOR, name=name)))


def test_two_users_may_be_asked_for_where_one_would_do() -> None:
    place = Node(NODE.endpoint, (Place.REPLICA,))
    one, two = (Scheme(NAMES, (Account(Role.EXCHANGE),), portable=portable) for portable in (False, True))
    assert [user.name for user in one.users(one.accounts[0], place, selectors=True)] == ["exchange"]
    assert len(two.users(two.accounts[0], place, selectors=True)) == 2


def test_an_account_is_found_by_its_role() -> None:
    scheme = scheme_of(Role.ADMIN)
    assert scheme.account(Role.ADMIN) is scheme.accounts[0]
    assert scheme.account(Role.FEED) is None
