"""`heliograph demo`: the whole way, on one machine, in a minute.

Every venue that can be simulated, on real sockets, a feed for each of its markets, an embedded server, a gateway that
tails it, and WebSocket clients of the gateway. On the way connections are cut and frames are lost and repeated. At the
end the streams are read back and held against what truly happened in the simulated world.

Beside it a firm's coins are pledged at a custodian, mirrored as credit at an exchange, traded on at the prices of the
moment, and settled, until both sides' books agree.
"""

import asyncio
import contextlib
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from heliograph import app
from heliograph.cli.custody import Custody, open_custody
from heliograph.cli.stage import Stage, open_stage


def demo(*, headless: bool, duration_s: float | None, speed: float, seed: int, venues: Sequence[str] = ()) -> int:
    """Run the demo and return its exit code: 0 if nothing was lost, doubled or wrong.

    Args:
        headless: lines instead of a table, and a JSON object as the last one.
        duration_s: seconds to run; None: until Ctrl-C.
        speed: simulated seconds per real second.
        seed: of the simulated world.
        venues: which venues; none: all.

    Raises:
        ConfigError: there is no such venue, or it cannot be simulated.

    """
    app.configure_logging("ERROR")
    return app.run_loop(_demo(headless, duration_s, speed, seed, venues))


async def _demo(headless: bool, duration_s: float | None, speed: float, seed: int, venues: Sequence[str]) -> int:
    stop = asyncio.Event()
    async with open_custody(seed) as custody, open_stage(speed, seed, venues) as stage:
        with app.terminations(stop.set), _interruption(stop):
            screen = _lines(stage, custody) if headless else _table(stage, custody)
            async with app.beside(stage.make_trouble()), app.beside(custody.run(stage.coin_price)), app.beside(screen):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(duration_s):
                        await stop.wait()
                await custody.over.wait()
            summary = await stage.finish() | {"custody": custody.summary | {"failed": custody.failed}}
    if headless:
        print(json.dumps(summary))
    else:
        _tell(summary)
    return int(_spoilt(summary) or custody.spoilt)


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


async def _lines(stage: Stage, custody: Custody) -> None:
    """Print every closed candle that the gateway's clients receive, the story, and what goes wrong on the way."""
    told = custody_told = 0
    async for quote in stage.quotes():
        for line in custody.told[custody_told:]:
            print(f"== {line}", flush=True)
        custody_told = len(custody.told)
        for line in stage.happened[told:]:
            print(f"-- {line}", flush=True)
        told = len(stage.happened)
        if quote["is_closed_candle"]:
            where = f"{quote['exchange']}:{quote['market']}"
            length = quote.get("interval", "1m")
            print(f"{quote['timestamp']} {length} {where:19} {quote['symbol']:24} close {quote['close']}", flush=True)


async def _table(stage: Stage, custody: Custody) -> None:
    """Keep a table of the latest candles on the screen, and the story under it."""
    latest: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    with Live(console=Console(), refresh_per_second=8) as live:
        async for quote in stage.quotes():
            latest.setdefault((quote["exchange"], quote["market"]), {})[quote["symbol"]] = quote
            live.update(_drawn(stage, custody, latest))


def _drawn(stage: Stage, custody: Custody, latest: Mapping[tuple[str, str], Mapping[str, dict[str, Any]]]) -> Group:
    """Draw a row a market: its instruments' prices, and what was found missing there and made good."""
    table = Table("venue", "market", "candle", "open time", "prices", "closed", "holes", "filled", "doubled", box=None)
    for play in stage.plays:
        feeds = {feed.market.market: feed for feed in play.feeds}
        for (market, interval), symbols in play.symbols.items():
            quotes = latest.get((play.venue.name, market), {})
            prices = "   ".join(f"{name} {quotes[name]['close']}" for name in symbols if name in quotes)
            begun = max((quote["timestamp"][11:16] for quote in quotes.values()), default="")
            metrics = feeds[market].metrics
            figures = (metrics.quotes_closed, metrics.gaps_found, metrics.gaps_filled, metrics.duplicates)
            table.add_row(play.venue.name, market, interval, begun, prices, *map(str, figures))
    speed = stage.plays[0].sim.speed
    title = (
        f"{len(stage.plays)} simulated venues at {speed:g}x -> {len(stage.feeds)} feeds -> Valkey -> gateway -> here"
    )
    trouble = [Text(line, style="yellow") for line in stage.happened[-3:]]
    story = [Text(line, style="cyan") for line in custody.told]
    return Group(Text(title, style="bold"), table, *trouble, *story, Text("Ctrl-C ends", style="dim"))


def _tell(summary: Mapping[str, Any]) -> None:
    console = Console()
    counted = ", ".join(f"{count} {channel}" for channel, count in summary["counts"].items())
    console.print(f"delivered: {counted}")
    console.print(
        f"{summary['gaps_found']} holes found, {summary['gaps_filled']} filled, "
        f"{summary['duplicates_dropped']} duplicates dropped"
    )
    candles, trades = summary["candles"], summary["expected"] - summary["candles"]
    verdict = (
        f"of {candles} closed candles and {trades} trades: {summary['lost']} lost, {summary['doubled']} doubled, "
        f"{summary['wrong']} wrong"
    )
    if summary["unfillable"]:
        verdict += (
            f"\n{summary['unfillable']} more were missed while cut off, and told as gaps: the venue's REST gives none "
            "so old"
        )
    if summary["unnumbered_missed"]:
        verdict += (
            f"\nwhere a venue does not number its trades, {summary['unnumbered_missed']} were missed while cut off: "
            "nothing there tells that they are, and no request brings them back"
        )
    console.print(verdict, style="bold red" if _spoilt(summary) else "bold green")
    custody = summary["custody"]
    if custody["failed"]:
        console.print(f"custody: {custody['failed']}", style="bold red")
        return
    console.print(
        f"custody: {custody['trades']} trades settled in {custody['legs']} legs; both sides' books: "
        f"{custody['differences']} differences; {custody['audited']} journal entries: {custody['findings']} findings",
        style="bold red" if custody["differences"] or custody["findings"] else "bold green",
    )


def _spoilt(summary: Mapping[str, Any]) -> bool:
    return bool(summary["lost"] or summary["doubled"] or summary["wrong"])
