from decimal import Decimal

import msgspec

from heliograph.clock import NS_PER_S
from heliograph.model.event import VenueEvent
from heliograph.model.interval import Interval
from heliograph.model.market import Candle
from heliograph.venues.kraken.bars import AGAIN_NS, OVERDUE_NS, SILENCE_NS, SPACING_NS, Bars
from heliograph.venues.kraken.instruments import instrument_of_symbol

MINUTE_NS = 60 * NS_PER_S
OPEN_NS = 1_795_000_020 * NS_PER_S
ONE = Decimal(1)


def candle(minute: int, trades: int = 1, symbol: str = "BTC/USD") -> Candle:
    open_ns = OPEN_NS + minute * MINUTE_NS
    return Candle(
        instrument_of_symbol(symbol), Interval.M1, open_ns, open_ns + MINUTE_NS, ONE, ONE, ONE, ONE, ONE, None, None,
        trades, False, None, open_ns + trades,
    )  # fmt: skip


def told(bars: Bars, *candles: Candle) -> list[tuple[int, int | None, bool]]:
    events = list[VenueEvent]()
    for one in candles:
        bars.take(one, events)
    return [((c.open_ns - OPEN_NS) // MINUTE_NS, c.trade_count, c.closed) for c in events if isinstance(c, Candle)]


def test_a_candle_is_closed_by_the_very_next_one_as_it_was_last() -> None:
    assert told(Bars(), candle(0), candle(0, 5), candle(1)) == [
        (0, 1, False),
        (0, 5, False),
        (0, 5, True),
        (1, 1, False),
    ]


def test_a_later_one_closes_nothing() -> None:
    assert told(Bars(), candle(0), candle(2)) == [(0, 1, False), (2, 1, False)]


def test_one_that_is_closed_already_is_not_closed_again() -> None:
    whole = msgspec.structs.replace(candle(0, 9), closed=True)
    assert told(Bars(), whole, candle(1)) == [(0, 9, True), (1, 1, False)]


def test_what_a_snapshot_repeats_or_comes_late_is_passed_over() -> None:
    assert told(Bars(), candle(1, 3), candle(0), candle(1, 2)) == [(1, 3, False)]


def test_a_silence_by_our_clock_leaves_the_candle_to_rest() -> None:
    bars = Bars()
    bars.heard(10)
    told(bars, candle(0))
    bars.heard(10 + SILENCE_NS)
    assert told(bars, candle(1)) == [(0, 1, True), (1, 1, False)]
    bars.heard(11 + 2 * SILENCE_NS)
    assert told(bars, candle(2)) == [(2, 1, False)]


def test_a_revision_after_a_silence_says_all() -> None:
    bars = Bars()
    told(bars, candle(0))
    bars.heard(10)
    bars.heard(11 + SILENCE_NS)
    assert told(bars, candle(0, 2), candle(1)) == [(0, 2, False), (0, 2, True), (1, 1, False)]


def test_a_silence_by_the_venue_s_times_does_so_too() -> None:
    bars = Bars()
    told(bars, candle(0))
    bars.told(OPEN_NS)
    bars.told(OPEN_NS - MINUTE_NS)  # An old trade of a snapshot tells nothing.
    for _ in range(30):
        bars.alive()
    bars.told(OPEN_NS + 30 * NS_PER_S)
    assert told(bars, candle(1)) == [(0, 1, True), (1, 1, False)]
    bars.told(OPEN_NS + 60 * NS_PER_S)
    assert told(bars, candle(2)) == [(2, 1, False)]


def test_one_without_a_successor_is_asked_for_once_it_is_over() -> None:
    bars = Bars()
    told(bars, candle(0), candle(0, symbol="ETH/USD"))
    end_ns = OPEN_NS + MINUTE_NS
    assert bars.due(end_ns + OVERDUE_NS - 1) is None
    page = bars.due(end_ns + OVERDUE_NS)
    assert page is not None
    assert (page.instrument.venue_symbol, page.from_ns, page.to_ns) == ("BTC/USD", OPEN_NS, None)
    assert bars.due(end_ns + OVERDUE_NS + 1) is None
    second = bars.due(end_ns + OVERDUE_NS + SPACING_NS)
    assert second is not None
    assert second.instrument.venue_symbol == "ETH/USD"
    again = bars.due(end_ns + OVERDUE_NS + AGAIN_NS)
    assert again == page
    bars.settled(candle(0))
    bars.settled(candle(0, symbol="ETH/USD"))
    assert bars.due(end_ns + 10 * AGAIN_NS) is None


def test_only_what_is_carried_is_kept() -> None:
    bars = Bars()
    told(bars, candle(0))
    bars.keep([])
    assert bars.due(OPEN_NS + 10 * AGAIN_NS) is None
    assert told(bars, candle(1)) == [(1, 1, False)]
    bars.settled(candle(0))
    assert bars.due(OPEN_NS + 10 * AGAIN_NS) is not None
