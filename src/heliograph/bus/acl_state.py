"""What a server says of its users, read so that it can be held against what was wanted.

A server may word a user's rights otherwise than they were given: Redis 6.2 and 7.0 fold commands into categories
(`+@transaction -watch -unwatch`), later ones keep the words. So both sides are unfolded to the same thing first: sets
of commands, keys and channels.
Source: https://valkey.io/commands/acl-getuser/, https://valkey.io/commands/acl-cat/
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from heliograph.bus.acl_roles import ALL, Secret, User
from heliograph.errors import BusError

_FLAGS: Final = frozenset({"on", "off", "nopass", "skip-sanitize-payload"})
_CATEGORY: Final = re.compile(r"@[a-z]+")

Categories = Mapping[str, frozenset[str]]
"""The commands of each category, without the `@`."""


class Part(msgspec.Struct, frozen=True):
    """Some commands on some keys and channels."""

    commands: frozenset[str]
    keys: frozenset[str]
    """Each with its access first, as in `R~CI:*` or `RW~*`."""
    channels: frozenset[str]


class State(msgspec.Struct, frozen=True):
    """A user's rights as far as they matter; two users with equal states may do the same, with the same passwords."""

    flags: frozenset[str]
    passwords: frozenset[str]
    """SHA-256 in hexadecimal."""
    parts: frozenset[Part]
    """The user's own and its selectors'."""
    databases: str = "alldbs"
    """Valkey 9.1 can confine a user to some databases."""

    @property
    def enabled(self) -> bool:
        """Whether anybody can authenticate as this user."""
        return "on" in self.flags


class Held(msgspec.Struct, frozen=True):
    """A user as the server describes it."""

    flags: frozenset[str]
    passwords: frozenset[str]
    parts: tuple[tuple[str, str, str], ...]
    """Commands, keys and channels, each as words in a row: the user's own first, then its selectors'."""
    databases: str

    @property
    def categories(self) -> frozenset[str]:
        """The categories that its rules name, which must be known before they can be unfolded."""
        return frozenset(
            word[1:] for commands, _, _ in self.parts for word in _CATEGORY.findall(commands) if word != ALL
        )

    def state(self, categories: Categories) -> State:
        """Return the user's rights, unfolded.

        Args:
            categories: at least `self.categories`.

        """
        parts = [_part(commands, keys, channels, categories) for commands, keys, channels in self.parts]
        return State(self.flags & _FLAGS, self.passwords, frozenset(_telling(parts)), self.databases)


def wanted(user: User, secret: Secret, *, selectors: bool, unknown: Iterable[str] = ()) -> State:
    """Return what the server should hold for a user.

    Args:
        user: whom.
        secret: the user's one password.
        selectors: as `User.rules` takes it.
        unknown: as `User.rules` takes it.

    """
    own, selected = _of_words(user.rules(selectors=selectors, unknown=frozenset(unknown)))
    return State(frozenset({"on"}), frozenset({secret.hash[1:]}), frozenset(_telling([own, *selected])))


def differences(should: State, held: State) -> list[str]:
    """Return in words what of a user is not as it should be; nothing where all is."""
    told = []
    if should.flags != held.flags:
        told.append(f"is {' '.join(sorted(held.flags)) or 'without flags'}, not {' '.join(sorted(should.flags))}")
    if should.passwords != held.passwords:
        told.append("has another password" if held.passwords else "has no password")
    told += sorted(f"has {_told(part)}" for part in held.parts - should.parts)
    told += sorted(f"lacks {_told(part)}" for part in should.parts - held.parts)
    if should.databases != held.databases:
        told.append(f"is confined to {held.databases}")
    return told


def _told(part: Part) -> str:
    commands = sorted(part.commands)
    where = [*sorted(part.keys), *(f"&{channel}" for channel in sorted(part.channels))]
    return f"{' '.join(commands)} on {' '.join(where)}" if where else " ".join(commands)


def parse_user(reply: object) -> Held | None:
    """Read the answer to ACL GETUSER, as RESP2 gives it; None: there is no such user.

    Raises:
        BusError: the answer is of no known form.

    """
    if reply is None:
        return None
    try:
        fields = _fields(reply)
        selectors = [_fields(selector) for selector in fields.get("selectors", ())]
        parts = [
            (_words(part["commands"], ""), _words(part["keys"], "~"), _words(part.get("channels", []), "&"))
            for part in (fields, *selectors)
        ]
        flags = frozenset(_text(flag) for flag in fields["flags"])
        passwords = frozenset(_text(password) for password in fields["passwords"])
    except (KeyError, TypeError, AttributeError, IndexError) as e:
        raise BusError(f"the answer to ACL GETUSER is of no known form: {e!r}") from e
    databases = " ".join(sorted({_text(part.get("databases", b"alldbs")) for part in (fields, *selectors)}))
    return Held(flags, passwords, tuple(parts), databases)


def has_selectors(reply: object) -> bool:
    """Tell from the answer to ACL GETUSER whether the server has selectors, key permissions and ACL DRYRUN.

    All three came together.
    Source: https://valkey.io/commands/acl-getuser/ ("History")
    """
    return isinstance(reply, list) and b"selectors" in reply[::2]


def _fields(reply: object) -> dict[str, Any]:
    assert isinstance(reply, list)
    return {_text(name): value for name, value in zip(reply[::2], reply[1::2], strict=True)}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _words(value: object, mark: str) -> str:
    """Return rules in a row; 6.2 lists keys and channels without their mark."""
    if isinstance(value, list):
        return " ".join(f"{mark}{_text(item)}" for item in value)
    return _text(value)


def _part(commands: str, keys: str, channels: str, categories: Categories) -> Part:
    return Part(
        _commands(commands.split(), categories),
        frozenset(_key(word) for word in keys.split()),
        frozenset(word.removeprefix("&") for word in channels.split()),
    )


def _key(word: str) -> str:
    """Return a key's pattern with its access in front."""
    if word == "allkeys":
        return "RW~*"
    access, _, pattern = word.partition("~")
    letters = access.removeprefix("%") or "RW"
    return f"{'RW' if set(letters) == {'R', 'W'} else letters}~{pattern}"


def _commands(words: Iterable[str], categories: Categories) -> frozenset[str]:
    """Return the commands that rules leave, taken one after the other."""
    held: set[str] = set()
    for word in words:
        sign, name = word[0], word[1:].lower()
        if name in (ALL, "allcommands"):
            held = {ALL} if sign == "+" else set()
            continue
        named = categories[name[1:]] if name.startswith("@") else {name}
        if sign == "+":
            held = held - {f"-{one}" for one in named} if ALL in held else held | named
            continue
        # Without a command its subcommands are gone as well.
        held -= {one for one in held if any(one == lost or one.startswith(f"{lost}|") for lost in named)}
        if ALL in held:
            held |= {f"-{one}" for one in named}
    return frozenset(held)


def _of_words(words: Sequence[str]) -> tuple[Part, list[Part]]:
    """Return the parts of rules of ours: the user's own, and the selectors'."""
    selectors = [_of_words(word[1:-1].split())[0] for word in words if word.startswith("(")]
    plain = [word for word in words if not word.startswith("(")]
    own = Part(
        _commands([word for word in plain if word[0] in "+-"], {}),
        frozenset(_key(word) for word in plain if word[0] in "%~"),
        frozenset(word[1:] for word in plain if word[0] == "&"),
    )
    return own, selectors


def _telling(parts: Iterable[Part]) -> list[Part]:
    """Return those parts that allow anything."""
    return [part for part in parts if part.commands]
