"""Who may do what on the bus: roles, the commands and keys that each needs, and the rules that say so to a server.

Nothing here talks to a server. A role's rights are `Grant`s, each some commands on some keys; how a server is told of
them depends on what it can express:

- **selectors** (Redis 7, Valkey): one user, each grant in parentheses of its own with `%R~` or `%W~` keys;
- **a user for each access**: on 6.2 every command of a user meets every key of it, so one user with "append to these"
  and "read those" could append to those as well. There a role that does both is two users on two connections,
  `<name>-read` and `<name>-write`.

Rules list commands one by one: `+@read` would let KEYS, SCAN, RANDOMKEY and DBSIZE through, which take no key.
Source: https://valkey.io/topics/acl/ ("Selectors", "Key permissions")
"""

import enum
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from heliograph.bus import keys, link_keys
from heliograph.errors import ConfigError

ALL: Final = "@all"
"""Every command, as a server calls it."""

OPTIONAL: Final = ("client|setinfo", "waitaof")
"""Commands that older servers do not know, and would refuse to hear of in a rule. Nobody fails without them."""

_UNSAFE: Final = re.compile(r"""[\s\x00-\x1f*?\[\]\\"'()]""")
_HASH: Final = re.compile(r"#[0-9a-f]{64}")


class Role(enum.StrEnum):
    """What a program is, as the server sees it. A role's user has the role's name, unless another is given."""

    ADMIN = "admin"
    CUSTODIAN = "custodian"
    EXCHANGE = "exchange"
    AUDITOR = "auditor"
    REPLICATION = "replication"
    GATEWAY = "gateway"
    FEED = "feed"


class Place(enum.StrEnum):
    """What a server is. Rights are a server's own: nothing of them replicates."""

    PRIMARY = "primary"
    """The custodian's."""
    SIBLING = "sibling"
    """A replica of the primary that may be promoted. It has the primary's users, so that a promotion waits for nobody;
    until then it refuses every write by itself."""
    REPLICA = "replica"
    """The exchange's stream-writeable replica."""
    BUS = "bus"
    """Where market data is."""


class Access(enum.StrEnum):
    """What the commands of a grant do to its keys."""

    READ = "R"
    WRITE = "W"
    BOTH = "RW"


class Grant(msgspec.Struct, frozen=True):
    """Some commands on some keys."""

    access: Access
    commands: tuple[str, ...]
    """In the server's names; a subcommand as `xinfo|stream`."""
    keys: tuple[str, ...]
    """Whole names, or beginnings that end in `*`."""

    def allows(self, command: str, key: str) -> bool:
        """Tell whether a command on a key is among these."""
        return (command in self.commands or ALL in self.commands) and any(_matches(name, key) for name in self.keys)


