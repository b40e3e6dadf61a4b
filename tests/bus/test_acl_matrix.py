"""The ACL matrix: role by command by key, on every server at hand, against a table written from the protocol.

The table is a second reading of who needs what, on purpose not made from the product's rules. Whatever it does not name
must be refused.
"""

from collections.abc import Iterator
from typing import Final

import pytest

from heliograph.bus.acl_admin import Admin, open_admin, open_as, tried
from heliograph.bus.acl_probes import KEY, KEYED, KEYLESS, ONLY_DRY, ONLY_DRY_KEYED, Probe
from heliograph.bus.acl_roles import Names, Place, Role, Secret, User, users_of
from heliograph.bus.embedded import Server
from heliograph.bus.endpoint import parse_url

NAMES = Names(link="acme", exchanges=("binance", "okx"))
PASSWORD = "a password of the matrix"

FAMILIES: Final = {
    "nobody's": "secret",
    "credit": "CI:alice:BTC",
    "writer": "link:acme:writer",
    "cursor": "link:acme:cursor",
    "outbox": "link:acme:outbox",
    "request": "link:acme:request:r-1",
    "out": "link:acme:out",
    "acked": "link:acme:acked",
    "quarantine": "link:acme:quarantine",
    "position": "ledger:acme:position:alice:BTC",
    "journal": "ledger:acme:journal",
    "mailbox": "exchange:stream:acme:answer:0",
    "last mailbox": "exchange:stream:acme:answer:7",
    "beyond the ring": "exchange:stream:acme:answer:8",
    "other purpose": "exchange:stream:acme:notification:0",
    "other link's mailbox": "exchange:stream:other:answer:0",
    "other link's out": "link:other:out",
    "other link's acked": "link:other:acked",
    "other link's journal": "ledger:other:journal",
    "longer link's out": "link:acme2:out",
    "requests' face": "mirror:credit:request",
    "pledges' face": "mirror:pledge:request",
    "confirmations' face": "mirror:settlement:confirmation",
    "requests' dead": "mirror:credit:request:dead",
    "answers' dead": "mirror:credit:response:dead",
    "answers' face": "mirror:credit:response",
    "pledge answers' face": "mirror:pledge:response",
    "reports' face": "mirror:settlement:report",
    "notifications": "exchange:stream:notification:acme",
    "other link's notifications": "exchange:stream:notification:other",
    "demand": "feed:demand",
    "workers": "feed:workers",
    "merged feed": "feed:binance:spot:3",
    "trades": "binance:BTCUSDT:trades",
    "other venue's trades": "kraken:BTCUSD:trades",
}
CUSTODIANS = ("requests' face", "pledges' face", "confirmations' face")
EXCHANGES = ("answers' face", "pledge answers' face", "reports' face", "notifications")
RING = ("mailbox", "last mailbox")
LEDGER = ("credit", "writer", "cursor", "outbox", "request", "out", "acked", "quarantine", "position", "journal")
MARKET = ("demand", "workers", "merged feed", "trades")

LOOK = "get hget hmget hgetall xrange xrevrange xread xlen"
AUDIT = f"{LOOK} exists type hlen xinfo|stream zrange"
KEEP = (
    f"{AUDIT} set del hset hdel zadd zrem xadd xtrim xdel xgroup|create xreadgroup xack xautoclaim xpending"
    " eval evalsha watch"
)
FEED = "xadd xtrim xdel xsetid xlen xrange xrevrange xread xinfo|stream eval hget hset zadd zrem zrange"

ALWAYS = "ping client|setname"
UNASKED = "multi exec discard"

Table = dict[tuple[str, ...], str]
MAY: Final[dict[tuple[Role, Place], tuple[Table, str]]] = {
    (Role.EXCHANGE, Place.REPLICA): (
        {RING: "xadd", EXCHANGES: "xadd", ("credit", "out", "acked"): LOOK, CUSTODIANS: LOOK},
        "",
    ),
    (Role.CUSTODIAN, Place.PRIMARY): (
        {LEDGER: KEEP, CUSTODIANS: KEEP, ("requests' dead",): KEEP},
        f"{UNASKED} unwatch script|load script|exists time info wait client|id client|unblock scan",
    ),
    (Role.CUSTODIAN, Place.REPLICA): (
        {RING: f"{LOOK} xinfo|stream", EXCHANGES: f"{LOOK} xinfo|stream"},
        "",
    ),
    (Role.AUDITOR, Place.PRIMARY): ({LEDGER: AUDIT, CUSTODIANS: AUDIT, RING: AUDIT, EXCHANGES: AUDIT}, "multi exec"),
    (Role.AUDITOR, Place.REPLICA): ({LEDGER: AUDIT, CUSTODIANS: AUDIT, RING: AUDIT, EXCHANGES: AUDIT}, ""),
    (Role.REPLICATION, Place.PRIMARY): ({}, "psync replconf"),
    (Role.GATEWAY, Place.BUS): (
        {MARKET: "xread xrange xrevrange xlen", ("demand",): "xread xrange xrevrange xlen xadd"},
        f"{UNASKED} cluster|slots",
    ),
    (Role.FEED, Place.BUS): ({MARKET: FEED}, f"{UNASKED} time info wait cluster|slots"),
}


