"""`heliograph backfill`: past candles into files or onto streams, resumed where they were, and verified."""

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from heliograph import app, config
from heliograph.app import Where, beside, open_venues, rest_settings
from heliograph.bus.opening import open_publisher, open_reader
from heliograph.cli.wish import check_channels
from heliograph.clock import SystemClock, iso_ms
from heliograph.config import BusSettings, ConnectorSettings
from heliograph.connect import rest
from heliograph.connect.listing import list_instruments
from heliograph.errors import ConfigError
from heliograph.marketdata import parquet
from heliograph.marketdata.archive import FORMATS, PARQUET, Archive, file_name
from heliograph.marketdata.collect import Collection, Outcome, Progress, Store
from heliograph.marketdata.download import Downloader
from heliograph.marketdata.history import PART_CANDLES, Series, count, instant, series
from heliograph.marketdata.timeline import Bus, Timeline
from heliograph.model.interval import Interval
from heliograph.model.market import Channel
from heliograph.venues import VENUES, find_venue, markets_of
from heliograph.venues.contract import Venue
from heliograph.venues.directory import Directory

STREAM: Final = "stream"
OUTPUTS: Final = (*FORMATS, STREAM)
EXIT_INCOMPLETE: Final = 1
EXIT_TERMINATED: Final = 143
LINE_EVERY_S: Final = 5.0
BAR_EVERY_S: Final = 0.2
HOLES_TOLD_MAX: Final = 20

Work = tuple[Series, Downloader, Store]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for."""

    venue: str
    markets: Sequence[str]
    """None at all: the one that the venue's symbols tell, or its default."""
    symbols: Sequence[str]
    begin: str
    end: str | None = None
    """None: the present."""
    interval: str = "1m"
    output: str | None = None
    """One of `OUTPUTS`; None: what the other options suggest, else CSV."""
    directory: Path = Path()
    file: Path | None = None
    where: Where = Where()
    valkey_url: str | None = None
    key_prefix: str = ""
    concurrency: int = 8
    part_candles: int = PART_CANDLES
    strict: bool = False
    as_json: bool = False


class Range(msgspec.Struct, frozen=True):
    """An order's range and kind of store, checked."""

    from_ns: int
    to_ns: int | None
    interval: Interval
    output: str


def backfill(order: Order) -> int:
    """Collect past candles until all are there, SIGTERM or Ctrl-C; return the exit code.

    Returns:
        0 if every series is whole, whatever holes the venue has; 1 if one is not, or has holes and the order is strict;
        143 after SIGTERM.

    Raises:
        ConfigError: something that was asked for does not exist, or the store cannot take it.
        KeyboardInterrupt: Ctrl-C; what was committed stays, and the same order goes on there.

    """
    settings = config.load(ConnectorSettings)
    app.configure_logging(settings.log_level)
    wanted = check(order)
    try:
        return app.run_loop(_stoppable(order, wanted, settings))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it was", file=sys.stderr)
        raise


def check(order: Order) -> Range:
    """Refuse what cannot be before anything is opened, asked or written.

    Raises:
        ConfigError: an unknown name, a time that is none, or options that contradict one another.

    """
    venue = find_venue(order.venue, VENUES)
    for name in order.markets or (None,):
        for market, _ in markets_of(venue, name, order.symbols):
            check_channels(market, [Channel.CANDLES], order.interval, past=True)
    from_ns, to_ns = instant(order.begin), None if order.end is None else instant(order.end)
    if to_ns is not None and to_ns <= from_ns:
        raise ConfigError(f"--to {order.end} is not after --from {order.begin}")
    output = order.output
    suffix = None if order.file is None else order.file.suffix.removeprefix(".")
    if output is None:
        output = STREAM if order.valkey_url is not None else suffix or FORMATS[0]
    if output not in OUTPUTS:
        raise ConfigError(f"unknown output {output!r}", OUTPUTS)
    if order.file is not None and suffix != output:
        raise ConfigError(f"--file {order.file} for --output {output}", tuple(f"NAME.{name}" for name in FORMATS))
    if (order.valkey_url is not None or order.key_prefix) and output != STREAM:
        raise ConfigError(f"--valkey or --key-prefix with --output {output}", ("--output stream",))
    if output == PARQUET:
        parquet.require()
    return Range(from_ns, to_ns, Interval(order.interval), output)


