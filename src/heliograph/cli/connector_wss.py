"""`connector-wss`: the WebSocket server, as the OHLCV connector's document has it."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Annotated

import typer

from heliograph import config
from heliograph.app import Where, configure_logging, open_gateway, open_source, open_venues, run_loop, terminations
from heliograph.cli.connector_cli import Endpoint, Speed, Valkey
from heliograph.cli.main import Simulated
from heliograph.cli.main import run as run_command
from heliograph.clock import SystemClock
from heliograph.config import ConnectorSettings
from heliograph.metrics import FeedCollector

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
    settings = config.load(ConnectorSettings, wss_host=host, wss_port=port, wss_health_check_port=probe_port)
    configure_logging(log_level or settings.wss_log_level)
    return run_loop(_serve(settings, Where(simulated, endpoint, speed), valkey))


async def _serve(settings: ConnectorSettings, where: Where, valkey_url: str | None) -> int:
    clock, collector = SystemClock(), FeedCollector()
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(terminations(stop.set))
        venues = await stack.enter_async_context(open_venues(where))
        source = await stack.enter_async_context(open_source(settings, collector, clock, valkey_url))
        gateway = await stack.enter_async_context(open_gateway(source, venues, settings, collector, clock))
        addresses = {"websocket": f"ws://{gateway.server.address}"}
        if gateway.probes is not None:
            addresses["probes"] = f"http://{gateway.probes.address}"
        print(json.dumps(addresses), flush=True)
        await stop.wait()
    return 0


def main() -> None:
    """Enter from the shell."""
    sys.exit(run_command(typer.main.get_command(commands), name=PROGRAM))
