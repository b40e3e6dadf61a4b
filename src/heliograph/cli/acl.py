"""`heliograph acl apply|verify|show`: who may do what on which server."""

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from heliograph import app, config
from heliograph.bus import acl as putting
from heliograph.bus.acl_admin import Admin, open_node
from heliograph.bus.acl_roles import Names, Place, Role, Secret, User, users_of
from heliograph.bus.acl_scheme import Account, Finding, Level, Node, Scheme
from heliograph.bus.acl_verify import drift
from heliograph.bus.acl_verify import verify as hold_against
from heliograph.bus.endpoint import Endpoint, parse_url
from heliograph.config import AclSettings, BusSettings
from heliograph.errors import ConfigError
from heliograph.model.instrument import SPOT
from heliograph.venues import VENUES

PASSWORD_LENGTH_MIN: Final = 16
"""A server keeps SHA-256 without salt, which whoever reads it can try fast: short words would be found."""

_STYLES: Final = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    link: str = ""
    primary: Sequence[str] = ()
    """URLs, as in all of these."""
    sibling: Sequence[str] = ()
    replica: Sequence[str] = ()
    bus: Sequence[str] = ()
    roles: Sequence[str] = ()
    """By name; none: those whose password is set."""
    portable: bool = False
    settings: Path | None = None
    """A TOML file of settings."""

    @classmethod
    def of(
        cls,
        link: str,
        primary: Sequence[str] | None,
        sibling: Sequence[str] | None,
        replica: Sequence[str] | None,
        bus: Sequence[str] | None,
        roles: Sequence[str] | None,
        settings: Path | None,
        *,
        portable: bool,
    ) -> Self:
        """Return a wish of options, which are None where they were not given."""
        return cls(
            link=link,
            primary=primary or (),
            sibling=sibling or (),
            replica=replica or (),
            bus=bus or (),
            roles=roles or (),
            portable=portable,
            settings=settings,
        )

    def nodes(self) -> list[Node]:
        """Return the servers, primaries first; one that is named for several places is one.

        Raises:
            ConfigError: a URL cannot be used.

        """
        bus = config.load(BusSettings, self.settings)
        places: dict[tuple[str, int, str], tuple[Endpoint, list[Place]]] = {}
        for place, urls in (
            (Place.PRIMARY, self.primary),
            (Place.SIBLING, self.sibling),
            (Place.BUS, self.bus),
            (Place.REPLICA, self.replica),
        ):
            for endpoint in (one for url in urls for one in parse_url(app.server_url(bus, url) or url).all()):
                address = (endpoint.host, endpoint.port, endpoint.path)
                places.setdefault(address, (endpoint, []))[1].append(place)
        return [Node(endpoint, tuple(where)) for endpoint, where in places.values()]

    def names(self) -> Names:
        """Return what the keys' names are made of.

        Raises:
            ConfigError: the link's name cannot stand in a rule.

        """
        return Names(
            link=self.link,
            exchanges=tuple(
                str(venue) if market == SPOT else f"{venue}_{market}"
                for venue, known in VENUES.items()
                for market in known.markets
            ),
        )

    def scheme(self, *, needs_secrets: bool) -> Scheme:
        """Return who is to be where.

        Args:
            needs_secrets: whether a role that is named must have its password.

        Raises:
            ConfigError: a role is unknown, or its password is not set, or too short.

        """
        held = config.load(AclSettings, self.settings)
        secrets = {role: _secret(role, getattr(held, role.value)) for role in Role}
        known = [role for role, secret in secrets.items() if secret is not None]
        roles = [_role(name) for name in self.roles] or known
        lacking = [role for role in roles or list(Role) if secrets[role] is None]
        if needs_secrets and lacking:
            raise ConfigError(
                f"no password for {lacking[0]}",
                (_variable(lacking[0]), f"{lacking[0]} in the table [acl] of a TOML file"),
            )
        if Role.ADMIN in known and Role.ADMIN not in roles:
            roles.insert(0, Role.ADMIN)  # Whose name and password open the servers.
        return Scheme(self.names(), tuple(Account(role, secrets[role]) for role in roles), self.portable)


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError:
        raise ConfigError(f"unknown role {name!r}", tuple(Role)) from None


def _variable(role: Role) -> str:
    return f"HELIOGRAPH_ACL_{role.upper()}"


def _secret(role: Role, given: SecretStr | None) -> Secret | None:
    if given is None or not given.get_secret_value():
        return None
    secret = Secret(given.get_secret_value())
    if secret.text is not None and len(secret.text) < PASSWORD_LENGTH_MIN:
        raise ConfigError(
            f"{_variable(role)} is shorter than {PASSWORD_LENGTH_MIN} characters", ("openssl rand -hex 32",)
        )
    return secret


