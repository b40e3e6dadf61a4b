"""`connector-cli`: quotes of a venue's market, one a line, as the OHLCV connector's document has it."""

import sys
from contextlib import AsyncExitStack
from typing import Annotated

import msgspec
import typer

from heliograph import config
from heliograph.app import Where, configure_logging, open_hub, open_source, open_venues, run_loop, terminations
from heliograph.cli.main import EXIT_FAILED, Simulated
from heliograph.cli.main import run as run_command
from heliograph.clock import SystemClock
from heliograph.config import ConnectorSettings
from heliograph.errors import VenueUnreachable
from heliograph.gateway.names import find_market
from heliograph.gateway.protocol import line
from heliograph.gateway.stream import Stream
from heliograph.metrics import FeedCollector
from heliograph.model.interval import Interval
from heliograph.model.market import Channel, Gap
from heliograph.venues.contract import Subscription

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


class Wish(msgspec.Struct, frozen=True):
    """What the user wants to see."""

    exchange: str
    market: str | None
    symbols: tuple[str, ...]
    limit: int
    """Quotes to print; 0: for ever."""


@commands.command()
def connect(
    exchange: Annotated[str, typer.Argument(help="Which venue, such as binance.")],
    symbols: Annotated[list[str], typer.Argument(help="Such as BTCUSDT; BTC/USDT and btcusdt mean the same.")],
    market: Annotated[str | None, typer.Option(help="spot, usdm (um) or coinm (cm); Binance needs it.")] = None,
    limit: Annotated[int, typer.Option(help="Quotes to print; 0: for ever.", min=0)] = 10,
    simulated: Simulated = False,
    endpoint: Endpoint = None,
    valkey: Valkey = None,
    speed: Speed = 1.0,
) -> int:
    """Print quotes of one-minute candles."""
    settings = config.load(ConnectorSettings)
    configure_logging(settings.log_level)
    wish = Wish(exchange, market, tuple(symbols), limit)
    return run_loop(_print(settings, wish, Where(simulated, endpoint, speed), valkey))


async def _print(settings: ConnectorSettings, wish: Wish, where: Where, valkey_url: str | None) -> int:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        venues = await stack.enter_async_context(open_venues(where))
        market = find_market(wish.exchange, wish.market, venues)
        source = await stack.enter_async_context(open_source(settings, FeedCollector(), clock, valkey_url))
        instruments = await source.instruments(market, wish.symbols)
        hub = await stack.enter_async_context(open_hub(source, clock))
        wanted = [Subscription(Channel.CANDLES, instrument, Interval.M1) for instrument in instruments]
        stream = await stack.enter_async_context(Stream(hub, wanted, idle_s=settings.stream_idle_timeout))
        stack.enter_context(terminations(stream.end))
        try:
            await _print_quotes(stream, wish.limit)
        except VenueUnreachable as e:
            print(e.reason, flush=True)
            return EXIT_FAILED
    return 0


async def _print_quotes(stream: Stream, limit: int) -> None:
    printed = 0
    async for event in stream:
        if isinstance(event, Gap):
            print(f"{PROGRAM}: candles of {event.instrument.venue_symbol} are missing: {event.reason}", file=sys.stderr)
            continue
        print(line(event), flush=True)
        printed += 1
        if printed == limit:
            return


def main() -> None:
    """Enter from the shell."""
    sys.exit(run_command(typer.main.get_command(commands), name=PROGRAM))
