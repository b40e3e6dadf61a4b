"""Users of the two parties, on every server that can tell reading from writing; the others are refused."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from openoes_core import (
    ACLError,
    ACLManager,
    ConnectionError,  # noqa: A004 - the seeds' name
    KeyManager,
    create_redis_client,
    disable_default_user,
    get_acl_list,
    setup_basic_acls,
    setup_exchange_acl,
    setup_wsp_acl,
    test_exchange_acl,
    test_wsp_acl,
)

from heliograph.bus.embedded import Server
from tests.conftest import binary_of

SECRET = "0012345"


class Node:
    """A server, and clients of it that are closed with it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._clients: list[redis.Redis] = []
        self.admin = self.client()

    def client(self, username: str | None = None, password: str = "") -> redis.Redis:
        made = create_redis_client("127.0.0.1", self.server.port, password, username=username)
        self._clients.append(made)
        return made

    def close(self) -> None:
        for name in ("ex", "wsp"):
            self.admin.execute_command("ACL", "DELUSER", name)
        self.admin.flushall()
        for client in self._clients:
            client.close()


@pytest.fixture(scope="module", params=["valkey-9.1", "redis-7.0"])
def server_with_selectors(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(binary=binary_of(request.param)) as server:
        yield server


@pytest.fixture
def node(server_with_selectors: Server) -> Iterator[Node]:
    made = Node(server_with_selectors)
    yield made
    made.close()


@pytest.fixture
def old_node() -> Iterator[Node]:
    """A server that cannot tell reading from writing."""
    with Server(binary=binary_of("redis-6.2")) as server:
        made = Node(server)
        yield made
        made.close()


def denied(call: Callable[[], object]) -> bool:
    try:
        call()
    except redis.exceptions.NoPermissionError:
        return True
    except redis.ResponseError:
        return False
    return False


def test_d08_true_means_that_the_rules_hold(node: Node) -> None:
    assert setup_exchange_acl(node.admin, "ex", SECRET) is True
    exchange = node.client("ex", SECRET)
    assert exchange.ping()
    assert exchange.xadd("exchange:stream:mine", {"a": "1"})
    assert exchange.xadd(KeyManager.credit_response_stream(), {"a": "1"})
    assert exchange.xadd(KeyManager.settlement_individual_response(), {"a": "1"})
    assert exchange.xadd(KeyManager.settlement_report_stream(), {"a": "1"})
    node.admin.hset("CI:u:BTC", "amount", "5")
    assert exchange.hgetall("CI:u:BTC") == {"amount": "5"}
    node.admin.xadd(KeyManager.credit_request_stream(), {"a": "1"})
    assert exchange.xread({KeyManager.credit_request_stream(): "0"})
    with pytest.raises(redis.AuthenticationError):
        node.client("ex", "wrong").ping()


def test_d10_the_exchange_can_do_nothing_else(node: Node) -> None:
    setup_exchange_acl(node.admin, "ex", SECRET)
    exchange = node.client("ex", SECRET)
    node.admin.set("secret", "s")
    for call in (
        lambda: exchange.hset("CI:u:BTC", "amount", "1e9"),
        lambda: exchange.xadd("CI:u:BTC", {"a": "1"}),
        lambda: exchange.xadd(KeyManager.credit_request_stream(), {"a": "1"}),
        lambda: exchange.xadd(KeyManager.settlement_confirmation_stream(), {"a": "1"}),
        lambda: exchange.get("secret"),
        lambda: exchange.set("exchange:stream:mine", "x"),
        lambda: exchange.delete("exchange:stream:mine"),
        lambda: exchange.xtrim("exchange:stream:mine", maxlen=0),
        lambda: exchange.xrange("exchange:stream:mine"),
        lambda: exchange.keys("*"),
        lambda: exchange.scan(),
        lambda: exchange.info(),
        lambda: exchange.config_get("*"),
        lambda: exchange.flushall(),
        lambda: exchange.acl_list(),
        lambda: exchange.eval("return 1", 0),
    ):
        assert denied(call)


def test_d10_the_custodian_can_do_its_work_and_administers_nothing(node: Node) -> None:
    assert setup_wsp_acl(node.admin, "wsp", SECRET) is True
    wsp = node.client("wsp", SECRET)
    assert wsp.hset("CI:u:BTC", "amount", "5") == 1
    assert wsp.xadd(KeyManager.credit_request_stream(), {"a": "1"})
    assert wsp.keys("CI:*") == ["CI:u:BTC"]
    assert wsp.info("server")
    assert wsp.publish("channel", "hello") == 0
    node.admin.xadd(KeyManager.credit_response_stream(), {"a": "1"})
    assert wsp.xread({KeyManager.credit_response_stream(): "0"})
    for call in (
        lambda: wsp.xadd(KeyManager.credit_response_stream(), {"a": "1"}),
        lambda: wsp.set("elsewhere", "x"),
        lambda: wsp.flushall(),
        lambda: wsp.config_get("*"),
        lambda: wsp.acl_list(),
        lambda: wsp.execute_command("REPLICAOF", "NO", "ONE"),
    ):
        assert denied(call)
    assert test_wsp_acl(wsp) is True
    assert test_wsp_acl(node.admin) is False


def test_d11_the_user_itself_is_tried_and_on_the_server_that_is_asked_about(node: Node, valkey: Server) -> None:
    manager = ACLManager(node.admin)
    manager.setup_exchange_user("ex", SECRET)
    assert manager.test_exchange_permissions(node.admin, "exchange:stream:test") is True
    assert manager.test_exchange_permissions(node.client("ex", SECRET), "exchange:stream:test") is True
    other = Node(valkey)
    assert manager.test_exchange_permissions(other.admin, "exchange:stream:test") is False, "nobody set it up there"
    both = ACLManager(node.admin, other.admin)
    assert both.setup_all_users("ex", SECRET, "wsp", SECRET) is True
    for each in (node, other):
        assert both.test_exchange_permissions(each.admin, "exchange:stream:test") is True
        assert both.test_wsp_permissions(each.admin) is True
    other.close()


def test_d11_an_administrators_client_proves_nothing(node: Node) -> None:
    assert test_exchange_acl(node.admin, "exchange:stream:test") is False
    setup_exchange_acl(node.admin, "ex", SECRET)
    assert test_exchange_acl(node.client("ex", SECRET), "exchange:stream:test") is True
    assert test_exchange_acl(node.client("ex", SECRET), "somebody:elses") is False
    assert test_exchange_acl(node.client("ex", "wrong"), "exchange:stream:test") is False


def test_d12_no_test_writes_anything(node: Node) -> None:
    manager = ACLManager(node.admin)
    node.admin.xadd("exchange:stream:test", {"real": "1"}, id="1-0")
    node.admin.hset("CI:u:BTC", "amount", "5")
    manager.setup_all_users("ex", SECRET, "wsp", SECRET)
    before = {key: node.admin.dump(key) for key in node.admin.keys("*")}
    assert manager.test_exchange_permissions(node.admin, "exchange:stream:test")
    assert manager.test_wsp_permissions(node.admin)
    test_exchange_acl(node.admin, "exchange:stream:test")
    assert {key: node.admin.dump(key) for key in node.admin.keys("*")} == before
    assert len(before) == 2


@pytest.mark.parametrize("pattern", ["*", "CI:*", "C?:*", "mirror:*", "mirror:credit:request", "link:*", "custodian:*"])
def test_d15_no_pattern_gives_the_exchange_what_is_the_custodians(node: Node, pattern: str) -> None:
    with pytest.raises(ACLError, match="custodian's to write") as caught:
        setup_exchange_acl(node.admin, "ex", SECRET, ["exchange:stream:*", pattern])
    assert caught.value.code == "pattern_too_wide"
    assert node.admin.acl_getuser("ex") is None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("ex", ""), "no_password"),
        (("", SECRET), "bad_username"),
        (("default", SECRET), "bad_username"),
        (("ex", SECRET, ["a b"]), "bad_pattern"),
        (("ex", SECRET, ["a ~*"]), "bad_pattern"),
    ],
)
def test_d08_what_makes_no_user_is_refused(node: Node, arguments: tuple[Any, ...], code: str) -> None:
    with pytest.raises(ACLError) as caught:
        setup_exchange_acl(node.admin, *arguments)
    assert caught.value.code == code
    assert node.admin.execute_command("ACL", "USERS") == ["default"]


