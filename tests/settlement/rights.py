"""A primary with a sibling and the exchange's replica on which nobody may do more than its role needs."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from heliograph.bus.acl import apply
from heliograph.bus.acl_admin import open_node
from heliograph.bus.acl_roles import Names, Place, Role, Secret, users_of
from heliograph.bus.acl_scheme import Account, Level, Node, Scheme
from heliograph.bus.acl_verify import drift
from heliograph.bus.asker import Asker
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import Endpoint, Tls, parse_url
from heliograph.settlement.custodian import CustodianSettings
from heliograph.settlement.exchange import ExchangeSettings
from heliograph.settlement.exchange_journal import Policy
from tests.settlement.byhand import CUSTODIAN_KEY, EXCHANGE_KEY

LINK = "acme"
NAMES = Names(link=LINK)
ROLES = (Role.ADMIN, Role.CUSTODIAN, Role.EXCHANGE, Role.AUDITOR, Role.REPLICATION)


def password(role: Role) -> str:
    """Return a role's password."""
    return f"the password of {role}"


SCHEME = Scheme(NAMES, tuple(Account(role, Secret(password(role))) for role in ROLES))


class World:
    """The servers, and who comes to them.

    Args:
        pair: the servers, running.
        parties: what each role shows of itself, where the servers want that.

    """

    def __init__(self, pair: Pair, parties: Mapping[Role, Tls]) -> None:
        self.pair = pair
        self.parties = parties
        self.selectors = True

    @property
    def servers(self) -> tuple[Server, ...]:
        """The primary, the replica and the sibling."""
        return (self.pair.primary, self.pair.replica, *self.pair.siblings)

    def nodes(self) -> list[Node]:
        """Return the servers with what each is."""
        places = (Place.PRIMARY, Place.REPLICA, *(Place.SIBLING for _ in self.pair.siblings))
        return [Node(self.at(s), (p,)) for s, p in zip(self.servers, places, strict=True)]

    def at(self, server: Server, role: Role = Role.ADMIN) -> Endpoint:
        """Return where a server is, without a name, but with a role's certificate where there are any."""
        plain = f"redis://127.0.0.1:{server.port}/0"
        return parse_url(self.parties[role].url(plain) if self.parties else plain)

    def as_role(self, server: Server, role: Role, part: str = "") -> Endpoint:
        """Return where a server is, for a role; `part` is `read` or `write` where its rights are two users'."""
        name = role.value if self.selectors or not part else f"{role}-{part}"
        return msgspec.structs.replace(self.at(server, role), username=name, password=password(role))

    def custodian(self, **changes: object) -> CustodianSettings:
        """Return the custodian's settings, every server as its own user."""
        known: dict[str, object] = {
            "link": LINK,
            "primary": self.as_role(self.pair.primary, Role.CUSTODIAN),
            "replica": self.as_role(self.pair.replica, Role.CUSTODIAN),
            "signer": CUSTODIAN_KEY,
            "keys": (EXCHANGE_KEY.public(),),
            "siblings": tuple(self.as_role(sibling, Role.CUSTODIAN) for sibling in self.pair.siblings),
            "quiet_s": 0.05,
            "window_ns": 0,
        }
        return CustodianSettings(**(known | changes))  # type: ignore[arg-type]

    def exchange(self, directory: Path) -> ExchangeSettings:
        """Return the exchange's settings, as its user or its two."""
        return ExchangeSettings(
            link=LINK,
            replica=self.as_role(self.pair.replica, Role.EXCHANGE, "read"),
            writer=self.as_role(self.pair.replica, Role.EXCHANGE, "write"),
            journal=directory / "exchange.sqlite",
            signer=EXCHANGE_KEY,
            keys=(CUSTODIAN_KEY.public(),),
            policy=Policy("house"),
        )

    async def denied(self) -> set[tuple[str, str]]:
        """Return which user was refused which command or key on any of the servers since the last time of asking."""
        found = set()
        for server in self.servers:
            async with Asker(self.as_role(server, Role.ADMIN)) as admin:
                for entry in await admin.ask("ACL", "LOG", 128):
                    said = dict(zip(entry[::2], entry[1::2], strict=True))
                    found.add((said[b"username"].decode(), said[b"object"].decode()))
                await admin.ask("ACL", "LOG", "RESET")
        return found

    async def drifted(self) -> list[str]:
        """Return what of any user on any server is not as its role wants it, in words; nothing if all is well."""
        told = []
        for node in self.nodes():
            async with open_node(node, SCHEME) as admin:
                users = [
                    (account, user)
                    for account in SCHEME.accounts
                    for user in SCHEME.users(account, node, selectors=admin.selectors)
                ]
                for account, user in users:
                    found = await drift(admin, account, user)
                    told += [f"{node}: no user {user.name}"] if found is None else found
                others = {*await admin.users()} - {user.name for _, user in users} - {"default"}
                told += [f"{node}: {name}" for name in sorted(others)]
        return told

    async def empty(self) -> None:
        """Forget all that settlement has written, on every server."""
        async with Asker(self.as_role(self.pair.primary, Role.ADMIN)) as admin:
            await admin.ask("FLUSHALL")
        await self.pair.linked()
        await self.denied()

    async def secure(self) -> None:
        """Make every role's users, and let nobody else in."""
        async with open_node(self.nodes()[0], SCHEME) as admin:
            self.selectors = admin.selectors
        findings = await apply(self.nodes(), SCHEME, default_off=True)
        assert not [finding for finding in findings if finding.level is Level.FAIL], findings
        for server in self.servers:
            server.login = (Role.ADMIN.value, password(Role.ADMIN))


@contextmanager
def secured(binary: Path, tls: Tls | None = None, parties: Mapping[Role, Tls] | None = None) -> Iterator[World]:
    """Start the servers, and let nobody in but the roles.

    Args:
        binary: the servers'.
        tls: what the servers show, if all is to be by TLS.
        parties: what each role shows then.

    """
    (user,) = users_of(Role.REPLICATION, "replication", [Place.PRIMARY], NAMES, selectors=False)
    rules = [rule for rule in user.rules(selectors=False, unknown=["client|setinfo"]) if rule != "reset"]
    default = "user default on nopass ~* &* +@all"
    lines = [default, f"user replication {' '.join(rules)} {Secret(password(Role.REPLICATION)).hash}"]
    pair = Pair(
        binary=binary,
        siblings=1,
        acl={"primary": lines, "sibling": lines, "replica": [default]},
        replication_login=("replication", password(Role.REPLICATION)),
        tls=tls,
    )
    with pair:
        world = World(pair, parties or {})
        asyncio.run(world.secure())
        yield world
