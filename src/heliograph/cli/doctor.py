"""`heliograph doctor`: what could be in the way, found before it is."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from heliograph import app, config
from heliograph.cli import machine_checks, server_checks, venue_checks
from heliograph.cli.finding import LOOK_S_MAX, Finding, Verdict, fail, look, ok
from heliograph.config import BusSettings, ConnectorSettings
from heliograph.errors import ConfigError
from heliograph.venues import VENUES, find_venue
from heliograph.venues.contract import Market

SERVER_S_MAX: Final = 3 * LOOK_S_MAX
"""Each of a server's nodes is connected to by itself."""
_STYLES: Final = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


class Patient(msgspec.Struct, frozen=True):
    """What to look at."""

    url: str | None = None
    """Of the server; None: what the settings say."""
    venues: Sequence[str] = ()
    """By name; `all` is every one."""
    simulated: bool = False
    """Whether venues are simulated ones, started for this."""
    directory: Path = Path()
    """Where captures would go."""
    settings: Path | None = None
    """A TOML file of settings."""


def doctor(patient: Patient, *, as_json: bool) -> int:
    """Look at everything, print what was found, and return 1 if something cannot work.

    Args:
        patient: what to look at.
        as_json: one JSON object instead of a table.

    Raises:
        ConfigError: there is no such venue.

    """
    names = [*VENUES] if "all" in patient.venues else [find_venue(name).name for name in patient.venues]
    if patient.simulated and not names:
        raise ConfigError("--simulated without --venue", ("--venue NAME --simulated", "neither"))

    async def run() -> int:
        findings = await _look_at_all(patient, [str(name) for name in names])
        failed = any(finding.verdict is Verdict.FAIL for finding in findings)
        if as_json:
            print(msgspec.json.format(msgspec.json.encode({"ok": not failed, "findings": findings})).decode())
        else:
            _print(findings)
        return 1 if failed else 0

    return app.run_loop(run())


async def _look_at_all(patient: Patient, venues: Sequence[str]) -> list[Finding]:
    connector, bus = _settings(ConnectorSettings, patient.settings), _settings(BusSettings, patient.settings)
    url = app.server_url(bus, patient.url)
    first = [machine_checks.python(), *machine_checks.libraries(), *machine_checks.settings(patient.settings)]
    looks: list[Coroutine[None, None, list[Finding]]] = [
        look("ports", machine_checks.ports(connector), "look at CONNECTOR_WSS_HOST"),
        look("embedded server", machine_checks.embedded(bus, needed=url is None), "is the machine overloaded?",
             look_s_max=2 * LOOK_S_MAX),
    ]  # fmt: skip
    if url is not None:
        advice = "is the server overloaded, or a firewall between?"
        looks.append(look("server", server_checks.server(url, bus.feed_lease), advice, look_s_max=SERVER_S_MAX))
    async with AsyncExitStack() as stack:
        for name in venues:
            try:
                looks += [_look_at(market) for market in await _markets(stack, name, simulated=patient.simulated)]
            except ConfigError as e:  # Known, but without a simulator.
                first.append(fail(name, str(e), "without --simulated"))
        found = await asyncio.gather(*looks)
    last = [machine_checks.files(), machine_checks.disk(patient.directory)]
    if url is None:
        last.append(ok("server", "no URL is set: commands embed one of their own"))
    return [*first, *(finding for part in found for finding in part), *last]


def _settings(section: type[config.Section], file: Path | None) -> config.Section:
    """Return a section, or its defaults where it cannot be read, which is a finding of its own."""
    try:
        return config.load(section, file)
    except ConfigError:
        return section.model_construct()


async def _markets(stack: AsyncExitStack, name: str, *, simulated: bool) -> list[Market]:
    venues = await stack.enter_async_context(app.open_venues(app.Where(simulated=simulated), name))
    return [*find_venue(name, venues).markets.values()]


def _look_at(market: Market) -> Coroutine[None, None, list[Finding]]:
    check = f"{market.venue} {market.market}"
    return look(check, venue_checks.market(market), "a firewall or proxy between?", look_s_max=2 * LOOK_S_MAX)


def _print(findings: Sequence[Finding]) -> None:
    table = Table(box=None, header_style="bold")
    for heading in ("check", "", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        verdict = Text(finding.verdict.value, style=_STYLES[finding.verdict])
        table.add_row(Text(finding.check), verdict, Text(finding.found), Text(finding.advice))
    Console().print(table)
    failed = sum(finding.verdict is Verdict.FAIL for finding in findings)
    warned = sum(finding.verdict is Verdict.WARN for finding in findings)
    print(f"{len(findings)} findings: {failed} to mend, {warned} to think about")
