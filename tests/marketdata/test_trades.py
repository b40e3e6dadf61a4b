from collections.abc import Callable
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.clock import NS_PER_S
from heliograph.marketdata.dedupe import TradeWindow
from heliograph.marketdata.settings import FeedSettings
from heliograph.marketdata.trades import TradeTrack, trade_patience
from heliograph.metrics import FeedMetrics
from heliograph.model.instrument import Instrument
from heliograph.model.market import Gap, Trade
from heliograph.venues.contract import TradePage

if TYPE_CHECKING:
    from heliograph.model.event import Event

Make = Callable[..., Trade]
GRACE_NS = NS_PER_S // 2


class Rig:
    """A track with what it delivered, and the time."""

    def __init__(self, btc: Instrument, last: int | None = None, *, by_request: bool = True, **changes: object) -> None:
        self.metrics = FeedMetrics("binance", "spot")
        patience = trade_patience(FeedSettings(**changes), by_request=by_request)  # type: ignore[arg-type]
        ids = TradeWindow(120 * NS_PER_S, 100).open(btc.id)
        self.track = TradeTrack(btc, patience, ids, self.metrics, last)
        self.out: list[Event] = []
        self.now_ns = 0

    def take(self, *trades: Trade) -> None:
        for trade in trades:
            self.track.take(trade, 1, self.now_ns, self.out)

    def due(self, after_ns: int = GRACE_NS) -> TradePage | None:
        self.now_ns += after_ns
        return self.track.due(self.now_ns, self.now_ns, self.out)

    def answer(self, page: TradePage, *trades: Trade) -> None:
        self.take(*trades)
        self.track.answered(page, self.now_ns, self.now_ns, self.out)

    def told(self) -> list[object]:
        return [e.sequence if isinstance(e, Trade) else (e.from_sequence, e.to_sequence) for e in self.out]  # type: ignore[union-attr]


