"""Users of the two parties, on the server of whoever asks: the seeds' functions over `heliograph.bus.acl_*`.

A server is told of a user, asked how it describes it, what it would let it do, and what it does let it do; only then
True is returned, and whatever fails is an `ACLError` that says what. Users do not replicate: call this for every server
that needs them, or give `ACLManager` an administrator's client of each. `heliograph acl` does more: roles for one link,
siblings, replication, and servers older than Redis 7.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

import msgspec
import redis

from heliograph import blocking
from heliograph.bus import link_keys
from heliograph.bus.acl_admin import Admin, open_admin, open_as, tried
from heliograph.bus.acl_default import switch_default_off
from heliograph.bus.acl_probes import Probe, dry_probes, few_probes
from heliograph.bus.acl_roles import Access, Grant, Names, Place, Role, Secret, User, faces, users_of
from heliograph.bus.acl_scheme import DEFAULT, Account, Level, Node, Scheme
from heliograph.bus.acl_state import differences
from heliograph.bus.acl_verify import judged
from heliograph.bus.endpoint import Endpoint
from heliograph.bus.link import open_link
from heliograph.errors import BusError, HeliographError
from openoes_core.errors import ACLError, ConnectionError, OpenOESError  # noqa: A004 - the seeds' name

_log: Final = logging.getLogger(__name__)
T = TypeVar("T")

STREAM_PATTERNS: Final = ("exchange:stream:*", "mirror:credit:response", "mirror:settlement:*:response")
"""What the exchange appends to, beside the streams of its answers and reports."""
_LINK: Final = "any"
_CUSTODIANS: Final = ("custodian:*", "settlement:*")
_LEDGER: Final = ("CI:*", "link:*", "ledger:*", "vault:*")
_OURS: Final = (
    link_keys.credit("user", "BTC"),
    link_keys.out(_LINK),
    link_keys.acked(_LINK),
    link_keys.journal(_LINK),
    *faces(Role.CUSTODIAN),
    "custodian:c:user:events",
)
"""One key of each family that the custodian alone writes."""
_UNSAFE: Final = re.compile(r"""[\s\x00-\x1f\\"'()]""")
_NOT_A_USER: Final = frozenset({"NOAUTH", "WRONGPASS"})


def setup_exchange_acl(
    client: redis.Redis, username: str, password: str, stream_patterns: Sequence[str] | None = None
) -> bool:
    """Make the exchange's user: it appends to its streams, reads credit and what the custodian tells it, and no more.

    Args:
        client: an administrator's, of the server that gets the user.
        username: the user.
        password: its password.
        stream_patterns: what it appends to beside its answers and reports.

    Raises:
        ACLError: the server did not take the rules, or does not hold to them.

    """
    exchange_user = _exchange_user(username, STREAM_PATTERNS if stream_patterns is None else stream_patterns)
    return _told(client, lambda _: exchange_user, password)


def setup_wsp_acl(client: redis.Redis, username: str, password: str) -> bool:
    """Make the custodian's user: it writes credit, its ledger and its own streams, reads all, and administers nothing.

    Raises:
        ACLError: the server did not take the rules, or does not hold to them.

    """
    return _told(client, lambda selectors: _wsp_user(username, selectors=selectors), password)


def setup_basic_acls(
    client: redis.Redis,
    exchange_username: str,
    exchange_password: str,
    wsp_username: str,
    wsp_password: str,
    stream_patterns: Sequence[str] | None = None,
) -> bool:
    """Make both parties' users on one server.

    Raises:
        ACLError: the server did not take the rules, or does not hold to them.

    """
    setup_exchange_acl(client, exchange_username, exchange_password, stream_patterns)
    return setup_wsp_acl(client, wsp_username, wsp_password)


def disable_default_user(client: redis.Redis) -> bool:
    """Switch the default user off: from then on nobody is anybody without a password.

    Args:
        client: another administrator's, who is proved to be one first.

    Raises:
        ACLError: it was not switched off; the code says why, such as `no_other_admin`.

    """
    endpoint = _endpoint(client)
    name, password = endpoint.username, endpoint.password
    if name in (None, DEFAULT) or password is None:
        raise ACLError("only another administrator may switch the default user off", name, code="no_other_admin")
    scheme = Scheme(Names(), (Account(Role.ADMIN, Secret(password), name),))
    _asked(lambda: switch_default_off(Node(endpoint, (Place.PRIMARY,)), scheme), DEFAULT)
    return True


def test_exchange_acl(client: redis.Redis, stream_key: str) -> bool:
    """Tell whether a client may append to a stream and read credit, and can do no harm; nothing is written.

    A client that may do more than the exchange, such as an administrator's, is no proof of anything: False.
    """
    return _tested(_endpoint(client), _exchange_user("", [stream_key]))


def test_wsp_acl(client: redis.Redis) -> bool:
    """Tell whether a client may write credit and the custodian's streams, and administers nothing, without writing."""
    return _tested(_endpoint(client), _wsp_user("", selectors=True))


