import pytest

from heliograph.clock import NS_PER_S, ManualClock
from heliograph.model.interval import Interval
from heliograph.sim.ledger import Ledger
from heliograph.sim.world import World

MINUTE_NS = 60 * NS_PER_S
EPOCH_NS = 29_916_667 * MINUTE_NS


def ledger(now_ns: int) -> Ledger:
    return Ledger(World(5, 2, EPOCH_NS, history_minutes=1500), ManualClock(now_ns))


def test_candles_are_all_that_have_closed_and_no_live_one() -> None:
    candles = ledger(EPOCH_NS + 90 * NS_PER_S).candles("spot", "BTCUSDT", Interval.M1, EPOCH_NS)
    assert [candle.open_ns for candle in candles] == [EPOCH_NS]
    candles = ledger(EPOCH_NS + 2 * MINUTE_NS).candles("spot", "BTCUSDT", Interval.M1, EPOCH_NS)
    assert [candle.open_ns for candle in candles] == [EPOCH_NS, EPOCH_NS + MINUTE_NS]


def test_a_range_of_candles_is_half_open_and_longer_than_a_page() -> None:
    from_ns = EPOCH_NS - 1400 * MINUTE_NS
    candles = ledger(EPOCH_NS).candles("usdm", "ETHUSDT", Interval.M1, from_ns, EPOCH_NS - MINUTE_NS)
    assert [candle.open_ns for candle in candles] == [from_ns + n * MINUTE_NS for n in range(1399)]


def test_trades_of_neighbouring_ranges_meet() -> None:
    book = ledger(EPOCH_NS)
    edges = [EPOCH_NS - n * 7 * NS_PER_S for n in (30, 20, 10)]
    left = book.trades("coinm", "BTCUSD_PERP", edges[0], edges[1])
    right = book.trades("coinm", "BTCUSD_PERP", edges[1], edges[2])
    assert [trade.id for trade in left + right] == list(range(left[0].id, right[-1].id + 1))
    assert book.trades("coinm", "BTCUSD_PERP", edges[0], edges[2]) == left + right
    assert len(book.fills("coinm", "BTCUSD_PERP", edges[0], edges[2])) >= len(left + right)


def test_nothing_of_the_future_is_told() -> None:
    assert ledger(EPOCH_NS).trades("spot", "BTCUSDT", EPOCH_NS + 1, EPOCH_NS + MINUTE_NS) == []


def test_an_unknown_symbol_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        ledger(EPOCH_NS).candles("spot", "NOPE", Interval.M1, EPOCH_NS)
