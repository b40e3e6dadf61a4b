"""`connector-wss`: the WebSocket server, as the OHLCV connector's document has it.

What runs is imported when it runs, so that Ctrl-C is heard as early as can be.
"""

import sys
from typing import Annotated

import typer

from heliograph.cli.connector_cli import Endpoint, Speed, Valkey
from heliograph.cli.main import Simulated
from heliograph.cli.main import run as run_command

PROGRAM = "connector-wss"

commands = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@commands.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: the settings (127.0.0.1).")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on, 0 for a free one; default: the settings (8765).")
    ] = None,
    probe_port: Annotated[
        int | None, typer.Option(help="The probes' port, 0 for a free one; default: the settings (8766).")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING, ERROR or CRITICAL.")] = None,
    simulated: Simulated = False,
    endpoint: Endpoint = None,
    valkey: Valkey = None,
    speed: Speed = 1.0,
) -> int:
    """Serve quotes over WebSocket until SIGTERM or Ctrl-C; the addresses are one line of JSON on stdout."""
    from heliograph.app import Where
    from heliograph.cli.quote_server import serve_quotes

    where = Where(simulated, endpoint, speed)
    return serve_quotes(where, valkey, host=host, port=port, probe_port=probe_port, log_level=log_level)


def main() -> None:
    """Enter from the shell."""
    sys.exit(run_command(typer.main.get_command(commands), name=PROGRAM))
