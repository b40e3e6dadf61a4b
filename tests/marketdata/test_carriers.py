from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.marketdata.carriers import APART, LOST, Carriers
from heliograph.marketdata.dedupe import TradeWindow
from heliograph.metrics import FeedMetrics
from heliograph.model.instrument import Instrument
from heliograph.model.market import Channel, Gap, Trade

if TYPE_CHECKING:
    from heliograph.model.event import Event

Make = Callable[..., Trade]


class Rig:
    """Carriers, with what they told. A trade's number is its id and its second."""

    def __init__(self, btc: Instrument, make: Make, held_max: int = 50, **modes: bool) -> None:
        self.metrics = FeedMetrics("hyperliquid", "usdm")
        self.ids = TradeWindow(120 * NS_PER_S, 1000).open(btc.id)
        self.carriers = Carriers(btc, self.ids, self.metrics, held_max, **modes)
        self.out: list[Event] = []
        self._make = make

    def batch(self, source: int, *numbers: int, second: int | None = None) -> None:
        waits = False
        for number in numbers:
            event_s = number if second is None else second
            told = self._make(None, trade_id=str(number), event_s=event_s)
            waits |= self.carriers.take(told, source, 0, self.out)
        if waits:
            self.carriers.settle(0, self.out)

    def lost(self, source: int) -> None:
        self.carriers.lost(source, 0, self.out)

    def told(self) -> list[object]:
        """Numbers, and gaps as pairs of seconds."""
        return [int(event.trade_id or 0) if isinstance(event, Trade) else self._seconds(event) for event in self.out]

    def _seconds(self, gap: object) -> tuple[int, int]:
        assert isinstance(gap, Gap)
        assert (gap.channel, gap.interval, gap.from_sequence, gap.to_sequence) == (Channel.TRADES, None, None, None)
        base_ns = self._make(None, event_s=0).event_ns
        assert base_ns is not None
        assert gap.from_ns is not None
        assert gap.to_ns is not None
        return (gap.from_ns - base_ns) // NS_PER_S, (gap.to_ns - base_ns) // NS_PER_S


@pytest.fixture
def rig(btc: Instrument, trade: Make) -> Rig:
    return Rig(btc, trade)


def test_what_a_lost_connection_may_have_cost_is_told_before_the_first_trade_of_the_next(rig: Rig) -> None:
    rig.batch(1, 1, 2)
    rig.batch(1, 3)
    rig.lost(1)
    assert rig.told() == [1, 2, 3], "nothing is known to be lost before another trade comes"
    rig.batch(2, 9, 10)
    rig.batch(2, 11)
    assert rig.told() == [1, 2, 3, (3, 9), 9, 10, 11]
    gap = rig.out[3]
    assert isinstance(gap, Gap)
    assert gap.reason == LOST
    assert (rig.metrics.gaps_found, rig.metrics.gaps_unfilled, rig.metrics.duplicates) == (1, 1, 0)


def test_a_replay_that_reaches_back_to_what_was_told_proves_that_nothing_is_missing(rig: Rig) -> None:
    rig.batch(1, *range(1, 11))
    rig.lost(1)
    rig.batch(2, *range(5, 15))
    rig.batch(2, 15)
    assert rig.told() == list(range(1, 16))
    assert rig.metrics.duplicates == 6
    assert rig.metrics.gaps_found == 0


@pytest.mark.parametrize("replay", [(8, 9, 10, 11, 12), (12, 11, 10, 9, 8), (10, 8, 12, 9, 11)])
def test_a_replay_is_put_in_order_and_nothing_of_it_comes_before_what_was_told(rig: Rig, replay: Sequence[int]) -> None:
    rig.batch(1, 9, 10)
    rig.lost(1)
    rig.batch(2, *replay)
    assert rig.told() == [9, 10, 11, 12]


def test_a_replay_from_before_what_was_told_proves_nothing_and_is_not_told(rig: Rig) -> None:
    rig.batch(1, 9, 10)
    rig.lost(1)
    rig.batch(2, 3, 4)
    rig.batch(2, 5, 12)
    assert rig.told() == [9, 10, (10, 12), 12]


def test_the_gap_reaches_over_connections_that_told_nothing(rig: Rig) -> None:
    rig.batch(1, 1)
    for source in (1, 2, 3):
        rig.lost(source)
    rig.batch(4, 9)
    assert rig.told() == [1, (1, 9), 9]


def test_whatever_comes_first_is_the_beginning(rig: Rig) -> None:
    rig.lost(1)
    rig.batch(2, 5, 6)
    assert rig.told() == [5, 6]


