"""Past candles from a venue into a store: parts at once, kept in order, verified at the end.

Each part takes one of a bounded number of turns until it is in its store, so that memory is bounded as well, however
many series there are. Parts of a series get their turns in order; so the first of those that have one can always go on.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
import structlog

from heliograph.clock import iso_ms
from heliograph.errors import HeliographError
from heliograph.marketdata.download import Downloader, Part
from heliograph.marketdata.history import PART_CANDLES, Hole, Series, Span, Verdict, count, parts

PROBED_PARTS: Final = 4
"""A series of more parts than this is first asked for where it begins at the venue."""

log = structlog.get_logger()


class Store(Protocol):
    """Where the candles of one series go."""

    where: str
    """What the user knows it as."""

    @property
    def done_ns(self) -> int:
        """The first open time that is not accounted for."""

    @property
    def holes(self) -> tuple[Hole, ...]:
        """The venue's holes up to there."""

    async def open(self) -> None:
        """Find out how far it is.

        Raises:
            ConfigError: it cannot take the series.
            BusError: it is away.

        """

    async def commit(self, part: Part) -> None:
        """Append a part that begins at `done_ns`; once this returns, no kill can lose it.

        Raises:
            ConfigError: it cannot be written.
            BusError: it is away.

        """

    async def finish(self) -> Verdict:
        """Read it back, and hold it against the grid.

        Raises:
            ConfigError: it cannot be read.
            BusError: it is away.

        """

    async def close(self) -> None:
        """Let go of it; what was committed stays."""


class Progress:
    """How far a backfill is, in open times, to be read at any moment."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self.resumed = 0
        """Of those done, what an earlier run had done."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a series."""

    series: Series
    where: str
    until_ns: int
    """The first open time that is not accounted for."""
    holes: tuple[Hole, ...]
    verdict: Verdict | None
    """None where it did not get that far."""
    error: str | None = None

    @property
    def whole(self) -> bool:
        """Whether every open time is there exactly once, in order, or is a hole of the venue's."""
        return self.error is None and self.verdict is not None and self.verdict.whole


class Collection:
    """Series of any markets, collected together.

    Args:
        concurrency: parts under way at once, over all series.
        part_candles: candles of a part.

    """

    def __init__(self, concurrency: int, part_candles: int = PART_CANDLES) -> None:
        self.progress = Progress()
        self._turns = asyncio.Semaphore(concurrency)
        self._part_candles = part_candles

    async def run(self, wanted: Sequence[tuple[Series, Downloader, Store]]) -> list[Outcome]:
        """Open every store, then collect every series; what goes wrong with one does not stop the others.

        Raises:
            ConfigError: a store cannot take its series; then nothing has been asked for.
            BusError: a store is away at the beginning.

        """
        try:
            for series, _, store in wanted:
                await store.open()
                done = count(series.interval, series.from_ns, min(series.to_ns, store.done_ns))
                self.progress.total += series.candles
                self.progress.done += done
                self.progress.resumed += done
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(self._series(*one)) for one in wanted]
            return [task.result() for task in running]
        finally:
            for _, _, store in wanted:
                await store.close()

    async def _series(self, series: Series, downloader: Downloader, store: Store) -> Outcome:
        verdict, error = None, None
        try:
            await self._download(series, downloader, store)
            verdict = await store.finish()
        except HeliographError as e:
            error = str(e)
            log.warning("history is incomplete", what=series.name, until=iso_ms(store.done_ns), reason=error)
        return Outcome(series, store.where, store.done_ns, store.holes, verdict, error)

    async def _download(self, series: Series, downloader: Downloader, store: Store) -> None:
        first = await self._before_listing(series, downloader, store)
        if first is not None:
            await self._commit(series, store, first)
        under_way: deque[tuple[Span, asyncio.Task[Part | HeliographError]]] = deque()
        spans = parts(series.interval, store.done_ns, series.to_ns, self._part_candles)
        span = next(spans, None)
        try:
            while span is not None or under_way:
                # Whoever has parts under way waits for its own first one, not for a turn that others hold.
                if span is not None and (not under_way or not self._turns.locked()):
                    await self._turns.acquire()
                    under_way.append((span, asyncio.create_task(self._part(series, downloader, span))))
                    span = next(spans, None)
                    continue
                asked, task = under_way[0]
                part = await task
                under_way.popleft()
                try:
                    if isinstance(part, HeliographError):
                        raise part
                    await self._commit(series, store, part)
                finally:
                    self._turns.release()
                if part.span.to_ns < asked.to_ns:
                    return
        finally:
            for _, task in under_way:
                task.cancel()
            if under_way:
                await asyncio.wait([task for _, task in under_way])
            for _ in under_way:
                self._turns.release()

    async def _part(self, series: Series, downloader: Downloader, span: Span) -> Part | HeliographError:
        try:
            return await downloader.part(series, span)
        except HeliographError as e:
            return e

    async def _before_listing(self, series: Series, downloader: Downloader, store: Store) -> Part | None:
        """Return the stretch before the venue's first candle, where longer candles show that it is long."""
        left = count(series.interval, store.done_ns, series.to_ns)
        if store.done_ns != series.from_ns or left <= PROBED_PARTS * self._part_candles:
            return None
        first_ns = await downloader.first_open(series)
        if first_ns is None or not series.from_ns < first_ns < series.to_ns:
            return None
        span = Span(series.from_ns, first_ns)
        return Part(span, [], [Hole(span.from_ns, span.to_ns, "before the venue's first candle, as its days show")])

    async def _commit(self, series: Series, store: Store, part: Part) -> None:
        before_ns = store.done_ns
        await store.commit(part)
        self.progress.done += count(series.interval, before_ns, part.span.to_ns)
        log.debug("part written", what=series.name, until=iso_ms(part.span.to_ns), candles=len(part.candles))
