"""The past of simulated venues on real sockets, with the ledger to judge what was made of it."""

import random
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
from aiohttp import ClientSession, web

from heliograph.app import at_simulator
from heliograph.clock import NS_PER_S, ManualClock
from heliograph.connect import rest
from heliograph.connect.listing import list_instruments
from heliograph.marketdata.download import Downloader, Part, Settings
from heliograph.marketdata.history import Hole, Series, series
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle
from heliograph.sim import SimulatedVenue
from heliograph.sim.audit import Verdict, audit_candles
from heliograph.sim.layouts import played
from heliograph.venues import VENUES
from heliograph.venues.contract import Market
from heliograph.venues.directory import Directory
from heliograph.venues.scene import Bar

MINUTE_NS = 60 * NS_PER_S
EPOCH_NS = 1_795_000_020 * NS_PER_S
"""A whole minute, and the present of these worlds."""
HISTORY_MINUTES = 360
PLAYED = sorted(name for name in VENUES if name in played())

IMPATIENT = Settings(pause_s=0.01, pause_s_max=0.02)
"""For venues that are well again a moment later."""
HASTY = rest.Settings(timeout_s=5.0, retry_after_s_max=2.0)


class Past:
    """A venue whose time stands still, and what asks for its past."""

    def __init__(
        self, sim: SimulatedVenue, clock: ManualClock, markets: Mapping[str, Market], client: rest.Client
    ) -> None:
        self.sim = sim
        self.clock = clock
        self.markets = markets
        self.client = client
        self._listed: dict[str, list[Instrument]] = {}

    def downloader(self, market: str, settings: Settings = IMPATIENT) -> Downloader:
        return Downloader(self.markets[market], self.client, self.clock, random.Random(1), settings)

    async def instruments(self, market: str) -> list[Instrument]:
        if market not in self._listed:
            self._listed[market] = await list_instruments(self.client, self.markets[market])
        return self._listed[market]

    async def instrument(self, market: str, symbol: str) -> Instrument:
        return Directory(self.markets[market], await self.instruments(market)).find([symbol])[0]

    async def first(self, market: str) -> Instrument:
        return (await self.instruments(market))[0]

    async def series(
        self, market: str, minutes: int, *, until: int | None = None, interval: Interval = Interval.M1
    ) -> Series:
        """The candles of a market's first instrument since so many minutes ago, until so many minutes ago."""
        to_ns = None if until is None else EPOCH_NS - until * MINUTE_NS
        first = await self.first(market)
        return series(first, interval, EPOCH_NS - minutes * MINUTE_NS, to_ns, self.clock.now_ns())

    def judge_part(self, wanted: Series, part: Part) -> Verdict:
        """Hold a part against what truly happened; it may end early, with a bar that no trade has followed yet."""
        left = self._truth(wanted, part.span.to_ns, wanted.to_ns)
        assert not any(bar.fills for bar in left[1:]), "candles with trades were left for the next time"
        return self.judge(wanted, part.candles, part.holes, part.span.to_ns)

    def judge(
        self, wanted: Series, candles: Iterable[Candle], holes: Sequence[Hole] = (), until_ns: int | None = None
    ) -> Verdict:
        """Hold a record against what truly happened; what is told as a hole must be bars without a trade."""
        truth = self._truth(wanted, wanted.from_ns, wanted.to_ns if until_ns is None else until_ns)
        assert truth, "the world has begun later"
        quiet = [bar for bar in truth if any(hole.from_ns <= bar.open_ns < hole.to_ns for hole in holes)]
        assert not any(bar.fills for bar in quiet), "a hole had a trade in it"
        return audit_candles([bar for bar in truth if bar not in quiet], candles)

    def _truth(self, wanted: Series, from_ns: int, to_ns: int) -> list[Bar]:
        instrument = wanted.instrument
        return self.sim.ledger.candles(instrument.market, instrument.venue_symbol, wanted.interval, from_ns, to_ns)


@asynccontextmanager
async def past(
    venue: str = "binance",
    *,
    history_minutes: int = HISTORY_MINUTES,
    filtered: Callable[[str, bytes], bytes] | None = None,
    seed: int = 1,
) -> AsyncIterator[Past]:
    """Play a venue; with `filtered`, its answers (by path) pass through that on their way."""
    clock = ManualClock(EPOCH_NS + 30 * NS_PER_S)
    async with SimulatedVenue(venue, seed=seed, epoch_ns=EPOCH_NS, clock=clock, history_minutes=history_minutes) as sim:
        (there,) = at_simulator(sim).values()
        markets: dict[str, Market] = {str(name): market for name, market in there.markets.items()}
        async with rest.Client(HASTY, random.Random(1)) as client:
            if filtered is None:
                yield Past(sim, clock, markets, client)
                return
            async with proxies(markets, filtered) as moved:
                yield Past(sim, clock, moved, client)


@asynccontextmanager
async def proxies(
    markets: Mapping[str, Market], filtered: Callable[[str, bytes], bytes]
) -> AsyncIterator[dict[str, Market]]:
    """Put a server in front of each market that changes its answers."""
    runners: list[web.AppRunner] = []
    moved: dict[str, Market] = {}
    async with ClientSession() as session:
        for name, market in markets.items():

            async def pass_on(request: web.Request, url: str = market.rest_url) -> web.Response:
                async with session.get(url + request.path_qs) as answer:
                    body = await answer.read()
                    return web.Response(body=filtered(request.path, body), status=answer.status)

            application = web.Application()
            application.router.add_get("/{path:.*}", pass_on)
            runner = web.AppRunner(application)
            await runner.setup()
            runners.append(runner)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            moved[name] = msgspec.structs.replace(market, rest_url=f"http://127.0.0.1:{port}")
        try:
            yield moved
        finally:
            for runner in runners:
                await runner.cleanup()


def without(opens_ns: Collection[int]) -> Callable[[str, bytes], bytes]:
    """Make a filter that takes these candles out of Binance's answers."""

    def filtered(path: str, body: bytes) -> bytes:
        if not path.endswith("/klines"):
            return body
        rows = msgspec.json.decode(body)
        return msgspec.json.encode([row for row in rows if row[0] * 1_000_000 not in opens_ns])

    return filtered