def _expected(role: Role, place: Place) -> set[tuple[str, str]]:
    table, keyless = MAY[role, place]
    keyed = {(command, family) for families, said in table.items() for family in families for command in said.split()}
    return keyed | {(command, "") for command in f"{ALWAYS} {keyless}".split()}


def _questions() -> Iterator[tuple[str, Probe]]:
    for command, words in (KEYED | ONLY_DRY_KEYED).items():
        for family, key in FAMILIES.items():
            request = (*command.upper().split("|"), *(key if word is KEY else word for word in words))
            yield family, Probe(command, key, request, allowed=False)
    for command, words in (KEYLESS | ONLY_DRY).items():
        yield "", Probe(command, "", (*command.upper().split("|"), *words), allowed=False)


QUESTIONS: Final = tuple(_questions())
TOGETHER: Final = tuple((family, probe) for family, probe in QUESTIONS if probe.command not in ONLY_DRY)
APART: Final = tuple((family, probe) for family, probe in QUESTIONS if probe.command in ONLY_DRY)
"""What changes its connection where it is allowed."""


async def _dry(admin: Admin, user: User) -> set[tuple[str, str]]:
    answers = await admin.dry(user.name, [probe for _, probe in QUESTIONS])
    return {(probe.command, family) for (family, probe), answer in zip(QUESTIONS, answers, strict=True) if answer}


async def _wet(server: Server, user: User) -> set[tuple[str, str]]:
    may: set[tuple[str, str]] = set()
    for questions in (TOGETHER, *([question] for question in APART)):
        link = await open_as(parse_url(server.url), user.name, PASSWORD)
        answers = await tried(link, [probe for _, probe in questions])
        link.abort("done")
        may |= {(probe.command, family) for (family, probe), answer in zip(questions, answers, strict=True) if answer}
    return may


@pytest.mark.parametrize(
    ("role", "place", "portable"),
    [
        *((*where, False) for where in MAY),
        (Role.EXCHANGE, Place.REPLICA, True),
        (Role.GATEWAY, Place.BUS, True),
    ],
    ids=lambda value: str(value),
)
async def test_a_role_may_do_what_it_needs_and_nothing_else(
    matrix_server: Server, role: Role, place: Place, portable: bool
) -> None:
    async with open_admin(parse_url(matrix_server.url)) as admin:
        users = users_of(role, role, [place], NAMES, selectors=admin.selectors and not portable)
        secret = Secret(PASSWORD)
        dry: set[tuple[str, str]] = set()
        wet: set[tuple[str, str]] = set()
        for user in users:
            await admin.put(user, secret)
            assert await admin.state(user.name) == admin.wanted(user, secret)
            dry |= await _dry(admin, user) if admin.selectors else set()
            wet |= await _wet(matrix_server, user)
            await admin.remove(user.name)
    expected = _expected(role, place)
    told = f"must not: {sorted(wet - expected)[:5]}; must: {sorted(expected - wet)[:5]}"
    assert wet == expected, told
    if admin.selectors:
        assert dry == expected, f"must not: {sorted(dry - expected)[:5]}; must: {sorted(expected - dry)[:5]}"


async def test_an_admin_may_do_everything(matrix_server: Server) -> None:
    async with open_admin(parse_url(matrix_server.url)) as admin:
        (user,) = users_of(Role.ADMIN, "root", [Place.REPLICA], NAMES, selectors=admin.selectors)
        await admin.put(user, Secret(PASSWORD))
        assert await admin.state(user.name) == admin.wanted(user, Secret(PASSWORD))
        link = await open_as(parse_url(matrix_server.url), user.name, PASSWORD)
        assert False not in await tried(link, [probe for _, probe in TOGETHER])
        link.abort("done")


async def test_one_user_with_both_parts_could_write_credit_where_there_are_no_selectors(matrix_server: Server) -> None:
    """The reason for the two users: rules are a cross product there."""
    async with open_admin(parse_url(matrix_server.url)) as admin:
        (both,) = users_of(Role.EXCHANGE, "exchange", [Place.REPLICA], NAMES, selectors=True)
        await admin.put(both, Secret(PASSWORD))
        assert (("xadd", "credit") in await _wet(matrix_server, both)) == (not admin.selectors)
        await admin.remove(both.name)
