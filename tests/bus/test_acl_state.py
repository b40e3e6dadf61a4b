"""How servers word users, recorded from each of the matrix, and what it comes to."""

import pytest

from heliograph.bus.acl_roles import Access, Grant, Secret, User
from heliograph.bus.acl_state import Part, State, differences, has_selectors, parse_user, wanted
from heliograph.errors import BusError

SECRET = Secret("s")
HASH = SECRET.hash[1:].encode()
USER = User(
    "w",
    ("ping", "client|setname", "multi", "exec", "discard", "script|load"),
    (Grant(Access.BOTH, ("xadd", "eval", "evalsha"), ("a", "b:*")),),
)
CATEGORIES = {
    "transaction": frozenset({"multi", "exec", "discard", "watch", "unwatch"}),
    "scripting": frozenset({"eval", "evalsha", "script"}),
}
VALKEY = [
    *(b"flags", [b"on"], b"passwords", [HASH]),
    *(b"commands", b"-@all +ping +client|setname +multi +exec +discard +script|load +xadd +eval +evalsha"),
    *(b"keys", b"~a ~b:*", b"channels", b"", b"databases", b"alldbs", b"selectors", []),
]
REDIS_62 = [
    *(b"flags", [b"on", b"sanitize-payload"], b"passwords", [HASH]),
    *(b"commands", b"-@all +@scripting +@transaction +ping -watch +xadd -script +script|load -unwatch +client|setname"),
    *(b"keys", [b"a", b"b:*"], b"channels", []),
]


@pytest.mark.parametrize("reply", [VALKEY, REDIS_62], ids=["valkey-9.1", "redis-6.2"])
def test_the_same_rights_in_other_words_are_the_same(reply: list[object]) -> None:
    held = parse_user(reply)
    assert held is not None
    assert held.state(CATEGORIES) == wanted(USER, SECRET, selectors=True)


def test_selectors_are_parts_of_their_own_in_any_order() -> None:
    user = User(
        "s", ("ping",), (Grant(Access.WRITE, ("xadd",), ("a",)), Grant(Access.READ, ("get", "xread"), ("c", "d")))
    )
    reply = [
        *(b"flags", [b"on"], b"passwords", [HASH], b"commands", b"-@all +ping", b"keys", b"", b"channels", b""),
        *(
            b"selectors",
            [
                [b"commands", b"-@all +xread +get", b"keys", b"%R~d %R~c", b"channels", b""],
                [b"commands", b"-@all +xadd", b"keys", b"%W~a", b"channels", b""],
            ],
        ),
    ]
    held = parse_user(reply)
    assert held is not None
    assert held.state({}) == wanted(user, SECRET, selectors=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({b"flags": [b"off"]}, "is off, not on"),
        ({b"flags": [b"on", b"nopass"]}, "is nopass on, not on"),
        ({b"passwords": []}, "has no password"),
        ({b"passwords": [HASH, b"0" * 64]}, "has another password"),
        ({b"keys": b"~a ~b:* ~c"}, "on RW~a RW~b:* RW~c"),
        ({b"keys": b"%R~a ~b:*"}, "on RW~b:* R~a"),
        ({b"commands": b"+@all -flushall"}, "has -flushall @all"),
        ({b"channels": b"&*"}, "xadd on RW~a RW~b:* &*"),
        ({b"databases": b"db=0"}, "is confined to db=0"),
        ({b"selectors": [[b"commands", b"-@all +get", b"keys", b"~*", b"channels", b""]]}, "has get on RW~*"),
    ],
)
def test_every_difference_counts_and_is_told(change: dict[bytes, object], told: str) -> None:
    fields = dict(zip(VALKEY[::2], VALKEY[1::2], strict=True)) | change
    held = parse_user([item for pair in fields.items() for item in pair])
    assert held is not None
    said = "; ".join(differences(wanted(USER, SECRET, selectors=True), held.state({})))
    assert told in said, said


def test_rules_are_taken_one_after_the_other() -> None:
    def commands(words: str) -> set[str]:
        held = parse_user([b"flags", [], b"passwords", [], b"commands", words.encode(), b"keys", b"", b"channels", b""])
        assert held is not None
        (part,) = held.state(CATEGORIES).parts or {Part(frozenset(), frozenset(), frozenset())}
        return set(part.commands)

    assert commands("+@all -@all +get") == {"get"}
    assert commands("-@all +script|load +script|flush -script +script|load") == {"script|load"}
    assert commands("+@all -keys +keys") == {"@all"}
    assert commands("+get -@all") == set()


def test_which_categories_must_be_known_is_told() -> None:
    held = parse_user(REDIS_62)
    assert held is not None
    assert held.categories == {"scripting", "transaction"}


def test_nobody_is_none_and_nonsense_is_an_error() -> None:
    assert parse_user(None) is None
    with pytest.raises(BusError, match="no known form"):
        parse_user([b"flags", 5])


def test_who_has_selectors_has_said_so() -> None:
    assert has_selectors(VALKEY)
    assert not has_selectors(REDIS_62)
    assert not has_selectors(None)


def test_a_state_tells_whether_it_is_switched_on() -> None:
    assert State(frozenset({"on"}), frozenset(), frozenset()).enabled
    assert not State(frozenset({"off"}), frozenset(), frozenset()).enabled
