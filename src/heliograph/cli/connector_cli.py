"""`connector-cli`: quotes of a venue's market, one a line, as the OHLCV connector's document has it.

What runs is imported when it runs, so that Ctrl-C is heard as early as can be.
"""

import sys
from typing import Annotated

import typer

from heliograph.cli.main import MARKET_HELP, Simulated
from heliograph.cli.main import run as run_command

PROGRAM = "connector-cli"

Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        envvar="HELIOGRAPH_ENDPOINT",
        show_envvar=True,
        help="http://host:port of the venue to use instead of the real one.",
    ),
]
Valkey = Annotated[str | None, typer.Option("--valkey", help="Also publish to the server at this URL.")]
Speed = Annotated[float, typer.Option("--speed", help="With --simulated: simulated seconds per second.", min=1)]

commands = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@commands.command()
def connect(
    exchange: Annotated[str, typer.Argument(help="Which venue, such as binance or okx.")],
    symbols: Annotated[list[str], typer.Argument(help="The venue's own, such as BTCUSDT, or BTC/USDT, BTC/USDT:USDT.")],
    market: Annotated[str | None, typer.Option(help=MARKET_HELP)] = None,
    limit: Annotated[int, typer.Option(help="Quotes to print; 0: for ever.", min=0)] = 10,
    simulated: Simulated = False,
    endpoint: Endpoint = None,
    valkey: Valkey = None,
    speed: Speed = 1.0,
) -> int:
    """Print quotes of one-minute candles."""
    from heliograph.app import Where
    from heliograph.cli.quotes import Wish, quotes

    return quotes(Wish(exchange, market, tuple(symbols), limit), Where(simulated, endpoint, speed), valkey)


def main() -> None:
    """Enter from the shell."""
    sys.exit(run_command(typer.main.get_command(commands), name=PROGRAM))
