"""`heliograph serve custodian`: the one process that writes a link's books at the custodian."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from heliograph import app
from heliograph.cli import settle_control as control
from heliograph.cli.settle_control import Control
from heliograph.cli.settle_parties import Party
from heliograph.cli.settle_payer import paying
from heliograph.clock import SystemClock
from heliograph.errors import SettlementError
from heliograph.gateway.probes import open_probes
from heliograph.metrics import LinkCollector, LinkMetrics
from heliograph.model.settlement import positive
from heliograph.settlement.credit import Request
from heliograph.settlement.custodian import Custodian, CustodianSettings

WAIT_S_MAX: Final = 3_600.0


class Told(msgspec.Struct, frozen=True):
    """How a custodian is."""

    link: str
    halted: str
    """Why no more answers are taken; empty while they are."""
    refused: int
    """The exchange's messages that were not accepted since the start."""


def serve(file: Path | None, host: str | None = None, probe_port: int | None = None) -> int:
    """Run until SIGTERM or Ctrl-C, then finish the commands that are under way; return the exit code.

    Args:
        file: a TOML file of settings.
        host: the address of the probes; None: this machine alone.
        probe_port: their port; 0: a free one; None: there are none.

    Raises:
        ConfigError: a setting is missing, or another custodian takes commands at the same socket.
        SettlementError: `fenced`: another custodian took the link over; `corrupt`, `other_head`: look at the primary.
        BusError: the primary is away, or refuses us.

    """
    party = Party(file)
    settings = party.custodian()
    app.configure_logging("INFO")
    return app.run_loop(_serve(settings, party, host, probe_port))


async def _serve(settings: CustodianSettings, party: Party, host: str | None, probe_port: int | None) -> int:
    stop = asyncio.Event()
    path, program = party.control, party.settings.payer
    custodian = Custodian(settings, payer=None if program is None else paying(program))

    async def obey(command: control.Command) -> Any:
        return await done(custodian, command)

    async with AsyncExitStack() as stack:
        stack.enter_context(app.terminations(stop.set))
        # The socket comes first: who finds another custodian there must not take the link from it.
        listening = Control(path, obey)
        await stack.enter_async_context(listening)
        await stack.enter_async_context(custodian)
        # Entered last, so left first: no command is under way when the custodian ends.
        stack.push_async_callback(listening.drain)
        await listening.open()
        about = {"role": "custodian", "link": settings.link, "control": str(path), "key": settings.signer.name}
        if probe_port is not None:
            about["probes"] = await stack.enter_async_context(probed(custodian.metrics, host, probe_port))
        print(json.dumps(about), flush=True)
        await until(stop, custodian.ended)
    return 0


@asynccontextmanager
async def probed(end: Callable[[], LinkMetrics], host: str | None, port: int) -> AsyncIterator[str]:
    """Serve one end's probes while the context lasts, and yield where; a link that is halted is not ready.

    Raises:
        ConfigError: the address cannot be listened on.

    """
    collector = LinkCollector([end])
    opened = open_probes(lambda: (), collector, SystemClock(), host or "127.0.0.1", port, lambda: not end().halted)
    async with opened as probes:
        yield f"http://{probes.address}"
        probes.lower()


async def until(stop: asyncio.Event, ended: "asyncio.Future[None] | None") -> None:
    """Wait until a service is told to stop.

    Raises:
        HeliographError: it ended by itself, and why.

    """
    assert ended is not None
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((stopping, ended), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            ended.result()
    except SettlementError as e:
        if e.code != "fenced":
            raise
        what = "another custodian has taken this link over: this one has ended, and has written nothing since"
        raise SettlementError("fenced", what) from e
    finally:
        stopping.cancel()


async def done(custodian: Custodian, command: control.Command) -> Any:
    """Do a command, and return what is to be told of it.

    Raises:
        SettlementError, BadValue: it was refused; nothing changed.
        OutcomeUnknown: the custodian ended before the primary answered.

    """
    match command:
        case control.Deposit(user, asset, amount, reference, chain, address):
            return await custodian.deposit(user, asset, positive(amount), reference, chain, address)
        case control.Withdraw(user, asset, amount, reference, chain, address):
            return await custodian.withdraw(user, asset, positive(amount), reference, chain, address)
        case control.Ask(request_id, order, wait_s):
            return await _final(custodian, await custodian.request(request_id, order), wait_s)
        case control.Cancel(request_id, reason, wait_s):
            return await _final(custodian, await custodian.cancel(request_id, reason), wait_s)
        case control.Dispute(cycle, leg, code, reason):
            return await custodian.dispute(cycle, leg, code, reason)
        case control.Retract(cycle, leg):
            return await custodian.retract(cycle, leg)
        case control.Stop(freeze):
            return await custodian.freeze(freeze)
        case control.Lift(place):
            return await custodian.unfreeze(place)
        case control.Status():
            return Told(custodian.link, custodian.halted, custodian.refused)


async def _final(custodian: Custodian, request: Request, wait_s: float) -> Request:
    """Return a request once it is decided, or as it is when nobody waits any longer."""
    if wait_s <= 0:
        return request
    try:
        return await custodian.final(request.id, min(wait_s, WAIT_S_MAX))
    except SettlementError as e:
        if e.code != "timeout":
            raise
        return await custodian.find(request.id) or request
