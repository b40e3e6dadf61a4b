"""`heliograph`: the command line. Each command lives in a file of its own and is imported when it runs."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from heliograph import __version__
from heliograph.cli.acl_commands import acl_app
from heliograph.cli.settle_commands import settle_app
from heliograph.errors import ConfigError, HeliographError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

# Typer brings its own click, or uses the one beside it, by version: both have this pair of bases.
_UsageError: Any = typer.BadParameter.__base__
_ClickError: Any = _UsageError.__base__

app = typer.Typer(
    name="heliograph",
    help="Market data, execution, settlement and cache on one backbone.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Show, check or explain the settings.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(config_app, name="config")
app.add_typer(acl_app, name="acl")
app.add_typer(settle_app, name="settle")

MARKET_HELP = "Such as spot, usdm (um) or coinm (cm); Binance needs it, and a symbol such as BTC/USDT:USDT tells it."
Market = Annotated[str | None, typer.Option("--market", "-m", help=MARKET_HELP)]
Simulated = Annotated[bool, typer.Option("--simulated", help="Use a simulated venue, started for this command.")]
Endpoint = Annotated[
    str | None, typer.Option("--endpoint", help="http://host:port of the venue to use instead of the real one.")
]
Channels = Annotated[
    list[str] | None, typer.Option("--channel", "-c", help="candles, ticker, trades or book; may be repeated.")
]
Interval = Annotated[str, typer.Option("--interval", "-i", help="Length of the candles, such as 1m or 1h.")]
Lines = Annotated[str, typer.Option("--output", "-o", help="jsonl, or csv for events of one kind.")]
Kind = Annotated[str | None, typer.Option("--kind", help="Of csv: candle, trade, …; default: what comes first.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"heliograph {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Market data, execution, settlement and cache on one backbone."""


@app.command()
def demo(
    headless: Annotated[bool, typer.Option("--headless", help="No table; lines of text and a JSON summary.")] = False,
    duration: Annotated[float | None, typer.Option(help="Seconds to run; default: until Ctrl-C.", min=5)] = None,
    speed: Annotated[float, typer.Option(help="Simulated seconds per second.", min=1, max=600)] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulated world.")] = 7,
    venue: Annotated[
        list[str] | None, typer.Option("--venue", help="Only this venue; may be repeated. Default: all.")
    ] = None,
) -> None:
    """Watch live candles of simulated venues flow through a server to a gateway and your screen."""
    from heliograph.cli.demo import demo as run

    _finish(run(headless=headless, duration_s=duration, speed=speed, seed=seed, venues=venue or ()))


@app.command()
def stream(
    venue: Annotated[str, typer.Argument(help="Which venue, such as binance.")],
    symbols: Annotated[list[str], typer.Argument(help="BTCUSDT, BTC/USDT, BTC/USDT:USDT: all are understood.")],
    market: Market = None,
    channel: Channels = None,
    interval: Interval = "1m",
    limit: Annotated[int, typer.Option(help="Stop after this many events; 0: never.", min=0)] = 0,
    output: Annotated[str, typer.Option("--output", "-o", help="table, jsonl or csv.")] = "table",
    simulated: Simulated = False,
    endpoint: Endpoint = None,
    valkey: Annotated[str | None, typer.Option("--valkey", help="Also publish to the server at this URL.")] = None,
    speed: Annotated[float, typer.Option(help="With --simulated: simulated seconds per second.", min=1)] = 1.0,
) -> None:
    """Print market data as it happens; needs no server."""
    from heliograph.app import Where
    from heliograph.cli.stream import stream as run
    from heliograph.cli.wish import Wish

    where = Where(simulated, endpoint, speed)
    wish = Wish(venue, market, symbols, channel or ["candles"], interval, where, valkey)
    _finish(run(wish, limit, output))


