"""Roles put on the servers that need them, and tried.

Rights are each server's own: nothing of them replicates, and a full resync leaves them alone. So every node is told,
and asked afterwards in three ways: how it describes each user (ACL GETUSER), what it would let the user do
(ACL DRYRUN, where it has that), and what it does let it do, over a connection of that user (`acl_probes`).

::

    nodes = [Node(parse_url("redis://p"), (Place.PRIMARY,)), Node(parse_url("redis://r"), (Place.REPLICA,))]
    scheme = Scheme(Names(link="acme"), (Account(Role.ADMIN, Secret(…)), Account(Role.EXCHANGE, Secret(…)), …))
    findings = await apply(nodes, scheme, default_off=True)
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from heliograph.bus.acl_admin import Admin, open_node
from heliograph.bus.acl_default import switch_default_off
from heliograph.bus.acl_roles import Place, Role, Secret, User, names_of
from heliograph.bus.acl_scheme import DEFAULT, Account, Finding, Level, Node, Scheme
from heliograph.bus.acl_verify import verify
from heliograph.errors import BusError


async def apply(nodes: Sequence[Node], scheme: Scheme, *, default_off: bool = False) -> list[Finding]:
    """Make every node's users what the scheme says, and verify them; a second time changes nothing.

    A user is made or changed in one step, and its connections stay. A user of a role's name that the role does not have
    there is removed.

    Args:
        nodes: every server that the roles work with.
        scheme: who is to be there. Accounts without a secret are only looked at.
        default_off: in the end, if nothing has failed until then, switch the default user off on every node.

    Raises:
        ConfigError: the scheme cannot be carried out; nothing was changed.
        BusError: a node is away, or does not obey. Before the first change all nodes have answered.

    """
    findings: list[Finding] = []
    async with AsyncExitStack() as stack:
        admins = [await stack.enter_async_context(open_node(node, scheme)) for node in nodes]
        plans = [_plan(node, scheme, admin) for node, admin in zip(nodes, admins, strict=True)]
        for node, admin, plan in zip(nodes, admins, plans, strict=True):
            findings += await _put_all(node, admin, plan)
        known = any({Place.PRIMARY, Place.SIBLING} & {*node.places} for node in nodes)
        for node, admin in zip(nodes, admins, strict=True):
            findings += await _settle(node, scheme, admin, primary_known=known)
    findings += await verify(nodes, scheme)
    if default_off:
        failed = any(finding.level is Level.FAIL for finding in findings)
        findings += [await _default_off(node, scheme, failed=failed) for node in nodes]
    return findings


Plan = list[tuple[Account, tuple[User, ...]]]


def _plan(node: Node, scheme: Scheme, admin: Admin) -> Plan:
    return [(account, scheme.users(account, node, selectors=admin.selectors)) for account in scheme.accounts]


async def _put_all(node: Node, admin: Admin, plan: Plan) -> list[Finding]:
    findings: list[Finding] = []
    listed = await admin.users()
    for account, users in plan:
        if account.secret is None:
            continue
        findings += [await _put(node, admin, user, account.secret) for user in users]
        for name in sorted({*names_of(account.user)} & {*listed} - {user.name for user in users}):
            await admin.remove(name)
            findings.append(Finding(str(node), name, "user", Level.OK, "removed", changed=True))
    return findings


async def _settle(node: Node, scheme: Scheme, admin: Admin, *, primary_known: bool) -> list[Finding]:
    linked = await _replicate(node, scheme, admin, primary_known=primary_known)
    where = await admin.persist(settings=any(finding.changed for finding in linked))
    if where is None:
        what = "a restart forgets it: start the server with an aclfile, or with a configuration file"
        return [*linked, Finding(str(node), "", "persistence", Level.WARN, what, "not_persisted")]
    return [*linked, Finding(str(node), "", "persistence", Level.OK, f"written to {where}")]


async def _put(node: Node, admin: Admin, user: User, secret: Secret) -> Finding:
    held = await admin.state(user.name)
    if held == admin.wanted(user, secret):
        return Finding(str(node), user.name, "user", Level.OK, "was as it should be")
    await admin.put(user, secret)
    return Finding(str(node), user.name, "user", Level.OK, "made" if held is None else "changed", changed=True)


async def _replicate(node: Node, scheme: Scheme, admin: Admin, *, primary_known: bool) -> list[Finding]:
    account = scheme.account(Role.REPLICATION)
    if account is None or account.secret is None or not {Place.REPLICA, Place.SIBLING} & {*node.places}:
        return []
    if account.secret.text is None:
        what = "masterauth wants the password itself, and only its hash is given"
        return [Finding(str(node), account.user, "replication", Level.FAIL, what)]
    if not primary_known:  # A replica whose user its primary does not know loses it at the next connection.
        what = "masteruser is left as it is: name the primary too, so that the user is there"
        return [Finding(str(node), account.user, "replication", Level.WARN, what, "primary_not_named")]
    changed = await admin.replicate_as(account.user, account.secret.text)
    what = "masteruser and masterauth set, for its next connection" if changed else "masteruser was set"
    return [Finding(str(node), account.user, "replication", Level.OK, what, changed=changed)]


async def _default_off(node: Node, scheme: Scheme, *, failed: bool) -> Finding:
    if failed:
        what = "left on, since not everything is as it should be"
        return Finding(str(node), DEFAULT, "default user", Level.FAIL, what, "not_verified")
    try:
        changed = await switch_default_off(node, scheme)
    except BusError as e:
        return Finding(str(node), DEFAULT, "default user", Level.FAIL, str(e), e.code or "")
    what = "switched off, and its connections ended" if changed else "was off"
    return Finding(str(node), DEFAULT, "default user", Level.OK, what, changed=changed)
