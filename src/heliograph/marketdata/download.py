"""Asks a venue for its past candles, part by part, and is sure of what the venue does not have.

A part is asked for through the codec that the live feed uses, so its pages follow one another by effects. What an
answer lacks is asked for again by narrower requests; what these come back without is a hole of the venue's. An answer
that cannot be read, or that does not come, is asked for again after a pause, longer each time.
"""

import asyncio
import random
from typing import Final

import msgspec
import structlog

from heliograph.clock import NS_PER_S, Clock, iso_ms
from heliograph.connect import rest
from heliograph.connect.backoff import Backoff
from heliograph.connect.limits import loop_clock_ns
from heliograph.errors import DecodeError, VenueRejected, VenueUnreachable
from heliograph.marketdata.dedupe import conflicts
from heliograph.marketdata.history import Hole, Series, Span, end_of_known, last_open, missing, parts, questions
from heliograph.model.event import VenueEvent
from heliograph.model.interval import Interval
from heliograph.model.market import Candle
from heliograph.venues.contract import CandlePage, Connection, Effect, Fetch, Market, Refused, Request, VenueError
from heliograph.venues.keys import require_key

PAGES_MAX: Final = 300
"""Answers to one range; a venue that keeps having another page is not believed."""
DAY_NS: Final = 86_400 * NS_PER_S
ABSENT: Final = "the venue has no candle here; it was asked twice"
LONG_PAST_NS: Final = DAY_NS
"""A candle that ended this long ago is final, whatever follows it: no clock or time zone is further off than this."""
BEYOND_CANDLES: Final = 300
"""How many candles beyond a younger one are looked at for one that proves it closed."""
REVISED: Final = "two answers of the venue disagree"

