"""The default user, switched off: from then on nobody is anybody without a password.

It is switched off by another administrator, over that one's own connection, and by nobody else: so whoever switches it
off can switch it on again. Connections that are the default user's already would go on with all its rights, so they are
ended. A replica's would try to come back as nobody, so it is first waited for under its own user's name.
Source: https://valkey.io/commands/acl-setuser/ ("off"), https://valkey.io/commands/client-kill/
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from heliograph.bus.acl_admin import NAME, TIMEOUT_S, Admin, open_admin
from heliograph.bus.acl_roles import ALL, Role
from heliograph.bus.acl_scheme import DEFAULT, Node, Scheme
from heliograph.bus.link import open_link
from heliograph.errors import BusError

REPLICA_S_MAX: Final = 10.0
"""How long a replica may take to come back under its own user's name."""
_LOOK_S: Final = 0.05


async def switch_default_off(node: Node, scheme: Scheme) -> bool:
    """Switch the default user off on a node, and return whether it was on.

    Raises:
        BusError: it was not switched off; the code says why: `no_other_admin` where no other administrator could be
            proved, `replica_uses_default` where a replica knows no other user. Or it was, and the server still lets
            nobody in.

    """
    async with _other_admin(node, scheme) as admin:
        if not await _is_on(admin):
            return False
        await _move_replicas(admin)
        await admin.ask("ACL", "SETUSER", DEFAULT, "off")
        if await _is_on(admin):
            raise BusError(f"{admin.endpoint}: the default user is still on")
        await admin.ask("CLIENT", "KILL", "USER", DEFAULT)
        await admin.persist(settings=False)
    await _refuses_nobody(node)
    return True


@contextlib.asynccontextmanager
async def _other_admin(node: Node, scheme: Scheme) -> AsyncIterator[Admin]:
    """Connect as the scheme's administrator, and prove that it is one."""
    account = scheme.account(Role.ADMIN)
    if account is None or account.secret is None or account.secret.text is None:
        raise BusError(f"{node}: no administrator's password is given", "no_other_admin")
    as_admin = msgspec.structs.replace(node.endpoint, username=account.user, password=account.secret.text)
    async with contextlib.AsyncExitStack() as stack:
        try:
            admin = await stack.enter_async_context(open_admin(as_admin))
            await admin.ask("ACL", "LIST")
            state = await admin.state(account.user)
        except BusError as e:
            raise BusError(f"{node}: {account.user} is no administrator there: {e}", "no_other_admin") from e
        able = state is not None and any(part.commands == {ALL} and "RW~*" in part.keys for part in state.parts)
        if admin.user != account.user or admin.user == DEFAULT or not able:
            raise BusError(f"{node}: {account.user} may not do everything there", "no_other_admin")
        yield admin


async def _is_on(admin: Admin) -> bool:
    state = await admin.state(DEFAULT)
    return state is not None and state.enabled


async def _move_replicas(admin: Admin) -> None:
    """Make replicas that are connected as the default user connect anew, and wait until they are somebody."""
    before = await admin.replicas()
    nobody = [number for number, user in before if user == DEFAULT]
    for number in nobody:
        with contextlib.suppress(BusError):  # It has gone by itself.
            await admin.ask("CLIENT", "KILL", "ID", number)
    if not nobody:
        return
    try:
        async with asyncio.timeout(REPLICA_S_MAX):
            while True:
                users = [user for _, user in await admin.replicas()]
                if DEFAULT in users:
                    break
                if len(users) >= len(before):
                    return
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        pass
    raise BusError(
        f"{admin.endpoint}: a replica knows no user but the default one; set its masteruser and masterauth first",
        "replica_uses_default",
    )


async def _refuses_nobody(node: Node) -> None:
    nobody = msgspec.structs.replace(node.endpoint, username=None, password=None)
    try:
        link = await open_link(nobody, name=NAME, timeout_s=TIMEOUT_S)
    except BusError as e:
        if e.code == "NOAUTH":
            return
        raise
    link.abort("let in")
    raise BusError(f"{node}: the default user is off, and still whoever comes is let in")