def test_d08_a_second_setup_replaces_the_first(node: Node) -> None:
    setup_exchange_acl(node.admin, "ex", "first", ["exchange:stream:a"])
    setup_exchange_acl(node.admin, "ex", "second", ["exchange:stream:b"])
    exchange = node.client("ex", "second")
    assert exchange.xadd("exchange:stream:b", {"a": "1"})
    assert denied(lambda: exchange.xadd("exchange:stream:a", {"a": "1"}))
    with pytest.raises(redis.AuthenticationError):
        node.client("ex", "first").ping()


def test_users_are_listed_without_their_passwords(node: Node) -> None:
    setup_basic_acls(node.admin, "ex", SECRET, "wsp", SECRET, ["exchange:stream:mine"])
    listed = {user["username"]: user for user in get_acl_list(node.admin)}
    assert set(listed) == {"default", "ex", "wsp"}
    assert "on" in listed["ex"]["flags"]
    assert any("exchange:stream:mine" in pattern for pattern in listed["ex"]["patterns"])
    assert listed == {user["username"]: user for user in ACLManager(node.admin).get_users()}
    assert SECRET not in str(listed)


def test_who_is_no_administrator_is_told_so(node: Node) -> None:
    setup_exchange_acl(node.admin, "ex", SECRET)
    for call in (
        lambda: get_acl_list(node.client("ex", SECRET)),
        lambda: setup_wsp_acl(node.client("ex", SECRET), "wsp", "x"),
    ):
        with pytest.raises(ACLError):
            call()