class Names(msgspec.Struct, frozen=True):
    """What the keys' names are made of.

    Args:
        link: the link between custodian and exchange; empty where there is none.
        exchanges: how the market data's streams begin, such as `binance` and `binance_usdm`.

    """

    link: str = ""
    exchanges: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what would mean something else inside a rule.

        Raises:
            ConfigError: a name holds a character that a pattern or a rule reads as its own.

        """
        for name in (self.link, *self.exchanges):
            if _UNSAFE.search(name):
                raise ConfigError(
                    f"{name!r} cannot stand in a rule of an ACL", ("no spaces, quotes, parentheses, \\ * ? [ or ]",)
                )


class Secret:
    """A user's password, or only its SHA-256 as `#` and 64 hexadecimal digits. Never shown.

    The server is given the hash, so that no log, MONITOR or slow log can hold the password. With the hash alone a user
    can be made, but not tried over a connection.
    """

    __slots__ = ("hash", "text")

    def __init__(self, text: str) -> None:
        given_hash = _HASH.fullmatch(text) is not None
        self.text: str | None = None if given_hash else text
        self.hash: str = text if given_hash else f"#{hashlib.sha256(text.encode()).hexdigest()}"

    def __repr__(self) -> str:
        return "Secret(…)"


class User(msgspec.Struct, frozen=True):
    """One user of one server."""

    name: str
    commands: tuple[str, ...]
    """Those that concern no key."""
    grants: tuple[Grant, ...] = ()
    channels: tuple[str, ...] = ()

    def allows(self, command: str, key: str = "") -> bool:
        """Tell whether the user may give a command, on a key where it concerns one."""
        if not key:
            return ALL in self.commands or command in self.commands
        return any(grant.allows(command, key) for grant in self.grants)

    def rules(self, *, selectors: bool, unknown: Collection[str] = ()) -> tuple[str, ...]:
        """Return the words that ACL SETUSER wants after the user's name, without password.

        Args:
            selectors: whether the server can tell reading a key from writing it.
            unknown: those of `OPTIONAL` that the server has never heard of.

        """
        words = ["reset", "on", "resetchannels", *(f"&{channel}" for channel in self.channels), "-@all"]
        words += [f"+{command}" for command in self.commands if command not in unknown]
        for grant in self.grants:
            commands = [f"+{command}" for command in grant.commands if command not in unknown]
            marked = selectors and grant.access is not Access.BOTH
            named = [f"%{grant.access}~{key}" if marked else f"~{key}" for key in grant.keys]
            if selectors and len(self.grants) > 1:
                words.append(f"({' '.join(['-@all', *commands, *named])})")
            else:
                words += commands + named
        return tuple(dict.fromkeys(words))


_EVERYBODY: Final = ("ping", "hello", "client|setname", "client|setinfo")
_TRANSACTION: Final = ("multi", "exec", "discard")
_LOOK: Final = ("get", "hget", "hmget", "hgetall", "xrange", "xrevrange", "xread", "xlen")
_AUDIT: Final = (*_LOOK, "exists", "type", "hlen", "hexists", "xinfo|stream", "zrange", "zscore", "zcard")
_LEDGER: Final = (
    *_AUDIT,
    *("set", "del", "hset", "hdel", "zadd", "zrem", "zrangebyscore"),
    *("xadd", "xtrim", "xdel", "xgroup|create", "xreadgroup", "xack", "xautoclaim", "xclaim", "xpending"),
    *("xinfo|groups", "xinfo|consumers", "eval", "evalsha", "watch"),
)
_FEED: Final = (
    *("xadd", "xtrim", "xdel", "xsetid", "xlen", "xrange", "xrevrange", "xread", "xinfo|stream"),
    *("eval", "hget", "hset", "zadd", "zrem", "zrange", "zremrangebyscore"),
)


def faces(owner: Role) -> tuple[str, ...]:
    """Return the streams in the seeds' fields that one side appends to, on its own node."""
    if owner is Role.CUSTODIAN:
        return (link_keys.CREDIT_REQUESTS, link_keys.PLEDGE_REQUESTS, link_keys.SETTLEMENT_CONFIRMATIONS)
    return (link_keys.CREDIT_RESPONSES, link_keys.PLEDGE_RESPONSES, link_keys.SETTLEMENT_REPORTS)


def _shown(link: str) -> tuple[str, ...]:
    """Return all that the exchange appends to for onlookers."""
    return (*faces(Role.EXCHANGE), link_keys.notifications(link))


def _owned(link: str) -> tuple[str, ...]:
    part = link_keys.part(link)
    return (f"link:{part}:*", f"ledger:{part}:*", "CI:*")


def _exchange(names: Names, place: Place) -> Sequence[Grant]:
    if place is not Place.REPLICA:
        return ()
    read = ("CI:*", link_keys.out(names.link), link_keys.acked(names.link), *faces(Role.CUSTODIAN))
    return (
        Grant(Access.WRITE, ("xadd",), (*link_keys.ring(names.link), *_shown(names.link))),
        Grant(Access.READ, _LOOK, read),
    )


def _custodian(names: Names, place: Place) -> Sequence[Grant]:
    if place is Place.REPLICA:
        return (Grant(Access.READ, (*_LOOK, "xinfo|stream"), (*link_keys.ring(names.link), *_shown(names.link))),)
    if place is Place.BUS:
        return ()
    own = faces(Role.CUSTODIAN)
    return (Grant(Access.BOTH, _LEDGER, (*_owned(names.link), *own, *(f"{face}:dead" for face in own))),)


def _auditor(names: Names, place: Place) -> Sequence[Grant]:
    if place is Place.BUS:
        return ()
    read = (*_owned(names.link), *faces(Role.CUSTODIAN), *link_keys.ring(names.link), *_shown(names.link))
    return (Grant(Access.READ, _AUDIT, read),)


def _market_data(names: Names) -> tuple[str, ...]:
    return ("feed:*", *(f"{exchange}:*" for exchange in names.exchanges))


def _gateway(names: Names, place: Place) -> Sequence[Grant]:
    if place is not Place.BUS:
        return ()
    return (
        Grant(Access.READ, ("xread", "xrange", "xrevrange", "xlen"), _market_data(names)),
        Grant(Access.WRITE, ("xadd",), (keys.FEED_DEMAND,)),
    )


