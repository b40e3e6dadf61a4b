"""Roles held against the servers that they should be on."""

from collections.abc import Sequence
from typing import Final

import msgspec

from heliograph.bus.acl_admin import Admin, open_as, open_node, tried
from heliograph.bus.acl_probes import Probe, dry_probes, few_probes
from heliograph.bus.acl_roles import OPTIONAL, Place, Role, Secret, User, names_of
from heliograph.bus.acl_scheme import DEFAULT, Account, Finding, Level, Node, Scheme
from heliograph.bus.acl_state import differences
from heliograph.errors import BusError

FAILED_SHOWN_MAX: Final = 10
"""How many failed probes of one user are told one by one."""
NO_SECRET: Final = Secret("")


async def verify(nodes: Sequence[Node], scheme: Scheme) -> list[Finding]:
    """Hold every node against a scheme: how it describes each user, what it would allow, and what it does allow.

    Nothing is written but the server's own note of what it refused (ACL LOG).

    Raises:
        ConfigError: the scheme cannot be carried out.

    """
    findings: list[Finding] = []
    for node in nodes:
        try:
            findings += await _verify_at(node, scheme)
        except BusError as e:
            findings.append(Finding(str(node), "", "server", Level.FAIL, str(e)))
    return findings


async def _verify_at(node: Node, scheme: Scheme) -> list[Finding]:
    findings: list[Finding] = []
    async with open_node(node, scheme) as admin:
        listed = await admin.users()
        ours: set[str] = set()
        for account in scheme.accounts:
            users = scheme.users(account, node, selectors=admin.selectors)
            ours.update(user.name for user in users)
            stale = sorted({*names_of(account.user)} & {*listed} - ours)
            ours.update(stale)
            what = f"{account.role} has no business here under this name: apply removes it"
            findings += [Finding(str(node), name, "user", Level.FAIL, what) for name in stale]
            for user in users:
                findings += await _verify_user(node, scheme, account, user, admin)
        findings += await _verify_replication(node, scheme, admin)
        findings += await _verify_others(node, admin, {*listed} - ours)
    return findings


async def drift(admin: Admin, account: Account, user: User) -> list[str] | None:
    """Return what of a user is not as it should be, in words; None where there is no such user.

    Args:
        admin: the server.
        account: whose user it is; without its secret, passwords are not looked at.
        user: as it should be.

    Raises:
        BusError: the server refused to tell, or gave no answer in time.

    """
    held = await admin.state(user.name)
    if held is None:
        return None
    should = admin.wanted(user, account.secret or NO_SECRET)
    if account.secret is None:
        should = msgspec.structs.replace(should, passwords=held.passwords)
    return differences(should, held)


async def _verify_user(node: Node, scheme: Scheme, account: Account, user: User, admin: Admin) -> list[Finding]:
    told = await drift(admin, account, user)
    if told is None:
        return [Finding(str(node), user.name, "user", Level.FAIL, "there is no such user: apply makes it")]
    findings = [Finding(str(node), user.name, "user", Level.OK, "as it should be")]
    if told:
        findings = [Finding(str(node), user.name, "user", Level.FAIL, f"{'; '.join(told)}: apply mends it")]
    if account.role is Role.ADMIN:  # Everything is allowed: that it works is what `default_off` proves.
        return findings
    if admin.selectors:
        probes = dry_probes(user, scheme.names)
        findings += judged(str(node), user.name, "dry run", probes, await admin.dry(user.name, probes))
    secret = account.secret
    if secret is None or secret.text is None:
        what = "not tried over a connection: its password is not given"
        return [*findings, Finding(str(node), user.name, "connection", Level.WARN, what)]
    probes = few_probes(user, scheme.names)
    try:
        link = await open_as(node.endpoint, user.name, secret.text)
    except BusError as e:
        return [*findings, Finding(str(node), user.name, "connection", Level.FAIL, str(e))]
    try:
        return [*findings, *judged(str(node), user.name, "connection", probes, await tried(link, probes))]
    finally:
        link.abort("tried")


def judged(node: str, user: str, check: str, probes: Sequence[Probe], answers: Sequence[bool | None]) -> list[Finding]:
    """Return what probes told: each that went wrong by itself, up to a bound, or that all is well.

    Args:
        node: where it was asked.
        user: about whom.
        check: how it was asked.
        probes: the questions.
        answers: for each whether the user may; None where the server does not know the command.

    """
    wrong = []
    for probe, answer in zip(probes, answers, strict=True):
        if probe.allowed and answer is not True and probe.command not in OPTIONAL:
            wrong.append(f"{probe} is refused, and needed")
        elif answer is True and not probe.allowed:
            wrong.append(f"{probe} is allowed, and must not be")
    if not wrong:
        may = sum(probe.allowed for probe in probes)
        return [Finding(node, user, check, Level.OK, f"{may} things allowed, {len(probes) - may} refused")]
    if len(wrong) > FAILED_SHOWN_MAX:
        wrong[FAILED_SHOWN_MAX:] = [f"and {len(wrong) - FAILED_SHOWN_MAX} more"]
    return [Finding(node, user, check, Level.FAIL, what) for what in wrong]


async def _verify_replication(node: Node, scheme: Scheme, admin: Admin) -> list[Finding]:
    account = scheme.account(Role.REPLICATION)
    if account is None:
        return []
    strangers = [user for _, user in await admin.replicas() if user != account.user]
    findings = [
        Finding(
            str(node), user, "replication", Level.WARN, f"a replica is connected as this user, not as {account.user}"
        )
        for user in strangers
    ]
    if not {Place.REPLICA, Place.SIBLING} & {*node.places}:
        return findings
    name = (await admin.ask("CONFIG", "GET", "masteruser"))[1].decode()
    told = (await admin.ask("INFO", "replication")).decode()
    if name != account.user:
        what = f"replicates as {name or DEFAULT}: apply mends it"
        return [*findings, Finding(str(node), account.user, "replication", Level.FAIL, what)]
    if "master_link_status:up" not in told:
        return [*findings, Finding(str(node), account.user, "replication", Level.FAIL, "is not linked to its primary")]
    return [*findings, Finding(str(node), account.user, "replication", Level.OK, "linked; masteruser is set")]


async def _verify_others(node: Node, admin: Admin, names: set[str]) -> list[Finding]:
    findings = []
    for name in sorted(names):
        state = await admin.state(name)
        if state is None or not state.enabled:
            if name == DEFAULT:
                findings.append(Finding(str(node), name, "user", Level.OK, "switched off"))
            continue
        if name == DEFAULT:
            who = "whoever connects without a password" if "nopass" in state.flags else "who knows its password"
            findings.append(Finding(str(node), name, "user", Level.WARN, f"is on: {who} is this user"))
        else:
            findings.append(Finding(str(node), name, "user", Level.WARN, "is on, and none of these roles'"))
    return findings