def test_trades_in_order_pass_at_once_and_repeats_do_not(trade: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(trade(5), trade(6), trade(6), trade(5), trade(7))
    assert rig.told() == [5, 6, 7]
    assert rig.metrics.duplicates == 2


def test_trades_out_of_order_are_put_in_order_without_asking(trade: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(trade(5), trade(7), trade(8))
    assert rig.told() == [5]
    rig.take(trade(6))
    assert rig.told() == [5, 6, 7, 8]
    assert rig.due() is None
    assert rig.metrics.gaps_found == 0


def test_a_jump_is_asked_for_exactly_and_filled_in_order(trade: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(trade(5), trade(9))
    assert rig.due(GRACE_NS - 1) is None
    assert rig.due(1) == TradePage(btc, 6, 8)
    rig.answer(TradePage(btc, 6, 8), trade(6))
    assert rig.told() == [5, 6], "an answer that nobody asked for fills, but ends nothing"
    assert rig.due(0) is None


def test_a_long_hole_is_asked_for_in_pages(trade: Make, btc: Instrument) -> None:
    rig = Rig(btc, last=0, trade_page_max=10)
    rig.take(trade(36))
    asked = []
    pause_ns = GRACE_NS
    while (page := rig.due(pause_ns)) is not None:
        asked.append((page.from_sequence, page.to_sequence))
        rig.answer(page, *(trade(n) for n in range(page.from_sequence, page.to_sequence + 1)))
        pause_ns = 0
    assert asked == [(1, 10), (11, 20), (21, 30), (31, 35)]
    assert rig.told() == list(range(1, 37))
    assert (rig.metrics.gaps_found, rig.metrics.gaps_filled) == (1, 1)


def test_too_long_a_hole_or_a_venue_without_such_requests_makes_a_gap(trade: Make, btc: Instrument) -> None:
    for rig in (Rig(btc, backfill_trades_max=3), Rig(btc, by_request=False)):
        rig.take(trade(1), trade(6), trade(7))
        assert rig.due() is None
        assert rig.told() == [1, (2, 6), 6, 7]
        assert rig.metrics.gaps_unfilled == 1


def test_numbers_that_the_venue_does_not_have_become_a_gap(trade: Make, btc: Instrument) -> None:
    rig = Rig(btc, backfill_attempts_max=2)
    rig.take(trade(1), trade(4))
    for _ in range(2):
        page = rig.due(20 * NS_PER_S)
        assert page is not None
        rig.answer(page, trade(4))
    assert rig.told() == [1, (2, 4), 4]
    page = rig.due(20 * NS_PER_S)
    assert page is None


def test_numbering_that_goes_back_is_told_and_followed(trade: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(trade(500, event_s=0), trade(1, event_s=10), trade(2, event_s=11), trade(1, event_s=10))
    assert rig.told() == [500, (501, None), 1, 2]


def test_numbering_that_went_back_while_we_were_down_is_told_and_followed(trade: Make, btc: Instrument) -> None:
    rig = Rig(btc, last=5_000_000)
    rig.take(trade(1, event_s=0), trade(2, event_s=1), trade(3, event_s=1.5), trade(4, event_s=2))
    assert rig.told() == [(5_000_001, None), 3, 4]


def test_trades_without_numbers_are_told_apart_by_id(trade: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(trade(None, trade_id="a"), trade(None, trade_id="b"), trade(None, trade_id="a"), trade(None))
    assert len(rig.out) == 3


def test_trades_without_numbers_that_a_lost_connection_may_have_cost_are_a_gap(trade: Make, btc: Instrument) -> None:
    rig = Rig(btc)
    rig.take(trade(None, trade_id="a", event_s=1))
    rig.track.lost(1, 0, rig.out)
    assert rig.track.take(trade(None, trade_id="b", event_s=5), 2, 0, rig.out)
    rig.track.settle(0, rig.out)
    assert [getattr(event, "trade_id", event) for event in rig.out] == ["a", rig.out[1], "b"]
    assert isinstance(rig.out[1], Gap)


def test_what_waits_is_bounded(trade: Make, btc: Instrument) -> None:
    rig = Rig(btc, held_max=5)
    rig.take(trade(1), *(trade(n) for n in range(3, 50)))
    assert rig.track.held <= 5
    assert rig.told() == [1, (2, 3), *range(3, 50)]


@settings(max_examples=300)
@given(
    st.lists(st.integers(10, 40), min_size=1, max_size=60),
    st.sets(st.integers(10, 40), max_size=5),
    st.lists(st.sampled_from(["all", "none", "half", "fail"]), max_size=12),
    st.booleans(),
)
def test_any_arrival_gives_each_trade_once_in_order_or_an_explicit_gap(
    trade: Make, btc: Instrument, arriving: list[int], unknown: set[int], answers: list[str], resumed: bool
) -> None:
    rig = Rig(btc, last=9 if resumed else None, backfill_attempts_max=2, trade_page_max=7)
    pending = list(answers)

    def ask() -> None:
        page = rig.due()
        if page is None:
            return
        kind = pending.pop(0) if pending else "all"
        wanted = [n for n in range(page.from_sequence, page.to_sequence + 1) if n not in unknown]
        if kind == "fail":
            rig.track.failed(page, "status 500", rig.now_ns, rig.now_ns, rig.out)
            return
        given = {"all": wanted, "none": [], "half": wanted[: len(wanted) // 2]}[kind]
        rig.answer(page, *(trade(n) for n in given))

    for number in arriving:
        rig.take(trade(number))
        ask()
    for _ in range(300):
        ask()
    position = 10 if resumed else None
    for event in rig.out:
        assert isinstance(event, Trade | Gap)
        first = event.sequence if isinstance(event, Trade) else event.from_sequence
        assert position is None or first == position
        last = event.sequence + 1 if isinstance(event, Trade) and event.sequence else event.to_sequence  # type: ignore[union-attr]
        position = last
    assert rig.track.held == 0
    floor = 10 if resumed else arriving[0]
    assert position == max(floor, *(n + 1 for n in arriving))
