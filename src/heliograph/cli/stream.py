"""`heliograph stream`: market data on the screen, as it happens."""

import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from heliograph import app, config
from heliograph.cli.sheet import KIND_OF_CHANNEL, Sheet
from heliograph.cli.wish import Wish, check, open_wish
from heliograph.clock import NS_PER_S
from heliograph.config import ConnectorSettings
from heliograph.errors import ConfigError
from heliograph.marketdata.tap import Tap
from heliograph.model.book import BookDelta, BookSnapshot
from heliograph.model.event import Event
from heliograph.model.jsonl import render
from heliograph.model.market import Candle, Channel, Gap, Ticker, Trade
from heliograph.model.numbers import fixed

OUTPUTS: Final = ("table", "jsonl", "csv")
REFRESHES_PER_S: Final = 8


def stream(wish: Wish, limit: int, output: str) -> int:
    """Print market data until the limit, SIGTERM or Ctrl-C; return the exit code.

    Args:
        wish: what to stream.
        limit: events after which to stop; 0: never.
        output: one of `OUTPUTS`.

    Raises:
        ConfigError: something that was asked for does not exist.

    """
    if output not in OUTPUTS:
        raise ConfigError(f"unknown output {output!r}", OUTPUTS)
    if output == "csv" and (len(wish.channels) != 1 or wish.channels[0] not in KIND_OF_CHANNEL):
        raise ConfigError("a table has rows of one kind", tuple(f"--channel {name}" for name in KIND_OF_CHANNEL))
    check(wish)
    settings = config.load(ConnectorSettings)
    app.configure_logging(settings.log_level)
    return app.run_loop(_stream(wish, settings, limit, output))


async def _stream(wish: Wish, settings: ConnectorSettings, limit: int, output: str) -> int:
    tap = Tap()
    async with AsyncExitStack() as stack:
        stack.enter_context(app.terminations(tap.end))
        await stack.enter_async_context(open_wish(wish, settings, tap))
        if output == "jsonl":
            await _print_lines(tap, limit)
        elif output == "csv":
            await _print_rows(tap, limit, Channel(wish.channels[0]))
        else:
            await _print_table(tap, limit)
    return 0


async def _print_lines(tap: Tap, limit: int) -> None:
    printed = 0
    while events := await tap.take():
        if limit:
            events = events[: limit - printed]
        sys.stdout.write("".join(f"{render(event)}\n" for event in events))
        sys.stdout.flush()
        printed += len(events)
        if printed == limit:
            return


async def _print_rows(tap: Tap, limit: int, channel: Channel) -> None:
    sheet = Sheet(KIND_OF_CHANNEL[channel])
    while events := await tap.take():
        for event in events:
            if isinstance(event, Gap):  # Its columns are others, and it must not be left out.
                print(f"gap in {event.channel} of {event.instrument.symbol}: {event.reason}", file=sys.stderr)
            else:
                sheet.take(event)
            if limit and sheet.rows == limit:
                break
        sheet.flush()
        if limit and sheet.rows == limit:
            return


async def _print_table(tap: Tap, limit: int) -> None:
    board = Board()
    console = Console()
    if not console.is_terminal:
        console.print("not a terminal: --output jsonl prints every event", style="dim")
    with Live(board.drawn(), console=console, refresh_per_second=REFRESHES_PER_S, transient=False) as live:
        while events := await tap.take():
            if limit:
                events = events[: limit - board.events]
            for event in events:
                board.take(event)
            live.update(board.drawn())
            if board.events == limit:
                return


class Board:
    """The latest of everything, as a table."""

    def __init__(self) -> None:
        self.events = 0
        self._rows: dict[tuple[str, str], tuple[str, str, str]] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._gaps: list[Gap] = []

    def take(self, event: Event) -> None:
        """Count an event, and keep it if it is the latest of its kind."""
        self.events += 1
        instrument = f"{event.instrument.exchange} {event.instrument.symbol}"
        if isinstance(event, Gap):
            self._gaps = [*self._gaps[-4:], event]
            return
        what, value, detail = _cells(event)
        key = (instrument, what)
        self._rows[key] = (value, detail, _time(event.event_ns or event.received_ns))
        self._counts[key] = self._counts.get(key, 0) + 1

    def drawn(self) -> Group:
        """Return what to show."""
        table = Table(box=None, header_style="bold", pad_edge=False, expand=True)
        for heading in ("instrument", "what", "value"):
            table.add_column(heading, justify="right" if heading == "value" else "left", no_wrap=True)
        table.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)  # the first to give way on a narrow screen
        table.add_column("at", no_wrap=True, min_width=8)
        table.add_column("events", justify="right", no_wrap=True, min_width=6)
        for (instrument, what), cells in sorted(self._rows.items()):
            table.add_row(instrument, what, *cells, str(self._counts[(instrument, what)]))
        gaps = [Text(f"gap in {g.channel} of {g.instrument.symbol}: {g.reason}", style="red") for g in self._gaps]
        return Group(table, *gaps)


def _cells(event: Candle | Ticker | Trade | BookSnapshot | BookDelta) -> tuple[str, str, str]:
    match event:
        case Candle():
            spread = f"O {_short(event.open)} H {_short(event.high)} L {_short(event.low)}"
            return f"candle {event.interval}", _short(event.close), f"{'closed' if event.closed else 'open'} {spread}"
        case Ticker():
            return "ticker", _short(event.last), f"bid {_short(event.bid)} ask {_short(event.ask)}"
        case Trade():
            return "trade", _short(event.price), f"{event.side} {_short(event.quantity)}"
        case BookSnapshot() if event.bids and event.asks:
            return "book", _short(event.bids[0][0]), f"best bid; best ask {_short(event.asks[0][0])}"
        case BookSnapshot():
            return "book", "", "one side is empty"
        case BookDelta():
            return "book deltas", "", f"{len(event.bids) + len(event.asks)} levels changed"


def _short(value: Decimal) -> str:
    """Render for eyes: without the zeros that only fill the venue's precision."""
    text = fixed(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _time(instant_ns: int) -> str:
    return datetime.fromtimestamp(instant_ns // NS_PER_S, UTC).strftime("%H:%M:%S")
