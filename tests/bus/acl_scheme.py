"""A scheme with every role, for tests."""

from heliograph.bus.acl_roles import Names, Place, Role, Secret
from heliograph.bus.acl_scheme import Account, Node, Scheme
from heliograph.bus.embedded import Server
from heliograph.bus.embedded_pair import Pair
from heliograph.bus.endpoint import parse_url

NAMES = Names(link="acme", exchanges=("binance",))


def password(role: Role) -> str:
    """Return a role's password."""
    return f"the password of {role}"


def scheme_of(*roles: Role) -> Scheme:
    """Return a scheme with these roles, or all."""
    return Scheme(NAMES, tuple(Account(role, Secret(password(role))) for role in roles or Role))


def node_of(server: Server, *places: Place) -> Node:
    """Return a server as a node, without credentials."""
    return Node(parse_url(server.url), places)


def nodes_of(pair: Pair) -> list[Node]:
    """Return a pair's servers, the primary first."""
    return [
        node_of(pair.primary, Place.PRIMARY, Place.BUS),
        *(node_of(sibling, Place.SIBLING) for sibling in pair.siblings),
        node_of(pair.replica, Place.REPLICA),
    ]
