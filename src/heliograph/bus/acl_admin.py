"""An administrator's connection to one server: its users, as they are and as they are to be."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec

from heliograph.bus import resp
from heliograph.bus.acl_probes import Probe
from heliograph.bus.acl_roles import OPTIONAL, Role, Secret, User
from heliograph.bus.acl_scheme import DEFAULT, Node, Scheme
from heliograph.bus.acl_state import Held, State, has_selectors, parse_user, wanted
from heliograph.bus.endpoint import Endpoint, refusal
from heliograph.bus.link import Link, Reply, open_link
from heliograph.errors import BusError

NAME: Final = "heliograph-acl"
TIMEOUT_S: Final = 5.0

_UNKNOWN: Final = ("unknown command", "unknown subcommand", "Unknown subcommand", "DEBUG command not allowed")
"""A server says so of a command that it does not have, or has for nobody, before it looks at rights."""


class Admin:
    """One server, asked and told by an administrator; made by `open_admin`.

    Attributes:
        endpoint: the server.
        user: whose connection it is.
        selectors: whether the server can tell reading a key from writing it, and has ACL DRYRUN.
        unknown: those of `OPTIONAL` that it has never heard of.

    """

    def __init__(self, link: Link, user: str, *, selectors: bool, unknown: frozenset[str]) -> None:
        self.endpoint = link.endpoint
        self.user = user
        self.selectors = selectors
        self.unknown = unknown
        self._link = link
        self._categories: dict[str, frozenset[str]] = {}

    async def ask(self, *words: str | int) -> Reply:
        """Send one request, and return its reply.

        Raises:
            BusError: the server refused it, or gave no answer in time.

        """
        return await _ask(self._link, *words)

    async def users(self) -> list[str]:
        """Return every user's name, in order.

        Raises:
            BusError: as `ask`.

        """
        return sorted(name.decode() for name in await self.ask("ACL", "USERS"))

    async def held(self, name: str) -> Held | None:
        """Return a user as the server describes it; None: there is none of that name.

        Raises:
            BusError: as `ask`.

        """
        held = parse_user(await self.ask("ACL", "GETUSER", name))
        for category in sorted(() if held is None else held.categories - self._categories.keys()):
            commands = await self.ask("ACL", "CAT", category)
            self._categories[category] = frozenset(command.decode() for command in commands)
        return held

    async def state(self, name: str) -> State | None:
        """Return a user's rights; None: there is none of that name.

        Raises:
            BusError: as `ask`.

        """
        held = await self.held(name)
        return None if held is None else held.state(self._categories)

    def wanted(self, user: User, secret: Secret) -> State:
        """Return what this server should hold for a user."""
        return wanted(user, secret, selectors=self.selectors, unknown=self.unknown)

    async def put(self, user: User, secret: Secret) -> None:
        """Make a user what it should be, in one step: nobody ever sees it half-made, and its connections stay.

        Raises:
            BusError: as `ask`.

        """
        rules = user.rules(selectors=self.selectors, unknown=self.unknown)
        await self.ask("ACL", "SETUSER", user.name, *rules, secret.hash)

    async def remove(self, name: str) -> None:
        """Remove a user, and end its connections.

        Raises:
            BusError: as `ask`.

        """
        assert name != DEFAULT
        await self.ask("ACL", "DELUSER", name)

    async def dry(self, user: str, probes: Sequence[Probe]) -> list[bool | None]:
        """Ask whether a user may do things, without doing any; needs `selectors`.

        Returns:
            For each probe whether it may; None where the server does not know the command.

        Raises:
            BusError: the server gave no answer in time.

        """
        replies = await ask_all(self._link, [("ACL", "DRYRUN", user, *probe.words) for probe in probes])
        return [None if error is not None else reply == b"OK" for reply, error in replies]

    async def replicate_as(self, name: str, password: str) -> bool:
        """Make a replica authenticate to its primary by a name and password; return whether it did not before.

        It does so when it next connects.

        Raises:
            BusError: as `ask`.

        """
        asked = {"masteruser": name, "masterauth": password}
        changed = False
        for setting, value in asked.items():
            if (await self.ask("CONFIG", "GET", setting))[1] != value.encode():
                await self.ask("CONFIG", "SET", setting, value)
                changed = True
        return changed

    async def replicas(self) -> list[tuple[str, str]]:
        """Return the id and the user of every replica's connection.

        Raises:
            BusError: as `ask`.

        """
        listed = (await self.ask("CLIENT", "LIST", "TYPE", "replica")).decode()
        clients = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in listed.splitlines()]
        return [(client["id"], client.get("user", "")) for client in clients]

    async def persist(self, *, settings: bool) -> str | None:
        """Write the users where a restart finds them; return where, or None where the server has no such place.

        Args:
            settings: whether settings have changed as well, which an ACL file does not hold.

        Raises:
            BusError: there is a place, and it could not be written.

        """
        acl_file: str = (await self.ask("CONFIG", "GET", "aclfile"))[1].decode()
        if acl_file:
            await self.ask("ACL", "SAVE")
            if not settings:
                return acl_file
        try:
            await self.ask("CONFIG", "REWRITE")
        except BusError as e:
            if "without a config file" not in str(e):
                raise
            return None
        return f"{acl_file} and the configuration file" if acl_file else "the configuration file"


@contextlib.asynccontextmanager
async def open_admin(endpoint: Endpoint, name: str = "", secret: Secret | None = None) -> AsyncIterator[Admin]:
    """Connect to a server as somebody who may change its users.

    Args:
        endpoint: the server; credentials in it are used as they are.
        name: the administrator, where the endpoint has no credentials. A server that does not know it yet is then
            asked without any.
        secret: the administrator's password.

    Raises:
        BusError: the server is away or refuses us, or we are no administrator there.

    """
    link = await _open(endpoint, name, secret)
    try:
        user = (await _ask(link, "ACL", "WHOAMI")).decode()
        selectors = has_selectors(await _ask(link, "ACL", "GETUSER", DEFAULT))
        # Before selectors a subcommand was any first word, which a rule may name without the server knowing it.
        asked = [name for name in OPTIONAL if selectors or "|" not in name]
        told = await _ask(link, "COMMAND", "INFO", *asked)
        unknown = frozenset(name for name, reply in zip(asked, told, strict=True) if reply is None)
        yield Admin(link, user, selectors=selectors, unknown=unknown)
    finally:
        link.abort("done")


def open_node(node: Node, scheme: Scheme) -> AbstractAsyncContextManager[Admin]:
    """Connect to a node as its endpoint says, or as the scheme's administrator, as `open_admin` does.

    Raises:
        BusError: as `open_admin`.

    """
    account = scheme.account(Role.ADMIN)
    return open_admin(node.endpoint, account.user if account else "", account.secret if account else None)


async def _open(endpoint: Endpoint, name: str, secret: Secret | None) -> Link:
    if endpoint.password is None and name and secret is not None and secret.text is not None:
        try:
            return await open_as(endpoint, name, secret.text)
        except BusError as as_admin:
            try:
                return await open_link(endpoint, name=NAME, timeout_s=TIMEOUT_S)
            except BusError:
                raise as_admin from None
    return await open_link(endpoint, name=NAME, timeout_s=TIMEOUT_S)


async def open_as(endpoint: Endpoint, name: str, password: str) -> Link:
    """Connect to a server as a user.

    Raises:
        BusError: the server is away or refuses us; its code is `WRONGPASS` where name or password is wrong.

    """
    as_user = msgspec.structs.replace(endpoint, username=name, password=password)
    return await open_link(as_user, name=NAME, timeout_s=TIMEOUT_S)


async def _ask(link: Link, *words: str | int) -> Reply:
    ((reply, error),) = await ask_all(link, [words])
    if error is not None:
        raise refusal(link.endpoint, error)
    return reply


async def ask_all(link: Link, requests: Sequence[Sequence[str | int]]) -> list[tuple[Reply, str | None]]:
    """Send requests at once; return for each its reply, and the error in place of one.

    Raises:
        BusError: the connection ended first, or the server gave no answer in time.

    """
    if not requests:
        return []
    replies: list[tuple[Reply, str | None]] = []
    payload = b"".join(resp.command(*request) for request in requests)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await link.exchange_all(payload, [(1, lambda reply, error: replies.append((reply, error)))] * len(requests))
    except TimeoutError as e:
        link.abort("timed out")
        raise BusError(f"{link.endpoint}: no answer within {TIMEOUT_S:g} s") from e
    return replies


async def tried(link: Link, probes: Sequence[Probe]) -> list[bool | None]:
    """Put probes to a server over a user's own connection.

    Returns:
        For each whether it may; None where the server does not know the command.

    Raises:
        BusError: the connection ended first, or the server gave no answer in time.

    """
    replies = await ask_all(link, [probe.words for probe in probes])
    return [_judged(error) for _, error in replies]


def _judged(error: str | None) -> bool | None:
    if error is None:
        return True
    if error.startswith(("NOPERM", "EXECABORT")):  # The latter is how an EXEC is told so.
        return False
    return None if any(words in error for words in _UNKNOWN) else True
