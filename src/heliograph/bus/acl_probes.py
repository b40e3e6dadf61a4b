"""Questions about a user's rights whose answers cost nothing: what is asked changes nothing, whatever the answer.

A server checks rights before it looks at what a command says. So a probe is a command that would fail for its own
words, or find nothing, if it were let through: XADD with the id 0-0, FLUSHALL with a word that it does not know. Only
NOPERM means that the right is missing. The few commands that have no harmless form are asked by ACL DRYRUN alone.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from heliograph.bus import keys, link_keys
from heliograph.bus.acl_roles import Names, Role, User, faces

NONE: Final = "acl-probe"
"""A name of nothing: no key, field, group or channel is called so."""

KEY: Final = "\0key"
"""Where a probe's key goes."""

KEYED: Final[dict[str, tuple[str, ...]]] = {
    "get": (KEY,),
    "set": (KEY, "", "EX", NONE),
    "exists": (KEY,),
    "type": (KEY,),
    "strlen": (KEY,),
    "dump": (KEY,),
    "expire": (KEY, NONE),
    "rename": (KEY, KEY),
    "incrby": (KEY, NONE),
    "setbit": (KEY, NONE, "0"),
    "hget": (KEY, NONE),
    "hmget": (KEY, NONE),
    "hgetall": (KEY,),
    "hset": (KEY, NONE, NONE, NONE),
    "hdel": (KEY, NONE),
    "hincrby": (KEY, NONE, NONE),
    "hlen": (KEY,),
    "hscan": (KEY, "0"),
    "xadd": (KEY, "NOMKSTREAM", "0-0", NONE, ""),
    "xrange": (KEY, "-", "+", "COUNT", "1"),
    "xrevrange": (KEY, "+", "-", "COUNT", "1"),
    "xread": ("COUNT", "1", "STREAMS", KEY, "$"),
    "xlen": (KEY,),
    "xtrim": (KEY, "MAXLEN", NONE),
    "xdel": (KEY, NONE),
    "xsetid": (KEY, NONE),
    "xinfo|stream": (KEY,),
    "xgroup|create": (KEY, NONE, NONE),
    "xgroup|destroy": (KEY, NONE),
    "xreadgroup": ("GROUP", NONE, NONE, "COUNT", "1", "STREAMS", KEY, ">"),
    "xack": (KEY, NONE, "0-1"),
    "xautoclaim": (KEY, NONE, NONE, "0", "0"),
    "xpending": (KEY, NONE),
    "zadd": (KEY, NONE, NONE),
    "zrem": (KEY, NONE),
    "zrange": (KEY, "0", "0"),
    "lrange": (KEY, "0", "0"),
    "smembers": (KEY,),
    "sort": (KEY, "LIMIT", NONE, "0"),
    "eval": (f"{NONE}(", "1", KEY),
    "evalsha": ("0" * 40, "1", KEY),
    "watch": (KEY,),
}
"""Commands on a key."""

KEYLESS: Final[dict[str, tuple[str, ...]]] = {
    "ping": (),
    "time": (),
    "info": ("server",),
    "client|setname": (NONE,),
    "client|id": (),
    "client|list": ("TYPE", NONE),
    "client|kill": (NONE,),
    "client|pause": (NONE,),
    "client|tracking": ("OFF",),
    "client|unblock": ("0",),
    "scan": ("0", "COUNT", "1"),
    "keys": (NONE,),
    "randomkey": (),
    "dbsize": (),
    "select": (NONE,),
    "swapdb": (NONE, NONE),
    "flushall": (NONE,),
    "flushdb": (NONE,),
    "config|get": (NONE,),
    "acl|list": (),
    "acl|getuser": (NONE,),
    "script|load": (f"{NONE}(",),
    "script|exists": ("0" * 40,),
    "script|flush": (NONE,),
    "function|list": (),
    "publish": (NONE, ""),
    "wait": ("0", "1"),
    "replconf": (NONE, NONE),
    "replicaof": (NONE, NONE),
    "failover": (NONE,),
    "bgsave": (NONE,),
    "shutdown": (NONE,),
    "slowlog|len": (),
    "cluster|slots": (),
    "command|count": (),
    "debug": ("OBJECT", NONE),
    "exec": (),
    "discard": (),
    "unwatch": (),
}
"""Commands on no key. Those of a transaction end in an error outside of one."""

