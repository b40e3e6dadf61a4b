"""Both parties to settlement as settings files for the command line, over real servers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import typer

from heliograph.bus.embedded_pair import Pair
from heliograph.cli.main import app, run
from heliograph.cli.settle_keys import keys
from tests.cli.commands import Process, running

COMMAND = typer.main.get_command(app)


class Parties(msgspec.Struct, frozen=True):
    """Where the settings of each party are."""

    directory: Path

    @property
    def custodian(self) -> tuple[str, str]:
        """The option that makes a command the custodian's."""
        return "--config", str(self.directory / "custodian.toml")

    @property
    def exchange(self) -> tuple[str, str]:
        """The option that makes a command the exchange's."""
        return "--config", str(self.directory / "exchange.toml")

    @property
    def control(self) -> Path:
        """The custodian's socket."""
        return self.directory / "control.sock"

    @property
    def journal(self) -> Path:
        """The exchange's file."""
        return self.directory / "exchange.sqlite"

    @contextmanager
    def serving(self) -> Iterator[tuple[Process, Process]]:
        """Run both services, until each has said where it is."""
        with (
            running("serve", "custodian", *self.custodian) as ours,
            running("serve", "exchange", *self.exchange) as two,
        ):
            ours.line()
            two.line()
            yield ours, two

    def settle(self, *arguments: str, exchange: bool = False, code: int = 0) -> str:
        """Run a command of one party's in this process, and return what it printed."""
        printed = StringIO()
        with redirect_stdout(printed):
            ended = run(COMMAND, ["settle", *arguments, *(self.exchange if exchange else self.custodian)])
        assert ended == code, printed.getvalue()
        return printed.getvalue()

    def told(self, *arguments: str, exchange: bool = False, code: int = 0) -> Any:
        """Run a command with `--json`, and return what it told."""
        return json.loads(self.settle(*arguments, "--json", exchange=exchange, code=code))


def parties(pair: Pair, link: str, directory: Path, decide: str = "accept", payer: str = "", **more: str) -> Parties:
    """Make keys and settings of both parties of a link; more are the exchange's."""
    made = Parties(directory)
    for name, reader in (("custodian-1", "exchange"), ("exchange-1", "custodian")):
        printed = StringIO()
        with redirect_stdout(printed):
            keys(name, directory)
        (directory / f"{reader}.keys").write_text(printed.getvalue())
    shared = {"link": link, "replica": pair.replica.url}
    ours = {
        "primary": pair.primary.url,
        "key": str(directory / "custodian-1.pem"),
        "peer_keys": str(directory / "custodian.keys"),
        "control_socket": str(made.control),
        "dispute_window": "0",
    }
    if payer:
        ours["payer"] = payer
    theirs = {
        "journal": str(made.journal),
        "key": str(directory / "exchange-1.pem"),
        "peer_keys": str(directory / "exchange.keys"),
        "decide": decide,
    }
    for (_, path), values in ((made.custodian, shared | ours), (made.exchange, shared | theirs | more)):
        lines = [f'{name} = "{value}"' for name, value in values.items()]
        Path(path).write_text("\n".join(["[settlement]", *lines]) + "\n")
    return made