log = structlog.get_logger()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How patient a download is."""

    attempts_max: int = 8
    """How often a part is tried; each try is itself several attempts at its requests."""
    pause_s: float = 1.0
    """The bound of the first random pause before another try; it doubles."""
    pause_s_max: float = 30.0
    silence_s_max: float = 900.0
    """A venue that asks to be left alone for longer than this is not waited for."""


class Part(msgspec.Struct, frozen=True):
    """The candles of one stretch, all of them or with the holes told."""

    span: Span
    """What it covers; shorter than what was asked for where the venue has not closed the rest."""
    candles: list[Candle]
    holes: list[Hole]


class Downloader:
    """The past of one market.

    Args:
        market: whom to ask.
        client: makes the requests, within the venue's limits.
        clock: the time of day.
        rng: for the pauses.
        settings: the patience.

    Raises:
        ConfigError: the market needs a key.

    """

    def __init__(
        self, market: Market, client: rest.Client, clock: Clock, rng: random.Random, settings: Settings | None = None
    ) -> None:
        require_key(market)
        self.market = market
        self.requests = 0
        """Answers that were taken so far."""
        self.retries = 0
        """Answers that did not come or could not be read so far."""
        self._client = client
        self._clock = clock
        self._rng = rng
        self._settings = settings or Settings()

    async def part(self, series: Series, span: Span) -> Part:
        """Return the closed candles of a part of a series, in order, and the holes in it.

        Raises:
            VenueRejected: the venue's no.
            VenueUnreachable: no answer, after many attempts.
            DecodeError: no answer that can be read, after many attempts.

        """
        found = await self._answer(series, span)
        for stretch in questions(missing(series.interval, span, found.closed)):
            found.learn(await self._answer(series, stretch))
        now_ns = self._clock.now_ns()
        found.trust(now_ns - LONG_PAST_NS)
        if unsure := found.unsure():
            # Of two candles the later one proves the earlier closed, and a hole may have been between them.
            found.learn(await self._answer(series, _beyond(series.interval, unsure[0], now_ns)))
        lacking = missing(series.interval, span, found.closed)
        end_ns = span.to_ns
        if span.to_ns == series.to_ns:
            end_ns = end_of_known(lacking, span, series.interval, now_ns)
        end_ns = min([end_ns, *found.unsure()])
        holes = [
            Hole(stretch.from_ns, min(stretch.to_ns, end_ns), ABSENT) for stretch in lacking if stretch.from_ns < end_ns
        ]
        candles = [found.closed[open_ns] for open_ns in sorted(found.closed) if open_ns < end_ns]
        return Part(Span(span.from_ns, end_ns), candles, holes)

    async def first_open(self, series: Series) -> int | None:
        """Return an open time before which the venue has no candle of a series, as far as those of days show it.

        None where it cannot be told, or where the venue has none at all.
        """
        longer = Interval.D1
        if longer not in self.market.intervals or (series.interval.length_ns or DAY_NS) >= DAY_NS:
            return None
        begin_ns, end_ns = longer.open_of(series.from_ns), longer.open_of(series.to_ns - 1)
        if end_ns <= begin_ns:
            return None
        try:
            # Closed or not, where the first of them begins nothing was before.
            found = await self._answer(
                Series(series.instrument, longer, begin_ns, longer.next_open(end_ns)),
                Span(begin_ns, longer.next_open(end_ns)),
            )
        except (VenueRejected, DecodeError):
            return None
        return min([*found.closed, *found.open], default=None)

    async def _answer(self, series: Series, span: Span) -> "_Found":
        settings = self._settings
        backoff = Backoff(self._rng, base_s=settings.pause_s, cap_s=settings.pause_s_max)
        for attempt in range(1, settings.attempts_max + 1):
            wait_s: float | None = None
            try:
                return await self._pages(series, span)
            except VenueUnreachable as e:
                wait_s = e.retry_after_s
                if attempt == settings.attempts_max or (wait_s or 0.0) > settings.silence_s_max:
                    raise
                reason = str(e)
            except DecodeError as e:
                if attempt == settings.attempts_max:
                    raise
                reason = str(e)
            self.retries += 1
            log.info("history is asked for again", what=series.name, since=iso_ms(span.from_ns), reason=reason)
            await asyncio.sleep(backoff.failed(loop_clock_ns(), wait_s) / NS_PER_S)
        raise AssertionError("unreachable")

    async def _pages(self, series: Series, span: Span) -> "_Found":
        """Ask once, page after page, by a codec of its own, so that nothing is left of an attempt that fails."""
        feed = self.market.feed(Connection("", ()))
        page = CandlePage(series.instrument, series.interval, span.from_ns, last_open(series.interval, span.to_ns))
        request = self.market.candle_request(page)
        found = _Found(series, span)
        for _ in range(PAGES_MAX):
            body = await self._client.fetch(self.market, request)
            events: list[VenueEvent] = []
            effects: list[Effect] = []
            feed.fetched(request, body, self._clock.now_ns(), events, effects)
            self.requests += 1
            found.take(events)
            following = self._following(effects)
            if following is None:
                return found
            request = following
        raise DecodeError(f"{self.market.venue} has more than {PAGES_MAX} pages of {series.name}")

    def _following(self, effects: list[Effect]) -> Request | None:
        for effect in effects:
            if isinstance(effect, VenueError):
                raise VenueRejected(self.market.venue, effect.code, effect.reason)
        following = None
        for effect in effects:
            if isinstance(effect, Refused):
                raise DecodeError(f"{self.market.venue}: {effect.reason}")
            if isinstance(effect, Fetch):
                following = effect.request
        return following


class _Found:
    """What the answers to one range told."""

    def __init__(self, series: Series, span: Span) -> None:
        self._series = series
        self._span = span
        self.closed: dict[int, Candle] = {}
        self.open: dict[int, Candle] = {}
        """Those that no answer so far has proven closed, or that are live."""

    def take(self, events: list[VenueEvent]) -> None:
        """Take what a page told."""
        for event in events:
            if not isinstance(event, Candle) or event.interval is not self._series.interval:
                continue
            if event.instrument.id != self._series.instrument.id:
                continue
            if not self._span.from_ns <= event.open_ns < self._span.to_ns:
                continue
            if not event.closed:
                self.open[event.open_ns] = event
                continue
            known = self.closed.get(event.open_ns)
            if known is not None and conflicts(event, known):
                raise DecodeError(f"{REVISED} about {self._series.name} at {iso_ms(event.open_ns)}")
            self.closed[event.open_ns] = event

    def learn(self, more: "_Found") -> None:
        """Take what another answer has of this range that was not known."""
        for ours, theirs in ((self.closed, more.closed), (self.open, more.open)):
            for open_ns, candle in theirs.items():
                if self._span.from_ns <= open_ns < self._span.to_ns:
                    ours.setdefault(open_ns, candle)

    def trust(self, until_ns: int) -> None:
        """Take candles that ended by then for closed."""
        for open_ns, candle in self.open.items():
            if candle.close_ns <= until_ns:
                self.closed.setdefault(open_ns, msgspec.structs.replace(candle, closed=True))

    def unsure(self) -> list[int]:
        """Return the open times of candles that are not known to be closed, in order."""
        return sorted(open_ns for open_ns in self.open if open_ns not in self.closed)


def _beyond(interval: Interval, open_ns: int, now_ns: int) -> Span:
    end_ns = next(parts(interval, open_ns, max(interval.next_open(open_ns), interval.open_of(now_ns)), BEYOND_CANDLES))
    return Span(open_ns, end_ns.to_ns)