async def _stoppable(order: Order, wanted: Range, settings: ConnectorSettings) -> int:
    """Run until SIGTERM at the latest: it takes the same way out as Ctrl-C, so that nothing is left half open."""
    loop = asyncio.get_running_loop()
    running = loop.create_task(_run(order, wanted, settings))
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        running.cancel()

    with app.terminations(stop):
        try:
            return await running
        except asyncio.CancelledError:
            if not stopped.is_set():
                raise
            print("stopped; the same command goes on where it was", file=sys.stderr)
            return EXIT_TERMINATED


async def _run(order: Order, wanted: Range, settings: ConnectorSettings) -> int:
    collection = Collection(order.concurrency, order.part_candles)
    started_s = time.monotonic()
    async with AsyncExitStack() as stack:
        venues = await stack.enter_async_context(open_venues(order.where, order.venue))
        client = await stack.enter_async_context(rest.Client(rest_settings(settings), random.Random()))
        bus = await stack.enter_async_context(_open_bus(order)) if wanted.output == STREAM else None
        work = await _work(order, wanted, find_venue(order.venue, venues), client, bus)
        if order.file is not None and len(work) > 1:
            raise ConfigError("--file for several instruments", ("--directory", "one instrument"))
        async with beside(_show(collection.progress, terminal=sys.stderr.isatty())):
            outcomes = await collection.run(work)
    downloaders = {id(downloader): downloader for _, downloader, _ in work}
    report(outcomes, list(downloaders.values()), time.monotonic() - started_s, as_json=order.as_json)
    return exit_code(outcomes, strict=order.strict)


async def _work(order: Order, wanted: Range, venue: Venue, client: rest.Client, bus: Bus | None) -> list[Work]:
    """Return each series once, however often its instrument is named."""
    found: dict[str, Work] = {}
    for name in order.markets or (None,):
        for market, symbols in markets_of(venue, name, order.symbols):
            downloader = Downloader(market, client, SystemClock(), random.Random())
            for instrument in Directory(market, await list_instruments(client, market)).find(symbols):
                one = series(instrument, wanted.interval, wanted.from_ns, wanted.to_ns, time.time_ns())
                found[one.name] = (one, downloader, _store(order, wanted, one, downloader, bus))
    return list(found.values())


@asynccontextmanager
async def _open_bus(order: Order) -> AsyncIterator[Bus]:
    settings = config.load(BusSettings)
    url = app.server_url(settings, order.valkey_url)
    if url is None:
        raise ConfigError("--output stream needs a server", ("--valkey URL", "HELIOGRAPH_VALKEY_URL"))
    async with open_publisher(url) as publisher, open_reader(url, {}) as reader:
        yield Bus(publisher, reader, settings.stream_maxlen, order.key_prefix)


def _store(order: Order, wanted: Range, one: Series, downloader: Downloader, bus: Bus | None) -> Store:
    if bus is not None:
        return Timeline(bus, one, downloader.part)
    name = file_name(one.instrument, one.interval, wanted.output)
    return Archive(order.file or order.directory / name, one)