@app.command()
def capture(
    venue: Annotated[str, typer.Argument(help="Which venue, such as binance.")],
    symbols: Annotated[list[str], typer.Argument(help="BTCUSDT, BTC/USDT, BTC/USDT:USDT: all are understood.")],
    file: Annotated[Path, typer.Option("--file", "-f", help="Where to write; compressed when it ends in .zst.")],
    market: Market = None,
    channel: Channels = None,
    interval: Interval = "1m",
    duration: Annotated[float | None, typer.Option(help="Seconds to capture; default: until Ctrl-C.", min=0.1)] = None,
    simulated: Simulated = False,
    endpoint: Endpoint = None,
    speed: Annotated[float, typer.Option(help="With --simulated: simulated seconds per second.", min=1)] = 1.0,
) -> None:
    """Write raw frames with their times to a file, for `replay`."""
    from heliograph.app import Where
    from heliograph.cli.capture import capture as run
    from heliograph.cli.wish import Wish

    wish = Wish(venue, market, symbols, channel or ["candles"], interval, Where(simulated, endpoint, speed))
    _finish(run(wish, file, duration))


@app.command()
def backfill(
    venue: Annotated[str, typer.Argument(help="Which venue, such as binance.")],
    symbols: Annotated[list[str], typer.Argument(help="BTCUSDT, BTC/USDT, BTC/USDT:USDT: all are understood.")],
    begin: Annotated[str, typer.Option("--from", help="First open time: 2026-01-31, 2026-01-31T09:30; UTC.")],
    end: Annotated[str | None, typer.Option("--to", help="First open time not wanted; default: the present.")] = None,
    market: Annotated[
        list[str] | None, typer.Option("--market", "-m", help="As `stream` takes it; may be repeated.")
    ] = None,
    interval: Interval = "1m",
    output: Annotated[str | None, typer.Option("--output", "-o", help="csv (default), parquet or stream.")] = None,
    directory: Annotated[Path, typer.Option("--directory", "-d", help="Where one file a series goes.")] = Path(),
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="The file, for one series; .csv or .parquet.")
    ] = None,
    valkey: Annotated[str | None, typer.Option("--valkey", help="URL of the server that the streams are on.")] = None,
    key_prefix: Annotated[str, typer.Option(help="What to put in front of the streams' names.")] = "",
    concurrency: Annotated[int, typer.Option(help="Parts asked for at once.", min=1, max=64)] = 8,
    part: Annotated[int, typer.Option(help="Candles of a part, which is what a kill can cost.", min=1)] = 2997,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 if the venue itself has holes.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
    simulated: Simulated = False,
    endpoint: Endpoint = None,
) -> None:
    """Write past candles to files or streams; go on after any interruption; prove that none is missing."""
    from heliograph.app import Where
    from heliograph.cli.backfill import Order
    from heliograph.cli.backfill import backfill as run

    order = Order(
        venue=venue,
        markets=market or [],
        symbols=symbols,
        begin=begin,
        end=end,
        interval=interval,
        output=output,
        directory=directory,
        file=file,
        where=Where(simulated, endpoint),
        valkey_url=valkey,
        key_prefix=key_prefix,
        concurrency=concurrency,
        part_candles=part,
        strict=strict,
        as_json=json,
    )
    _finish(run(order))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A capture, from `capture` or elsewhere in its format.")],
    venue: Annotated[str, typer.Option("--venue", help="Whose frames they are.")],
    market: Market = None,
    book_digest: Annotated[
        bool, typer.Option("--book-digest", help="Only each book's digest and counters at the end, as JSON.")
    ] = False,
    speed: Annotated[float, typer.Option(help="Times as fast as recorded; 0: as fast as possible.", min=0)] = 0.0,
    output: Lines = "jsonl",
    kind: Kind = None,
) -> None:
    """Feed a capture through the live codecs, and print the events as JSON lines, or one kind of them as CSV."""
    from heliograph.cli.replay import replay as run

    _finish(run(file, venue, market, book_digest=book_digest, speed=speed, output=output, kind=kind))


@app.command()
def decode(
    venue: Annotated[str, typer.Argument(help="Whose frames they are.")],
    file: Annotated[str, typer.Argument(help="One raw frame a line; - for standard input.")],
    market: Market = None,
    output: Lines = "jsonl",
    kind: Kind = None,
) -> None:
    """Print the events of raw frames as JSON lines, or one kind as CSV; exit code 1 if a line could not be read."""
    from heliograph.cli.decode import decode as run

    _finish(run(venue, file, market, output=output, kind=kind))