ONLY_DRY_KEYED: Final[dict[str, tuple[str, ...]]] = {
    "del": (KEY,),
    "unlink": (KEY,),
    "getdel": (KEY,),
    "append": (KEY, NONE),
    "sadd": (KEY, NONE),
    "lpush": (KEY, NONE),
    "persist": (KEY,),
}
"""Commands on a key without a harmless form."""

ONLY_DRY: Final[dict[str, tuple[str, ...]]] = {
    "multi": (),
    "psync": ("?", "-1"),
    "monitor": (),
    "save": (),
    "bgrewriteaof": (),
    "subscribe": (NONE,),
    "config|set": (NONE, NONE),
    "acl|setuser": (NONE,),
}
"""Commands on no key without a harmless form."""


class Probe(msgspec.Struct, frozen=True):
    """One question and the answer that it should have."""

    command: str
    """In the server's name for it."""
    key: str
    """Empty where it concerns none."""
    words: tuple[str, ...]
    """The whole request."""
    allowed: bool

    def __str__(self) -> str:
        return f"{self.command.replace('|', ' ').upper()} {self.key}".rstrip()


def probe_keys(names: Names) -> tuple[str, ...]:
    """Return a key of every family that there is, for a link and its market data, and some that are nobody's."""
    found = [NONE, "CI:acl-probe:ASSET", keys.FEED_DEMAND, keys.FEED_WORKERS, keys.merged_feed(NONE, "spot", 0)]
    found += [f"{exchange}:{NONE}:trades" for exchange in names.exchanges]
    found += [*faces(Role.CUSTODIAN), *faces(Role.EXCHANGE), f"{link_keys.CREDIT_REQUESTS}:dead"]
    for link in filter(None, (names.link, f"{names.link}{NONE}")):
        found += [link_keys.writer(link), link_keys.cursor(link), link_keys.outbox(link), link_keys.out(link)]
        found += [link_keys.acked(link), link_keys.request(link, NONE), link_keys.quarantine(link)]
        found += [link_keys.journal(link), link_keys.position(link, NONE, NONE), link_keys.head(link)]
        found += [link_keys.mailbox(link, "answer", 0), link_keys.mailbox(link, "answer", link_keys.RING)]
    return tuple(found)


def dry_probes(user: User, names: Names) -> list[Probe]:
    """Return every question about a user, for a server that answers without carrying anything out (ACL DRYRUN)."""
    tables = (KEYED, ONLY_DRY_KEYED)
    keyed = [
        _probe(user, command, words, key)
        for table in tables
        for command, words in table.items()
        for key in probe_keys(names)
    ]
    return keyed + [_probe(user, command, words) for table in (KEYLESS, ONLY_DRY) for command, words in table.items()]


def all_probes(user: User, names: Names) -> list[Probe]:
    """Return every question about a user that may be put to a server by carrying it out."""
    keyed = [_probe(user, command, words, key) for command, words in KEYED.items() for key in probe_keys(names)]
    return keyed + [_probe(user, command, words) for command, words in KEYLESS.items()]


def few_probes(user: User, names: Names) -> list[Probe]:
    """Return each thing that a user may do, once, and a few that it may not.

    A server notes refusals in its ACL LOG, which holds 128; all questions would drive out what others may look for.
    """
    found = all_probes(user, names)
    may = {probe.command: probe for probe in reversed(found) if probe.allowed}
    may_not = {probe.command: probe for probe in reversed(found) if not probe.allowed and probe.command in TELLING}
    return [*may.values(), *may_not.values()]


TELLING: Final = ("get", "set", "xadd", "xrange", "hset", "eval", "scan", "keys", "config|get", "flushall", "acl|list")
"""What is tried over a connection although it is forbidden: of each the first key on which it is."""


def _probe(user: User, command: str, words: Sequence[str], key: str = "") -> Probe:
    request = (*command.upper().split("|"), *(key if word is KEY else word for word in words))
    return Probe(command, key, request, user.allows(command, key))


def together(users: Iterable[User]) -> User:
    """Return one user with the rights of several, as a program has that holds all their passwords."""
    held = list(users)
    commands = tuple(dict.fromkeys(command for user in held for command in user.commands))
    return User(held[0].name, commands, tuple(grant for user in held for grant in user.grants))
