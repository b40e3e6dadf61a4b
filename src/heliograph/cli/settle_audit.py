"""`heliograph settle audit`: the custodian's journal against all that its primary holds, there or from an export."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

from heliograph import app
from heliograph.bus import link_keys
from heliograph.bus.asker import Asker
from heliograph.cli.settle_parties import Party
from heliograph.cli.settle_table import print_json, print_table
from heliograph.errors import ConfigError, SettlementError
from heliograph.settlement import export as exports
from heliograph.settlement.audit import Audit, Auditor
from heliograph.settlement.audit import audit as audited
from heliograph.settlement.census import walk

SHOWN_MAX: Final = 100
"""Findings of a table; JSON has them all."""


def audit(settings: Path | None, file: Path | None, export: Path | None, *, as_json: bool) -> int:
    """Audit, print what was found, and return 1 if anything is not as it must be.

    Args:
        settings: a TOML file of settings; an export needs none.
        file: an export; None: the primary as it is, at work or not.
        export: where to write what was audited; None: nowhere. It is never written over.
        as_json: one JSON object instead of a table.

    Raises:
        ConfigError: a file cannot be read or written, or both are given.
        DecodeError: the file is no export.
        SettlementError: `unknown_link`: there is nothing to audit.
        BusError: the primary is away or refuses.

    """
    if file is not None and export is not None:
        raise ConfigError("an export of an export", ("FILE", "--export FILE"))
    result = _online(Party(settings), export) if file is None else _offline(file)
    if as_json:
        print_json(result)
    else:
        _print(result)
    return 1 if result.findings else 0


def _online(party: Party, export: Path | None) -> Audit:
    auditor = Auditor(party.link)
    with ExitStack() as stack:
        written = None if export is None else stack.enter_context(_created(export))
        if written is not None:
            written.write(exports.opening(party.link))

        async def run() -> int:
            async with Asker(party.primary, name="heliograph-audit") as asker:
                known = (link_keys.cursor(party.link), link_keys.head(party.link), link_keys.journal(party.link))
                if not await asker.ask("EXISTS", *known):
                    raise SettlementError("unknown_link", f"the primary knows no link {party.link!r}")
                async for item in walk(asker, auditor):
                    if written is not None:
                        written.write(exports.line(item))
            return 0

        app.run_loop(run())
    return auditor.result()


def _offline(file: Path) -> Audit:
    try:
        with file.open("rb") as lines:
            return audited(exports.read_opening(lines.readline()), exports.read(_all(lines)))
    except OSError as e:
        raise ConfigError(f"{file} cannot be read: {e.strerror}") from e


def _all(lines: BinaryIO) -> Iterator[bytes]:
    yield from lines


def _created(path: Path) -> BinaryIO:
    try:
        return path.open("xb")
    except OSError as e:
        raise ConfigError(f"{path} cannot be written: {e.strerror}") from e


def _print(result: Audit) -> None:
    if result.findings:
        print_table(
            ("entry", "kind", "where", "what", "expected", "found"),
            [(f.n, f.kind, f.account, f.what, f.expected, f.found) for f in result.findings[:SHOWN_MAX]],
        )
    count = len(result.findings) + result.more
    print(f"link {result.link}: {result.entries} entries replayed, {result.keys} keys compared, {count} findings")
    print(f"head: entry {result.head.n}, {result.head.hash}")
    for unseen in result.unseen:
        print(f"not looked at: {unseen.place}: {unseen.why}")
    if result.findings:
        first = result.findings[0]
        print(f"the first: {first.kind} at entry {first.n}{first.account and f', {first.account}'}")