@app.command()
def batch(
    venues: Annotated[
        list[str] | None, typer.Argument(help="VENUE or VENUE:MARKET, such as okx or binance:spot; default: all.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Symbols of a batch.", min=1)] = 100,
    limit: Annotated[int, typer.Option(help="Quotes after which a batch is done.", min=1)] = 60,
    concurrency: Annotated[int, typer.Option(help="Batches at once.", min=1)] = 24,
    symbols: Annotated[int | None, typer.Option(help="Only this many symbols of each market.", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object in place of the table.")] = False,
    simulated: Simulated = False,
    endpoint: Endpoint = None,
    speed: Annotated[float, typer.Option(help="With --simulated: simulated seconds per second.", min=1)] = 1.0,
) -> None:
    """Hear all symbols of all venues in batches; exit code 1 if a batch was refused or a market told nothing."""
    from heliograph.app import Where
    from heliograph.cli.batch import Run
    from heliograph.cli.batch import batch as run

    wanted = Run(venues or (), batch_size, limit, concurrency, symbols)
    _finish(run(wanted, Where(simulated, endpoint, speed), as_json=as_json))


@app.command()
def simulate(
    venues: Annotated[list[str] | None, typer.Argument(help="Which venues to play; default: binance.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed, epoch and speed make the same world.")] = 1,
    speed: Annotated[float, typer.Option(help="Simulated seconds per second.")] = 1.0,
    symbols: Annotated[int, typer.Option(help="Coins that each market lists; BTC and ETH come first.", min=1)] = 10,
    epoch_ns: Annotated[int | None, typer.Option(help="For a restart: the epoch that was printed.")] = None,
    history_minutes: Annotated[int, typer.Option(help="Minutes of trading before the epoch.", min=1)] = 360,
    faults_per_minute: Annotated[float, typer.Option(help="How much goes wrong by itself.", min=0)] = 0.0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        list[str] | None, typer.Option("--port", help="A market's port, such as spot=9443; may be repeated.")
    ] = None,
    tls: Annotated[
        Path | None, typer.Option("--tls", help="Serve TLS too, and write the certificate to be trusted here.")
    ] = None,
    until_eof: Annotated[
        bool, typer.Option("--until-eof", help="End when the standard input does, as when its writer was killed.")
    ] = False,
) -> None:
    """Run simulated venues; the endpoints of each are one line of JSON on stdout."""
    from heliograph.cli.simulate import simulate as run

    names = venues or ["binance"]
    where = (host, port or (), tls)
    run(names, seed, speed, symbols, epoch_ns, history_minutes, faults_per_minute, *where, until_eof=until_eof)


@app.command()
def serve(
    role: Annotated[
        str, typer.Argument(help="all, feed (venues to server), gateway (server to clients), custodian or exchange.")
    ],
    symbols: Annotated[
        list[str] | None, typer.Argument(help="VENUE:MARKET:SYMBOL, such as binance:spot:BTCUSDT or okx:BTC-USDT.")
    ] = None,
    channel: Channels = None,
    interval: Interval = "1m",
    valkey: Annotated[str | None, typer.Option("--valkey", help="URL of the server; default: the settings.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: the settings.")] = None,
    port: Annotated[int | None, typer.Option(help="The gateway's port; default: the settings (8765).")] = None,
    probe_port: Annotated[int | None, typer.Option(help="The probes' port; default: the settings (8766).")] = None,
    shard: Annotated[
        str | None,
        typer.Option("--shard", help="I/N: serve a fixed part; default: share with whatever feeds are up."),
    ] = None,
    simulated: Simulated = False,
    endpoint: Endpoint = None,
    settings: Annotated[Path | None, typer.Option("--config", help="A TOML file of settings.")] = None,
) -> None:
    """Run for good: a feed, a gateway, or both, or one party to settlement; SIGTERM drains and stops.

    A custodian and an exchange go by the settings alone ([settlement], or --config), and have probes where --probe-port
    is given.
    """
    from heliograph.app import Where
    from heliograph.cli.serve import Wanted
    from heliograph.cli.serve import serve as run

    if role in ("custodian", "exchange"):
        _serve_party(
            role,
            settings,
            host,
            probe_port,
            given=bool(symbols or channel or valkey or port or shard or simulated or endpoint),
        )
        return
    where = Where(simulated, endpoint)
    wanted = Wanted(role, symbols or [], channel or ["candles"], interval, where, valkey, host, port, probe_port, shard)
    _finish(run(wanted, settings))


def _serve_party(role: str, settings: Path | None, host: str | None, probe_port: int | None, *, given: bool) -> None:
    if given:
        raise ConfigError(
            f"serve {role} goes by the settings alone",
            ("--config FILE", "HELIOGRAPH_SETTLEMENT_…", "--probe-port", "--host of the probes"),
        )
    from heliograph.cli import serve_custodian, serve_exchange

    _finish((serve_custodian if role == "custodian" else serve_exchange).serve(settings, host, probe_port))


@config_app.command("show")
def config_show(
    settings: Annotated[Path | None, typer.Option("--config", help="A TOML file of settings.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print every setting, its value and what it means."""
    from heliograph.cli.settings import show

    _finish(show(settings, as_json=json))


@config_app.command("check")
def config_check(
    settings: Annotated[Path | None, typer.Option("--config", help="A TOML file of settings.")] = None,
) -> None:
    """Read every source of settings and say whether they can be used."""
    from heliograph.cli.settings import check

    _finish(check(settings))


@config_app.command("doc")
def config_doc(
    env: Annotated[bool, typer.Option("--env", help="As a file for .env, instead of Markdown.")] = False,
) -> None:
    """Print what every setting means, with its default, unit and bounds."""
    from heliograph.cli.settings import doc

    _finish(doc(as_env=env))


@app.command()
def doctor(
    url: Annotated[str | None, typer.Option("--valkey", help="URL of the server; default: the settings.")] = None,
    venue: Annotated[
        list[str] | None, typer.Option("--venue", help="Also look at this venue; may be repeated, or `all`.")
    ] = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="With --venue: simulated, without network.")] = False,
    directory: Annotated[Path, typer.Option("--directory", help="Where captures and files would go.")] = Path(),
    settings: Annotated[Path | None, typer.Option("--config", help="A TOML file of settings.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Look for what could be in the way: machine, settings, server, ports, venues; exit code 1 if something is."""
    from heliograph.cli.doctor import Patient
    from heliograph.cli.doctor import doctor as run

    _finish(run(Patient(url, tuple(venue or ()), simulated, directory, settings), as_json=json))


def _finish(code: int | None) -> None:
    if code:
        raise typer.Exit(code)


def run(command: Callable[..., Any], arguments: list[str] | None = None, name: str = "heliograph") -> int:
    """Run a click command and turn whatever happens into an exit code and at most one line on stderr.

    Args:
        command: a click command.
        arguments: what to parse; default: the process's own.
        name: how the program calls itself in its messages.

    """
    _open_standard_streams()
    try:
        outcome = command(args=arguments, prog_name=name, standalone_mode=False)
    except _ClickError as e:
        typer.echo(_usage(name, e), err=True)
        return EXIT_USAGE
    except ConfigError as e:
        typer.echo(f"{name}: {e}", err=True)
        return EXIT_USAGE
    except HeliographError as e:
        typer.echo(f"{name}: {e}", err=True)
        return EXIT_FAILED
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except SystemExit as e:
        if isinstance(e.__context__, BrokenPipeError):  # The reader of our output left: nothing is wrong.
            return 0
        raise
    except (
        OSError
    ) as e:  # A full disk behind our output, most likely; what we open ourselves is told where it is opened.
        typer.echo(f"{name}: {e.strerror or e}", err=True)
        return EXIT_FAILED
    return outcome if isinstance(outcome, int) else 0


def _open_standard_streams() -> None:
    """Put nothing in the place of each standard stream that we were started without.

    The first sockets would get their numbers, and the event loop ends the process when one of those is closed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # The lowest number that is free, so this one.
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _usage(name: str, error: Any) -> str:
    said = str(error.format_message())
    context = getattr(error, "ctx", None)
    if said.startswith("Usage:"):  # Called with nothing: the help is the answer.
        return said
    line = f"{name}: {' '.join(said.split()).rstrip('.')}"
    commands = getattr(getattr(context, "command", None), "commands", None)
    if commands and "No such command" in said:
        return f"{line}; accepted: {', '.join(commands)}"
    return f"{line}; see {context.command_path} --help" if context is not None else line


def main() -> None:
    """Enter from the shell."""
    sys.exit(run(typer.main.get_command(app)))