def _feed(names: Names, place: Place) -> Sequence[Grant]:
    return (Grant(Access.BOTH, _FEED, _market_data(names)),) if place is Place.BUS else ()


def _nothing(_names: Names, _place: Place) -> Sequence[Grant]:
    return ()


_GRANTS: Final = {
    Role.CUSTODIAN: _custodian,
    Role.EXCHANGE: _exchange,
    Role.AUDITOR: _auditor,
    Role.REPLICATION: _nothing,
    Role.GATEWAY: _gateway,
    Role.FEED: _feed,
}

_KEYLESS: Final[Mapping[tuple[Role, Place], tuple[str, ...]]] = {
    (Role.CUSTODIAN, Place.PRIMARY): (
        *_TRANSACTION,
        *("unwatch", "script|load", "script|exists", "time", "info", "wait", "waitaof", "client|id", "client|unblock"),
        "scan",  # The primary is its own: it lists its positions, requests and cycles.
    ),
    (Role.CUSTODIAN, Place.REPLICA): (),
    (Role.EXCHANGE, Place.REPLICA): (),
    # A key is read at one instant with the journal's head, by which it is judged.
    (Role.AUDITOR, Place.PRIMARY): ("multi", "exec"),
    (Role.AUDITOR, Place.REPLICA): (),
    (Role.REPLICATION, Place.PRIMARY): ("psync", "replconf"),
    (Role.REPLICATION, Place.BUS): ("psync", "replconf"),
    (Role.GATEWAY, Place.BUS): (*_TRANSACTION, "cluster|slots"),
    (Role.FEED, Place.BUS): (*_TRANSACTION, "time", "info", "wait", "cluster|slots"),
}


def serves(role: Role, place: Place) -> bool:
    """Tell whether a role has business at a place."""
    return role is Role.ADMIN or (role, _as_primary(place)) in _KEYLESS


def _as_primary(place: Place) -> Place:
    return Place.PRIMARY if place is Place.SIBLING else place


def users_of(role: Role, name: str, places: Iterable[Place], names: Names, *, selectors: bool) -> tuple[User, ...]:
    """Return the users that a role is on one server: none where it has no business, two where one would not do.

    Args:
        role: which role.
        name: the user's name, or how both users' names begin.
        places: what the server is; a small installation's one server may be several things.
        names: what the keys' names are made of.
        selectors: whether the server can tell reading a key from writing it.

    Raises:
        ConfigError: the role's keys have a link in their names, and none is given.

    """
    where = list(dict.fromkeys(_as_primary(place) for place in places if serves(role, place)))
    if role is Role.ADMIN:
        return (User(name, (ALL,), (Grant(Access.BOTH, (ALL,), ("*",)),), ("*",)),)
    if not where:
        return ()
    if not names.link and role in (Role.CUSTODIAN, Role.EXCHANGE, Role.AUDITOR):
        raise ConfigError(f"the rights of {role} need the link's name", ("--link NAME",))
    keyless = tuple(dict.fromkeys([*_EVERYBODY, *(word for place in where for word in _KEYLESS[role, place])]))
    grants = _merged([grant for place in where for grant in _GRANTS[role](names, place)])
    if selectors or len(grants) <= 1:
        return (User(name, keyless, grants),)
    return tuple(User(f"{name}-{_suffix(grant)}", keyless, (grant,)) for grant in grants)


def names_of(name: str) -> tuple[str, ...]:
    """Return every name that a role's users may have on some server."""
    return (name, f"{name}-read", f"{name}-write")


def _suffix(grant: Grant) -> str:
    return "read" if grant.access is Access.READ else "write"


def _merged(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """Return one grant for each access that is read-only or writes, and no key twice.

    A reading grant may take up another one's keys and commands: reading what is one's own anyway is no more than both.
    """
    merged: dict[str, Grant] = {}
    for grant in grants:
        held = merged.get(_suffix(grant))
        if held is None:
            merged[_suffix(grant)] = grant
            continue
        assert grant.access is held.access, "writing grants of different kinds would each get the other's commands"
        commands = tuple(dict.fromkeys(held.commands + grant.commands))
        merged[_suffix(grant)] = Grant(held.access, commands, tuple(dict.fromkeys(held.keys + grant.keys)))
    return tuple(merged.values())


def _matches(pattern: str, key: str) -> bool:
    return key.startswith(pattern[:-1]) if pattern.endswith("*") else key == pattern
