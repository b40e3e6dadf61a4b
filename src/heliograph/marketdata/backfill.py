"""Continuity of one instrument's closed candles: each exactly once, in order, or an explicit gap.

A track knows which open time comes next. What is older was told; what is newer waits until REST has filled the hole
before it, or until the hole is given up and told as a `Gap`. Holes are found by open time on the interval's grid, never
by the clock alone: the clock only says how long a final revision may be late before REST is asked.

Two clocks appear: `now_ns` never runs backwards and measures waiting; `received_ns` is the time of day, written into
gaps. Both are nanoseconds.
"""

from typing import Final

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.marketdata.dedupe import conflicts, supersedes
from heliograph.marketdata.settings import FeedSettings
from heliograph.metrics import FeedMetrics
from heliograph.model.event import Event
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Channel, Gap, Source
from heliograph.venues.contract import CandlePage

FINALS_REMEMBERED: Final = 4
"""Final revisions that are kept to compare a second one with."""

RETRY_DOUBLINGS_MAX: Final = 5


class Patience(msgspec.Struct, frozen=True):
    """How long to wait for what is missing, and how much of it to want. Times are in nanoseconds."""

    grace_ns: int
    retry_ns: int
    attempts_max: int
    held_max: int
    span_max: int
    """Missing events beyond which some are given up at once."""
    page_max: int
    dedupe: bool
    backfill: bool
    outage_ns: int = 0
    """How long what is known may wait for what nobody can be asked for at present."""

    def pause_ns(self, attempts: int) -> int:
        """Return how long to wait after so many attempts in vain."""
        return self.retry_ns << min(attempts - 1, RETRY_DOUBLINGS_MAX)


def candle_patience(settings: FeedSettings) -> Patience:
    """Return what the settings say about candles."""
    return Patience(
        grace_ns=int(settings.gap_grace_s * NS_PER_S),
        retry_ns=int(settings.backfill_retry_s * NS_PER_S),
        attempts_max=settings.backfill_attempts_max,
        held_max=settings.held_max,
        span_max=settings.backfill_candles_max,
        page_max=settings.backfill_candles_max,
        dedupe=settings.dedupe,
        backfill=settings.backfill,
        outage_ns=int(settings.backfill_outage_s_max * NS_PER_S),
    )


class Hole:
    """Something missing before what is known: since when, whether it was asked for, and how often in vain."""

    def __init__(self) -> None:
        self.deadline_ns: int | None = None
        """When to ask; None while nothing is known to be missing, or while an answer is awaited."""
        self.attempts = 0
        self.counted = False

    def suspect(self, deadline_ns: int) -> None:
        """Ask at `deadline_ns` at the latest, if it is still missing then."""
        if self.deadline_ns is None or deadline_ns < self.deadline_ns:
            self.deadline_ns = deadline_ns

    def close(self, metrics: FeedMetrics, *, filled: bool) -> None:
        """Forget it: nothing is missing any more, or what was missing has been told as a gap."""
        if self.counted:
            if filled:
                metrics.gaps_filled += 1
            else:
                metrics.gaps_unfilled += 1
        self.deadline_ns = None
        self.attempts = 0
        self.counted = False

    def count(self, metrics: FeedMetrics) -> None:
        """Count it as found, once."""
        if not self.counted:
            self.counted = True
            metrics.gaps_found += 1


