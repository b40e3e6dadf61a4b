from collections.abc import Callable, Sequence
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.marketdata.lanes import Lanes
from heliograph.metrics import FeedMetrics
from heliograph.model.event import Event
from heliograph.model.instrument import SPOT, Instrument, VenueId
from heliograph.model.market import Candle, Ticker, Trade

OTHERS = [Instrument(VenueId("binance"), SPOT, f"S{n}USDT") for n in range(5)]


class ListSink:
    """A consumer that takes so many batches, then none until it is told to go on."""

    def __init__(self, batches: int | None = None) -> None:
        self.events: list[Event] = []
        self.batches = batches
        self._wake: Callable[[], None] = lambda: None

    def ready(self) -> bool:
        return self.batches is None or self.batches > 0

    def push(self, events: Sequence[Event]) -> None:
        assert self.ready()
        self.events += events
        if self.batches is not None:
            self.batches -= 1

    def when_ready(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def allow(self, batches: int | None) -> None:
        self.batches = batches
        self._wake()


class Tap:
    """The sockets, as the lanes see them."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def hold(self) -> None:
        self.calls.append("hold")

    def release(self) -> None:
        self.calls.append("release")


def _lanes(sink: ListSink, tap: Tap | None = None, keep_max: int = 10, slots_max: int = 0) -> tuple[Lanes, FeedMetrics]:
    metrics = FeedMetrics("binance", "spot")
    lanes = Lanes(sink, metrics, tap or Tap(), lambda: 0, keep_max=keep_max, slots_max=slots_max)
    return lanes, metrics


def test_a_ready_consumer_gets_the_batch_itself(candle: Callable[..., Candle]) -> None:
    sink = ListSink()
    lanes, metrics = _lanes(sink)
    lanes.put([candle(0, count=1), candle(0, count=2), candle(0, closed=True)])
    assert sink.events == [candle(0, count=1), candle(0, count=2), candle(0, closed=True)]
    assert (metrics.quotes_open, metrics.quotes_closed, metrics.conflated) == (2, 1, 0)
    assert sum(metrics.latency_counts) == 3


def test_m9_a_slow_consumer_gets_every_final_first_and_then_the_newest_live_bar(
    candle: Callable[..., Candle], trade: Callable[..., Trade]
) -> None:
    sink = ListSink(batches=0)
    lanes, metrics = _lanes(sink, keep_max=1000)
    for bar in range(50):
        lanes.put([candle(bar, count=n) for n in range(20)])
        lanes.put([trade(bar), candle(bar, closed=True)])
    lanes.put([candle(50, count=n) for n in range(20)])
    assert lanes.waiting == 101, "one slot for the live bar, whatever was said of it"
    sink.allow(None)
    assert [e for e in sink.events if isinstance(e, Candle) and e.closed] == [candle(b, closed=True) for b in range(50)]
    assert sink.events[-1] == candle(50, count=19)
    assert len(sink.events) == 101
    assert metrics.conflated == 51 * 20 - 1


def test_a_full_keep_every_lane_holds_the_sockets_until_it_is_half_empty(trade: Callable[..., Trade]) -> None:
    sink, tap = ListSink(batches=0), Tap()
    lanes, metrics = _lanes(sink, tap, keep_max=600)
    lanes.put([trade(n) for n in range(599)])
    assert tap.calls == []
    lanes.put([trade(599), trade(600)])
    assert (tap.calls, lanes.room.is_set(), metrics.queue_blocked) == (["hold"], False, 1)
    sink.allow(1)
    assert (tap.calls, lanes.depth) == (["hold"], 345)
    sink.allow(1)
    assert (tap.calls, lanes.depth, lanes.room.is_set()) == (["hold", "release"], 89, True)
    assert metrics.queue_depth_closed == 89


def test_slots_are_bounded_by_what_was_subscribed_or_by_the_setting(candle: Callable[..., Candle]) -> None:
    sink = ListSink(batches=0)
    lanes, metrics = _lanes(sink)
    for count in range(100):
        lanes.put([candle(0, count=count, instrument=i) for i in OTHERS])
    assert lanes.waiting == len(OTHERS)
    bounded, metrics = _lanes(sink, slots_max=2)
    bounded.put([candle(0, instrument=OTHERS[0]), candle(0, instrument=OTHERS[1])])
    bounded.put([candle(0, count=2, instrument=OTHERS[0]), candle(0, instrument=OTHERS[2])])
    assert metrics.conflated == 2
    sink.allow(None)
    assert [e.instrument for e in sink.events][-2:] == [OTHERS[0], OTHERS[2]], "the one not updated for longest went"


def test_what_nobody_wants_any_more_leaves_its_slot(candle: Callable[..., Candle], btc: Instrument) -> None:
    sink = ListSink(batches=0)
    lanes, _ = _lanes(sink)
    lanes.put([candle(0)])
    lanes.forget(btc.id, candle(0).interval)
    assert lanes.waiting == 0


@settings(max_examples=300)
@given(st.lists(st.one_of(st.integers(0, 3), st.just("final"), st.just("allow")), max_size=80))
def test_whatever_the_consumers_pace_no_live_bar_comes_after_its_final(
    candle: Callable[..., Candle], steps: list[int | str]
) -> None:
    sink = ListSink(batches=0)
    lanes, metrics = _lanes(sink, keep_max=4)
    bar = finals = count = 0
    for step in steps:
        if step == "allow":
            sink.allow(1)
        elif step == "final":
            lanes.put([candle(bar, closed=True)])
            finals, bar = finals + 1, bar + 1
        else:
            count += 1
            lanes.put([candle(bar, count=count + n) for n in range(int(step))])
            count += int(step)
    sink.allow(None)
    told = [e for e in sink.events if isinstance(e, Candle)]
    assert [e.open_ns for e in told if e.closed] == [candle(n).open_ns for n in range(finals)]
    finished = -1
    for event in told:
        assert event.open_ns > finished
        if event.closed:
            finished = event.open_ns
    counts = [e.trade_count for e in told if not e.closed]
    assert counts == sorted(counts, key=lambda n: n or 0)
    assert lanes.waiting == 0
    assert metrics.quotes_closed == finals


def test_what_somebody_else_delivers_leaves_both_lanes_and_the_sockets_go_on(
    candle: Callable[..., Candle], btc: Instrument
) -> None:
    sink, tap = ListSink(0), Tap()
    lanes, _ = _lanes(sink, tap, keep_max=4)
    lanes.put([candle(bar, closed=True) for bar in range(4)])
    lanes.put([candle(4), candle(1, closed=True, instrument=OTHERS[0]), candle(2, instrument=OTHERS[0])])
    assert tap.calls == ["hold"]
    lanes.discard({btc.id})
    assert tap.calls == ["hold", "release"]
    sink.allow(None)
    assert sink.events == [candle(1, closed=True, instrument=OTHERS[0]), candle(2, instrument=OTHERS[0])]


def test_tickers_share_the_latest_wins_lane(btc: Instrument) -> None:
    sink = ListSink(batches=0)
    lanes, metrics = _lanes(sink)
    one = Decimal(1)
    tickers = [Ticker(btc, one, one, one, one, one, None, None, None, n, n) for n in range(10)]
    for ticker in tickers:
        lanes.put([ticker])
    sink.allow(None)
    assert sink.events == tickers[-1:]
    assert metrics.events == {"ticker": 1}
