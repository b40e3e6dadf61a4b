from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.marketdata.backfill import CandleTrack, candle_patience
from heliograph.marketdata.settings import FeedSettings
from heliograph.metrics import FeedMetrics
from heliograph.model.instrument import Instrument
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Gap, Source
from heliograph.venues.contract import CandlePage

if TYPE_CHECKING:
    from heliograph.model.event import Event

Make = Callable[..., Candle]
MINUTE_NS = 60 * NS_PER_S
BASE_NS = 1_700_000_040 * NS_PER_S
GRACE_NS = 3 * NS_PER_S


class Rig:
    """A track with what it delivered, and the time."""

    def __init__(self, btc: Instrument, last_bar: int | None = None, **changes: object) -> None:
        self.metrics = FeedMetrics("binance", "spot")
        patience = candle_patience(FeedSettings(**changes))  # type: ignore[arg-type]
        last_ns = None if last_bar is None else BASE_NS + last_bar * MINUTE_NS
        self.track = CandleTrack(btc, Interval.M1, patience, self.metrics, last_ns)
        self.out: list[Event] = []
        self.now_ns = 0

    def take(self, *candles: Candle) -> None:
        for candle in candles:
            if candle.closed:
                self.track.final(candle, self.now_ns, self.out)
            elif self.track.live(candle, self.now_ns):
                self.out.append(candle)

    def due(self, after_ns: int = 0) -> CandlePage | None:
        self.now_ns += after_ns
        return self.track.due(self.now_ns, self.now_ns, self.out)

    def answer(self, page: CandlePage, *candles: Candle) -> None:
        self.take(*candles)
        self.track.answered(page, self.now_ns, self.now_ns, self.out)

    def closed_bars(self) -> list[int]:
        return [bar_of(e) for e in self.out if isinstance(e, Candle) and e.closed]

    def gaps(self) -> list[tuple[int, int, str]]:
        return [
            ((e.from_ns - BASE_NS) // MINUTE_NS, (e.to_ns - BASE_NS) // MINUTE_NS, e.reason)
            for e in self.out
            if isinstance(e, Gap) and e.from_ns is not None and e.to_ns is not None
        ]


def bar_of(candle: Candle) -> int:
    return (candle.open_ns - BASE_NS) // MINUTE_NS


def bars_of(page: CandlePage) -> tuple[int, int | None]:
    return (page.from_ns - BASE_NS) // MINUTE_NS, None if page.to_ns is None else (page.to_ns - BASE_NS) // MINUTE_NS


def test_m8_updates_of_a_bar_pass_until_its_final_and_then_nothing_of_it(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    updates = [candle(0, event_s=s, count=s) for s in (2, 4, 6)]
    rig.take(*updates, candle(0, closed=True, event_s=60), candle(0, event_s=61), candle(0, closed=True, event_s=60))
    assert rig.out == [*updates, candle(0, closed=True, event_s=60)]
    assert rig.metrics.duplicates == 2


def test_m9_a_live_bar_never_goes_backwards(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(candle(0, event_s=4, count=4), candle(0, event_s=2, count=2), candle(1, event_s=2), candle(0, event_s=59))
    assert rig.out == [candle(0, event_s=4, count=4), candle(1, event_s=2)]


def test_t8_a_final_that_is_late_within_the_grace_is_no_gap(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(candle(0, event_s=58), candle(1, event_s=0.5))
    assert rig.due(GRACE_NS - 1) is None
    rig.take(candle(0, closed=True, event_s=60, count=9))
    assert rig.due(GRACE_NS) is None
    assert (rig.metrics.gaps_found, rig.closed_bars(), rig.gaps()) == (0, [0], [])


def test_m7_t10_a_hole_of_several_bars_is_asked_for_exactly_and_told_in_order(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(candle(0, closed=True), candle(4, event_s=1), candle(4, closed=True), candle(5, event_s=1))
    assert rig.closed_bars() == [0]
    assert rig.track.held == 1
    page = rig.due(GRACE_NS)
    assert page is not None
    assert bars_of(page) == (1, 3)
    assert rig.due(GRACE_NS) is None, "one request at a time"
    rig.answer(page, *(candle(bar, closed=True, source=Source.REST) for bar in (1, 2, 3)))
    assert rig.closed_bars() == [0, 1, 2, 3, 4]
    assert (rig.metrics.gaps_found, rig.metrics.gaps_filled, rig.metrics.gaps_unfilled) == (1, 1, 0)
    assert rig.track.held == 0
    assert rig.due(GRACE_NS) is None


def test_grace_holds_from_the_first_boundary_on(candle: Make, btc: Instrument) -> None:
    """A feed's start counts as an interruption, but there is nothing before the first candle to be missed."""
    rig = Rig(btc)
    rig.track.interrupted(3 * NS_PER_S)
    rig.take(candle(0, event_s=58), candle(1, event_s=0.5))
    assert rig.due(GRACE_NS - 1) is None
    assert rig.due(1) is not None


def test_live_candles_flow_while_a_hole_is_open(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(candle(0, closed=True), candle(3, event_s=1), candle(3, event_s=2), candle(4, event_s=1))
    assert rig.out[1:] == [candle(3, event_s=1), candle(3, event_s=2), candle(4, event_s=1)]


def test_t11_rest_and_stream_give_one_final_and_a_conflict_is_reported_not_delivered(
    candle: Make, btc: Instrument
) -> None:
    rig = Rig(btc)
    rig.take(candle(0, closed=True), candle(0, closed=True, source=Source.REST))
    assert (rig.metrics.conflicts, rig.track.conflict) == (0, None)
    other = candle(0, closed=True, close="101", source=Source.REST)
    rig.take(other)
    assert rig.out == [candle(0, closed=True)]
    assert (rig.metrics.conflicts, rig.track.conflict) == (1, (other, candle(0, closed=True)))


def test_m6_t7_an_open_bar_of_an_answer_is_delivered_as_open_only(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(candle(0, closed=True))
    rig.track.refresh_at(5)
    page = rig.due(5)
    assert page is not None
    assert bars_of(page) == (0, None)
    rig.answer(page, candle(0, closed=True, source=Source.REST), candle(1, source=Source.REST, count=5))
    assert rig.closed_bars() == [0]
    assert rig.out[-1] == candle(1, source=Source.REST, count=5)
    rig.take(candle(1, event_s=3, count=4))
    assert rig.out[-1].source is Source.REST, "an update older than the answer does not overwrite it"  # type: ignore[union-attr]


def test_t34_a_bar_that_rest_does_not_have_either_becomes_a_gap_after_bounded_questions(
    candle: Make, btc: Instrument
) -> None:
    rig = Rig(btc, backfill_attempts_max=3)
    rig.take(candle(0, closed=True), candle(2, closed=True))
    pause_ns = GRACE_NS
    for _ in range(3):
        assert rig.gaps() == []
        page = rig.due(pause_ns)
        assert page is not None
        rig.answer(page)
        pause_ns = 10 * NS_PER_S
    assert rig.gaps() == [(1, 2, "the venue has no candle here")]
    assert rig.closed_bars() == [0, 2]
    assert rig.due(pause_ns) is None
    rig.take(candle(1, closed=True))
    assert rig.closed_bars() == [0, 2], "a gap once told is not taken back"


def test_requests_that_fail_for_good_become_a_gap_with_their_reason(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc, backfill_attempts_max=2)
    rig.take(candle(0, closed=True), candle(3, event_s=1))
    for _ in range(2):
        page = rig.due(20 * NS_PER_S)
        assert page is not None
        rig.track.failed(page, "status 500", rig.now_ns, rig.now_ns, rig.out)
    assert rig.gaps() == [(1, 3, "status 500")]
    rig.take(candle(3, closed=True))
    assert rig.closed_bars() == [0, 3]


def test_while_nobody_can_be_asked_a_hole_behind_which_nothing_waits_is_not_given_up(
    candle: Make, btc: Instrument
) -> None:
    """M7: an outage of REST was a gap after some twenty seconds, whether or not anybody waited for the answer."""
    rig = Rig(btc, backfill_attempts_max=2, backfill_outage_s_max=60)
    rig.take(candle(0, closed=True), candle(2, event_s=1))
    for _ in range(50):
        page = rig.due(40 * NS_PER_S)
        assert page is not None
        rig.track.failed(page, "away", rig.now_ns, rig.now_ns, rig.out, unreachable=True)
    assert rig.gaps() == []
    page = rig.due(40 * NS_PER_S)
    assert page is not None
    rig.answer(page, candle(1, closed=True, source=Source.REST))
    assert rig.closed_bars() == [0, 1]


def test_what_waits_behind_a_hole_that_nobody_can_be_asked_for_waits_so_long_and_no_longer(
    candle: Make, btc: Instrument
) -> None:
    rig = Rig(btc, backfill_attempts_max=2, backfill_outage_s_max=60)
    rig.take(candle(0, closed=True), candle(2, closed=True))
    since_ns = rig.now_ns
    while not rig.gaps():
        page = rig.due(5 * NS_PER_S)
        if page is not None:
            rig.track.failed(page, "away", rig.now_ns, rig.now_ns, rig.out, unreachable=True)
    assert rig.now_ns - since_ns == 60 * NS_PER_S
    assert rig.gaps() == [(1, 2, "away")]
    assert rig.closed_bars() == [0, 2]
    rig.take(candle(3, closed=True))
    assert rig.closed_bars() == [0, 2, 3]


def test_what_waits_is_told_on_time_though_an_answer_may_still_come(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc, backfill_outage_s_max=60)
    rig.take(candle(0, closed=True), candle(2, closed=True))
    assert rig.track.held_since_ns == rig.now_ns
    page = rig.due(GRACE_NS)
    assert page is not None
    rig.track.failed(page, "away", rig.now_ns, rig.now_ns, rig.out, unreachable=True)
    asked = rig.due(5 * NS_PER_S)
    assert asked is not None
    assert rig.due(60 * NS_PER_S - GRACE_NS - 5 * NS_PER_S - 1) is None
    assert rig.gaps() == []
    assert rig.due(1) is None
    assert rig.gaps() == [(1, 2, "away")]
    assert rig.track.held_since_ns is None
    rig.answer(asked, candle(1, closed=True, source=Source.REST))
    assert rig.closed_bars() == [0, 2], "what comes after all comes too late"


def test_what_waits_for_an_answer_of_a_venue_that_answers_is_not_given_up(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc, backfill_outage_s_max=60)
    rig.take(candle(0, closed=True), candle(2, closed=True))
    page = rig.due(GRACE_NS)
    assert page is not None
    assert rig.due(600 * NS_PER_S) is None
    rig.answer(page, candle(1, closed=True, source=Source.REST))
    assert rig.closed_bars() == [0, 1, 2]


def test_the_first_candle_is_the_beginning(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(candle(7, event_s=5), candle(6, closed=True, source=Source.REST), candle(7, closed=True))
    assert rig.closed_bars() == [7]
    assert rig.due(100 * NS_PER_S) is None


def test_what_was_missed_while_down_is_a_hole_and_is_asked_for_without_grace(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc, last_bar=2)
    rig.track.interrupted(3 * NS_PER_S)
    rig.take(candle(2, closed=True), candle(6, event_s=3))
    page = rig.due()
    assert page is not None
    assert bars_of(page) == (3, 5)
    rig.answer(page, *(candle(bar, closed=True) for bar in (3, 4, 5)))
    assert rig.closed_bars() == [3, 4, 5]


@pytest.mark.parametrize("event_s", [0, 2.9, None])
def test_a_bar_that_has_just_ended_is_not_asked_for_at_once(
    candle: Make, btc: Instrument, event_s: float | None
) -> None:
    """A venue's REST was seen to change a bar up to two seconds after its end, and would tell figures that are not."""
    rig = Rig(btc, last_bar=2)
    rig.track.interrupted(3 * NS_PER_S)
    rig.take(candle(4, event_s=event_s))
    assert rig.due(GRACE_NS - int((event_s or 0) * NS_PER_S) - 1) is None
    rig.take(candle(3, closed=True, event_s=60, count=9))
    assert rig.due(1) is None
    assert rig.closed_bars() == [3]


def test_a_hole_that_grows_by_a_bar_that_has_just_ended_is_asked_for_without_it(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(candle(0, closed=True), candle(2, event_s=58))
    page = rig.due(GRACE_NS)
    assert page is not None
    rig.take(candle(3, event_s=0))
    rig.track.failed(page, "503", rig.now_ns, rig.now_ns, rig.out)
    page = rig.due(NS_PER_S)
    assert page is not None
    assert bars_of(page) == (1, 1)
    rig.answer(page, candle(1, closed=True))
    page = rig.due(GRACE_NS)
    assert page is not None
    assert bars_of(page) == (2, 2)


def test_after_an_interruption_a_silent_stream_is_asked_for_by_rest(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(candle(0, closed=True))
    rig.track.interrupted(rig.now_ns + 3 * NS_PER_S)
    assert rig.due() is None
    page = rig.due(3 * NS_PER_S)
    assert page is not None
    assert bars_of(page) == (0, None)
    rig.answer(page, *(candle(bar, closed=True) for bar in (0, 1, 2)), candle(3))
    assert rig.closed_bars() == [0, 1, 2]
    assert rig.due(60 * NS_PER_S) is None


def test_too_long_a_hole_is_told_in_part_and_filled_in_part(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc, backfill_candles_max=10)
    rig.take(candle(0, closed=True), candle(100, event_s=1))
    page = rig.due(GRACE_NS)
    assert page is not None
    assert bars_of(page) == (90, 99)
    assert rig.gaps() == [(1, 90, "more candles are missing than a backfill may ask for")]
    rig.answer(page, *(candle(bar, closed=True) for bar in range(90, 100)))
    assert rig.closed_bars() == [0, *range(90, 100)]


def test_a_silent_stream_is_not_asked_for_from_weeks_ago(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc, last_bar=0, backfill_candles_max=10)
    rig.track.interrupted(3 * NS_PER_S)
    present = candle(100)
    page = rig.track.due(3 * NS_PER_S, present.open_ns + NS_PER_S, rig.out)
    assert page is not None
    assert bars_of(page) == (90, None)
    rig.answer(page, *(candle(bar, closed=True) for bar in range(90, 100)), present)
    following = rig.due(GRACE_NS)
    assert following is not None
    assert bars_of(following) == (80, 89)
    rig.answer(following, *(candle(bar, closed=True) for bar in range(80, 90)))
    assert rig.gaps() == [(1, 80, "more candles are missing than a backfill may ask for")]
    assert rig.closed_bars() == list(range(80, 100))


def test_a_bar_that_the_consumer_has_as_closed_is_live_no_more(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc, last_bar=2)
    rig.take(candle(2, event_s=59), candle(2, closed=True, event_s=60), candle(3, event_s=1))
    assert rig.out == [candle(3, event_s=1)]
    assert rig.due(GRACE_NS) is None


def test_what_waits_for_a_hole_is_bounded(candle: Make, btc: Instrument) -> None:
    rig = Rig(btc, held_max=5)
    rig.take(candle(0, closed=True), *(candle(bar, closed=True) for bar in range(2, 20)))
    assert rig.track.held <= 5
    assert rig.gaps() == [(1, 2, "too many candles waited for it")]
    assert rig.closed_bars() == [0, *range(2, 20)]


def test_without_backfill_a_hole_is_silent_and_without_dedupe_a_repeat_is_delivered(
    candle: Make, btc: Instrument
) -> None:
    """The kill tests rely on both switches to show that they would notice."""
    rig = Rig(btc, backfill=False)
    rig.take(candle(0, closed=True), candle(3, closed=True), candle(4, event_s=1))
    assert rig.closed_bars() == [0, 3]
    assert rig.due(100 * NS_PER_S) is None
    rig = Rig(btc, dedupe=False)
    rig.take(candle(0, closed=True), candle(0, closed=True))
    assert rig.closed_bars() == [0, 0]


@pytest.mark.parametrize("interval", [Interval.MO1, Interval.W1])
def test_a_hole_of_months_or_weeks_is_found_on_their_grid(btc: Instrument, candle: Make, interval: Interval) -> None:
    metrics = FeedMetrics("binance", "spot")
    track = CandleTrack(btc, interval, candle_patience(FeedSettings()), metrics)
    first_ns = interval.open_of(BASE_NS)
    second_ns = interval.next_open(first_ns)
    out: list[Event] = []
    for open_ns in (first_ns, interval.next_open(second_ns)):
        track.final(_moved(candle(0, closed=True), interval, open_ns), 0, out)
    page = track.due(GRACE_NS, 0, out)
    assert page == CandlePage(btc, interval, second_ns, second_ns)


def _moved(candle: Candle, interval: Interval, open_ns: int) -> Candle:
    return msgspec.structs.replace(candle, interval=interval, open_ns=open_ns, close_ns=interval.next_open(open_ns))


BARS = 12


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[str, int]], set[int], list[str]]:
    """What the stream says (updates and finals, some dropped, doubled, swapped), what REST has, and how it answers."""
    said: list[tuple[str, int]] = []
    for bar in range(BARS):
        said += [("live", bar * 10 + step) for step in range(draw(st.integers(0, 3)))]
        said.append(("final", bar))
    kept = [entry for entry in said if draw(st.integers(0, 4))]
    for position in draw(st.lists(st.integers(0, max(0, len(kept) - 2)), max_size=8)):
        if position + 1 < len(kept):
            kept[position], kept[position + 1] = kept[position + 1], kept[position]
    for position in draw(st.lists(st.integers(0, max(0, len(kept) - 1)), max_size=8)):
        if kept:
            kept.insert(min(position + 2, len(kept)), kept[min(position, len(kept) - 1)])
    holes = draw(st.sets(st.integers(0, BARS - 1), max_size=3))
    answers = draw(st.lists(st.sampled_from(["all", "none", "fail", "half"]), max_size=10))
    return kept, set(range(BARS)) - holes, answers


@settings(max_examples=400)
@given(histories(), st.booleans())
def test_any_history_gives_each_closed_candle_once_in_order_or_an_explicit_gap(
    candle: Make, btc: Instrument, history: tuple[Sequence[tuple[str, int]], set[int], Sequence[str]], resumed: bool
) -> None:
    said, rest_has, answers = history
    rig = Rig(btc, last_bar=-1 if resumed else None, backfill_attempts_max=3)
    pending = list(answers)

    def ask() -> None:
        page = rig.due(2 * NS_PER_S)
        if page is None:
            return
        kind = pending.pop(0) if pending else "all"
        first, last = bars_of(page)
        wanted = [bar for bar in range(first, BARS if last is None else last + 1) if bar in rest_has]
        if kind == "fail":
            rig.track.failed(page, "status 500", rig.now_ns, rig.now_ns, rig.out)
            return
        given = {"all": wanted, "none": [], "half": wanted[: len(wanted) // 2]}[kind]
        rig.answer(page, *(candle(bar, closed=True, source=Source.REST) for bar in given))

    for kind, number in said:
        if kind == "live":
            rig.take(candle(number // 10, event_s=number % 10 + 1, count=number % 10 + 1))
        else:
            rig.take(candle(number, closed=True, event_s=60, count=99))
        ask()
    for _ in range(200):
        ask()

    told = [e for e in rig.out if isinstance(e, Gap) or (isinstance(e, Candle) and e.closed)]
    position: int | None = -1 + 1 if resumed else None
    for event in told:
        first = bar_of(event) if isinstance(event, Candle) else (event.from_ns - BASE_NS) // MINUTE_NS  # type: ignore[operator]
        assert position is None or first == position, "exactly once, in order, no silent hole"
        position = first + 1 if isinstance(event, Candle) else (event.to_ns - BASE_NS) // MINUTE_NS  # type: ignore[operator]
    opens = [e for e in rig.out if isinstance(e, Candle) and not e.closed]
    marks = [(e.open_ns, e.event_ns) for e in opens]
    assert marks == sorted(marks), "a live bar never goes backwards"
    finished: set[int] = set()
    for event in rig.out:
        if isinstance(event, Candle):
            assert event.open_ns not in finished, "nothing of a bar after its final"
            if event.closed:
                finished.add(event.open_ns)
    assert rig.track.held == 0
    newest = max((n // 10 if kind == "live" else n + 1 for kind, n in said), default=None)
    if newest is not None and position is not None:
        assert position == max(newest, position), "all that is known to be finished was told"
