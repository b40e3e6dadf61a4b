"""What a history of candles consists of: its range on the interval's grid, its parts, and the proof that it is whole.

Pure: told the time, asks nobody. A range is half-open, from the first open time that is wanted to the first that is
not. Times are nanoseconds since the Unix epoch.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from heliograph.clock import NS_PER_S, NS_PER_US, iso_ms
from heliograph.errors import ConfigError
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval

SETTLED_NS: Final = 10 * NS_PER_S
"""How long after its end a candle is asked for at the earliest: bars were seen to change up to 2 s after theirs."""
YOUNG_NS: Final = 600 * NS_PER_S
"""A last candle that ended less than this ago and is not there may be yet to come: our clock is not the venue's."""
PART_CANDLES: Final = 2997
"""Candles of one part: three full answers where an answer holds a thousand, of which one proves the one before it."""
QUESTIONS_MAX: Final = 8
"""Narrower requests about one part; what more stretches than this lack is asked for again as one."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Span(msgspec.Struct, frozen=True):
    """A stretch of candles, by open time."""

    from_ns: int
    to_ns: int
    """The first open time after it."""


class Hole(msgspec.Struct, frozen=True):
    """A stretch in which the venue has no candle, and how we know."""

    from_ns: int
    to_ns: int
    reason: str


class Series(msgspec.Struct, frozen=True):
    """The candles that are wanted of one instrument."""

    instrument: Instrument
    interval: Interval
    from_ns: int
    to_ns: int
    """The first open time that is not wanted."""

    @property
    def name(self) -> str:
        """What the user is told it is."""
        return f"{self.instrument.id} {self.interval.value}"

    @property
    def candles(self) -> int:
        """How many open times it has."""
        return count(self.interval, self.from_ns, self.to_ns)


def instant(text: str) -> int:
    """Read a date or a date and time; UTC unless it has an offset.

    Raises:
        ConfigError: it is neither, or lies before 1970.

    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"not a time: {text[:40]!r}", ("2026-01-31", "2026-01-31T09:30", "…+01:00")) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    since = moment - _EPOCH
    if since.days < 0:
        raise ConfigError(f"{text[:40]} lies before 1970")
    return (since.days * 86_400 + since.seconds) * NS_PER_S + since.microseconds * NS_PER_US


def series(instrument: Instrument, interval: Interval, from_ns: int, to_ns: int | None, now_ns: int) -> Series:
    """Return the candles of a range that have closed: those that open in it, up to what has settled by now.

    Args:
        instrument: whose candles.
        interval: how long they are.
        from_ns: the range's beginning.
        to_ns: its end, exclusive; None is the present.
        now_ns: the time.

    Raises:
        ConfigError: there is no such candle.

    """
    first_ns = _grid_at_or_after(interval, from_ns)
    settled_ns = interval.open_of(now_ns - SETTLED_NS)
    end_ns = settled_ns if to_ns is None else min(settled_ns, _grid_at_or_after(interval, to_ns))
    if end_ns <= first_ns:
        until_ns = now_ns if to_ns is None else min(to_ns, now_ns)
        raise ConfigError(
            f"no {interval.value} candle opens at or after {iso_ms(from_ns)} and has closed before {iso_ms(until_ns)}"
        )
    return Series(instrument, interval, first_ns, end_ns)


def _grid_at_or_after(interval: Interval, instant_ns: int) -> int:
    open_ns = interval.open_of(instant_ns)
    return open_ns if open_ns == instant_ns else interval.next_open(open_ns)


def opens(interval: Interval, from_ns: int, to_ns: int) -> Iterator[int]:
    """Yield the open times of a stretch, in order."""
    while from_ns < to_ns:
        yield from_ns
        from_ns = interval.next_open(from_ns)