def apply(wanted: Wanted, *, default_off: bool, as_json: bool) -> int:
    """Make every server's users what they should be, try them, and print what was done; 1 if anything failed.

    Args:
        wanted: which servers and roles.
        default_off: switch the default user off in the end.
        as_json: one JSON object instead of a table.

    Raises:
        ConfigError: something about the wish cannot be.
        BusError: a server is away or does not obey.

    """
    scheme = wanted.scheme(needs_secrets=True)
    return _told(lambda: putting.apply(_some(wanted), scheme, default_off=default_off), as_json=as_json)


def verify(wanted: Wanted, *, as_json: bool) -> int:
    """Hold every server against what it should be, and print it; 1 if anything failed.

    Args:
        wanted: which servers and roles.
        as_json: one JSON object instead of a table.

    Raises:
        ConfigError: something about the wish cannot be.

    """
    scheme = wanted.scheme(needs_secrets=False)
    return _told(lambda: hold_against(_some(wanted), scheme), as_json=as_json)


def _some(wanted: Wanted) -> list[Node]:
    nodes = wanted.nodes()
    if not nodes:
        raise ConfigError("no server is named", ("--primary URL", "--sibling URL", "--replica URL", "--bus URL"))
    return nodes


def _told(work: Callable[[], Coroutine[Any, Any, list[Finding]]], *, as_json: bool) -> int:
    async def run() -> int:
        findings = await work()
        failed = sum(finding.level is Level.FAIL for finding in findings)
        if as_json:
            print(msgspec.json.format(msgspec.json.encode({"ok": not failed, "findings": findings})).decode())
        else:
            _print(findings)
        return 1 if failed else 0

    return app.run_loop(run())


def _print(findings: Sequence[Finding]) -> None:
    table = Table(box=None, header_style="bold")
    for heading in ("server", "user", "check", "", "found"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        level = Text(finding.level.value, style=_STYLES[finding.level])
        table.add_row(Text(finding.node), Text(finding.user), finding.check, level, Text(finding.found))
    Console().print(table)
    changed = sum(finding.changed for finding in findings)
    failed = sum(finding.level is Level.FAIL for finding in findings)
    warned = sum(finding.level is Level.WARN for finding in findings)
    print(f"{changed} changed, {failed} failed, {warned} to think about")


class Line(msgspec.Struct, frozen=True):
    """One user of one server, or of one kind of server, as ACL SETUSER is told of it."""

    where: str
    role: Role
    user: str
    rules: tuple[str, ...]
    held: str = ""
    """How the server has it: `as it should be`, `otherwise` or `absent`; empty where none was asked."""


def show(wanted: Wanted, *, as_json: bool) -> int:
    """Print every role's rules: on the servers that are named, and how they have them; else on each kind of server.

    No password is in what is printed, nor its hash.

    Args:
        wanted: which servers and roles; roles need no password for this.
        as_json: one JSON array instead of lines.

    Raises:
        ConfigError: something about the wish cannot be.
        BusError: a server is away or refuses us.

    """
    nodes = wanted.nodes()

    async def run() -> int:
        lines = await _held(nodes, wanted) if nodes else _rules(wanted)
        if as_json:
            print(msgspec.json.format(msgspec.json.encode(lines)).decode())
            return 0
        for line in lines:
            print(f"# {line.where}{line.held and f': {line.held}'}")
            print(f"ACL SETUSER {line.user} {' '.join(_quoted(rule) for rule in line.rules)} #HASH\n")
        return 0

    return app.run_loop(run())


def _rules(wanted: Wanted) -> list[Line]:
    names = wanted.names()
    roles = [_role(name) for name in wanted.roles] or [role for role in Role if wanted.link or not _needs_link(role)]
    selectors = not wanted.portable
    return [
        Line(place, role, user.name, user.rules(selectors=selectors))
        for place in Place
        for role in roles
        for user in users_of(role, role, [place], names, selectors=selectors)
    ]


def _needs_link(role: Role) -> bool:
    return role in (Role.CUSTODIAN, Role.EXCHANGE, Role.AUDITOR)


async def _held(nodes: Sequence[Node], wanted: Wanted) -> list[Line]:
    scheme = wanted.scheme(needs_secrets=False)
    if not wanted.roles:
        missing = [Account(role) for role in Role if scheme.account(role) is None]
        scheme = msgspec.structs.replace(scheme, accounts=scheme.accounts + tuple(missing))
    lines: list[Line] = []
    for node in nodes:
        async with open_node(node, scheme) as admin:
            for account in scheme.accounts:
                for user in scheme.users(account, node, selectors=admin.selectors):
                    rules = user.rules(selectors=admin.selectors, unknown=admin.unknown)
                    lines.append(Line(str(node), account.role, user.name, rules, await _as(admin, account, user)))
    return lines


async def _as(admin: Admin, account: Account, user: User) -> str:
    told = await drift(admin, account, user)
    if told is None:
        return "absent"
    return f"otherwise: {'; '.join(told)}" if told else "as it should be"


def _quoted(rule: str) -> str:
    return f'"{rule}"' if " " in rule else rule