async def _show(progress: Progress, *, terminal: bool) -> None:
    """Show how far it is, on the standard error: a bar on a terminal, else a line every few seconds."""
    if not terminal:
        while True:
            before, before_s = progress.done, time.monotonic()
            await asyncio.sleep(LINE_EVERY_S)
            rate = (progress.done - before) / (time.monotonic() - before_s)
            print(line(progress, rate), file=sys.stderr, flush=True)
    columns = (TextColumn("candles"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        while True:
            if progress.total:
                bar.update(task, total=progress.total, completed=progress.done)
            await asyncio.sleep(BAR_EVERY_S)


def line(progress: Progress, rate: float) -> str:
    """Return how far it is, in a line.

    Args:
        progress: the counters.
        rate: candles a second.

    """
    if not progress.total:
        return "backfill: asking what there is"
    share = 100 * progress.done // progress.total
    return f"backfill: {progress.done} of {progress.total} candles ({share} %), {rate:.0f}/s"


def exit_code(outcomes: Sequence[Outcome], *, strict: bool) -> int:
    """Return 0 if all is whole, and without holes of the venue's if they are not to be accepted."""
    if all(outcome.whole and not (strict and outcome.holes) for outcome in outcomes):
        return 0
    return EXIT_INCOMPLETE


def report(outcomes: Sequence[Outcome], downloaders: Sequence[Downloader], elapsed_s: float, *, as_json: bool) -> None:
    """Print what became of each series, with every hole of the venue's: as text, or as one JSON object."""
    requests, retries = sum(d.requests for d in downloaders), sum(d.retries for d in downloaders)
    if as_json:
        rows = [_told(outcome) for outcome in outcomes]
        print(json.dumps({"series": rows, "requests": requests, "retries": retries, "elapsed_s": round(elapsed_s, 3)}))
        return
    with suppress(BrokenPipeError):
        for outcome in outcomes:
            print("\n".join(_lines(outcome)))
    print(f"{requests} requests, {retries} of them again, {elapsed_s:.1f} s", file=sys.stderr)


def _told(outcome: Outcome) -> dict[str, object]:
    one, verdict = outcome.series, outcome.verdict
    return {
        "instrument": one.instrument.id,
        "interval": one.interval,
        "from": iso_ms(one.from_ns),
        "to": iso_ms(one.to_ns),
        "until": iso_ms(outcome.until_ns),
        "where": outcome.where,
        "candles": None if verdict is None else verdict.candles,
        "verified": outcome.whole,
        "missing": [] if verdict is None else [[iso_ms(s.from_ns), iso_ms(s.to_ns)] for s in verdict.missing],
        "doubled": None if verdict is None else verdict.doubled,
        "disordered": None if verdict is None else verdict.disordered,
        "strange": None if verdict is None else verdict.strange,
        "holes": [{"from": iso_ms(h.from_ns), "to": iso_ms(h.to_ns), "reason": h.reason} for h in outcome.holes],
        "error": outcome.error,
    }


def _lines(outcome: Outcome) -> list[str]:
    one, verdict = outcome.series, outcome.verdict
    stretch = f"{one.name} from {_short(one.from_ns)} to {_short(outcome.until_ns)}"
    if outcome.error is not None:
        told = f"{stretch}: incomplete, {outcome.error}; the same command goes on there"
    elif verdict is None or not verdict.whole:
        told = f"{stretch}: NOT WHOLE, {verdict}"
    else:
        told = f"{stretch}: {verdict.candles} candles, each once, in {outcome.where}"
    lines = [told]
    if outcome.error is None and outcome.until_ns < one.to_ns:
        lines.append(f"  the venue has not closed the candles from {_short(outcome.until_ns)} on")
    for hole in outcome.holes[:HOLES_TOLD_MAX]:
        candles = count(one.interval, hole.from_ns, hole.to_ns)
        lines.append(f"  hole from {_short(hole.from_ns)} to {_short(hole.to_ns)} ({candles}): {hole.reason}")
    if len(outcome.holes) > HOLES_TOLD_MAX:
        lines.append(f"  and {len(outcome.holes) - HOLES_TOLD_MAX} more holes; --json tells all")
    return lines


def _short(instant_ns: int) -> str:
    return iso_ms(instant_ns).replace(".000Z", "Z")
