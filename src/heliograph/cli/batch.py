"""`heliograph batch`: every symbol of every venue, in batches, to see that each market can be heard."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from heliograph import config
from heliograph.app import Where, configure_logging, open_hub, open_source, open_venues, rest_settings, run_loop
from heliograph.clock import SystemClock
from heliograph.config import ConnectorSettings
from heliograph.connect import rest
from heliograph.connect.listing import list_instruments
from heliograph.errors import DecodeError, HeliographError, VenueRejected, VenueUnreachable
from heliograph.gateway.hub import Hub
from heliograph.gateway.stream import Stream
from heliograph.metrics import FeedCollector
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel
from heliograph.venues import VENUES, find_market, find_venue
from heliograph.venues.contract import Market, Subscription

EXIT_SILENT: Final = 1
"""A market, or a batch of one, was refused, or told nothing at all."""


class Run(msgspec.Struct, frozen=True):
    """What is to be run."""

    venues: Sequence[str] = ()
    """`VENUE` or `VENUE:MARKET`; none: all that there are."""
    batch_size: int = 100
    """Symbols of a batch."""
    limit: int = 60
    """Quotes after which a batch is done."""
    concurrency: int = 24
    """Batches at once."""
    symbols_max: int | None = None
    """Symbols of a market; None: all that it lists."""


class Result(msgspec.Struct, frozen=True):
    """How one batch went."""

    venue: str
    market: str
    symbols: int
    quotes: int = 0
    heard: int = 0
    """Symbols that had a quote among them."""
    first_quote_s: float | None = None
    took_s: float = 0.0
    interval: str = Interval.M1
    """Of the candles: a minute, or the shortest that the market streams where it streams none of a minute."""
    trouble: str = ""
    """Why it ended before the limit; empty where it did not."""


def batch(run: Run, where: Where, *, as_json: bool) -> int:
    """Hear every batch until its limit of quotes, and return the exit code.

    Args:
        run: what is to be run.
        where: where the venues are.
        as_json: one JSON object at the end in place of the table.

    Returns:
        0, or 1 if a batch was refused, or a market told nothing at all.

    Raises:
        ConfigError: a venue or a market that there is not, or that cannot be simulated.

    """
    settings = config.load(ConnectorSettings)
    configure_logging(settings.log_level)
    chosen = _chosen(run.venues)
    return run_loop(_run(run, chosen, where, settings, as_json=as_json))


def _chosen(names: Sequence[str]) -> dict[str, set[str]]:
    """Return the markets of each venue; an empty set is all of them."""
    chosen: dict[str, set[str]] = {}
    whole: set[str] = set()
    for name in names or tuple(VENUES):
        venue_name, _, market_name = name.partition(":")
        venue = find_venue(venue_name)
        markets = chosen.setdefault(venue.name, set())
        if market_name:
            markets.add(find_market(venue, market_name).market)
        else:
            whole.add(venue.name)
    return {name: set() if name in whole else markets for name, markets in chosen.items()}


async def _run(
    run: Run, chosen: dict[str, set[str]], where: Where, settings: ConnectorSettings, *, as_json: bool
) -> int:
    console, turns = Console(stderr=True), asyncio.Semaphore(run.concurrency)
    results: list[Result] = []
    async with AsyncExitStack() as stack:
        # First, and so left last: a simulator that ends before its feed is a lost connection.
        opened = {name: await stack.enter_async_context(open_venues(where, name)) for name in chosen}
        source = await stack.enter_async_context(open_source(settings, FeedCollector(), SystemClock()))
        hub = await stack.enter_async_context(open_hub(source, SystemClock()))
        client = await stack.enter_async_context(rest.Client(rest_settings(settings), random.Random()))

        async def hear(instruments: Sequence[Instrument], interval: Interval) -> None:
            async with turns:
                result = await _heard(hub, instruments, interval, run.limit, settings.stream_idle_timeout)
            results.append(result)
            console.print(_line(result), highlight=False, markup=False)

        async with asyncio.TaskGroup() as tasks:
            for name, wanted in chosen.items():
                for market in find_venue(name, opened[name]).markets.values():
                    if wanted and market.market not in wanted:
                        continue
                    symbols = await _listed(client, market, results, run.symbols_max)
                    interval = market.default_interval
                    if not symbols or interval is None:
                        continue
                    instruments = await source.instruments(market, symbols)
                    for begin in range(0, len(instruments), run.batch_size):
                        tasks.create_task(hear(instruments[begin : begin + run.batch_size], interval))
    summary = _summary(results)
    if as_json:
        print(json.dumps({"markets": summary, "batches": [msgspec.to_builtins(result) for result in results]}))
    else:
        Console().print(_table(summary))
    refused = any(result.trouble and not result.quotes for result in results)
    return EXIT_SILENT if refused or not all(row["quotes"] for row in summary) else 0


async def _listed(client: rest.Client, market: Market, results: list[Result], symbols_max: int | None) -> list[str]:
    """Return the symbols that the market lists and trades; a market that cannot be heard is a result already."""
    if Channel.CANDLES not in market.channels or not market.streamed:
        results.append(Result(market.venue, market.market, 0, trouble="it streams no candles"))
        return []
    try:
        listed = [i.venue_symbol for i in await list_instruments(client, market) if i.trading]
    except (VenueUnreachable, VenueRejected, DecodeError) as e:
        results.append(Result(market.venue, market.market, 0, trouble=str(e)))
        return []
    if not listed:
        results.append(Result(market.venue, market.market, 0, trouble="it lists nothing that trades"))
    return listed[:symbols_max]


async def _heard(hub: Hub, instruments: Sequence[Instrument], interval: Interval, limit: int, idle_s: float) -> Result:
    """Hear one batch until its limit, an error, or silence."""
    begun_s = time.monotonic()
    venue, market = instruments[0].venue, instruments[0].market
    wanted = [Subscription(Channel.CANDLES, instrument, interval) for instrument in instruments]
    quotes, heard, first_s, trouble = 0, set[str](), None, ""
    async with Stream(hub, wanted, idle_s=idle_s) as stream:
        try:
            async for event in stream:
                if not isinstance(event, Candle):
                    continue
                quotes += 1
                heard.add(event.instrument.id)
                if first_s is None:
                    first_s = round(time.monotonic() - begun_s, 3)
                if quotes == limit:
                    break
        except VenueUnreachable as e:
            trouble = e.reason
        except HeliographError as e:
            trouble = str(e)
    took_s = round(time.monotonic() - begun_s, 3)
    return Result(venue, market, len(instruments), quotes, len(heard), first_s, took_s, interval, trouble)


def _line(result: Result) -> str:
    what = f"{result.venue} {result.market}: {result.quotes} quotes of {result.heard} of {result.symbols} symbols"
    what += "" if result.interval == Interval.M1 else f", candles of {result.interval},"
    return f"{what} in {result.took_s:.1f} s{': ' if result.trouble else ''}{result.trouble}"


def _summary(results: Sequence[Result]) -> list[dict[str, Any]]:
    markets: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        markets.setdefault((result.venue, result.market), []).append(result)
    return [
        {
            "venue": venue,
            "market": market,
            "batches": len(parts),
            "symbols": sum(part.symbols for part in parts),
            "heard": sum(part.heard for part in parts),
            "quotes": sum(part.quotes for part in parts),
            "first_quote_s": min((p.first_quote_s for p in parts if p.first_quote_s is not None), default=None),
            "troubles": sorted({part.trouble for part in parts if part.trouble}),
        }
        for (venue, market), parts in sorted(markets.items())
    ]


def _table(summary: Sequence[dict[str, Any]]) -> Table:
    table = Table("venue", "market", "batches", "symbols", "heard", "quotes", "first quote", "", box=None)
    for row in summary:
        first = "" if row["first_quote_s"] is None else f"{row['first_quote_s']:.1f} s"
        figures = [str(row[name]) for name in ("batches", "symbols", "heard", "quotes")]
        style = None if row["quotes"] else "bold red"
        table.add_row(row["venue"], row["market"], *figures, first, "; ".join(row["troubles"]), style=style)
    return table