class CandleTrack:
    """The candles of one instrument and interval.

    Args:
        instrument: whose candles.
        interval: how long they are.
        patience: how long to wait for what is missing.
        metrics: where duplicates, conflicts and gaps are counted.
        last_closed_ns: the open time of the newest closed candle that the consumer already has, in nanoseconds; with
            it, what happened since is a hole to fill. None: whatever comes first is the beginning.

    """

    def __init__(
        self,
        instrument: Instrument,
        interval: Interval,
        patience: Patience,
        metrics: FeedMetrics,
        last_closed_ns: int | None = None,
    ) -> None:
        self.instrument = instrument
        self.interval = interval
        self.touched_ns: int | None = None
        """When a candle last came, news or not."""
        self.conflict: tuple[Candle, Candle] | None = None
        """The latest final revision that disagreed with the one delivered before it, and that one; for the log."""
        self._patience = patience
        self._metrics = metrics
        self._expected_ns = None if last_closed_ns is None else interval.next_open(last_closed_ns)
        self._live_ns = -1 if self._expected_ns is None else self._expected_ns  # no older bar is live any more
        self._over_ns = 0  # from when on the bar before the live one is final also for REST
        self._live: Candle | None = None
        self._held: dict[int, Candle] = {}
        self._held_since_ns = 0
        self._finals: tuple[Candle, ...] = ()
        self._hole = Hole()
        self._asked: CandlePage | None = None
        self._refresh_ns: int | None = None
        self._interrupted = False
        self._away: str | None = None  # why nobody could be asked the last time
        self._refilled = False  # whether the answer to what was asked has told anything new

    @property
    def expected_ns(self) -> int | None:
        """The open time of the closed candle to be delivered next; None before the first candle."""
        return self._expected_ns

    @property
    def mark(self) -> int | None:
        """The open time of the newest closed candle that the consumer was given or told of; None before the first."""
        return None if self._expected_ns is None else _open_before(self.interval, self._expected_ns)

    @property
    def held(self) -> int:
        """How many closed candles wait for a hole before them."""
        return len(self._held)

    @property
    def held_since_ns(self) -> int | None:
        """Since when closed candles have waited for a hole before them; None while none does."""
        return self._held_since_ns if self._held else None

    def live(self, candle: Candle, now_ns: int) -> bool:
        """Take a revision of an open candle, and tell whether it is to be delivered."""
        self.touched_ns = now_ns
        if candle.open_ns == self._live_ns:
            if self._refresh_ns is not None:
                self._refresh_ns = None
                self._interrupted = False
            known = self._live
            if known is not None and not supersedes(candle, known):
                self._metrics.duplicates += 1
                return not self._patience.dedupe
            self._live = candle
            return True
        if candle.open_ns < self._live_ns:
            self._metrics.duplicates += 1
            return not self._patience.dedupe
        self._live_ns = candle.open_ns
        past_ns = 0 if candle.event_ns is None else max(0, candle.event_ns - candle.open_ns)
        self._over_ns = now_ns + self._patience.grace_ns - past_ns
        self._live = candle
        self._advanced(candle, now_ns)
        return True

    def final(self, candle: Candle, now_ns: int, out: list[Event]) -> None:
        """Take the final revision of a candle: deliver it to `out`, hold it, or drop it as told already."""
        self.touched_ns = now_ns
        self._refresh_ns = None
        open_ns = candle.open_ns
        if open_ns >= self._live_ns:
            self._live_ns = self.interval.next_open(open_ns)
            self._live = None
        expected_ns = self._expected_ns
        if expected_ns is None or open_ns == expected_ns:
            self._interrupted = False
            self._deliver(candle, out)
            self._release(out)
            if self._asked is None and self._hole.deadline_ns is not None:
                self._settle(now_ns)
        elif open_ns > expected_ns:
            if self._patience.backfill:
                self._hold(candle, now_ns, out)
            else:
                self._deliver(candle, out)
        else:
            self._repeated(candle, out)

    def interrupted(self, refresh_ns: int) -> None:
        """Take note that the connection was lost.

        Args:
            refresh_ns: when to ask REST if no candle has come by then; the next hole is asked for without grace,
                unless its last candle has only just ended.

        """
        self._interrupted = True
        self.refresh_at(refresh_ns)

    def refresh_at(self, refresh_ns: int) -> None:
        """Ask REST for the candles since the last closed one at `refresh_ns`, unless one has come by then."""
        if self._patience.backfill:
            self._refresh_ns = refresh_ns

    def due(self, now_ns: int, received_ns: int, out: list[Event]) -> CandlePage | None:
        """Return the range to ask REST for, if it is time to; its answer is awaited from then on.

        What comes of the answer goes to `live` and `final`, then the page to `answered` or `failed`.
        """
        if self._away is not None and self._held and now_ns - self._held_since_ns >= self._patience.outage_ns:
            self._asked = None  # What an answer may still bring would come after what waits.
            self._give_up(self._away, received_ns, out)
            self._settle(now_ns)
        if self._asked is not None:
            return None
        deadline_ns, refresh_ns = self._hole.deadline_ns, self._refresh_ns
        if deadline_ns is not None and deadline_ns <= now_ns:
            limit_ns = self._limit_ns()
            expected_ns = self._expected_ns
            if now_ns < self._over_ns and not self._held:
                limit_ns = _open_before(self.interval, limit_ns)
                if limit_ns == expected_ns:
                    self._hole.deadline_ns = self._over_ns
                    return None
            if expected_ns is not None and limit_ns > expected_ns:
                self._hole.count(self._metrics)
                self._hole.deadline_ns = None
                from_ns = self._shorten(expected_ns, limit_ns, received_ns, out)
                return self._ask(from_ns, _open_before(self.interval, limit_ns))
            self._hole.close(self._metrics, filled=True)
        if refresh_ns is not None and refresh_ns <= now_ns:
            self._refresh_ns = None
            return self._ask(self._refresh_from(received_ns), None)
        return None

    def answered(self, page: CandlePage, now_ns: int, received_ns: int, out: list[Event]) -> None:
        """Take note that all of the answer to `page` has been handed in."""
        if page is not self._asked:
            return
        self._asked = self._away = None
        expected_ns = self._expected_ns
        if page.to_ns is None or expected_ns is None or expected_ns > page.to_ns:
            if self._refilled:
                self._hole.count(self._metrics)
            self._settle(now_ns)
            return
        if expected_ns > page.from_ns:
            self._hole.attempts = 0
        self._missed("the venue has no candle here", now_ns, received_ns, out)

    def failed(
        self,
        page: CandlePage,
        reason: str,
        now_ns: int,
        received_ns: int,
        out: list[Event],
        *,
        unreachable: bool = False,
    ) -> None:
        """Take note that `page` was not answered, and will not be.

        If nobody could be reached, the hole is asked for again for as long as no closed candle waits behind it, and
        until one has waited for `Patience.outage_ns`: to give it up sooner would gain nobody anything.
        """
        if page is not self._asked:
            return
        self._asked = None
        self._away = reason if unreachable else None
        if page.to_ns is None:
            self._settle(now_ns)
        else:
            self._missed(reason, now_ns, received_ns, out)

    def _ask(self, from_ns: int, to_ns: int | None) -> CandlePage:
        self._refilled = False
        self._asked = CandlePage(self.instrument, self.interval, from_ns, to_ns)
        return self._asked

    def _advanced(self, candle: Candle, now_ns: int) -> None:
        self._refresh_ns = None
        if self._expected_ns is None:
            self._expected_ns = candle.open_ns
        if candle.open_ns > self._expected_ns and self._asked is None:
            self._suspect(now_ns)
        else:
            self._interrupted = False

    def _suspect(self, now_ns: int) -> None:
        if not self._patience.backfill:
            return
        self._hole.suspect(now_ns if self._interrupted else now_ns + self._patience.grace_ns)
        self._interrupted = False

    def _deliver(self, candle: Candle, out: list[Event]) -> None:
        out.append(candle)
        self._finals = (*self._finals, candle)[-FINALS_REMEMBERED:]
        if candle.source is Source.REST:
            self._refilled = True
        self._expected_ns = self.interval.next_open(candle.open_ns)

    def _release(self, out: list[Event]) -> None:
        while self._held and self._expected_ns in self._held:
            self._deliver(self._held.pop(self._expected_ns), out)

    def _hold(self, candle: Candle, now_ns: int, out: list[Event]) -> None:
        known = self._held.get(candle.open_ns)
        if known is not None:
            self._metrics.duplicates += 1
            self._compare(candle, known)
            return
        if not self._held:
            self._held_since_ns = now_ns
        self._held[candle.open_ns] = candle
        if len(self._held) > self._patience.held_max:
            self._hole.count(self._metrics)
            self._give_up("too many candles waited for it", candle.received_ns, out)
            self._settle(now_ns)
        elif self._asked is None and self._hole.deadline_ns is None:
            self._suspect(now_ns)

    def _repeated(self, candle: Candle, out: list[Event]) -> None:
        self._metrics.duplicates += 1
        for known in self._finals:
            if known.open_ns == candle.open_ns:
                self._compare(candle, known)
        if not self._patience.dedupe:
            out.append(candle)

    def _compare(self, candle: Candle, known: Candle) -> None:
        if conflicts(candle, known):
            self._metrics.conflicts += 1
            self.conflict = (candle, known)

    def _limit_ns(self) -> int:
        """Return the open time of the first candle that is known to come after the expected one."""
        return min(self._held, default=self._live_ns)

    def _refresh_from(self, received_ns: int) -> int:
        if self._expected_ns is None:
            return self.interval.open_of(received_ns)
        length_ns = self.interval.length_ns
        oldest_ns = 0
        if length_ns is not None:
            oldest_ns = self.interval.open_of(received_ns) - self._patience.span_max * length_ns
        return max(oldest_ns, _open_before(self.interval, self._expected_ns))

    def _shorten(self, from_ns: int, limit_ns: int, received_ns: int, out: list[Event]) -> int:
        """Give up the oldest part of a hole that is too long to fill, and return where the rest begins."""
        length_ns = self.interval.length_ns
        if length_ns is None or (limit_ns - from_ns) // length_ns <= self._patience.span_max:
            return from_ns
        start_ns = limit_ns - self._patience.span_max * length_ns
        out.append(self._gap(from_ns, start_ns, "more candles are missing than a backfill may ask for", received_ns))
        self._metrics.gaps_found += 1
        self._metrics.gaps_unfilled += 1
        self._expected_ns = start_ns
        return start_ns

    def _settle(self, now_ns: int) -> None:
        """Look again whether anything is missing, after what was delivered has changed."""
        if self._expected_ns is None or self._limit_ns() <= self._expected_ns:
            self._hole.close(self._metrics, filled=True)
            return
        self._hole.deadline_ns = None
        self._suspect(now_ns)

    def _missed(self, reason: str, now_ns: int, received_ns: int, out: list[Event]) -> None:
        self._hole.attempts += 1
        if self._away is not None or self._hole.attempts < self._patience.attempts_max:
            self._hole.suspect(now_ns + self._patience.pause_ns(self._hole.attempts))
            return
        self._give_up(reason, received_ns, out)
        self._settle(now_ns)

    def _give_up(self, reason: str, received_ns: int, out: list[Event]) -> None:
        expected_ns, limit_ns = self._expected_ns, self._limit_ns()
        assert expected_ns is not None
        if limit_ns > expected_ns:
            out.append(self._gap(expected_ns, limit_ns, reason, received_ns))
            self._expected_ns = limit_ns
        self._hole.close(self._metrics, filled=False)
        self._away = None
        self._release(out)

    def _gap(self, from_ns: int, to_ns: int, reason: str, received_ns: int) -> Gap:
        return Gap(self.instrument, Channel.CANDLES, self.interval, from_ns, to_ns, None, None, reason, received_ns)


def _open_before(interval: Interval, open_ns: int) -> int:
    length_ns = interval.length_ns
    return interval.open_of(open_ns - 1) if length_ns is None else open_ns - length_ns