def test_in_a_planned_move_nothing_is_missing_disordered_or_told_twice(rig: Rig) -> None:
    rig.batch(1, 1, 2)
    rig.batch(2, 4, 5)  # The new connection is ahead of the old one.
    rig.batch(1, 3)
    assert rig.told() == [1, 2, 3], "3 had not come when 4 did"
    rig.carriers.relieved(1, 2)
    rig.lost(1)
    rig.batch(2, 6)
    assert rig.told() == [1, 2, 3, 4, 5, 6]
    assert rig.metrics.gaps_found == 0


def test_a_connection_that_repeats_a_trade_follows_from_then_on_whichever_is_ahead(rig: Rig) -> None:
    rig.batch(1, 1, 2, 3)
    rig.batch(2, 3, 4)
    rig.batch(1, 4)
    rig.batch(2, 5)
    rig.batch(1, 5, 6)
    rig.lost(1)
    rig.batch(2, 6, 7)
    assert rig.told() == [1, 2, 3, 4, 5, 6, 7]


def test_a_quiet_instrument_moves_without_a_gap(rig: Rig) -> None:
    rig.batch(1, 1)
    rig.carriers.relieved(1, 2)
    rig.lost(1)
    rig.carriers.relieved(2, 3)
    rig.lost(2)
    rig.batch(3, 9)
    assert rig.told() == [1, 9]


def test_an_heir_that_is_lost_before_it_inherits_is_none(rig: Rig) -> None:
    rig.batch(1, 1)
    rig.carriers.relieved(1, 2)
    rig.lost(2)
    rig.lost(1)
    rig.batch(3, 9)
    assert rig.told() == [1, (1, 9), 9]


def test_a_connection_lost_amid_a_move_is_a_gap_unless_the_next_one_repeats_what_it_told(rig: Rig) -> None:
    rig.batch(1, 1, 2)
    rig.batch(2, 4, 5)
    rig.lost(1)
    assert rig.told() == [1, 2, (2, 4), 4, 5]


def test_what_waits_is_bounded_and_becomes_a_gap(btc: Instrument, trade: Make) -> None:
    rig = Rig(btc, trade, held_max=3)
    rig.batch(1, 1)
    rig.batch(2, 5, 6, 7)
    assert rig.told() == [1]
    rig.batch(2, 8)
    assert rig.told() == [1, (1, 5), 5, 6, 7, 8]
    assert isinstance(rig.out[1], Gap)
    assert rig.out[1].reason == APART


def test_trades_of_one_instant_are_not_taken_for_older_ones(rig: Rig) -> None:
    rig.batch(1, 1, 2, second=7)
    rig.lost(1)
    rig.batch(2, 3, 4, second=7)
    assert rig.told() == [1, 2, (7, 7), 3, 4]


def test_off_are_only_the_protections_that_tests_prove_necessary(btc: Instrument, trade: Make) -> None:
    silent, doubled = Rig(btc, trade, explicit=False), Rig(btc, trade, dedupe=False)
    for rig in (silent, doubled):
        rig.batch(1, 1)
        rig.lost(1)
        rig.batch(2, 1, 3)
        rig.lost(2)
        rig.batch(3, 7)
    assert silent.told() == [1, 3, 7]
    assert doubled.told().count(1) == 2


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("pass"), st.integers(1, 4)), st.sampled_from([("cut", 0), ("move", 0), ("read", 0)])
        ),
        max_size=60,
    ),
    st.sampled_from([0, 3, 30]),
)
def test_any_life_of_connections_tells_each_trade_once_in_order_or_a_gap(
    btc: Instrument, trade: Make, steps: list[tuple[str, int]], replay: int
) -> None:
    """The venue's trades are 1, 2, 3 … ; a connection repeats some when it begins, and may be read late."""
    rig = Rig(btc, trade, held_max=1000)
    happened, source, old = 0, 1, 0
    unread: dict[int, list[int]] = {1: []}
    for what, count in [*steps, ("pass", 1), ("read", 0)]:
        if what == "pass":
            for _ in range(count):
                happened += 1
                for wire in unread.values():
                    wire.append(happened)
        elif what == "cut":
            del unread[source]
            rig.lost(source)
            source += 1
            unread[source] = list(range(max(1, happened - replay + 1), happened + 1))
        elif what == "move" and not old:
            old, source = source, source + 1
            unread[source] = list(range(max(1, happened - replay + 1), happened + 1))
            rig.batch(source, *unread[source])  # It has caught up with the venue, and the old one with it.
            unread[source] = []
            rig.batch(old, *unread.pop(old))
            rig.carriers.relieved(old, source)
            rig.lost(old)
            old = 0
        elif what == "read":
            for number, wire in unread.items():
                rig.batch(number, *wire)
                wire.clear()
    position: int | None = None
    for event in rig.told():
        if isinstance(event, tuple):
            assert event[0] == position
            position = event[1] - 1
        else:
            assert position is None or event == position + 1
            position = event
    assert position == happened