def get_acl_list(client: redis.Redis) -> list[dict[str, Any]]:
    """Return every user of a server: `username`, `flags` and `patterns`.

    Raises:
        ACLError: the client is no administrator's.

    """

    async def listed() -> list[dict[str, Any]]:
        async with open_admin(_endpoint(client)) as admin:
            return [await _described(admin, name) for name in await admin.users()]

    return _asked(listed, None)


class ACLManager:
    """The two parties' users, on every server that is given.

    Args:
        admin_client: an administrator's client.
        other_nodes: administrators' clients of further servers that need the same users.

    """

    def __init__(self, admin_client: redis.Redis, *other_nodes: redis.Redis) -> None:
        self.admin_client = admin_client
        self._nodes = (admin_client, *other_nodes)
        self._made: dict[Role, tuple[str, str]] = {}

    def setup_exchange_user(self, username: str, password: str, stream_patterns: Sequence[str] | None = None) -> bool:
        """Make the exchange's user, as `setup_exchange_acl` does.

        Raises:
            ACLError: a server did not take the rules, or does not hold to them.

        """
        for node in self._nodes:
            setup_exchange_acl(node, username, password, stream_patterns)
        self._made[Role.EXCHANGE] = (username, password)
        return True

    def setup_wsp_user(self, username: str, password: str) -> bool:
        """Make the custodian's user, as `setup_wsp_acl` does.

        Raises:
            ACLError: a server did not take the rules, or does not hold to them.

        """
        for node in self._nodes:
            setup_wsp_acl(node, username, password)
        self._made[Role.CUSTODIAN] = (username, password)
        return True

    def setup_all_users(
        self,
        exchange_username: str,
        exchange_password: str,
        wsp_username: str,
        wsp_password: str,
        stream_patterns: Sequence[str] | None = None,
    ) -> bool:
        """Make both parties' users.

        Raises:
            ACLError: a server did not take the rules, or does not hold to them.

        """
        self.setup_exchange_user(exchange_username, exchange_password, stream_patterns)
        return self.setup_wsp_user(wsp_username, wsp_password)

    def test_exchange_permissions(self, client: redis.Redis, stream_key: str) -> bool:
        """Tell whether the exchange's user has its rights, and no others, on the server that a client is of.

        The user that was made here is tried, by its own name and password; if none was, whoever the client is.
        """
        return _tested(self._as(Role.EXCHANGE, client), _exchange_user("", [stream_key]))

    def test_wsp_permissions(self, client: redis.Redis) -> bool:
        """Tell the same of the custodian's user."""
        return _tested(self._as(Role.CUSTODIAN, client), _wsp_user("", selectors=True))

    def get_users(self) -> list[dict[str, Any]]:
        """Return every user of the first server, as `get_acl_list` does.

        Raises:
            ACLError: the client is no administrator's.

        """
        return get_acl_list(self.admin_client)

    def disable_default_user(self) -> bool:
        """Switch the default user off on every server, as the function of that name does.

        Raises:
            ACLError: on one it was not switched off.

        """
        return all(disable_default_user(node) for node in self._nodes)

    def _as(self, role: Role, client: redis.Redis) -> Endpoint:
        endpoint = _endpoint(client)
        name, password = self._made.get(role, (endpoint.username, endpoint.password))
        return msgspec.structs.replace(endpoint, username=name, password=password)


# Their names are the seeds'; a test module that imports them must not run them.
test_exchange_acl.__dict__["__test__"] = test_wsp_acl.__dict__["__test__"] = False


def _exchange_user(username: str, stream_patterns: Iterable[str]) -> User:
    patterns = tuple(stream_patterns)
    for pattern in patterns:
        if _UNSAFE.search(pattern):
            raise ACLError(f"{pattern!r} cannot stand in a rule", username, code="bad_pattern")
        covered = [key for key in _OURS if fnmatchcase(key, pattern)]
        if covered:
            what = f"{pattern} covers {covered[0]}, which is the custodian's to write"
            raise ACLError(what, username, code="pattern_too_wide")
    (template,) = users_of(Role.EXCHANGE, username, [Place.REPLICA], Names(link=_LINK), selectors=True)
    append, read = template.grants
    own = tuple(dict.fromkeys([*patterns, *faces(Role.EXCHANGE)]))
    told = ("CI:*", "link:*", *_CUSTODIANS, *faces(Role.CUSTODIAN))
    return User(
        username,
        template.commands,
        (Grant(Access.WRITE, append.commands, own), Grant(Access.READ, read.commands, told)),
    )