def test_d09_the_default_user_is_off_only_when_another_administrator_works(node: Node) -> None:
    with pytest.raises(ACLError) as caught:
        disable_default_user(node.admin)
    assert caught.value.code == "no_other_admin"
    setup_exchange_acl(node.admin, "ex", SECRET)
    with pytest.raises(ACLError):
        disable_default_user(node.client("ex", SECRET))
    assert node.client().ping(), "nothing has changed"
    node.admin.execute_command("ACL", "SETUSER", "boss", "on", ">pw", "~*", "&*", "+@all")
    boss = node.client("boss", "pw")
    try:
        assert disable_default_user(boss) is True
        with pytest.raises(redis.AuthenticationError):
            node.client().ping()
        assert ACLManager(boss).disable_default_user() is True, "it is off already"
    finally:
        boss.execute_command("ACL", "SETUSER", "default", "on", "nopass")
        node.admin.execute_command("ACL", "DELUSER", "boss")


def test_d08_an_old_server_is_refused(old_node: Node) -> None:
    node = old_node
    with pytest.raises(ACLError, match="heliograph acl apply") as caught:
        setup_exchange_acl(node.admin, "ex", SECRET)
    assert caught.value.code == "no_selectors"
    assert node.admin.execute_command("ACL", "USERS") == ["default"]
    assert setup_wsp_acl(node.admin, "wsp", SECRET) is True
    wsp = node.client("wsp", SECRET)
    assert wsp.hset("CI:u:BTC", "amount", "5") == 1
    assert denied(lambda: wsp.flushall())


def test_a_server_that_is_away_is_told_as_such() -> None:
    nobody = create_redis_client("127.0.0.1", 1)
    with pytest.raises(ACLError):
        setup_exchange_acl(nobody, "ex", SECRET)
    with pytest.raises(ConnectionError):
        test_exchange_acl(nobody, "exchange:stream:test")
