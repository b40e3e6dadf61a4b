"""What `connector-cli` runs: quotes of a venue's market, printed one a line."""

import sys
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from heliograph import config
from heliograph.app import Where, configure_logging, open_hub, open_source, open_venues, run_loop, terminations
from heliograph.cli.main import EXIT_FAILED
from heliograph.cli.wish import check_channels
from heliograph.clock import SystemClock
from heliograph.config import ConnectorSettings
from heliograph.errors import VenueUnreachable
from heliograph.gateway.hub import find_instruments
from heliograph.gateway.protocol import line
from heliograph.gateway.stream import Stream
from heliograph.metrics import FeedCollector
from heliograph.model.interval import Interval
from heliograph.model.market import Channel, Gap
from heliograph.venues import find_venue, markets_of
from heliograph.venues.contract import Subscription

PROGRAM: Final = "connector-cli"


class Wish(msgspec.Struct, frozen=True):
    """What the user wants to see."""

    exchange: str
    market: str | None
    symbols: tuple[str, ...]
    limit: int
    """Quotes to print; 0: for ever."""


def quotes(wish: Wish, where: Where, valkey_url: str | None) -> int:
    """Print quotes until the limit, SIGTERM or Ctrl-C; return the exit code.

    Args:
        wish: what the user wants to see.
        where: where the venue is.
        valkey_url: the server to publish to as well; None: none.

    Raises:
        ConfigError: something that was asked for does not exist.
        VenueUnreachable: the venue's list of instruments cannot be had.

    """
    settings = config.load(ConnectorSettings)
    configure_logging(settings.log_level)
    return run_loop(_print(settings, wish, where, valkey_url))


async def _print(settings: ConnectorSettings, wish: Wish, where: Where, valkey_url: str | None) -> int:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        venues = await stack.enter_async_context(open_venues(where, wish.exchange))
        venue = find_venue(wish.exchange, venues)
        source = await stack.enter_async_context(open_source(settings, FeedCollector(), clock, valkey_url))
        for market, _ in markets_of(venue, wish.market, wish.symbols):
            check_channels(market, [Channel.CANDLES], Interval.M1)
        instruments = await find_instruments(source, venue, wish.market, wish.symbols)
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
