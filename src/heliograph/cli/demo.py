"""`heliograph demo`: the whole way, on one machine, in a minute.

A simulated Binance on real sockets, three feeds, an embedded server, a gateway that tails it, and WebSocket clients of
the gateway. On the way connections are cut and frames are lost and repeated. At the end the streams are read back and
held against what truly happened in the simulated world.
"""

import asyncio
import contextlib
import json
import signal
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from heliograph import app
from heliograph.cli.stage import Stage, open_stage


def demo(*, headless: bool, duration_s: float | None, speed: float, seed: int) -> int:
    """Run the demo and return its exit code: 0 if nothing was lost, doubled or wrong.

    Args:
        headless: lines instead of a table, and a JSON object as the last one.
        duration_s: seconds to run; None: until Ctrl-C.
        speed: simulated seconds per real second.
        seed: of the simulated world.

    """
    app.configure_logging("ERROR")
    return app.run_loop(_demo(headless, duration_s, speed, seed))


async def _demo(headless: bool, duration_s: float | None, speed: float, seed: int) -> int:
    stop = asyncio.Event()
    async with open_stage(speed, seed) as stage:
        with app.terminations(stop.set), _interruption(stop):
            screen = _lines(stage) if headless else _table(stage)
            async with app.beside(stage.make_trouble()), app.beside(screen):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(duration_s):
                        await stop.wait()
            summary = await stage.finish()
    if headless:
        print(json.dumps(summary))
    else:
        _tell(summary)
    return int(bool(summary["lost"] or summary["doubled"] or summary["wrong"]))


@contextlib.contextmanager
def _interruption(stop: asyncio.Event) -> Iterator[None]:
    """Let the first Ctrl-C end the demo in order; a second one ends it at once."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        stop.set()

    loop.add_signal_handler(signal.SIGINT, first)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _lines(stage: Stage) -> None:
    """Print every closed candle that the gateway's clients receive, and what goes wrong on the way."""
    told = 0
    async for quote in stage.quotes():
        for line in stage.happened[told:]:
            print(f"-- {line}", flush=True)
        told = len(stage.happened)
        if quote["is_closed_candle"]:
            print(
                f"{quote['timestamp']} {quote['contract_type']:5} {quote['symbol']:12} close {quote['close']}",
                flush=True,
            )


async def _table(stage: Stage) -> None:
    """Keep a table of the latest candles on the screen."""
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    with Live(console=Console(), refresh_per_second=8) as live:
        async for quote in stage.quotes():
            latest[quote["contract_type"], quote["symbol"]] = quote
            live.update(_drawn(stage, latest))


def _drawn(stage: Stage, latest: Mapping[tuple[str, str], dict[str, Any]]) -> Group:
    table = Table("market", "symbol", "open time", "open", "high", "low", "close", "volume", "", box=None)
    for (market, symbol), q in sorted(latest.items()):
        figures = [str(q[name]) for name in ("open", "high", "low", "close", "volume")]
        table.add_row(market, symbol, q["timestamp"][11:16], *figures, "closed" if q["is_closed_candle"] else "open")
    found, filled, dropped = stage.healing()
    title = f"simulated Binance at {stage.sim.speed:g}x -> {len(stage.feeds)} feeds -> Valkey -> gateway -> this screen"
    healing = f"holes found {found}, filled {filled}; duplicates dropped {dropped}; Ctrl-C ends"
    trouble = [Text(line, style="yellow") for line in stage.happened[-4:]]
    return Group(Text(title, style="bold"), table, *trouble, Text(healing, style="dim"))


def _tell(summary: Mapping[str, Any]) -> None:
    console = Console()
    counted = ", ".join(f"{count} {channel}" for channel, count in summary["counts"].items())
    console.print(f"delivered: {counted}")
    console.print(
        f"{summary['gaps_found']} holes found, {summary['gaps_filled']} filled, "
        f"{summary['duplicates_dropped']} duplicates dropped"
    )
    verdict = (
        f"of {summary['expected']} closed candles and trades: {summary['lost']} lost, {summary['doubled']} doubled"
    )
    console.print(verdict, style="bold green" if not summary["lost"] and not summary["doubled"] else "bold red")