def count(interval: Interval, from_ns: int, to_ns: int) -> int:
    """Return how many open times a stretch has."""
    length_ns = interval.length_ns
    if length_ns is None:
        return sum(1 for _ in opens(interval, from_ns, to_ns))
    return max(0, -(-(to_ns - from_ns) // length_ns))


def last_open(interval: Interval, to_ns: int) -> int:
    """Return the open time before `to_ns`, which is on the grid."""
    return interval.open_of(to_ns - 1)


def parts(interval: Interval, from_ns: int, to_ns: int, candles: int) -> Iterator[Span]:
    """Cut a stretch into parts of so many candles, the last of what is left."""
    length_ns = interval.length_ns
    while from_ns < to_ns:
        if length_ns is not None:
            end_ns = from_ns + candles * length_ns
        else:
            end_ns = from_ns
            for _ in range(candles):
                end_ns = interval.next_open(end_ns)
        end_ns = min(end_ns, to_ns)
        yield Span(from_ns, end_ns)
        from_ns = end_ns


def missing(interval: Interval, span: Span, present: Collection[int]) -> list[Span]:
    """Return the stretches of a span whose open times are not present, in order."""
    found: list[Span] = []
    begin_ns: int | None = None
    for open_ns in opens(interval, span.from_ns, span.to_ns):
        if open_ns in present:
            if begin_ns is not None:
                found.append(Span(begin_ns, open_ns))
                begin_ns = None
        elif begin_ns is None:
            begin_ns = open_ns
    if begin_ns is not None:
        found.append(Span(begin_ns, span.to_ns))
    return found


def questions(lacking: Sequence[Span]) -> list[Span]:
    """Return what to ask the venue again for, of what its first answer lacked."""
    return list(lacking) if len(lacking) <= QUESTIONS_MAX else [Span(lacking[0].from_ns, lacking[-1].to_ns)]


def end_of_known(lacking: Sequence[Span], span: Span, interval: Interval, now_ns: int) -> int:
    """Return where a span ends as far as the venue can have closed its candles.

    What is missing at its end and is young may be yet to come, and is then neither there nor a hole.
    """
    if not lacking or lacking[-1].to_ns != span.to_ns:
        return span.to_ns
    return max(lacking[-1].from_ns, min(span.to_ns, interval.open_of(max(0, now_ns - YOUNG_NS))))


def with_holes(holes: Sequence[Hole], more: Iterable[Hole]) -> tuple[Hole, ...]:
    """Return holes and those that follow them, where two that touch and have one reason are one."""
    joined = list(holes)
    for hole in more:
        if joined and joined[-1].to_ns == hole.from_ns and joined[-1].reason == hole.reason:
            hole = Hole(joined.pop().from_ns, hole.to_ns, hole.reason)
        joined.append(hole)
    return tuple(joined)


class Verdict(msgspec.Struct, frozen=True):
    """How a record differs from a whole one: nothing of all this is a faithful record."""

    candles: int = 0
    """Open times of the range that the record has, and lists as a hole nowhere."""
    missing: tuple[Span, ...] = ()
    """What is neither there nor listed as a hole."""
    doubled: int = 0
    disordered: int = 0
    strange: int = 0
    """What lies outside the range, off the grid, or in a hole."""

    @property
    def whole(self) -> bool:
        """Whether each open time is there exactly once, in order, or listed as a hole."""
        return not (self.missing or self.doubled or self.disordered or self.strange)


def verify(interval: Interval, from_ns: int, to_ns: int, recorded: Iterable[int], holes: Sequence[Hole]) -> Verdict:
    """Hold the open times of a record, in its order, against the grid and the holes that are known."""
    lacking: list[Span] = []
    doubled = disordered = strange = candles = 0
    expected_ns, hole_at = from_ns, 0
    last_ns = -1
    for open_ns in recorded:
        if open_ns == last_ns:
            doubled += 1
            continue
        if open_ns < last_ns:
            disordered += 1
            continue
        if not from_ns <= open_ns < to_ns or interval.open_of(open_ns) != open_ns:
            strange += 1
            continue
        last_ns = open_ns
        if open_ns != expected_ns:
            told, hole_at = _told(expected_ns, open_ns, holes, hole_at)
            lacking += told
        while hole_at < len(holes) and holes[hole_at].to_ns <= open_ns:
            hole_at += 1
        if hole_at < len(holes) and holes[hole_at].from_ns <= open_ns:
            strange += 1
        else:
            candles += 1
        expected_ns = interval.next_open(open_ns)
    lacking += _told(expected_ns, to_ns, holes, hole_at)[0]
    return Verdict(candles, tuple(lacking), doubled, disordered, strange)


def _told(from_ns: int, to_ns: int, holes: Sequence[Hole], at: int) -> tuple[list[Span], int]:
    """Return what of a stretch no hole explains, and the first hole that does not end in it."""
    lacking: list[Span] = []
    while at < len(holes) and holes[at].from_ns < to_ns:
        if holes[at].from_ns > from_ns:
            lacking.append(Span(from_ns, holes[at].from_ns))
        from_ns = max(from_ns, holes[at].to_ns)
        if holes[at].to_ns > to_ns:
            break
        at += 1
    if from_ns < to_ns:
        lacking.append(Span(from_ns, to_ns))
    return lacking, at
