"""When a candle of a stream is closed."""

from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_MS, NS_PER_S
from heliograph.model.interval import Interval
from heliograph.model.market import Candle, Source
from heliograph.venues.contract import CandlePage
from heliograph.venues.hyperliquid import VENUE
from heliograph.venues.hyperliquid.candles import OVERDUE_NS, PAUSE_NS_MAX, QUIET_NS, SLACK_NS, SPACING_NS, Bars
from heliograph.venues.hyperliquid.instruments import USDM

if TYPE_CHECKING:
    from heliograph.model.event import VenueEvent

BTC, ETH = (VENUE.markets[USDM].instrument(name) for name in ("BTC", "ETH"))
MINUTE_NS = 60 * NS_PER_S
START_NS = 1_770_000_000 * NS_PER_S


def candle(minute: int, count: int, *, closed: bool = False, received_ns: int = 1, instrument: object = BTC) -> Candle:
    one = Decimal(1)
    open_ns = START_NS + minute * MINUTE_NS
    source = Source.REST if closed else Source.STREAM
    return Candle(
        instrument, Interval.M1, open_ns, open_ns + MINUTE_NS, one, one, one, one,
        Decimal(count), None, None, count, closed, None, received_ns, source,
    )  # fmt: skip


def take(bars: Bars, *candles: Candle) -> list[tuple[int, int | None, bool]]:
    events: list[VenueEvent] = []
    for one in candles:
        bars.take(one, events)
    told = [e for e in events if isinstance(e, Candle)]
    return [((e.open_ns - START_NS) // MINUTE_NS, e.trade_count, e.closed) for e in told]


def test_t9_a_candle_is_closed_by_its_successor_with_the_revision_seen_last() -> None:
    bars = Bars(10)
    events: list[VenueEvent] = []
    for one in (candle(0, 1), candle(0, 2, received_ns=5), candle(1, 1, received_ns=9)):
        bars.take(one, events)
    closed = events[2]
    assert isinstance(closed, Candle)
    assert (closed.open_ns, closed.trade_count, closed.closed, closed.received_ns, closed.source) == (
        START_NS, 2, True, 9, Source.STREAM,
    )  # fmt: skip
    assert [e.closed for e in events if isinstance(e, Candle)] == [False, False, True, False]


def test_t9_a_later_successor_closes_nothing_since_a_silence_may_have_swallowed_the_end() -> None:
    bars = Bars(10)
    assert take(bars, candle(0, 1), candle(5, 1)) == [(0, 1, False), (5, 1, False)]
    assert take(bars, candle(6, 1)) == [(5, 1, True), (6, 1, False)]


def silent(bars: Bars) -> Bars:
    """Let the socket say something twice, with a silence between."""
    bars.heard(START_NS)
    bars.heard(START_NS + QUIET_NS + 1)
    return bars


def test_t9_after_a_silence_a_successor_closes_only_what_was_heard_of_again() -> None:
    bars = Bars(10)
    take(bars, candle(0, 1), candle(0, 1, instrument=ETH))
    silent(bars)
    assert take(bars, candle(0, 2), candle(1, 1)) == [(0, 2, False), (0, 2, True), (1, 1, False)]
    assert take(bars, candle(1, 1, instrument=ETH)) == [(1, 1, False)]
    assert take(bars, candle(2, 1, instrument=ETH)) == [(1, 1, True), (2, 1, False)]


def test_t9_what_was_lost_may_have_been_a_last_revision() -> None:
    bars = Bars(10)
    take(bars, candle(0, 1))
    bars.doubt()
    assert take(bars, candle(1, 1)) == [(1, 1, False)]


def test_a_late_revision_does_not_take_the_doubt_away() -> None:
    bars = Bars(10)
    take(bars, candle(0, 5))
    silent(bars)
    assert take(bars, candle(0, 3), candle(1, 1)) == [(0, 3, False), (1, 1, False)]


@pytest.mark.parametrize("usual_ns", [0, NS_PER_S, 20 * NS_PER_S])
def test_a_silence_is_what_is_unusual_for_the_socket_and_five_seconds_at_most(usual_ns: int) -> None:
    silence_ns = min(2 * usual_ns + SLACK_NS, QUIET_NS)
    for rest_ns, closes in ((silence_ns - NS_PER_MS, True), (silence_ns + NS_PER_MS, False)):
        bars = Bars(10)
        for beat in range(300):
            bars.heard(START_NS + beat * usual_ns)
        take(bars, candle(0, 1))
        bars.heard(START_NS + 299 * usual_ns + rest_ns)
        assert ((0, 1, True) in take(bars, candle(1, 1))) is closes


def test_m19_time_alone_closes_nothing() -> None:
    bars = Bars(10)
    take(bars, candle(0, 1))
    for second in range(0, 3600, 5):
        bars.due(START_NS + second * NS_PER_S)
    assert take(bars, candle(0, 2)) == [(0, 2, False)]


def test_t11_a_late_revision_of_a_closed_candle_is_told_as_final_so_that_a_difference_is_found() -> None:
    assert take(Bars(10), candle(0, 1), candle(1, 1), candle(0, 2)) == [
        (0, 1, False), (0, 1, True), (1, 1, False), (0, 2, True),
    ]  # fmt: skip


def test_an_older_revision_does_not_become_the_final_one() -> None:
    assert take(Bars(10), candle(0, 5), candle(0, 3), candle(1, 1))[2] == (0, 5, True)


def test_a_stream_that_ended_closes_nothing_when_it_comes_back() -> None:
    bars = Bars(10)
    take(bars, candle(0, 1))
    bars.keep(())
    assert take(bars, candle(1, 1)) == [(1, 1, False)]
    silent(bars)
    bars.keep(())
    assert take(bars, candle(7, 1)) == [(7, 1, False)]
    bars.keep([(BTC.id, Interval.M1)])
    assert take(bars, candle(8, 1)) == [(7, 1, True), (8, 1, False)]


def test_what_is_remembered_is_bounded() -> None:
    bars = Bars(1)
    assert take(bars, candle(0, 1), candle(0, 1, instrument=ETH), candle(1, 1)) == [
        (0, 1, False), (0, 1, False), (1, 1, False),
    ]  # fmt: skip


def test_t9_rest_is_asked_for_a_candle_that_is_overdue_and_not_before() -> None:
    bars = Bars(10)
    take(bars, candle(0, 1))
    due_ns = START_NS + MINUTE_NS + OVERDUE_NS
    assert bars.due(due_ns - 1) is None
    assert bars.due(due_ns) == CandlePage(BTC, Interval.M1, START_NS, None)


def test_rest_is_asked_ever_more_seldom_and_never_twice_at_once() -> None:
    bars = Bars(10)
    take(bars, candle(0, 1), candle(0, 1, instrument=ETH))
    asked: dict[str, list[int]] = {"BTC": [], "ETH": []}
    start_ns = START_NS + MINUTE_NS + OVERDUE_NS
    for second in range(7200):
        page = bars.due(start_ns + second * NS_PER_S)
        if page is not None:
            asked[page.instrument.venue_symbol].append(second)
    every = sorted(asked["BTC"] + asked["ETH"])
    assert all(b - a >= SPACING_NS // NS_PER_S for a, b in pairwise(every))
    assert asked["BTC"][:4] == [0, 40, 80, 160]
    assert asked["BTC"][-1] - asked["BTC"][-2] == PAUSE_NS_MAX // NS_PER_S
    assert len(asked["ETH"]) >= len(asked["BTC"]) - 1


def test_a_candle_that_rest_closed_is_not_asked_for_again_but_its_successors_are() -> None:
    bars = Bars(10)
    take(bars, candle(0, 1))
    bars.settled(candle(0, 1, closed=True))
    assert bars.due(START_NS + 3600 * NS_PER_S) is None
    take(bars, candle(1, 1))
    assert bars.due(START_NS + 3600 * NS_PER_S) == CandlePage(BTC, Interval.M1, START_NS + MINUTE_NS, None)


def test_a_candle_that_was_forgotten_may_be_asked_for_afresh() -> None:
    bars = Bars(10)
    take(bars, candle(0, 1))
    bars.settled(candle(0, 1, closed=True))
    bars.keep(())
    take(bars, candle(0, 1))
    assert bars.due(START_NS + 3600 * NS_PER_S) is not None


def test_an_answer_about_an_older_candle_settles_nothing() -> None:
    bars = Bars(10)
    take(bars, candle(3, 1))
    bars.settled(candle(2, 1, closed=True))
    bars.settled(candle(2, 1, closed=True, instrument=ETH))
    assert bars.due(START_NS + 3600 * NS_PER_S) is not None


def test_a_clock_that_is_set_back_does_not_stop_the_asking() -> None:
    bars = Bars(10)
    take(bars, candle(0, 1), candle(0, 1, instrument=ETH))
    assert bars.due(START_NS + 86_400 * NS_PER_S) is not None
    assert bars.due(START_NS + 3600 * NS_PER_S) is not None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30))
def test_a_first_final_candle_is_only_told_once_a_later_one_is_known(revisions: list[tuple[int, int]]) -> None:
    bars = Bars(10)
    newest = -1
    for minute, count in revisions:
        newest = max(newest, minute)
        for told, _, closed in take(bars, candle(minute, count)):
            assert not closed or told < newest