def _wsp_user(username: str, *, selectors: bool) -> User:
    (template,) = users_of(Role.CUSTODIAN, username, [Place.PRIMARY], Names(link=_LINK), selectors=True)
    (both,) = template.grants
    own = (*_LEDGER, *_CUSTODIANS, *faces(Role.CUSTODIAN), *(f"{face}:dead" for face in faces(Role.CUSTODIAN)))
    (auditor,) = users_of(Role.AUDITOR, username, [Place.PRIMARY], Names(link=_LINK), selectors=True)
    grants = (Grant(Access.BOTH, both.commands, own), Grant(Access.READ, auditor.grants[0].commands, ("*",)))
    # A server that cannot tell reading from writing gets no right to read everything: it would be one to write it.
    keyless = (*template.commands, "publish", "keys", "scan", "dbsize")
    return User(username, keyless, grants if selectors else grants[:1], ("*",))


def _told(client: redis.Redis, user_for: Callable[[bool], User], password: str) -> bool:
    endpoint = _endpoint(client)

    async def tell() -> None:
        async with open_admin(endpoint) as admin:
            user = user_for(admin.selectors)
            _check(user, password, admin)
            await admin.put(user, Secret(password))
            try:
                await _prove(endpoint, admin, user, password)
            except (OpenOESError, BusError):
                # A user with other rights than it should have is worse than none.
                await admin.remove(user.name)
                raise
            await admin.persist(settings=False)

    _asked(tell, user_for(True).name)
    return True


def _check(user: User, password: str, admin: Admin) -> None:
    if not password:
        raise ACLError("a user without a password is everybody", user.name, code="no_password")
    if not user.name or user.name in (DEFAULT, admin.user):
        raise ACLError("a party's user has a name of its own", user.name, code="bad_username")
    if not admin.selectors and len(user.grants) > 1:
        what = "this server cannot tell reading from writing: `heliograph acl apply` makes two users there"
        raise ACLError(what, user.name, code="no_selectors")


async def _prove(endpoint: Endpoint, admin: Admin, user: User, password: str) -> None:
    held = await admin.state(user.name)
    wrong = ["there is no such user"] if held is None else differences(admin.wanted(user, Secret(password)), held)
    if admin.selectors:
        probes = dry_probes(user, Names())
        wrong += _wrong(probes, await admin.dry(user.name, probes))
    wrong += await _tried(msgspec.structs.replace(endpoint, username=user.name, password=password), user)
    if wrong:
        raise ACLError(f"the server does not hold to the rules: {'; '.join(wrong)}", user.name, code="not_verified")


async def _tried(endpoint: Endpoint, user: User) -> list[str]:
    probes = few_probes(user, Names())
    # The probes know the house's keys; the user's own, and those that would do the most harm, come in addition.
    own = {key for grant in user.grants for key in grant.keys if "*" not in key}
    probes += [_append(key, allowed=user.allows("xadd", key)) for key in sorted({*own, *_OURS})]
    if endpoint.username is not None and endpoint.password is not None:
        link = await open_as(endpoint, endpoint.username, endpoint.password)
    else:
        link = await open_link(endpoint, name="openoes-acl", timeout_s=5)
    try:
        return _wrong(probes, await tried(link, probes))
    finally:
        link.abort("tried")


def _append(key: str, *, allowed: bool) -> Probe:
    return Probe("xadd", key, ("XADD", key, "NOMKSTREAM", "0-0", "acl-probe", ""), allowed)


def _wrong(probes: Sequence[Probe], answers: Sequence[bool | None]) -> list[str]:
    return [finding.found for finding in judged("", "", "", probes, answers) if finding.level is Level.FAIL]


def _tested(endpoint: Endpoint, user: User) -> bool:
    try:
        wrong = blocking.call(lambda: _tried(endpoint, user))
    except BusError as e:
        if e.code not in _NOT_A_USER:
            raise ConnectionError(str(e), endpoint.host, endpoint.port) from e
        wrong = [str(e)]
    who = endpoint.username or DEFAULT
    for what in wrong:
        _log.warning("%s at %s: %s", who, endpoint, what)
    return not wrong


async def _described(admin: Admin, name: str) -> dict[str, Any]:
    held = await admin.held(name)
    if held is None:
        return {"username": name, "flags": [], "patterns": []}
    return {
        "username": name,
        "flags": sorted(held.flags),
        "patterns": [word for _, keys, _ in held.parts for word in keys.split()],
    }


def _asked(function: Callable[[], Awaitable[T]], username: str | None) -> T:
    try:
        return blocking.call(function)
    except HeliographError as e:
        raise ACLError(str(e), username, code=getattr(e, "code", None) or "") from e


def _endpoint(client: redis.Redis) -> Endpoint:
    known = client.connection_pool.connection_kwargs
    if known.get("credential_provider") is not None:
        raise ACLError("a client whose credentials change is not supported here", code="unsupported")
    tls = issubclass(client.connection_pool.connection_class, redis.SSLConnection)
    return Endpoint(
        host=known.get("host", ""),
        port=int(known.get("port", 0)),
        path=known.get("path", ""),
        tls=tls,
        ca_file=known.get("ssl_ca_certs"),
        certificate_file=known.get("ssl_certfile"),
        key_file=known.get("ssl_keyfile"),
        username=known.get("username"),
        password=known.get("password"),
        db=int(known.get("db", 0)),
    )
