"""Which roles there are on which servers, and what was found when they were looked at."""

import enum
from typing import Final

import msgspec

from heliograph.bus.acl_roles import Names, Place, Role, Secret, User, names_of, users_of
from heliograph.bus.endpoint import Endpoint
from heliograph.errors import ConfigError

DEFAULT: Final = "default"
"""The user that whoever connects without a name is."""


class Level(enum.StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was done to a node, or found there."""

    node: str
    user: str
    """Empty where it concerns no user."""
    check: str
    level: Level
    found: str
    code: str = ""
    """For programs: why something was refused, such as `no_other_admin`."""
    changed: bool = False
    """Whether the node is another one than before."""


class Node(msgspec.Struct, frozen=True):
    """One server. Credentials in its endpoint are an administrator's."""

    endpoint: Endpoint
    places: tuple[Place, ...]

    def __str__(self) -> str:
        return f"{'+'.join(self.places)} {self.endpoint}"


class Account(msgspec.Struct, frozen=True):
    """One role's user."""

    role: Role
    secret: Secret | None = None
    """None: it can be looked at, and neither made nor tried."""
    name: str = ""
    """Of the user; empty: the role's."""

    @property
    def user(self) -> str:
        """The user's name, or how both its names begin."""
        return self.name or self.role.value


class Scheme(msgspec.Struct, frozen=True):
    """Which roles there are, wherever they have business."""

    names: Names
    accounts: tuple[Account, ...]
    portable: bool = False
    """Make two users of a role that reads some keys and writes others even where one would do, so that all servers are
    alike."""

    def __post_init__(self) -> None:
        """Refuse users that would be one.

        Raises:
            ConfigError: two accounts share a name, or one is called `default`.

        """
        held = [name for account in self.accounts for name in names_of(account.user)]
        twice = sorted({name for name in held if held.count(name) > 1 or name == DEFAULT})
        if twice:
            raise ConfigError(f"the user {twice[0]!r} would be two", ("a name of its own for every role",))

    def account(self, role: Role) -> Account | None:
        """Return a role's account, if there is one."""
        return next((account for account in self.accounts if account.role is role), None)

    def users(self, account: Account, node: Node, *, selectors: bool) -> tuple[User, ...]:
        """Return the users that an account is on a node.

        Args:
            account: whose.
            node: where.
            selectors: whether the node can tell reading a key from writing it.

        Raises:
            ConfigError: as `users_of`.

        """
        return users_of(account.role, account.user, node.places, self.names, selectors=selectors and not self.portable)
